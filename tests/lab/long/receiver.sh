#!/bin/bash
# What CI has no time for: all modes of the guest's receiver, 200 faults and every format; then, with a number of minutes,
# a soak of mode changes, faults and controllers that come and go, with memory and descriptors watched. Takes about an
# hour without the soak. Its output is what a closing note quotes; the seed repeats a run.
#   tests/lab/long/receiver.sh [SEED] [SOAK_MINUTES]
set -euo pipefail
cd "$(dirname "$0")/../../.."
seed=${1:-$(date +%s)}
export CI=true KVMDESK_LAB_LONG=$seed KVMDESK_LAB_SOAK=${2:-0}
echo "lab/long/receiver: seed $seed, soak $KVMDESK_LAB_SOAK minutes, $(git describe --always --dirty), $(date -u +%FT%TZ)"
cargo test --test tests lab::every_format_mode_and_fault -- --nocapture
