#!/bin/bash
# What CI has no time for: all modes of the guest's receiver, 200 faults and every format. Takes about an hour; soak.sh
# beside it goes on for as long as it is told to. Its output is what a closing note quotes; the seed repeats a run.
#   tests/lab/long/receiver.sh [SEED]
set -euo pipefail
cd "$(dirname "$0")/../../.."
seed=${1:-$(date +%s)}
export CI=true KVMDESK_LAB_LONG=$seed
echo "lab/long/receiver: seed $seed, $(git describe --always --dirty), $(date -u +%FT%TZ)"
cargo test --test tests lab::every_format_mode_and_fault -- --nocapture
