#!/bin/sh
# Builds what a release consists of for one architecture, without containers, in a Debian 12 root of its own:
#
#     sudo packaging/build-deb.sh arm64|armhf|amd64 [full|lite]
#
# kvmdesk_VERSION_ARCH.deb (GStreamer and sound), kvmdesk-lite_VERSION_ARCH.deb (neither), kvmdesk-VERSION-ARCH.tar.gz (the lite
# build with install.sh, for other systems), one list of dependencies each (*.cdx.json) and SHA256SUMS. With `full` or
# `lite` only that one is built.
#
# It wants root for debootstrap and chroot alone; what it compiles runs as the user who called sudo. Needed here:
# debootstrap, and Rust from https://rustup.rs (that toolchain is lent to the root; the target is added to it). The
# network is used for Debian's packages, crates and, the first time, cargo's helpers. Everything is kept in
# ${KVMDESK_BUILD_CACHE:-~/.cache/kvmdesk-build} (about 3 GB an architecture), so that the next run is short; remove that
# directory to start anew. http_proxy, https_proxy, DEBIAN_MIRROR and this system's CA certificates hold inside too.
set -eu

say() { printf '\n== build-deb: %s\n' "$*"; }
die() { echo "build-deb: $*" >&2; exit "${code:-1}"; }
usage() { code=64 die "usage: sudo packaging/build-deb.sh arm64|armhf|amd64 [full|lite]"; }

case "${1:-}" in
arm64) triple=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu qemu=qemu-aarch64-static ;;
armhf) triple=armv7-unknown-linux-gnueabihf gnu=arm-linux-gnueabihf qemu=qemu-arm-static ;;
amd64) triple=x86_64-unknown-linux-gnu gnu=x86_64-linux-gnu qemu=qemu-x86_64-static ;;
*) usage ;;
esac
arch=$1
case "${2:-}" in
"") builds="full lite" ;;
full | lite) builds=$2 ;;
*) usage ;;
esac
[ $# -le 2 ] || usage

[ "$(id -u)" = 0 ] || code=77 die "debootstrap and chroot need root: sudo $0 $*"
for tool in debootstrap unshare rustup; do
  command -v $tool >/dev/null && continue
  [ $tool = rustup ] && [ -n "${SUDO_USER:-}" ] && continue
  code=69 die "$tool is not here (debootstrap: apt-get install debootstrap; rustup: https://rustup.rs)"
done
# Mounts are seen by this process alone and go with it.
[ -n "${KVMDESK_BUILD_UNSHARED:-}" ] || KVMDESK_BUILD_UNSHARED=1 exec unshare --mount --propagation private sh "$0" "$@"

repo=$(cd "$(dirname "$0")/.." && pwd)
user=${SUDO_USER:-root}
home=$(getent passwd "$user" | cut -d: -f6)
owner=$(id -u "$user"):$(id -g "$user")
cache=${KVMDESK_BUILD_CACHE:-$home/.cache/kvmdesk-build}
root=$cache/$arch/root
out=$cache/$arch/out
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
as_user() { if [ "$user" = root ]; then "$@"; else sudo -u "$user" -H "$@"; fi; }
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml" | head -n 1)
began=$(date +%s)
elapsed() { echo "$(($(date +%s) - began)) s"; }

say "kvmdesk $version for $arch ($builds); all of it is kept in $cache"
mkdir -p "$cache/$arch"
if [ ! -e "$root/.complete" ]; then
  say "a Debian 12 root (debootstrap from $mirror; a minute or two)"
  rm -rf --one-file-system "$root"
  debootstrap --variant=minbase bookworm "$root" "$mirror"
  touch "$root/.complete"
fi

say "compilers and libraries in it, after $(elapsed)"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp "$repo/packaging/install-deps.sh" "$root/tmp/install-deps.sh"
chroot "$root" sh /tmp/install-deps.sh "$arch" --without-rust
# What a proxy with certificates of its own needs; elsewhere these are the same as Debian's.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi

say "Rust, lent to it, after $(elapsed)"
sysroot=$(as_user sh -lc "cd '$repo' && rustc --print sysroot") || code=69 die "there is no Rust: https://rustup.rs"
[ -d "$sysroot/lib/rustlib/$triple" ] || as_user sh -lc "cd '$repo' && rustup target add $triple"
mkdir -p "$root/rust" "$root/src" "$root/build" "$root/cargo" "$root/tools" "$root/out" "$out" \
  "$cache/$arch/target" "$cache/cargo" "$cache/tools"
chown "$owner" "$cache/$arch" "$out" "$cache/$arch/target" "$cache/cargo" "$cache/tools"
mount --bind "$sysroot" "$root/rust"
mount --bind "$repo" "$root/src"
mount -o remount,bind,ro "$root/src"
mount --bind "$cache/$arch/target" "$root/build"
mount --bind "$cache/cargo" "$root/cargo"
mount --bind "$cache/tools" "$root/tools"
mount --bind "$out" "$root/out"

own=$(chroot "$root" dpkg --print-architecture)
env_triple=$(echo "$triple" | tr a-z- A-Z_)
# pkg-config finds the target's libraries, not this machine's; bindgen and cmake know the triple by themselves.
inside() {
  chroot --userspec="$owner" "$root" /usr/bin/env -i \
    PATH=/rust/bin:/tools/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    CARGO_HOME=/cargo CARGO_TARGET_DIR=/build CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-$(nproc)}" \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
    "CARGO_TARGET_${env_triple}_LINKER=$gnu-gcc" \
    PKG_CONFIG_ALLOW_CROSS=1 \
    "PKG_CONFIG_LIBDIR_$(echo $triple | tr - _)=/usr/lib/$gnu/pkgconfig:/usr/share/pkgconfig" \
    CARGO_PROFILE_RELEASE_STRIP=symbols \
    sh -euc "cd /src; $1"
}
inside "cargo --version" || code=69 die "the toolchain $sysroot does not run in Debian 12; use one of rustup"

