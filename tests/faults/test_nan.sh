#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_nan.sh DTRAIN: learning rates at which a network without batch normalisation overflows within a few steps. The run
# stops, or goes back and tries half the rate; nothing that is not finite reaches a checkpoint.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
options=(--bn-layers none --epochs 2 --checkpoint-every 1step)

# 1. Stops: exit code 6; epoch, step, rank and tensor are named; the last checkpoint is of before and whole.
run 2 "$folder/log" "${options[@]}" --lr 1000 --out "$folder/stop"
[ "$code" -eq 6 ] || fail "stop: exit code $code: $(cat "$folder/log")"
expect "$folder/log" 'error: epoch 1, step [0-9]+: not finite: the loss of [0-9]+ of 16 samples \(first on rank [01], .*\); first gradient concerned: conv[0-9]/kernel'
expect "$folder/stop/metrics.jsonl" '"event":"end","reason":"not_finite","code":6,"error":"epoch 1, step [0-9]+: not finite: .*"step":[0-9]+,"seconds":'
run 1 "$folder/log" "${options[@]}" --lr 1000 --out "$folder/stop" --resume
[ "$code" -eq 6 ] || fail "resumed into the same values: exit code $code: $(cat "$folder/log")"
expect "$folder/log" '^resumed: .*after step [1-9]'
! grep -q 'passed over' "$folder/log" || fail "a damaged checkpoint: $(cat "$folder/log")"

# 2. Rewinds that help: the rate is halved until the values stay finite. Resumed, the rate stays as it was left.
run 2 "$folder/log" "${options[@]}" --checkpoint-every 1epoch --lr 100 --on-nan rewind --out "$folder/rewind"
[ "$code" -eq 0 ] || fail "rewind: exit code $code: $(cat "$folder/log")"
expect "$folder/log" 'warning: rewind 1 of 3: back to .*step-00000000.weights.h5, learning rate 50'
rate=$(value "$folder/rewind/metrics.jsonl" rewind learning_rate)
run 1 "$folder/log" "${options[@]}" --epochs 3 --lr 100 --out "$folder/rewind" --resume
[ "$code" -eq 0 ] || fail "resumed after a rewind: exit code $code: $(cat "$folder/log")"
run 1 "$folder/log" "${options[@]}" --checkpoint-every 1epoch --epochs 3 --lr "$rate" --out "$folder/same"
[ "$(result "$folder/rewind")" = "$(result "$folder/same")" ] ||
    fail "rewound to $rate: $(result "$folder/rewind"), not $(result "$folder/same")"

# 3. Rewinds that do not: three, then the end.
run 2 "$folder/log" "${options[@]}" --checkpoint-every 1epoch --lr 1000 --on-nan rewind --out "$folder/vain"
[ "$code" -eq 6 ] || fail "three rewinds: exit code $code: $(cat "$folder/log")"
[ "$(grep -c 'warning: rewind' "$folder/log")" -eq 3 ] || fail "not three rewinds: $(cat "$folder/log")"
expect "$folder/log" 'error: .*not finite.*went back 3 times'
echo "nothing that is not finite was kept"
