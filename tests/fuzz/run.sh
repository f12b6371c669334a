#!/bin/sh
# Builds the fuzz targets on the stable toolchain and runs each for a time on one core.
#   tests/fuzz/run.sh [SECONDS [TARGET…]]      default: 60 seconds, every target
# New inputs are kept in corpus/TARGET, findings in artifacts/TARGET (neither is committed); seeds/TARGET, where it
# exists, is committed. Ends with 1 if any target found something.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift
targets=${*:-$(sed -n 's/^path = "targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)}
triple=$(rustc -vV | sed -n 's/^host: //p')
# What libFuzzer needs of the compiler; `--target` keeps it away from build scripts and macros.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1 -Cforce-frame-pointers=yes"
export RUSTFLAGS
bins=
for target in $targets; do bins="$bins --bin $target"; done
# shellcheck disable=SC2086 # several arguments
cargo build --locked --release --target "$triple" $bins
found=
for target in $targets; do
    mkdir -p "corpus/$target" "artifacts/$target"
    seeds=
    [ -d "seeds/$target" ] && seeds="seeds/$target"
    [ "$target" = config_file ] && seeds="../../config ../fixtures/invalid"
    echo "== $target for $seconds s"
    # shellcheck disable=SC2086 # no seeds means no argument
    "target/$triple/release/$target" "corpus/$target" $seeds -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="artifacts/$target/" -print_final_stats=1 -verbosity=0 ||
        found="$found $target"
done
[ -z "$found" ] && echo "no finding" && exit 0
echo "findings in:$found (see tests/fuzz/artifacts)"
exit 1