for tool in cargo-deb cargo-auditable auditable2cdx; do
  [ -x "$cache/tools/bin/$tool" ] && continue
  say "cargo's helper $tool, after $(elapsed)"
  inside "CARGO_TARGET_DIR=/build/tools cargo install --locked --root /tools $tool"
done
rm -rf "$cache/$arch/target/tools"

# The program runs here as it will there; a foreign one in the emulator.
runner=
[ "$own" = "$arch" ] || runner=$qemu
sums=
for build in $builds; do
  case $build in
  full) features="" name=kvmdesk variant="" ;;
  lite) features=--no-default-features name=kvmdesk-lite variant="--variant lite" ;;
  esac
  say "$name for $arch, after $(elapsed)"
  inside "cargo auditable build --locked --release $features --target $triple"
  binary=/build/$triple/release/kvmdesk
  # Sources that changed meanwhile show here.
  inside "$runner $binary check --config config/kvmdesk.toml"
  say "manual pages, completions, list of dependencies and package of $name, after $(elapsed)"
  share=/build/$triple/release/share
  inside "rm -rf $share; $runner $binary manual $share; gzip -9n $share/man/man1/*
    for rules in hw/*/udev.rules; do
      [ \$rules = hw/lab/udev.rules ] || { echo \"# \$rules\"; cat \$rules; }
    done > $share/61-kvmdesk-boards.rules
    auditable2cdx $binary > /out/${name}_${version}_$arch.cdx.json
    cargo deb --locked --no-build --no-strip --target $triple $variant --output /out/${name}_${version}_$arch.deb"
  sums="$sums ${name}_${version}_$arch.deb ${name}_${version}_$arch.cdx.json"
  [ "$build" = lite ] || continue
  say "tarball of $name, after $(elapsed)"
  tarball=kvmdesk-$version-$arch
  inside "cd /build; rm -rf $tarball; mkdir $tarball
    dpkg-deb -x /out/${name}_${version}_$arch.deb $tarball/files
    cp /src/packaging/install.sh /src/LICENSE $tarball/
    tar --sort=name --owner=0 --group=0 --numeric-owner -czf /out/$tarball.tar.gz $tarball; rm -r $tarball"
  sums="$sums $tarball.tar.gz"
done
inside "cd /out; sha256sum $sums > SHA256SUMS"

say "done after $(elapsed); in $out:"
# shellcheck disable=SC2086  # several files
(cd "$out" && ls -l $sums SHA256SUMS)
