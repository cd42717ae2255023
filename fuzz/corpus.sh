#!/bin/sh
# corpus.sh [--check]: writes the corpora by the real encoders, or says which files are out of date.
set -eu

cd "$(dirname "$0")"
cargo run --release --quiet --example corpus -- "$@"
