#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_chain.sh DTRAIN: slurm/chain.sbatch with a limit of one minute. One run by srun is put back into the queue, loses a
# node, is preempted, loses a rank and reaches its time limit; one by mpirun reaches its time limit. Both end with the hash
# of a run that nothing disturbed. A folder that is not shared and a chain that makes no headway end with a message, and
# scancel ends a chain.
#
# The link between the nodes is slow, which gives each step a least time on any machine: the run is always longer than the
# 30 s in which Slurm's warning comes, and costs little. Where there is no such link the pace is measured.
# shellcheck disable=SC1091,SC2034,SC2154 # common.sh gives and takes variables
. "$(dirname "$0")/common.sh"
DTRAIN=$1
cluster_options=(--rate 40mbit) seconds=540
[ -n "${DT_CLUSTER_MODE:-}" ] || enter_slurm "$@"
start_test

options=(--data synthetic:2300 --validation 252 --test-limit 64 --width 0.05 --threads 1)
epochs=17 # of 32 steps, at least 60 ms each, or 120 ms when both runs share the link
if [ "$DT_CLUSTER_MODE" = ports ]; then
    mpirun --bind-to none --oversubscribe -np 2 "$DTRAIN" "${options[@]}" --epochs 4 --out pace >pace.out 2>&1 || fail "no pace"
    epochs=$(sed -nE 's/^end: 128 steps in ([0-9.]+) s.*/\1/p' pace.out | awk '{ print int(4 * 50 / $1) + 17 }')
    echo "$epochs epochs take a minute or so"
fi
options+=(--epochs "$epochs")
"$DTRAIN" "${options[@]}" --out reference >reference.out 2>&1 &
reference=$!

options+=(--checkpoint-every 16steps)
layout=(--nodes=2 --ntasks-per-node=1 --cpus-per-task=1 --time=1)
saved() {
    stat -L -c '%i %Y %s' "$work/runs/$job/last.weights.h5" 2>/dev/null || echo none
}
has_saved_since() { # what saved said before
    [ "$(field "$job" JobState)" = RUNNING ] && [ "$(saved)" != "$1" ]
}
has_left_nodes() {
    [ "$(field "$job" JobState)" != RUNNING ]
}
starts() {
    field "$job" Restarts
}
has_started_since() { # number of restarts
    [ "$(starts)" -gt "$1" ] && [ "$(field "$job" JobState)" = RUNNING ]
}
has_saved_or_ended() { # what saved said before
    has_saved_since "$1" || has_ended "$job"
}
has_started_or_ended() {
    has_started_since "$start" || has_ended "$job"
}
# Waits until the run has started again and has saved something: the moment for the next blow. Slurm's warning may come
# between any two.
await_progress() { # what came before
    await 90 "a start after $1" has_started_or_ended
    ! has_ended "$job" || fail "the run ended before its time, after $1"
    last=$(saved)
    await 90 "a checkpoint after $1" has_saved_or_ended "$last"
    ! has_ended "$job" || fail "the run ended before its time, after $1"
    start=$(starts)
    echo "start $start, after $1, has saved at $SECONDS s"
}
kill_a_rank() {
    local rank
    rank=$(pgrep -n -f -- "^$DTRAIN .*$work/runs/$job") && kill -KILL "$rank"
}

job=$(submit "${layout[@]}" -o srun.out "$scripts/chain.sbatch" "${options[@]}")
start=-1
await_progress submission
scontrol requeue "$job"

await_progress requeue
scontrol update nodename=node2 state=down reason=test
await 30 "the job to leave node2" has_left_nodes
sleep 2
scontrol update nodename=node2 state=resume

await_progress "a lost node"
urgent=$(submit --partition=urgent --nodes=2 --exclusive -o /dev/null --wrap 'sleep 1')
ended "$urgent" 60 COMPLETED 0

await_progress preemption
await 60 "a rank to kill" kill_a_rank

await_progress "a lost rank"
# Its limit is near 30 s after this start; meanwhile the same by mpirun.
other=$(DTRAIN_LAUNCHER=mpirun OMPI_MCA_odls_base_sigkill_timeout=1 submit "${layout[@]}" -o mpirun.out "$scripts/chain.sbatch" "${options[@]}")
unshared=""
if [ "$DT_CLUSTER_MODE" = hosts ]; then
    mkdir local
    # shellcheck disable=SC1091,SC2016
    bash -c '. "$0/sandbox.sh"; sandbox_exec node2 mount -t tmpfs tmpfs "$1/local"' "$cluster" "$work" || fail "cannot change node2"
    unshared=$(submit "${layout[@]}" -o unshared.out "$scripts/chain.sbatch" "${options[@]}" --out "$work/local/run")
fi
# A program that dies at once.
printf '#!/bin/sh\nkill -KILL $$\n' >dying
chmod +x dying
hopeless=$(DTRAIN=$work/dying DTRAIN_CHAIN_IDLE=2 submit --nodes=1 -o hopeless.out "$scripts/chain.sbatch")

# What the user ends stays ended.
cancelled=$(submit --nodes=1 -o cancelled.out "$scripts/chain.sbatch" "${options[@]}")
await 60 "the run to cancel" grep -q '^start: ' cancelled.out
scancel "$cancelled"
await 60 "the end of job $cancelled" has_ended "$cancelled"
await 30 "the last words of job $cancelled" grep -q 'the job was cancelled; the state is in' cancelled.out
[ "$(field "$cancelled" JobState) $(field "$cancelled" Restarts)" = "CANCELLED 0" ] || fail "cancelled: $(scontrol show job "$cancelled")"

# Once interrupted, the run by mpirun may go on to its end, for the sake of time.
was_interrupted() {
    [ "$(field "$other" Restarts)" -ge 1 ]
}
await 200 "a second start of the run by mpirun" was_interrupted
scontrol update jobid="$other" timelimit=10

ended "$job" 200 COMPLETED 0
echo "the chain by srun ended after $SECONDS s"
ended "$other" 200 COMPLETED 0
echo "the chain by mpirun ended after $SECONDS s"
ended "$hopeless" 60 FAILED 137
[ -z "$unshared" ] || ended "$unshared" 60 FAILED 4

wait "$reference" || fail "the reference"
expected=$(weights_hash reference)
[ -n "$expected" ] || fail "the reference has no hash"
cat "runs/$job/chain.log" "runs/$other/chain.log"
says srun.out 'Slurm has put the job back in the queue'
says srun.out 'SIGUSR1 from Slurm: the run is asked'
says srun.out 'exit code 75: stopped as asked'
says mpirun.out 'SIGUSR1 from Slurm: the run is asked'
says mpirun.out 'exit code 75: stopped as asked'
[ "$(field "$job" Restarts)" -ge 5 ] || fail "$(field "$job" Restarts) restarts, not 5"
[ "$(field "$other" Restarts)" -ge 1 ] || fail "the chain by mpirun was never interrupted"
says hopeless.out 'the last 2 starts saved nothing new'
[ -z "$unshared" ] || says unshared.out 'local/run is not shared: node2 cannot see it'
for run in "$job" "$other"; do
    [ "$(weights_hash "runs/$run")" = "$expected" ] || fail "job $run: hash $(weights_hash "runs/$run"), not $expected"
done
echo "chain.sbatch ($DT_CLUSTER_MODE): $expected after $(field "$job" Restarts) restarts by srun, $(field "$other" Restarts) by mpirun"
