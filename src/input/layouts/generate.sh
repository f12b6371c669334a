#!/bin/sh
# Makes the layouts and compositions in this directory anew from the installed xkeyboard-config (package xkb-data) and
# libX11's compositions (libx11-data), read by xkbcommon (libxkbcommon-dev). Building kvmdesk needs none of them; the
# test `layouts::the_committed_layouts_are_what_the_generator_makes` does the work and compares ever after.
set -eu
cd "$(dirname "$0")/../../.."
KVMDESK_WRITE_LAYOUTS=1 cargo test --test tests layouts:: -- --nocapture
