#!/bin/bash
# Installs the packages of an architecture in fresh Debian or Ubuntu roots of it (a foreign one in qemu-user) and uses
# them: version, check, probe, doctor, a demo with a controller's session, an upgrade, the other build over it, purge.
#   sudo tests/lab/long/packages.sh amd64|arm64|armhf [bookworm|trixie|jammy|noble]…
# Root is wanted for debootstrap and chroot. The packages are those of packaging/build-deb.sh; KVMDESK_DEBS names another
# directory with them. Roots are kept in ${KVMDESK_ROOTS:-~/.cache/kvmdesk-roots} and stay as they are. With
# KVMDESK_RECOMMENDS=1 what the packages recommend (codecs) is installed too; in an emulator that takes long. DEBIAN_MIRROR
# and UBUNTU_MIRROR name other sources; where Ubuntu's keys are not installed debootstrap takes its packages unchecked.
set -euo pipefail
cd "$(dirname "$0")/../../.."
say() { printf '%5d s  %s\n' "$SECONDS" "$*"; }
die() { echo "packages: $*" >&2; exit "${code:-1}"; }
arch=${1:-}
usage() { code=64 die "usage: sudo $0 amd64|arm64|armhf [bookworm|trixie|jammy|noble]..."; }
case $arch in amd64 | arm64 | armhf) shift ;; *) usage ;; esac
[ $# -gt 0 ] || set -- bookworm
for release in "$@"; do
  case $release in bookworm | trixie | jammy | noble) ;; *) usage ;; esac
done
[ "$(id -u)" = 0 ] || code=77 die "debootstrap and chroot need root: sudo $0 $arch $*"
[ -n "${KVMDESK_UNSHARED:-}" ] || KVMDESK_UNSHARED=1 exec unshare --mount --propagation private bash "$0" "$arch" "$@"
command -v debootstrap >/dev/null || code=69 die "debootstrap is not here: apt-get install debootstrap"
# Bytes of the program, and how many it may have: boards have little storage. The same program is larger on amd64.
case $arch in amd64) limit=7100000 ;; *) limit=6000000 ;; esac
program() {
  bytes=$(stat -c %s "$work/root/usr/bin/kvmdesk")
  [ "$bytes" -le $limit ] || die "the program has $bytes bytes; it shall not have more than $limit"
  echo "$bytes"
}

debs=${KVMDESK_DEBS:-${KVMDESK_BUILD_CACHE:-$HOME/.cache/kvmdesk-build}/$arch/out}
roots=${KVMDESK_ROOTS:-$HOME/.cache/kvmdesk-roots}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
full=$debs/kvmdesk_${version}_$arch.deb lite=$debs/kvmdesk-lite_${version}_$arch.deb
{ [ -e "$full" ] && [ -e "$lite" ]; } || code=66 die "no $full and $lite: run packaging/build-deb.sh $arch"
recommends=--no-install-recommends
[ -z "${KVMDESK_RECOMMENDS:-}" ] || recommends=--install-recommends
mkdir -p "$roots"
cargo test --quiet --test tests --no-run

