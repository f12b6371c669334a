#!/bin/bash
# Makes the guest's initramfs: the kernel modules, the programs, and the shared libraries that the program under test
# needs.   Usage: [ARCH=amd64|arm64] mkinitrd.sh OUT.gz [PROGRAM|PLUGIN]...
# PROGRAMs, which are paths, are not put in: they come by the shared directory, so that they can change without a new
# initramfs. PLUGINs of GStreamer are put in by their names ("x264"); without any the guest has none of its encoders.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
out=$(realpath -m "$1")
more=("${@:2}")
release=$(cat "$KERNEL_DIR/release")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"   # becomes the root directory, which the daemon's user must enter
mkdir -p "$tree"/{bin,sbin,usr/bin,usr/lib,lib64,proc,sys,dev,tmp,run,etc,host}

# The board (vivid is its HDMI receiver, dummy_hcd its USB device controller), the computer at the other end of the
# cable (usbhid, hid-generic, evdev), the board as its own computer (uinput), and what the guest itself needs.
modules="vivid snd-aloop dummy_hcd libcomposite usb_f_hid usbhid hid-generic evdev uinput configfs virtio_pci virtio_net virtio_rng 9p 9pnet_virtio"
# shellcheck disable=SC2086  # several words
copy_modules "$tree" $modules
cd "$tree"

# This machine's libraries come first where they fit: the program under test may want newer ones than the userland has,
# and the userland's programs run with newer ones.
library_dirs=("$USERLAND/lib/$TRIPLE" "$USERLAND/usr/lib/$TRIPLE")
! is_native || library_dirs=("/lib/$TRIPLE" "/usr/lib/$TRIPLE" "${library_dirs[@]}")
find_library() {
  local dir
  for dir in "${library_dirs[@]}"; do
    if [ -e "$dir/$1" ]; then echo "$dir/$1"; return; fi
  done
  echo "lab: library $1 not found" >&2
  return 1
}
# Copies the libraries and the interpreter that the ELF file $1 names, and theirs.
put_libraries() {
  local name interpreter
  interpreter=$({ readelf -l "$1" || true; } 2>/dev/null | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
  if [ -n "$interpreter" ] && [ ! -e "$tree$interpreter" ]; then
    mkdir -p "$tree$(dirname "$interpreter")"
    cp -L "$(find_library "${interpreter##*/}")" "$tree$interpreter"
  fi
  for name in $({ readelf -d "$1" || true; } 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    [ ! -e "$tree/usr/lib/$name" ] || continue
    cp -L "$(find_library "$name")" "$tree/usr/lib/$name"
    put_libraries "$tree/usr/lib/$name"
  done
}
put_program() {
  cp -L "$1" "$tree$2"
  chmod 755 "$tree$2"
  put_libraries "$1"
}

cp "$USERLAND/bin/busybox" "$tree/bin/"
put_program "$USERLAND/usr/bin/v4l2-ctl" /usr/bin/v4l2-ctl
for one in "${more[@]}"; do
  case $one in
  */*) put_libraries "$one" ;;
  *)
    plugin=/usr/lib/gstreamer-1.0/libgst$one.so   # where the guest's GST_PLUGIN_PATH points
    mkdir -p "$tree${plugin%/*}"
    cp -L "$(find_library "gstreamer-1.0/libgst$one.so")" "$tree$plugin"
    put_libraries "$tree$plugin"
    ;;
  esac
done
compiler=gcc
is_native || compiler=$TRIPLE-gcc
"${LAB_CC:-$compiler}" -O1 -Wall -Wextra -static -D_GNU_SOURCE -o "$tree/usr/bin/labtool" "$LAB/guest/labtool.c"
cp "$LAB/guest/init" "$tree/init"
cp "$LAB/guest/lab" "$tree/bin/lab"
chmod 755 "$tree/init" "$tree/bin/lab"
# The daemon runs unprivileged, as on a board; the group is the one of hw/lab/udev.rules.
printf 'root:x:0:0:root:/:/bin/sh\nkvmdesk:x:990:990:kvmdesk:/tmp:/bin/sh\n' >"$tree/etc/passwd"
printf 'root:x:0:\nvideo:x:44:kvmdesk\nkvmdesk:x:990:\n' >"$tree/etc/group"
mkdir -p "$(dirname "$out")"
find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet | gzip -1 >"$out.$$"
mv "$out.$$" "$out"
