#!/bin/sh
# Installs kvmdesk from its tarball on a system without Debian packages, below /usr/local and /etc:
#
#     sudo sh install.sh              install or upgrade: settings, ID and password are kept, so is the binary before it
#     sudo sh install.sh --remove     take it away again; settings, ID and password stay
#     sudo sh install.sh --purge      and take these away too
#
# The program needs glibc 2.34 or newer and libstdc++. With systemd the service is started; without, start `kvmdesk gadget
# up` as root and `kvmdesk run` as the user kvmdesk by what the system has. DESTDIR is put before every path; nothing is
# started or created outside of it then.
set -eu
# The daemon's user runs and reads what is installed here.
umask 022

here=$(cd "$(dirname "$0")" && pwd)
files=$here/files
dest=${DESTDIR:-}
share=$dest/usr/local/share
units=$dest/etc/systemd/system
unit_names="kvmdesk.service kvmdesk-console.path kvmdesk-console.service kvmdesk-seed.service kvmdesk-gadget.service kvmdesk-gadget-repair.service kvmdesk-gadget-repair.path"
started="kvmdesk-seed.service kvmdesk-gadget.service kvmdesk-gadget-repair.path kvmdesk-console.path kvmdesk.service"

[ -n "$dest" ] || [ "$(id -u)" = 0 ] || { echo "install: run this as root (sudo sh install.sh)" >&2; exit 77; }
has_systemd() { [ -z "$dest" ] && [ -d /run/systemd/system ]; }

remove() {
  if has_systemd; then
    for unit in $started; do systemctl disable --now "$unit" 2>/dev/null || true; done
  fi
  for unit in $unit_names; do rm -f "$units/$unit"; done
  rm -f "$dest/usr/local/bin/kvmdesk" "$dest/usr/local/bin/kvmdesk.previous" "$dest"/etc/udev/rules.d/6[01]-kvmdesk*.rules \
    "$dest/etc/sysusers.d/kvmdesk.conf" "$dest/etc/tmpfiles.d/kvmdesk.conf" "$dest/etc/issue.d/kvmdesk.issue" "$share"/man/man1/kvmdesk*.1* \
    "$share/bash-completion/completions/kvmdesk" "$share/zsh/site-functions/_kvmdesk" \
    "$share/fish/vendor_completions.d/kvmdesk.fish"
  rm -rf "$share/kvmdesk" "$share/doc/kvmdesk" "$dest/var/cache/kvmdesk"
  if has_systemd; then systemctl daemon-reload; fi
}

case "${1:-}" in
"") ;;
--remove)
  remove
  echo "kvmdesk is removed; settings (/etc/kvmdesk), ID and password (/var/lib/kvmdesk) are kept."
  exit 0
  ;;
--purge)
  remove
  rm -rf "$dest/etc/kvmdesk" "$dest/var/lib/kvmdesk"
  [ -n "$dest" ] || ! id kvmdesk >/dev/null 2>&1 || userdel kvmdesk
  echo "kvmdesk, its settings, ID, key, password, log-ins and the user kvmdesk are removed."
  exit 0
  ;;
*) echo "usage: sh install.sh [--remove|--purge]" >&2; exit 64 ;;
esac

[ -x "$files/usr/bin/kvmdesk" ] || { echo "install: $files/usr/bin/kvmdesk is not here; unpack the whole tarball" >&2; exit 66; }
"$files/usr/bin/kvmdesk" --version || { echo "install: this kvmdesk does not run here (another architecture?)" >&2; exit 69; }

# dir FROM TO: every file of one directory
dir() {
  [ -d "$files/$1" ] || return 0
  mkdir -p "$2"
  cp -R "$files/$1/." "$2/"
}
[ ! -e "$dest/usr/local/bin/kvmdesk" ] || mv -f "$dest/usr/local/bin/kvmdesk" "$dest/usr/local/bin/kvmdesk.previous"
mkdir -p "$dest/usr/local/bin" "$units" "$dest/etc/kvmdesk"
cp "$files/usr/bin/kvmdesk" "$dest/usr/local/bin/kvmdesk"
for unit in $unit_names; do cp "$files/usr/lib/systemd/system/$unit" "$units/$unit"; done
dir usr/lib/udev/rules.d "$dest/etc/udev/rules.d"
dir usr/lib/sysusers.d "$dest/etc/sysusers.d"
dir usr/lib/tmpfiles.d "$dest/etc/tmpfiles.d"
dir usr/share/kvmdesk "$share/kvmdesk"
dir usr/share/doc/kvmdesk-lite "$share/doc/kvmdesk"
dir usr/share/doc/kvmdesk "$share/doc/kvmdesk"
dir usr/share/bash-completion "$share/bash-completion"
dir usr/share/zsh/vendor-completions "$share/zsh/site-functions"
dir usr/share/fish "$share/fish"
dir usr/share/man "$share/man"
if [ -e "$dest/etc/kvmdesk/kvmdesk.toml" ]; then
  echo "install: your settings are kept; /usr/local/share/kvmdesk/kvmdesk.toml explains every key of this version"
else
  cp "$files/usr/share/kvmdesk/kvmdesk.toml" "$dest/etc/kvmdesk/kvmdesk.toml"
fi
[ -z "$dest" ] || exit 0

if ! id kvmdesk >/dev/null 2>&1; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers /etc/sysusers.d/kvmdesk.conf
  else
    groups=
    for group in video render audio dialout; do
      if grep -q "^$group:" /etc/group; then groups=$groups${groups:+,}$group; fi
    done
    useradd --system --user-group --no-create-home --home-dir /var/lib/kvmdesk --groups "$groups" kvmdesk
  fi
fi
[ -d /var/lib/kvmdesk ] || install -d -o kvmdesk -g kvmdesk -m 700 /var/lib/kvmdesk
if has_systemd; then
  systemctl daemon-reload
  if command -v udevadm >/dev/null; then udevadm control --reload && udevadm trigger || true; fi
  for unit in $started; do systemctl enable "$unit"; done
  systemd-tmpfiles --create /etc/tmpfiles.d/kvmdesk.conf || true
  systemctl start kvmdesk-seed.service kvmdesk-gadget.service kvmdesk-gadget-repair.path kvmdesk-console.path || true
  systemctl restart kvmdesk.service || {
    echo "install: kvmdesk does not start: journalctl -u kvmdesk says why. The binary before it, if there was one:" \
      "/usr/local/bin/kvmdesk.previous" >&2
    exit 69
  }
fi
echo "kvmdesk is installed. Its settings are in /etc/kvmdesk/kvmdesk.toml; next: sudo kvmdesk setup"
