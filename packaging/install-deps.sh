#!/bin/sh
# Installs what Debian 12 or newer and Ubuntu 22.04 or newer need to build kvmdesk, or to build and test it.
#
#     sh packaging/install-deps.sh build     compilers and headers
#     sh packaging/install-deps.sh test      these, and what the tests run: an emulator and the tools to make its guest
#     sh packaging/install-deps.sh arm64     compilers and libraries to build for boards of that architecture (also: armhf,
#                                            amd64). Only one foreign architecture fits in one system: make a root for each
#                                            (packaging/build-deb.sh does)
#
# --without-rust leaves out the check for Rust. Packages come from apt; Rust itself is never installed. As another user
# than root it works through sudo. It can be run again at any time: what is there is left alone.
set -eu

usage() {
  echo "usage: sh packaging/install-deps.sh build|test|arm64|armhf|amd64 [--without-rust]" >&2
  exit 64
}

oldest_cargo=1.88   # rust-version in Cargo.toml

# C and C++ compilers for libsodium, openh264, libjpeg-turbo, Opus and zstd, which are built from source with their crates;
# make for libsodium; nasm for openh264's and libjpeg-turbo's fast paths on x86 (without it openh264 is built silently at
# half the speed); cmake for libjpeg-turbo and Opus; libclang for the bindings to the kernel's V4L2 headers; the headers
# of GStreamer and ALSA; GStreamer's plugins with the encoders (x264, VP8, VP9, AV1, H.265, hardware).
build_packages="build-essential nasm cmake pkg-config libclang-dev linux-libc-dev ca-certificates
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly libasound2-dev"
# An emulator for the lab's guest; the tools that unpack a kernel and pack the guest's file system; ip(8) for tests in
# network namespaces; decoders to compare with; another reader of keyboard layouts, with its data.
test_packages="gstreamer1.0-libav qemu-system-x86 cpio kmod xz-utils zstd binutils iproute2
  libxkbcommon-dev xkb-data libx11-data"
# To build for another architecture: its compilers, an emulator to run what was built (the manual pages come from the
# program itself), and the libraries that are linked, of that architecture. ARCH is put in below.
target_packages="nasm cmake pkg-config libclang-dev linux-libc-dev ca-certificates
  libgstreamer1.0-dev:ARCH libgstreamer-plugins-base1.0-dev:ARCH libasound2-dev:ARCH"

with_rust=yes
packages=
foreign=
case "${1:-}" in
build) packages=$build_packages ;;
test) packages="$build_packages $test_packages" ;;
arm64 | armhf | amd64)
  packages="build-essential $(echo "$target_packages" | sed "s/ARCH/$1/g")"
  if [ "$1" != "$(dpkg --print-architecture 2>/dev/null)" ]; then
    packages="$packages crossbuild-essential-$1 qemu-user-static"
    foreign=$1
  fi
  ;;
*) usage ;;
esac
case "${2:-}" in
"") ;;
--without-rust) with_rust=no ;;
*) usage ;;
esac

command -v apt-get >/dev/null || {
  echo "install-deps: this is for Debian and Ubuntu (no apt-get here). Install the equivalents of:" $packages >&2
  exit 69
}

missing=
for package in $packages; do
  state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
  echo "install-deps: installing:$missing"
  as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "install-deps: run this as root (sudo is not here)" >&2; exit 77; }
    as_root=sudo
  fi
  [ -z "$foreign" ] || $as_root dpkg --add-architecture "$foreign"
  $as_root apt-get update -q
  # shellcheck disable=SC2086  # the list is meant to be split
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
else
  echo "install-deps: every package is there already"
fi

[ "$with_rust" = yes ] || exit 0
how="Get it from https://rustup.rs, then open a new shell."
command -v cargo >/dev/null || {
  echo "install-deps: Rust is not here: cargo $oldest_cargo or newer is needed. $how" >&2
  exit 69
}
version=$(cargo --version | cut -d' ' -f2)
lowest=$(printf '%s\n%s\n' "$oldest_cargo" "$version" | sort -V | head -n 1)
[ "$lowest" = "$oldest_cargo" ] || {
  echo "install-deps: cargo is $version, $oldest_cargo or newer is needed. With rustup: rustup update. Else: $how" >&2
  exit 69
}
echo "install-deps: ready (cargo $version)"
