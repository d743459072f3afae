#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_setup.sh DTRAIN SHIM: ranks that are stopped or lost before the first step, at several calls of MPI: the others do
# not wait for ever, exit code 76, and one message says what is known of the missing one.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
shim=$2

# strike RANK CALL NUMBER WHAT COMMAND...: the rank meets its fate at the so-manieth place that has this call.
strike() {
    local rank=$1 name=$2 number=$3 what=$4
    shift 4
    DT_MPI_RANK=$rank DT_MPI_CALL=$name DT_MPI_SITE=$number DT_MPI_DO=$what LD_PRELOAD=$shim "$@"
}

# stalled PATTERN: the last run was ended by the watch.
stalled() {
    [ "$code" -eq 76 ] || fail "exit code $code, not 76: $(cat "$folder/log")"
    expect "$folder/log" "dtrain: error: stalled: $1"
    [ "$(grep -c 'dtrain: error' "$folder/log")" -eq 1 ] || fail "not one message: $(cat "$folder/log")"
}

# 1. Stopped behind the start of MPI: the first messages stay without an answer. Whichever rank it is, another one speaks.
strike 1 MPI_Init_thread 1 behind-stop run 3 "$folder/log" --stall-timeout 2 --out "$folder/run"
stalled 'rank 0 on .* got no answer to its first message for 2 s \(--stall-timeout\) from rank 1: .*--mca btl_tcp_if_include'
strike 0 MPI_Init_thread 1 behind-stop run 2 "$folder/log" --stall-timeout 2 --out "$folder/run"
stalled 'rank 1 on .* got no answer to its first message for 2 s .* from rank 0: '

# 2. Stopped while the groups of ranks are made.
strike 1 MPI_Comm_dup 1 stop run 3 "$folder/log" --stall-timeout 2 --out "$folder/run"
stalled 'rank 0 on .* got on no more for 2 s .*: rank 1 \(process [0-9]+\) on .* is stopped'

# 3. Stopped while strategies are measured or places gathered, rank 0 among them, and in the commands that do not train.
strike 1 MPI_Isend 2 stop run 3 "$folder/log" --stall-timeout 2 --out "$folder/run"
stalled 'no rank on .* rank 1 \(process [0-9]+\) is missing: .* before the first step'
strike 0 MPI_Iallgather 1 stop run 2 "$folder/log" --stall-timeout 2 --out "$folder/run"
stalled 'no rank on .* rank 0 \(process [0-9]+\) is missing: .* before the first step'
code=0
strike 1 MPI_Iallgather 1 stop mpirun --oversubscribe --bind-to none -np 2 "$dtrain" plan --width 0.05 --batch 16 \
    --stall-timeout 2 >"$folder/log" 2>&1 </dev/null || code=$?
stalled 'no rank on .* rank 1 \(process [0-9]+\) is missing: .* before the first step'
[ ! -e "$folder/run" ] || fail "a run that never began has made its folder"

# 4. Killed, under a launcher that lets the others live.
OMPI_MCA_orte_enable_recovery=1 strike 1 MPI_Iallgather 1 kill \
    launch 3 "$folder/log" --stall-timeout 100 --out "$folder/run"
await_line "$folder/log" 'dtrain: error: a rank on .* was lost; rank 1 \(process [0-9]+\) is lost: its process has ended'
kill -KILL "$launcher" 2>/dev/null || true
wait "$launcher" 2>/dev/null || true
launcher=

# 5. A set-up that takes longer than the timeout, because every rank has much to compute, goes on.
run 2 "$folder/log" --data synthetic:60000 --methods tuned --epochs 1 --train-limit 64 --stall-timeout 1 --out "$folder/long"
[ "$code" -eq 0 ] || fail "a long set-up: exit code $code: $(cat "$folder/log")"
echo "all losses in set-up noticed"
