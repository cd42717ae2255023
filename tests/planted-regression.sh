#!/bin/sh
# planted-regression.sh: measures skiff twice, and once more a skiff that sends no page before it is
# demanded. Fails unless the comparison names the network faults of that one, and not those of the others.
set -eu
cd "$(dirname "$0")/.."

measure() { # BINARY RESULTS
    SKIFF=$1 target/release/bench-migrate --suite moves --workload random --pace full --link loopback \
        --column 'bubble:--mode post-copy' --runs 5 --patience 5 --out "$2" >/dev/null
}

compare() { # BEFORE AFTER: the numbers that got worse
    status=0
    target/release/bench-compare "$1" "$2" || status=$?
    case $status in 0 | 3) ;; *) exit "$status" ;; esac
}

here=target/planted
measure target/release/skiff "$here/before.json"
measure target/release/skiff "$here/same.json"
measure "$here/release/skiff" "$here/after.json"

echo "the same skiff twice:"
compare "$here/before.json" "$here/same.json" | tee "$here/same.txt"
echo "without pre-paging:"
compare "$here/before.json" "$here/after.json" | tee "$here/worse.txt"
if grep -q '^worse: .*network_faults' "$here/same.txt"; then
    echo "noise was taken for a regression" >&2
    exit 1
fi
if ! grep -q '^worse: .*network_faults' "$here/worse.txt"; then
    echo "the regression was not found" >&2
    exit 1
fi
echo "the regression was found"
