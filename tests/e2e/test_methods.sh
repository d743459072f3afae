#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Methods of the convolutions: the fixed choice named aloud has the same bits; a tuned run says how to repeat it and can
# be repeated with other numbers of ranks; info prints what it measured.
# Usage: test_methods.sh DTRAIN MPIEXEC
set -euo pipefail
dtrain=$1
mpiexec=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
  echo "FAILED: $*"
  cat "$folder/output"
  exit 1
}

# train RANKS ARGUMENT...: sets hash.
train() {
  local ranks=$1
  shift
  "$mpiexec" -np "$ranks" --bind-to none "$dtrain" --data synthetic:240 --validation 0 --width 0.05 --epochs 1 --batch 32 \
    --max-steps 4 --threads 1 --out "$folder/run" "$@" >"$folder/output" 2>&1 || fail "$*"
  hash=$(grep -o 'weights hash [0-9a-f]*' "$folder/output")
}

train 1
auto=$hash
train 2 --methods direct,fourier,fourier,fourier,fourier
[ "$hash" = "$auto" ] || fail "the fixed choice by its names: $hash, not $auto"
train 1 --methods direct,winograd-large,passes,winograd,passes
[ "$hash" != "$auto" ] || fail "other methods have the same bits"

train 2 --methods tuned
tuned=$hash
list=$(grep -o -- '--methods .*' "$folder/output" | cut -d ' ' -f 2)
grep '"event":"start"' "$folder/run/metrics.jsonl" | tail -n 1 | grep -q "\"methods\":\"$list\",\"hosts\"" || fail "metrics.jsonl does not name $list"
train 1 --methods "$list"
[ "$hash" = "$tuned" ] || fail "$list does not repeat the tuned run: $hash, not $tuned"

"$mpiexec" -np 2 --bind-to none "$dtrain" info --tune --width 0.05 --batch 32 --threads 1 --data synthetic:60 \
  >"$folder/output" 2>&1 || fail "info --tune"
[ "$(grep -cE '^  conv[1-5] +(passes|direct|winograd|fourier)' "$folder/output")" -eq 15 ] || fail "info --tune lacks rows"
[ "$(grep -c ' used$' "$folder/output")" -eq 5 ] || fail "not five methods are in use"
echo "methods as expected"
