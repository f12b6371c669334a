#!/bin/bash
# What CI has no time for: all modes of the guest's receiver, 200 faults and every format. Takes about an hour; its log is
# what a closing note quotes, the seed repeats a run.
#   tests/lab/long/receiver.sh [SEED]      a new seed if not told; the log is target/receiver-SEED.log
set -euo pipefail
cd "$(dirname "$0")/../../.."
seed=${1:-$(date +%s)}
log=target/receiver-$seed.log
mkdir -p target
export CI=true KVMDESK_LAB_LONG=$seed
echo "receiver: seed $seed, log $log, $(git describe --always --dirty)"
cargo test --test tests lab::every_format_mode_and_fault -- --nocapture 2>&1 | tee "$log"
