#!/bin/bash
# Makes what the installed guest boots from: a disk with Debian 12 and systemd on it, and the initramfs that finds it. Neither
# holds kvmdesk. Root is needed for debootstrap alone; the root directory is kept in the cache (500 MB).
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
  debootstrap --variant=minbase --arch="$ARCH" --include="$packages" bookworm "$root" "$mirror" >"$CACHE/debootstrap-$ARCH.log" ||
    { tail -n 20 "$CACHE/debootstrap-$ARCH.log" >&2; exit 1; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  touch "$root/.complete"
fi

# The kernel's modules, the lab's own programs and units. They are put in each time, so that they are the present ones.
if [ ! -e "$root/lib/modules/$release/modules.dep" ]; then
  mkdir -p "$root/lib/modules"
  cp -a "$KERNEL_DIR/lib/modules/$release" "$root/lib/modules/"
fi
compiler=gcc
is_native || compiler=$TRIPLE-gcc
"${LAB_CC:-$compiler}" -O1 -Wall -Wextra -static -D_GNU_SOURCE -o "$root/usr/local/bin/labtool" "$LAB/guest/labtool.c"
install -m 755 "$LAB/guest/lab" "$here/guest/lab-serve" "$here/guest/lab-net" "$root/usr/local/bin/"
install -m 755 "$USERLAND/bin/busybox" "$root/bin/busybox"
ln -sf /bin/busybox "$root/usr/local/bin/usleep"
cp "$here/guest"/*.service "$here/guest"/*.socket "$root/etc/systemd/system/"
install -D -m 644 "$here/guest/board.network" "$root/etc/systemd/network/board.network"
install -m 644 "$here/guest/modules-load.conf" "$root/etc/modules-load.d/lab.conf"
install -m 644 "$here/guest/modprobe.conf" "$root/etc/modprobe.d/lab.conf"
echo 'host /host 9p trans=virtio,version=9p2000.L,msize=262144,nofail 0 0' >"$root/etc/fstab"
mkdir -p "$root/host"
echo board >"$root/etc/hostname"
: >"$root/etc/machine-id"   # made at the first boot, as on a board's fresh card
rm -f "$root/etc/resolv.conf"
for unit in lab.socket lab-net.service lab-ready.service systemd-networkd.service; do
  [ -e "$root/etc/systemd/system/$unit" ] || [ -e "$root/lib/systemd/system/$unit" ]
  mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
  ln -sf "$([ -e "$root/etc/systemd/system/$unit" ] && echo /etc/systemd/system || echo /lib/systemd/system)/$unit" \
    "$root/etc/systemd/system/multi-user.target.wants/$unit"
done
# Nobody logs in; no timers in the middle of a measurement.
for unit in getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyAMA0.service apt-daily.timer \
  apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

rm -f "$disk"
truncate -s 2G "$disk"
mke2fs -q -t ext4 -L lab -d "$root" "$disk"

mkdir -p "$tree"/{bin,proc,sys,dev,root,"lib/modules/$release"}
for module in virtio_pci virtio_blk virtio_net virtio_rng ext4 crc32c_generic 9p 9pnet_virtio; do
  modprobe -d "$KERNEL_DIR" -S "$release" --show-depends -a "$module"
done | awk '$1 == "insmod" {print $2}' | sort -u | while read -r file; do
  copy=$tree/lib/modules/$release/${file#"$KERNEL_DIR/lib/modules/$release/"}
  mkdir -p "$(dirname "$copy")"
  cp "$file" "$copy"
  case $copy in   # busybox reads plain ones only
  *.xz) unxz "$copy" ;;
  *.zst) zstd -q --rm -d "$copy" ;;
  esac
done
(cd "$KERNEL_DIR/lib/modules/$release" && cp modules.order modules.builtin modules.builtin.modinfo "$tree/lib/modules/$release/")
depmod -b "$tree" "$release"
cp "$USERLAND/bin/busybox" "$tree/bin/"
install -m 755 "$here/guest/init" "$tree/init"
(cd "$tree" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet | gzip -1) >"$initrd"
