# Shared by the lab scripts (sourced). Nothing here needs root and nothing of this machine's own package state is changed.
# shellcheck shell=bash disable=SC2034  # the variables are for the scripts that source this file
#   ARCH                 amd64 (default) or arm64: the guest's architecture
#   KVMDESK_LAB_CACHE    where downloads and what is made of them stay (default ~/.cache/kvmdesk-lab)
#   KVMDESK_LAB_KERNEL   the kernel's (meta) package (default linux-image-$ARCH)
#   KVMDESK_LAB_SOURCES  a deb822 .sources file with Debian's archive (default: this machine's own, on Debian)
set -euo pipefail

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${KVMDESK_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvmdesk-lab}
ARCH=${ARCH:-amd64}
case $ARCH in
amd64) TRIPLE=x86_64-linux-gnu ;;
arm64) TRIPLE=aarch64-linux-gnu ;;
*) echo "lab: ARCH is amd64 or arm64, not '$ARCH'" >&2; exit 2 ;;
esac
KERNEL_PACKAGE=${KVMDESK_LAB_KERNEL:-linux-image-$ARCH}
KERNEL_DIR=$CACHE/$KERNEL_PACKAGE   # vmlinuz, vmlinux (amd64), release, lib/modules/
USERLAND=$CACHE/userland-$ARCH      # unpacked packages

# A program for the guest is linked against this machine's libraries if both are of one architecture.
is_native() { [ "$(dpkg --print-architecture)" = "$ARCH" ]; }

# Sets APT_OPTIONS to a private package state (empty, foreign architecture allowed) in the cache.
open_apt() {
  local state=$CACHE/apt-$ARCH sources=${KVMDESK_LAB_SOURCES:-}
  if [ -z "$sources" ]; then
    for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
      if grep -qs debian "$sources"; then break; fi
      sources=
    done
    [ -n "$sources" ] || { echo "lab: this machine has no Debian package source; name one in KVMDESK_LAB_SOURCES" >&2; exit 3; }
  fi
  mkdir -p "$state"/state/lists/partial "$state"/cache/archives/partial "$state"/sources
  cp "$sources" "$state/sources/lab.${sources##*.}"
  APT_OPTIONS=(-qq -o "Dir::State=$state/state" -o Dir::State::status=/dev/null -o "Dir::Cache=$state/cache"
    -o "APT::Architecture=$ARCH" -o "APT::Architectures::=$ARCH" -o Dir::Etc::SourceList=/dev/null
    -o "Dir::Etc::SourceParts=$state/sources" -o APT::Sandbox::User=root -o Debug::NoLocking=1
    -o APT::Update::Post-Invoke= -o DPkg::Post-Invoke= -o Acquire::Languages=none)
  # Without a network apt says no more than a warning.
  [ -e "$state/updated" ] || { apt-get "${APT_OPTIONS[@]}" -o APT::Update::Error-Mode=any update && touch "$state/updated"; }
}

# Puts the kernel's modules of these names, with all that they need, into TREE/lib/modules.   Usage: copy_modules TREE NAME...
copy_modules() {
  local tree=$1 release from module file copy
  release=$(cat "$KERNEL_DIR/release")
  from=$KERNEL_DIR/lib/modules/$release
  shift
  mkdir -p "$tree/lib/modules/$release"
  for module in "$@"; do
    modprobe -d "$KERNEL_DIR" -S "$release" --show-depends -a "$module" || echo "lab: no module $module" >&2
  done | awk '$1 == "insmod" {print $2}' | sort -u | while read -r file; do
    copy=$tree/lib/modules/$release/${file#"$from/"}
    mkdir -p "$(dirname "$copy")"
    cp "$file" "$copy"
    case $copy in   # busybox reads plain ones only
    *.xz) unxz "$copy" ;;
    *.zst) zstd -q --rm -d "$copy" ;;
    esac
  done
  cp "$from"/modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$release/"
  depmod -b "$tree" "$release"
}
