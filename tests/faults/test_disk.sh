#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_disk.sh DTRAIN: a folder that is removed, becomes read-only or full while a run writes to it: warnings, training goes
# on, earlier checkpoints stay whole; with --checkpoint-required the run ends.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
options=(--epochs 100000 --checkpoint-every 20steps)

# ends_with CODE PATTERN: after a signal to the run in the background.
ends_with() {
    kill -USR1 "$launcher"
    finish 30
    [ "$code" -eq "$1" ] || fail "exit code $code, not $1: $(cat "$folder/log")"
    expect "$folder/log" "$2"
}

# 1. Removed while the run goes on: made again; nothing is lost but what was removed.
launch 2 "$folder/log" "${options[@]}" --out "$folder/removed/run"
await_line "$folder/log" '^checkpoint:'
rm -r "$folder/removed"
await_line "$folder/log" '^epoch 8/' # several checkpoints later
ends_with 75 '^stopped as asked .*state saved in'
again "$folder/removed/run"
expect "$folder/log" '^nothing to do: .*step-'
grep -q '"event":"epoch"' "$folder/removed/run/metrics.jsonl" || fail "no metrics in the new folder"

# 2. A file where the folder was: a warning each time, and training goes on; the end says that it could not be saved.
launch 2 "$folder/log" "${options[@]}" --out "$folder/replaced"
await_line "$folder/log" '^checkpoint:'
mv "$folder/replaced" "$folder/kept" && : >"$folder/replaced"
await_line "$folder/log" 'warning: the checkpoint of step [0-9]+ was not written: .*Training goes on'
await 30 more_lines '^epoch ' $(($(grep -c '^epoch ' "$folder/log") + 1))
ends_with 4 'dtrain: error: stopped as asked .*but the state could not be saved: '
again "$folder/kept"
[ "$code" -eq 0 ] || fail "what was written before: $(cat "$folder/log")"

# 3. The same with --checkpoint-required.
launch 2 "$folder/log" "${options[@]}" --checkpoint-required --out "$folder/required"
await_line "$folder/log" '^checkpoint:'
mv "$folder/required" "$folder/kept-2" && : >"$folder/required"
finish 30
[ "$code" -eq 4 ] || fail "--checkpoint-required: exit code $code: $(cat "$folder/log")"
[ "$(grep -c 'dtrain: error' "$folder/log")" -eq 1 ] || fail "not one message: $(cat "$folder/log")"

# 4. Full, and read-only: on file systems of our own, in a mount namespace that ends with the test.
if ! unshare -m true 2>/dev/null; then
    echo "skipped: full and read-only file systems need a mount namespace"
    exit 77
fi
cat >"$folder/mounted.sh" <<'INNER'
common=$1
set -- "$2"
. "$common/common.sh"
mkdir "$folder/small" && mount -t tmpfs -o size=6m tmpfs "$folder/small"
launch 2 "$folder/log" --epochs 100000 --checkpoint-every 20steps --out "$folder/small/run"
await_line "$folder/log" '^checkpoint:'
dd if=/dev/zero of="$folder/small/ballast" bs=64k status=none 2>/dev/null || true
await_line "$folder/log" 'warning: the checkpoint of step [0-9]+ was not written: .*No space left.*Training goes on'
before=$(grep -c '^checkpoint:' "$folder/log")
rm "$folder/small/ballast"
await 30 more_lines '^checkpoint:' "$before"
mount -t tmpfs -o ro tmpfs "$folder/small/run"
await_line "$folder/log" 'warning: the checkpoint of step [0-9]+ was not written: .*Read-only'
kill -USR1 "$launcher"
finish 30
[ "$code" -eq 4 ] || fail "read-only: exit code $code: $(cat "$folder/log")"
umount "$folder/small/run"
again "$folder/small/run"
[ "$code" -eq 0 ] || fail "what was written before: $(cat "$folder/log")"
expect "$folder/log" '^nothing to do: '
umount "$folder/small"
INNER
unshare -m bash "$folder/mounted.sh" "$(cd "$(dirname "$0")" && pwd)" "$dtrain"
echo "all folders as they should be"
