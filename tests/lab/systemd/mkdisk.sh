#!/bin/bash
# Makes what the installed guest boots from: a disk with Debian 12 and systemd on it, and the initramfs that finds it and brings
# the lab's own programs and units. Neither holds kvmdesk. Root is needed for debootstrap alone; its work is kept in the
# cache (1 GB). Of another architecture than this machine's, Debian's installation takes some minutes where qemu-user runs its
# programs (qemu-user-static and binfmt_misc), and else half an hour in the emulated machine, the first time.
#   Usage: [ARCH=amd64|arm64] mkdisk.sh DISK INITRD.gz
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "$0")/../lib.sh"
disk=$(realpath -m "$1")
initrd=$(realpath -m "$2")
here=$LAB/systemd
release=$(cat "$KERNEL_DIR/release")
root=$CACHE/systemd-$ARCH
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

# What kvmdesk's packages depend on is there already: the guest has no way to Debian's archive.
packages=systemd,systemd-sysv,udev,dbus,dbus-user-session,kmod,iproute2,e2fsprogs,v4l-utils,libasound2,libgstreamer1.0-0
packages=$packages,libgstreamer-plugins-base1.0-0,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-ugly
if [ ! -e "$root/.complete" ]; then
  open_apt
  mirror=$(sed -n 's/^URIs: *//p; s/^deb \([^ ]*\) .*/\1/p' "$CACHE/apt-$ARCH/sources"/* | head -n 1)
  rm -rf --one-file-system "$root"
  foreign=
  is_native || grep -qs enabled "/proc/sys/fs/binfmt_misc/qemu-${TRIPLE%%-*}" || foreign=--foreign
  # shellcheck disable=SC2086  # nothing or one word
  debootstrap $foreign --variant=minbase --arch="$ARCH" --include="$packages" bookworm "$root" "$mirror" >"$CACHE/debootstrap-$ARCH.log" ||
    { tail -n 20 "$CACHE/debootstrap-$ARCH.log" >&2; exit 1; }
  # The second half needs them.
  [ -n "$foreign" ] || rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  mkdir -p "$root/lib/modules" "$root/host"
  cp -a "$KERNEL_DIR/lib/modules/$release" "$root/lib/modules/"
  : >"$root/etc/machine-id"   # made at the first boot, as on a board's fresh card
  rm -f "$root/etc/resolv.conf"
  touch "$root/.complete"
fi

mkdir -p "$tree"/{bin,proc,sys,dev,root}
copy_modules "$tree" virtio_pci virtio_blk virtio_net virtio_rng ext4 crc32c_generic 9p 9pnet_virtio
cp "$USERLAND/bin/busybox" "$tree/bin/"
install -m 755 "$here/guest/init" "$tree/init"

# What init puts on the disk at each boot.
own=$tree/own
units=$own/etc/systemd/system
mkdir -p "$own/usr/local/bin" "$own/usr/bin" "$units/multi-user.target.wants"
compiler=gcc
is_native || compiler=$TRIPLE-gcc
"${LAB_CC:-$compiler}" -O1 -Wall -Wextra -static -D_GNU_SOURCE -o "$own/usr/local/bin/labtool" "$LAB/guest/labtool.c"
install -m 755 "$LAB/guest/lab" "$here/guest/lab-serve" "$here/guest/lab-net" "$own/usr/local/bin/"
install -m 755 "$USERLAND/bin/busybox" "$own/usr/bin/busybox"
ln -s /bin/busybox "$own/usr/local/bin/usleep"
cp "$here/guest"/*.service "$here/guest"/*.socket "$units/"
install -D -m 644 "$here/guest/board.network" "$own/etc/systemd/network/board.network"
install -D -m 644 "$here/guest/modules-load.conf" "$own/etc/modules-load.d/lab.conf"
install -D -m 644 "$here/guest/modprobe.conf" "$own/etc/modprobe.d/lab.conf"
echo 'host /host 9p trans=virtio,version=9p2000.L,msize=262144,nofail 0 0' >"$own/etc/fstab"
echo board >"$own/etc/hostname"
for unit in lab.socket lab-net.service lab-ready.service; do ln -s "../$unit" "$units/multi-user.target.wants/$unit"; done
ln -s /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
# Nobody logs in; no timers in the middle of a measurement.
for unit in getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyAMA0.service apt-daily.timer \
  apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
  ln -s /dev/null "$units/$unit"
done
(cd "$tree" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet | gzip -1) >"$initrd"

make_disk() {
  rm -f "$1"
  truncate -s 2G "$1"
  mke2fs -q -t ext4 -L lab -d "$root" "$1"
}
if [ ! -d "$root/debootstrap" ]; then
  make_disk "$disk"
else
  if [ ! -e "$root.disk" ]; then
    make_disk "$root.new"
    mkdir -p "$tree/share"
    KVMDESK_LAB_DISK=$root.new "$LAB/run.sh" "$initrd" "$tree/share" | tee "$CACHE/second-stage-$ARCH.log" |
      { grep -q '^lab: installed' || { echo "lab: Debian's installation failed: $CACHE/second-stage-$ARCH.log" >&2; exit 1; }; cat >/dev/null; }
    mv "$root.new" "$root.disk"
  fi
  cp --sparse=always "$root.disk" "$disk"
fi
