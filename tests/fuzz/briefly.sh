#!/bin/sh
# Runs a fuzzer for a moment, with the same inputs each time: what it finds beside a broken promise
# is thrown away, since it would change the next run.
#
#   briefly.sh FUZZER CORPUS
set -eu
found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
"$1" -runs=8000 -seed=1 -max_len=300 -timeout=30 -artifact_prefix="$PWD/" \
  "$found" "$2"
