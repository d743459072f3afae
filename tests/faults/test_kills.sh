#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_kills.sh DTRAIN KILLS: runs are killed again and again, one random rank at a random moment, saves included, and
# resumed with another number of ranks. Final weights and losses are those of a run that nobody disturbed.
# SEED=N repeats the choices of another test.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
kills=$2
seed=${SEED:-$RANDOM}
echo "seed $seed"
options=(--epochs 6 --checkpoint-every 1step --keep 2)

start=$(date +%s%N)
run 2 "$folder/whole.log" "${options[@]}" --out "$folder/whole"
[ "$code" -eq 0 ] || fail "the undisturbed run: exit code $code: $(cat "$folder/whole.log")"
whole_ms=$((($(date +%s%N) - start) / 1000000))
expected=$(result "$folder/whole")
echo "undisturbed, $whole_ms ms: ${expected//$'\n'/ }"

# check_end ROUND: if the run of this chain has come to its end, the end is right, and a new run begins.
check_end() {
    if [ -e "$chain/run/metrics.jsonl" ] && grep -q '"event":"end"' "$chain/run/metrics.jsonl"; then
        [ "$(result "$chain/run")" = "$expected" ] || fail "$1: ended with $(result "$chain/run")"
        rm -rf "$chain/run"
    fi
}

# run_chain FOLDER KILLS
run_chain() {
    trap '[ -z "$launcher" ] || kill -TERM "$launcher" 2>/dev/null || true' EXIT
    local chain=$1 kills=$2 killed=0 round=0 longest=0 count moment processes left
    mkdir "$chain"
    while [ "$killed" -lt "$kills" ]; do
        round=$((round + 1))
        count=$((RANDOM % 3 + 1))
        # Anywhere from MPI's start to far into the run.
        moment=$((RANDOM * whole_ms / 32768 * 2 / 3 + 200))
        launch "$count" "$chain/log" "${options[@]}" --out "$chain/run" --resume
        sleep "$((moment / 1000)).$(printf '%03d' $((moment % 1000)))"
        mapfile -t processes < <(ranks)
        if [ "${#processes[@]}" -gt 0 ] && kill -KILL "${processes[RANDOM % ${#processes[@]}]}" 2>/dev/null; then
            left=$(date +%s%N)
            finish 10
            left=$((($(date +%s%N) - left) / 1000000))
            [ "$left" -le "$longest" ] || longest=$left
            killed=$((killed + 1))
        else
            finish 60
            [ "$code" -eq 0 ] || fail "round $round: exit code $code without a kill: $(cat "$chain/log")"
        fi
        ! grep -q 'passed over' "$chain/log" || fail "round $round: a damaged checkpoint: $(cat "$chain/log")"
        check_end "round $round"
    done
    for count in 2 1; do
        run "$count" "$chain/log" "${options[@]}" --out "$chain/run" --resume
        [ "$code" -eq 0 ] || fail "the last resume on $count ranks: exit code $code: $(cat "$chain/log")"
        [ "$(result "$chain/run")" = "$expected" ] || fail "at the end: $(result "$chain/run")"
    done
    expect "$chain/log" 'nothing to do'
    echo "$killed kills in $round rounds, the others left within $longest ms: the same result"
}

# Two at a time: each mostly waits for processes to start and end.
RANDOM=$seed
run_chain "$folder/a" $((kills / 2)) &
other=$!
RANDOM=$((seed + 1))
(run_chain "$folder/b" $((kills - kills / 2)))
wait "$other"
