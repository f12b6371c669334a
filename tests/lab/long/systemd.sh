#!/bin/bash
# Installs the packages in a Debian 12 guest with systemd and sees whether they hold what they promise: devices, setup,
# a session through the real hbbs and hbbr, kill -9, a hung thread, no network, a full disk, 1970, a power failure, an upgrade
# that does not start, memory, purge. About 20 minutes; the log is target/systemd-ARCH.log.
#   sudo KVMDESK_HBBS=… KVMDESK_HBBR=… tests/lab/long/systemd.sh [amd64|arm64]
# Root is wanted for debootstrap and for a network of its own. The packages are those of packaging/build-deb.sh, which is run
# if it has not been; KVMDESK_DEBS names another directory with them.
set -euo pipefail
cd "$(dirname "$0")/../../.."
die() { echo "systemd: $*" >&2; exit "${code:-69}"; }
arch=${1:-amd64}
[ "$(id -u)" = 0 ] || code=77 die "debootstrap and a network of its own need root: sudo $0 $*"
for server in "${KVMDESK_HBBS:-}" "${KVMDESK_HBBR:-}"; do
  [ -x "$server" ] || die "KVMDESK_HBBS and KVMDESK_HBBR have to name RustDesk's server programs"
done
debs=${KVMDESK_DEBS:-${KVMDESK_BUILD_CACHE:-$HOME/.cache/kvmdesk-build}/$arch/out}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
export KVMDESK_DEB=$debs/kvmdesk_${version}_$arch.deb KVMDESK_DEB_LITE=$debs/kvmdesk-lite_${version}_$arch.deb
{ [ -e "$KVMDESK_DEB" ] && [ -e "$KVMDESK_DEB_LITE" ]; } || packaging/build-deb.sh "$arch"

# The same package with a program that starts and never gets ready; whoever asks it something is answered by the one before.
broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
chmod 755 "$broken"
dpkg-deb -R "$KVMDESK_DEB" "$broken/tree"
# shellcheck disable=SC2016  # the script's own words
printf '#!/bin/sh\n[ "$1" = run ] && exec sleep infinity\nexec /usr/lib/kvmdesk/previous "$@"\n' >"$broken/tree/usr/bin/kvmdesk"
sed -i 's/^Version: .*/Version: 99.0.0-1/' "$broken/tree/DEBIAN/control"
export KVMDESK_DEB_BROKEN=$broken/broken.deb
dpkg-deb -Znone --root-owner-group -b "$broken/tree" "$KVMDESK_DEB_BROKEN" >/dev/null

# Built and fetched outside; run in a network that has nothing but servers, controller and emulator.
cargo test --test tests --no-run
echo "systemd: a Debian 12 with systemd for $arch (minutes, the first time)"
ARCH=$arch tests/lab/get.sh
ARCH=$arch tests/lab/systemd/mkdisk.sh "$broken/disk" "$broken/initrd.gz"
rm "$broken/disk"
log=target/systemd-$arch.log
export KVMDESK_LAB_ARCH=$arch CI=true
echo "systemd: $KVMDESK_DEB, $(git describe --always --dirty), log $log"
unshare --net sh -euc 'ip link set lo up; ip addr add 10.77.0.1/32 dev lo
  exec cargo test --offline --test tests -- --ignored --exact --nocapture lab::systemd::an_installed_board_serves_and_recovers' \
  2>&1 | tee "$log"
