#!/bin/bash
# Holds the goals of speed that need a machine which has nothing else to do: pictures on a slow line, a change of the codec,
# the end of the daemon. As root, because the slow line needs network namespaces.
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ "$(id -u)" = 0 ] || { echo "times: run this as root" >&2; exit 77; }
export CI=true KVMDESK_STRICT_TIMES=1
cargo test --test tests -- --nocapture --test-threads=1 slow_line:: session::real:: cli::
