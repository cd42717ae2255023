#!/bin/sh
# step.sh TITLE COMMAND..: runs one step of a longer job; says what it does and how long it took.
set -u

title=$1
shift
echo "==> $title: $*"
start=$(date +%s)
status=0
"$@" || status=$?
seconds=$(($(date +%s) - start))
if [ "$status" = 0 ]; then
    echo "==> $title: done in $seconds s"
else
    echo "==> $title: FAILED with status $status after $seconds s" >&2
fi
exit "$status"
