#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Output that is lost is an error, at the end of all work; a reader who goes away is none.
# Usage: test_output.sh DTRAIN MPIEXEC
set -u
dtrain=$1
mpiexec=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
small=(--data synthetic:100 --validation 10 --test-limit 10 --width 0.05 --batch 16 --threads 1)
failures=0

complain() {
  echo "FAILED: $*"
  cat "$folder/errors"
  failures=$((failures + 1))
}

# expect_loss COMMAND...: with standard output on a full disk, code 4 and one message with the cause.
expect_loss() {
  local code=0
  timeout 60 "$@" >/dev/full 2>"$folder/errors" || code=$?
  [ "$code" -eq 4 ] || complain "code $code, not 4: $*"
  [ "$(grep -c '^dtrain: error: ' "$folder/errors")" -eq 1 ] || complain "not one message: $*"
  grep -q '^dtrain: error: standard output cannot be written.*: a part of the output is lost' "$folder/errors" ||
    complain "the message: $*"
}

# expect_silence COMMAND...: the reader of its output leaves at once: no word, and the code of success.
expect_silence() {
  local code
  timeout 60 "$@" 2>"$folder/errors" | true
  code=${PIPESTATUS[0]}
  [ "$code" -eq 0 ] || complain "code $code with a reader that left: $*"
  [ ! -s "$folder/errors" ] || complain "words with a reader that left: $*"
}

commands=("--help" "--version" "info --data synthetic:60" "plan --width 0.05 --threads 1" "report run" "inspect run" "inspect --json run"
  "export --force run model.h5" "eval run --data synthetic:100 --validation 10 --test-limit 10")
"$dtrain" "${small[@]}" --epochs 2 --out run >/dev/null 2>"$folder/errors" || complain "training"
for command in "${commands[@]}"; do
  # shellcheck disable=SC2086 # words, split on purpose
  expect_loss "$dtrain" $command
  # shellcheck disable=SC2086
  expect_silence "$dtrain" $command
done

# Training goes on to its end, with the same weights.
result() {
  sed -nE 's/.*"event":"end".*"reason":"done".*"weights_hash":"([0-9a-f]+)".*/\1/p' "$1/metrics.jsonl"
}
expect_loss "$dtrain" "${small[@]}" --epochs 2 --out full
expect_silence "$dtrain" "${small[@]}" --epochs 2 --out left
for out in full left; do
  [ -n "$(result run)" ] && [ "$(result "$out")" = "$(result run)" ] || complain "$out: another result"
  [ -e "$out/last.weights.h5" ] || complain "$out: no weights"
done

# A run that was stopped keeps its code: the state is saved.
code=0
"$dtrain" "${small[@]}" --epochs 100000 --max-time 3s --out stopped >/dev/full 2>"$folder/errors" || code=$?
[ "$code" -eq 75 ] || complain "stopped, with its output lost: code $code"
grep -q '^dtrain: warning: standard output cannot be written' "$folder/errors" || complain "stopped: no word of the loss"

# The record of a run cannot be written any more: said once at the first line, and at the end.
"$mpiexec" -np 2 --bind-to none "$dtrain" "${small[@]}" --epochs 300 --checkpoint-every none --out record \
  >/dev/null 2>"$folder/errors" &
until grep -q '"event":"epoch"' record/metrics.jsonl 2>/dev/null; do sleep 0.05; done
until rm -f record/metrics.jsonl && mkdir record/metrics.jsonl; do :; done
code=0
wait "$!" || code=$?
[ "$code" -eq 4 ] || complain "the record is lost: code $code"
[ "$(grep -c 'warning: record/metrics.jsonl: cannot open this file for writing: Is a directory. The run goes on' "$folder/errors")" -eq 1 ] ||
  complain "the record is lost: not one warning"
grep -q 'error: .*[0-9] lines of the record of this run are lost: record/metrics.jsonl' "$folder/errors" ||
  complain "the record is lost: the end"
[ -e record/last.weights.h5 ] || complain "the record is lost: no weights"

[ "$failures" -eq 0 ] && echo "no output is lost in silence"
exit "$((failures > 0))"
