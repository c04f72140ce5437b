#!/bin/sh
# Runs a fuzzer briefly, with the same inputs each time: new inputs that break no promise are
# discarded, because they would change the next run.
#
#   briefly.sh FUZZER CORPUS
# SPDX-License-Identifier: MIT
set -eu
found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
"$1" -runs=8000 -seed=1 -max_len=300 -timeout=30 -artifact_prefix="$PWD/" \
  "$found" "$2"
