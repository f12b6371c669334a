#!/bin/bash
# Boots the guest and stays until it powers off; its console goes to standard output. QEMU takes this process's place:
# it ends when killed, and also when its parent dies.   Usage: [ARCH=amd64|arm64] run.sh INITRD SHARE_DIR [HOST_PORT:GUEST_PORT]...
# SHARE_DIR is /host in the guest. Ports are open on 127.0.0.1 only; guest port 7000 takes commands (labtool serve).
#   KVMDESK_LAB_ACCEL  tcg (default) or kvm. A nested /dev/kvm may exist and still not run a plain kernel.
#   KVMDESK_LAB_DISK   the installed guest's disk (systemd/mkdisk.sh). It has a second network interface, `board`, that the
#                      scripts do not come by, and a monitor, SHARE_DIR/monitor.
#   KVMDESK_LAB_WAITS  set: it waits until its monitor is told `cont`.
#   KVMDESK_LAB_CLOCK  what its clock shows at first, as in QEMU's -rtc base (default utc)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
initrd=$1
share=$2
shift 2
forwards=
for pair in "$@"; do forwards+=",hostfwd=tcp:127.0.0.1:${pair%:*}-:${pair#*:}"; done
accel=${KVMDESK_LAB_ACCEL:-tcg}
kernel=$KERNEL_DIR/vmlinuz
[ ! -s "$KERNEL_DIR/vmlinux" ] || kernel=$KERNEL_DIR/vmlinux
case $ARCH in
amd64)
  cpu=max
  [ "$accel" != kvm ] || cpu=host
  machine=(qemu-system-x86_64 -M q35 -cpu "$cpu")
  console=ttyS0
  ;;
arm64)   # cortex-a53: "max" takes three times as long in emulation
  machine=(qemu-system-aarch64 -M virt -cpu cortex-a53)
  console=ttyAMA0
  ;;
esac
[ "$accel" != tcg ] || accel=tcg,thread=multi
disk=()
arguments=
if [ -n "${KVMDESK_LAB_DISK:-}" ]; then
  wait=()
  [ -z "${KVMDESK_LAB_WAITS:-}" ] || wait=(-S)
  # shellcheck disable=SC2054  # QEMU's own commas
  disk=(-drive "file=$KVMDESK_LAB_DISK,if=virtio,format=raw,cache=unsafe" -rtc "base=${KVMDESK_LAB_CLOCK:-utc}"
    -netdev user,id=board,net=10.0.3.0/24 -device virtio-net-pci,netdev=board,id=board,romfile=
    -monitor "unix:$share/monitor,server,nowait" "${wait[@]}")
  arguments=net.ifnames=0
fi
exec setpriv --pdeathsig KILL "${machine[@]}" -accel "$accel" -smp 2 -m 768 -nodefaults -display none -serial stdio -no-reboot \
  -netdev "user,id=net$forwards" -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
  -virtfs "local,path=$share,mount_tag=host,security_model=none,multidevs=remap" \
  "${disk[@]}" -kernel "$kernel" -initrd "$initrd" -append "console=$console quiet panic=-1 $arguments" </dev/null
