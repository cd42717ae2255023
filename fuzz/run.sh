#!/bin/sh
# run.sh [RUNS]: runs every fuzz target over its corpus and on to RUNS inputs, the same each time.
# What fails is kept under target/fuzz/failures. New inputs are not: see README.md for real hunts.
set -eu

runs=${1:-20000}
cd "$(dirname "$0")"
root=$(cd .. && pwd)
cargo build --release --quiet --bins --example corpus
built=$root/target/fuzz/x86_64-unknown-linux-gnu/release
"$built/examples/corpus" --check

found=$root/target/fuzz/found
failures=$root/target/fuzz/failures
rm -rf "$found" "$failures"
mkdir -p "$failures"
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
status=0
for source in fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    mkdir -p "$found/$target"
    log=$found/$target.log
    # 10 s for one input is a hang; 256 MiB count all the process has, the corpus included.
    if "$built/$target" -runs="$runs" -seed=1 -timeout=10 -rss_limit_mb=256 -print_final_stats=1 \
        -artifact_prefix="$failures/$target-" "$found/$target" "corpus/$target" >"$log" 2>&1 </dev/null; then
        executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        edges=$(sed -n 's/^.*DONE *cov: \([0-9]*\) .*/\1/p' "$log")
        echo "fuzz: $target: $executed inputs, $edges edges covered"
    else
        status=1
        grep -v '^#\|^INFO' "$log" | tail -n 30 >&2
        for input in "$failures/$target"-*; do
            [ -e "$input" ] || continue
            echo "fuzz: $target FAILED; run again: ${built#"$root"/}/$target ${input#"$root"/}" >&2
        done
    fi
done
exit "$status"
