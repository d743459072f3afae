#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_runs.sh DTRAIN: whole runs of a program that was built with ThreadSanitizer, with two threads a rank, saves that
# follow one another and a watchdog: to the end, stopped and resumed, and with a rank that is lost. No race is found.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$DT_TEST_SOURCE_DIR/tests/faults/common.sh"
options=(--threads 2 --train-limit 240 --checkpoint-every 3steps)

# ended CODE WHAT: how the last run did, and that nothing was found in it.
ended() {
    ! grep -q ThreadSanitizer "$folder/log" || fail "$2: $(cat "$folder/log")"
    [ "$code" -eq "$1" ] || fail "$2: exit code $code, not $1: $(cat "$folder/log")"
}

# 0. Were it built without, nothing would be found here.
"$dtrain" info >"$folder/log" 2>&1
expect "$folder/log" 'sanitizers thread'

# 1. One rank, all kinds of products.
for precision in fp32 bf16; do
    run 1 "$folder/log" "${options[@]}" --epochs 1 --precision "$precision" --out "$folder/$precision"
    ended 0 "one rank in $precision"
done

# 2. Two ranks, stopped while they save, and resumed.
for strategy in allreduce sharded hybrid; do
    pair=("${options[@]}" --strategy "$strategy" --out "$folder/$strategy")
    launch 2 "$folder/log" "${pair[@]}" --epochs 100000
    await_line "$folder/log" '^checkpoint:'
    kill -USR1 "$launcher"
    finish 60
    ended 75 "$strategy, stopped"
    step=$(sed -nE 's/^stopped as asked .* after step ([0-9]+): .*/\1/p' "$folder/log")
    run 2 "$folder/log" "${pair[@]}" --epochs 100000 --resume --max-steps $((step + 4))
    ended 0 "$strategy, resumed"
done

# 3. The watchdog speaks, and leaves.
launch 2 "$folder/log" "${options[@]}" --epochs 100000 --stall-timeout 4 --out "$folder/stalled"
await_line "$folder/log" '^checkpoint:'
mapfile -t processes < <(ranks)
kill -STOP "${processes[1]}"
finish 30
ended 76 "a rank stopped"
expect "$folder/log" 'dtrain: error: stalled: no rank on .* is missing'
echo "no race found"
