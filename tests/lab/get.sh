#!/bin/bash
# Downloads Debian's kernel and the guest's programs and unpacks them in the cache; nothing is installed.
# Does nothing if they are there. About 130 MB are fetched.   Usage: [ARCH=amd64|arm64] get.sh
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock 9   # two test runs may share the cache

# x86: takes the ELF kernel out of the bzImage. QEMU starts it directly, so that the guest need not unpack it in
# emulation, which takes longer than the rest of its boot. (Offsets: the x86 boot protocol's setup_sects,
# payload_offset and payload_length.)
extract_vmlinux() {
  local image=$KERNEL_DIR/vmlinuz out=$KERNEL_DIR/vmlinux start length
  number_at() { od -An -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '; }
  start=$(((($(number_at 497 1) + 1) * 512) + $(number_at 584 4)))
  length=$(number_at 588 4)
  payload() { tail -c +$((start + 1)) "$image" | head -c "$1"; }
  case $(payload 4 | od -An -tx1 | tr -d ' ') in
  fd377a58) payload "$length" | xz -dc --single-stream >"$out" ;;
  28b52ffd) payload $((length - 4)) | zstd -dcq >"$out" ;;
  esac || true   # the padding behind the payload makes both end with a complaint
  [ "$(head -c4 "$out" 2>/dev/null | tail -c3)" = ELF ] || rm -f "$out"   # run.sh then takes the bzImage
}

if [ ! -e "$KERNEL_DIR/done" ]; then
  open_apt
  # The meta package names the newest kernel; a package with a version in its name is taken as it is.
  package=$(apt-cache "${APT_OPTIONS[@]}" depends "$KERNEL_PACKAGE" |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ {print $2; exit}')
  package=${package:-$KERNEL_PACKAGE}
  release=${package#linux-image-}
  rm -rf "$KERNEL_DIR"
  mkdir -p "$KERNEL_DIR/deb" "$KERNEL_DIR/lib/modules"
  (cd "$KERNEL_DIR/deb" && apt-get "${APT_OPTIONS[@]}" download "$package")
  dpkg-deb -x "$KERNEL_DIR/deb/$package"_*.deb "$KERNEL_DIR/deb/tree"
  mv "$KERNEL_DIR/deb/tree/boot/vmlinuz-$release" "$KERNEL_DIR/vmlinuz"
  modules=$KERNEL_DIR/deb/tree/lib/modules
  [ -d "$modules" ] || modules=$KERNEL_DIR/deb/tree/usr/lib/modules   # newer packages
  mv "$modules/$release" "$KERNEL_DIR/lib/modules/"
  rm -rf "$KERNEL_DIR/deb"
  echo "$release" >"$KERNEL_DIR/release"
  depmod -b "$KERNEL_DIR" "$release"   # the package leaves that to its installation
  [ "$ARCH" != amd64 ] || extract_vmlinux
  touch "$KERNEL_DIR/done"
fi

if [ ! -e "$USERLAND/done" ]; then
  open_apt
  rm -rf "$USERLAND"
  mkdir -p "$USERLAND"
  apt-get "${APT_OPTIONS[@]}" install --download-only -y --no-install-recommends \
    busybox-static libc6 libgcc-s1 libstdc++6 v4l-utils kmod
  for deb in "$CACHE/apt-$ARCH/cache/archives"/*.deb; do dpkg-deb -x "$deb" "$USERLAND"; done
  rm -f "$CACHE/apt-$ARCH/cache/archives"/*.deb
  touch "$USERLAND/done"
fi
echo "lab: kernel $(cat "$KERNEL_DIR/release") in $KERNEL_DIR, programs in $USERLAND"
