#!/bin/bash
# Runs the daemon in the lab for so many minutes, with mode changes, faults of the signal, controllers that come and go;
# fails if its memory, descriptors or threads grow, or if it warns of anything that the script did not cause.
#   tests/lab/long/soak.sh [MINUTES [SEED]]      60 minutes and a new seed if not told; the log is target/soak-SEED.log
# KVMDESK_LAB_PROGRAM names another build of kvmdesk than the test's own, an optimised one say.
set -euo pipefail
cd "$(dirname "$0")/../../.."
export KVMDESK_SOAK_MINUTES=${1:-60} KVMDESK_SOAK_SEED=${2:-$(date +%s)}
log=target/soak-$KVMDESK_SOAK_SEED.log
mkdir -p target
echo "soak: $KVMDESK_SOAK_MINUTES minutes, seed $KVMDESK_SOAK_SEED, log $log"
cargo test --test tests -- --ignored --exact --nocapture lab::soak::nothing_grows 2>&1 | tee "$log"