work=$(mktemp -d)
demo=
end() {
  [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
  umount -R "$work/root" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap end EXIT
mkdir "$work/root"
inside() { chroot "$work/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
  http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"; }
install() { inside apt-get -qq -o Dpkg::Use-Pty=0 install -y $recommends "$@" >"$work/log" 2>&1 || { tail -n 30 "$work/log"; die "apt-get install $*"; }; }
# What the user has: settings, identity, password.
kept() { inside sh -c 'cd / && find etc/kvmdesk var/lib/kvmdesk -type f ! -name "*.log*" | sort | xargs sha256sum'; }

# use NAME: the installed program does its work
use() {
  name=$1
  say "$name: $(inside kvmdesk --version)"
  inside kvmdesk check >"$work/log" || { cat "$work/log"; die "kvmdesk check fails"; }
  say "$name: check: $(tail -n 1 "$work/log")"
  inside kvmdesk probe >"$work/log" 2>"$work/errors" || { cat "$work/log" "$work/errors"; die "kvmdesk probe fails"; }
  ! grep -F "Svt[" "$work/errors" || die "an encoder talks in between"
  say "$name: probe: $(grep -c ' good: ' "$work/log" || true) encoders good, $(wc -l <"$work/log") lines"
  inside kvmdesk doctor >"$work/log" 2>&1 && die "doctor finds nothing amiss in a root without hardware"
  say "$name: doctor: $(tail -n 1 "$work/log")"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # Not the words of the demo before.
  rm -rf "$work/root/tmp/demo" "$work/demo"
  mkdir -p "$work/root/tmp/demo" && chown 65534:65534 "$work/root/tmp/demo"
  echo "correct horse battery" >"$work/root/tmp/demo/password"
  chmod 644 "$work/root/tmp/demo/password"
  chroot --userspec=65534:65534 "$work/root" /usr/bin/env -i PATH=/usr/bin HOME=/tmp/demo kvmdesk demo --direct "127.0.0.1:$port" \
    --state-dir /tmp/demo/state --password-file /tmp/demo/password --hid-log /tmp/demo/hid.log >"$work/demo" 2>&1 </dev/null &
  demo=$!
  for _ in $(seq 600); do
    ! grep -qs "direct access is open" "$work/demo" || break
    kill -0 "$demo" 2>/dev/null || break
    sleep 0.1
  done
  grep -q "direct access is open" "$work/demo" || { cat "$work/demo"; die "the demo does not open"; }
  KVMDESK_DEMO=127.0.0.1:$port KVMDESK_DEMO_PASSWORD="correct horse battery" KVMDESK_DEMO_HID_LOG=$work/root/tmp/demo/hid.log \
    cargo test --quiet --offline --test tests -- --ignored --exact --nocapture packaging::roots::an_installed_demo_serves_a_controller \
    >"$work/log" 2>&1 || { cat "$work/log" "$work/demo"; die "no session with the demo"; }
  say "$name: demo: $(grep '^session:' "$work/log")"
  kill -INT "$demo"
  wait "$demo" || die "the demo does not end well: $?"
  demo=
}

for release in "$@"; do
  case $release in bookworm | trixie) system=Debian ;; *) system=Ubuntu ;; esac
  base=$roots/$release-$arch
  if [ ! -e "$base/.complete" ]; then
    say "a root of $release for $arch"
    rm -rf --one-file-system "$base"
    # Ubuntu's releases are set up alike, by a script with the name of an old one.
    case $system,$arch in
    Debian,*) source="${DEBIAN_MIRROR:-http://deb.debian.org/debian}" ;;
    Ubuntu,amd64) source="${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} gutsy" ;;
    *) source="${UBUNTU_MIRROR:-http://ports.ubuntu.com/ubuntu-ports} gutsy" ;;
    esac
    # shellcheck disable=SC2086 # two words
    debootstrap --arch="$arch" --variant=minbase "$release" "$base" $source >"$work/log" 2>&1 ||
      { tail "$work/log"; die "debootstrap (for a foreign architecture: qemu-user-static, binfmt_misc mounted)"; }
    # Codecs are there.
    [ $system = Debian ] || sed -i 's/ main$/ main universe/' "$base/etc/apt/sources.list"
    touch "$base/.complete"
  fi
  rm -rf "$work/over"
  mkdir "$work/over" "$work/over/upper" "$work/over/work"
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/over/upper,workdir=$work/over/work" "$work/root"
  mount -t proc proc "$work/root/proc"
  mount --bind /dev "$work/root/dev"
  cp -L /etc/resolv.conf "$work/root/etc/resolv.conf"
  [ ! -e /etc/ssl/certs/ca-certificates.crt ] || { mkdir -p "$work/root/etc/ssl/certs"; cp -L /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"; }
  cp "$full" "$work/root/tmp/full.deb"
  cp "$lite" "$work/root/tmp/lite.deb"
  # The same program as the next version.
  dpkg-deb -R "$full" "$work/next"
  sed -i 's/^Version: .*/Version: 99.0.0-1/' "$work/next/DEBIAN/control"
  echo "# another default" >>"$work/next/usr/share/kvmdesk/kvmdesk.toml"
  dpkg-deb -Znone --root-owner-group -b "$work/next" "$work/root/tmp/next.deb" >/dev/null
  rm -r "$work/next"
  inside find / -xdev -iname '*kvmdesk*' -not -path '/proc/*' >"$work/before"
  say "$(. "$work/root/etc/os-release"; echo "$PRETTY_NAME"), $release, $(inside uname -m)"

  inside apt-get -qq update
  began=$SECONDS
  install /tmp/full.deb
  took=$((SECONDS - began)) bytes=$(program)
  say "kvmdesk: installed in $took s; $(stat -c %s "$full") bytes packed, program $bytes"
  ! grep -qi "warning\|error" "$work/log" || grep -i "warning\|error" "$work/log"
  use kvmdesk
  inside man -w kvmdesk >/dev/null 2>&1 || [ -e "$work/root/usr/share/man/man1/kvmdesk.1.gz" ] || inside grep -rqs "path-exclude.*man" /etc/dpkg ||
    die "no manual page"

  echo "correct horse battery" >"$work/root/tmp/password"
  inside kvmdesk setup --non-interactive --password-file /tmp/password --name office --layout de --target-os windows \
    >"$work/setup" 2>"$work/log" || { cat "$work/log"; die "setup fails"; }
  rm -f "$work/root/tmp/password"
  say "kvmdesk: setup: $(tr -d '\n' <"$work/setup" | cut -c 1-120)"
  kept >"$work/kept"
  [ -s "$work/kept" ] || die "setup left nothing"
  install /tmp/next.deb
  kept | diff "$work/kept" - || die "the upgrade changed what the user has"
  say "kvmdesk: upgraded to $(inside dpkg-query -W -f '${Version}' kvmdesk): settings, ID and password kept"

  install --allow-downgrades /tmp/lite.deb
  kept | diff "$work/kept" - || die "the lite build changed what the user has"
  bytes=$(program)
  say "kvmdesk-lite: installed over it; $(stat -c %s "$lite") bytes packed, program $bytes; settings kept"
  use kvmdesk-lite
  inside dpkg --purge kvmdesk >"$work/log" 2>&1 || { cat "$work/log"; die "purge of kvmdesk"; }
  kept | diff "$work/kept" - || die "the purge of the build that was replaced took what the other one uses"
  say "kvmdesk: purged: $(grep '^kvmdesk:' "$work/log")"
  inside dpkg --purge kvmdesk-lite >"$work/log" 2>&1 || { cat "$work/log"; die "purge of kvmdesk-lite"; }
  say "kvmdesk-lite: purged: $(grep '^kvmdesk:' "$work/log")"
  inside find / -xdev -iname '*kvmdesk*' -not -path '/proc/*' -not -path '/tmp/*' | grep -vxFf "$work/before" && die "this is left after the purge"
  ! inside getent passwd kvmdesk || die "the user is left after the purge"
  umount -R "$work/root"
done
say "all of it"
