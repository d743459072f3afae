#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_stall.sh DTRAIN: ranks that are lost. Killed: all leave, and a message names the rank, the launcher's or, where it
# lets the others live, dtrain's. Stopped, so that the others
# would wait for ever: exit code 76, and a message says who is missing and what the others wait for.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
options=(--epochs 100000 --checkpoint-every 20steps --stall-timeout 2)

# begin RANKS OPTION...: a run that has saved once; sets processes, those of its ranks.
begin() {
    local ranks=$1
    shift
    launch "$ranks" "$folder/log" "${options[@]}" "$@"
    await_line "$folder/log" '^checkpoint:'
    mapfile -t processes < <(ranks)
}

# 1. Killed, in turn each of 2, 3 and 4 ranks' last one.
for count in 2 3 4; do
    begin "$count" --out "$folder/killed" --resume
    kill -KILL "${processes[count - 1]}"
    finish 10
    [ "$code" -eq 137 ] || fail "killed: exit code $code: $(cat "$folder/log")"
    expect "$folder/log" "process rank $((count - 1)) .*exited on signal 9"
done

# 2. Killed under a launcher that lets the others live, as srun does without -K. This mode of mpirun does not always end
# with its ranks, so it is they that are waited for.
have_ended() { # processes
    local process state
    for process in "$@"; do
        state=$(ps -o stat= -p "$process" || true)
        [[ -z $state || $state == Z* ]] || return 1
    done
}
for place in 0 2; do
    OMPI_MCA_orte_enable_recovery=1 begin 3 --stall-timeout 100 --out "$folder/killed" --resume
    kill -KILL "${processes[place]}"
    await_line "$folder/log" "dtrain: error: a rank on .* was lost; rank $place \(process ${processes[place]}\) is lost: its process has ended"
    await 15 have_ended "${processes[@]}"
    kill -KILL "$launcher" 2>/dev/null || true
    wait "$launcher" 2>/dev/null || true
    launcher=
    [ "$(grep -c 'dtrain: error' "$folder/log")" -eq 1 ] || fail "not one message: $(cat "$folder/log")"
done

# 3. Stopped: another one each time.
for place in 0 2; do
    begin 3 --out "$folder/killed" --resume
    kill -STOP "${processes[place]}"
    finish 15
    [ "$code" -eq 76 ] || fail "stopped: exit code $code: $(cat "$folder/log")"
    expect "$folder/log" "dtrain: error: stalled: no rank on .* got on for 2 s .*rank $place \(process ${processes[place]}\) is missing: its process has not run for"
    expect "$folder/log" 'rank 1 \(process [0-9]+\) (waits for|updates|evaluates).* in step [0-9]+'
    [ "$(grep -c 'dtrain: error' "$folder/log")" -eq 1 ] || fail "not one message: $(cat "$folder/log")"
done
# Rank 0 was not the one that was stopped: the record of the run has its end.
expect "$folder/killed/metrics.jsonl" '^\{"event":"end","reason":"stalled","code":76,"step":[0-9]+\}$'
run 1 "$folder/log" --epochs 100000 --max-time 1s --out "$folder/killed" --resume
[ "$code" -eq 75 ] || fail "the checkpoints: $(cat "$folder/log")"

# 4. On nodes of one rank each: the others see that it is nobody of theirs. Also where most of the time goes to ends of
# epochs and to saves: there is always something to wait for, but not for a disk.
export DTRAIN_NODE_RANKS=1
for more in "--checkpoint-every 20steps" "--checkpoint-every 1steps --train-limit 72 --keep 2"; do
    # shellcheck disable=SC2086 # options, split on purpose
    begin 2 $more --out "$folder/nodes"
    kill -STOP "${processes[1]}"
    finish 15
    [ "$code" -eq 76 ] || fail "nodes: exit code $code: $(cat "$folder/log")"
    expect "$folder/log" 'rank 0 .* (waits for|updates|evaluates).* in step [0-9]+; nobody is missing here: look at the other nodes'
    rm -rf "$folder/nodes"
done
unset DTRAIN_NODE_RANKS

# 5. A run that was suspended as a whole for longer than the timeout goes on.
begin 2 --out "$folder/suspended"
kill -STOP "${processes[@]}"
sleep 3
kill -CONT "${processes[@]}"
sleep 1
kill -USR1 "$launcher"
finish 15
[ "$code" -eq 75 ] || fail "suspended: exit code $code: $(cat "$folder/log")"
echo "all losses noticed"
