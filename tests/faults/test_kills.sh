#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_kills.sh DTRAIN KILLS: a run is killed again and again, one random rank at a random moment, saves included, and
# resumed with another number of ranks. Its final weights and losses are those of a run that nobody disturbed.
# SEED=N repeats the choices of another test.
. "$(dirname "$0")/common.sh"
kills=$2
RANDOM=${SEED:=$((RANDOM))}
echo "seed $SEED"
options=(--epochs 6 --checkpoint-every 1step --keep 2)

start=$(date +%s%N)
run 1 "$folder/whole.log" "${options[@]}" --out "$folder/whole"
[ "$code" -eq 0 ] || fail "the undisturbed run: exit code $code: $(cat "$folder/whole.log")"
whole_ms=$((($(date +%s%N) - start) / 1000000))
expected=$(result "$folder/whole")
echo "undisturbed: $whole_ms ms:" $expected

killed=0 round=0 longest=0
while [ "$killed" -lt "$kills" ]; do
    round=$((round + 1))
    ranks=$((RANDOM % 3 + 1))
    # Anywhere from MPI's start to far into the run.
    moment=$((RANDOM % whole_ms + 200))
    launch "$ranks" "$folder/log" "${options[@]}" --out "$folder/run" --resume
    sleep "$((moment / 1000)).$(printf '%03d' $((moment % 1000)))"
    mapfile -t processes < <(ranks)
    if [ "${#processes[@]}" -eq 0 ] || ! kill -KILL "${processes[RANDOM % ${#processes[@]}]}" 2>/dev/null; then
        wait "$launcher" || [ "${#processes[@]}" -eq 0 ] || fail "round $round: not killed, and exit code $?"
    else
        before=$(date +%s%N)
        finish 10
        left_ms=$((($(date +%s%N) - before) / 1000000))
        [ "$left_ms" -le "$longest" ] || longest=$left_ms
        [ "$code" -ne 0 ] || fail "round $round: exit code 0 after a kill: $(cat "$folder/log")"
        killed=$((killed + 1))
    fi
    ! grep -q 'passed over' "$folder/log" || fail "round $round: a checkpoint is damaged: $(cat "$folder/log")"
    if [ -d "$folder/run" ] && grep -q '"event":"end"' "$folder/run/metrics.jsonl"; then
        [ "$(result "$folder/run")" = "$expected" ] || fail "round $round: ended with" "$(result "$folder/run")"
        rm -rf "$folder/run"
    fi
done
for ranks in 2 1; do
    run "$ranks" "$folder/log" "${options[@]}" --out "$folder/run" --resume
    [ "$code" -eq 0 ] || fail "the last resume on $ranks ranks: exit code $code: $(cat "$folder/log")"
    [ "$(result "$folder/run")" = "$expected" ] || fail "at the end:" "$(result "$folder/run")"
done
expect "$folder/log" 'nothing to do'
echo "$killed kills in $round rounds, the others left within $longest ms; the same result every time"
