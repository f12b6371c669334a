#!/bin/bash
# What CI has no time for: 500 sequences of keys, text, moves, and of all that can come between them and the computer.
# Its log is what a closing note quotes, the seed repeats a run.
#   tests/lab/long/hands.sh [SEED]      a new seed if not told; the log is target/hands-SEED.log
set -euo pipefail
cd "$(dirname "$0")/../../.."
seed=${1:-$(date +%s)}
log=target/hands-$seed.log
mkdir -p target
export CI=true KVMDESK_LAB_LONG=$seed
echo "hands: seed $seed, log $log, $(git describe --always --dirty)"
cargo test --test tests lab::whatever_happens -- --nocapture 2>&1 | tee "$log"
