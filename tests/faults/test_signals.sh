#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_signals.sh DTRAIN SHIM: runs that are asked to stop save, say so in one line, and leave with exit code 75; resumed, they
# end as if nothing had happened.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
options=(--epochs 5 --checkpoint-every none)

run 1 "$folder/whole.log" "${options[@]}" --out "$folder/whole"
expected=$(result "$folder/whole")

# stopped LOG REASON: the words and the code of a run that was stopped.
stopped() {
    [ "$code" -eq 75 ] || fail "exit code $code, not 75: $(cat "$1")"
    [ "$(grep -c 'stopped as asked' "$1")" -eq 1 ] || fail "not one line says that it stopped: $(cat "$1")"
    expect "$1" "^stopped as asked \($2\) in epoch [0-9]+ after step [0-9]+: state saved in .*/step-[0-9]+.weights.h5, start again with --resume"
    ! grep -q 'dtrain: error' "$1" || fail "an error: $(cat "$1")"
}

# 1. Every signal, to a single rank of three, each another one; --resume on another number of ranks every time.
place=0
for signal in TERM INT USR1 USR2 HUP; do
    launch 3 "$folder/log" "${options[@]}" --out "$folder/run" --resume
    await_line "$folder/log" '^start:'
    mapfile -t processes < <(ranks)
    kill -"$signal" "${processes[place % 3]}"
    finish 30
    stopped "$folder/log" "SIG$signal at rank [0-2]"
    place=$((place + 1))
done
run 2 "$folder/log" "${options[@]}" --out "$folder/run" --resume
[ "$code" -eq 0 ] || fail "the end: exit code $code: $(cat "$folder/log")"
[ "$(result "$folder/run")" = "$expected" ] || fail "stopped and resumed: $(result "$folder/run")"

# 2. To a rank that is still starting MPI, which takes longer than the way to its handlers: done after the first step.
more_ranks() { # number
    [ "$(ranks | wc -l)" -gt "$1" ]
}
has_handlers() { # process
    local caught
    caught=$(sed -n 's/^SigCgt:\s*//p' "/proc/$1/status" 2>/dev/null)
    [ -n "$caught" ] && [ $((0x$caught >> 9 & 1)) -eq 1 ] # bit 9 is signal 10, SIGUSR1
}
launch 2 "$folder/log" "${options[@]}" --out "$folder/early"
await 30 more_ranks 1
mapfile -t processes < <(ranks)
await 30 has_handlers "${processes[1]}"
words=$(cat "$folder/log")
kill -USR1 "${processes[1]}"
finish 30
early='stopped as asked \(SIG[A-Z0-9]+\) before the first step: nothing was to be saved, start again'
if grep -qE "$early" "$folder/log"; then
    [ "$code" -eq 75 ] || fail "exit code $code, not 75: $(cat "$folder/log")" # a machine too busy for the first step
else
    stopped "$folder/log" 'SIGUSR1 at rank 1'
    [ -n "$words" ] || expect "$folder/log" 'after step 1:' # a test that was held up may come later
fi

# Set-up that does not get on: each signal ends it soon, to one rank or through mpirun to all.
stuck() { # signal
    DT_MPI_RANK=1 DT_MPI_CALL=MPI_Comm_dup DT_MPI_SITE=1 DT_MPI_DO=stop LD_PRELOAD=$2 launch 2 "$folder/log" --stall-timeout 0 --out "$folder/stuck"
    await 30 more_ranks 1
    mapfile -t processes < <(ranks)
    await 30 is_stopped "${processes[1]}"
    SECONDS=0
    [ "$1" = all ] && kill -USR1 "$launcher" || kill -"$1" "${processes[0]}"
    finish 30
    [ "$code" -eq 75 ] || fail "stuck, $1: exit code $code: $(cat "$folder/log")"
    [ "$(grep -cE "$early" "$folder/log")" -eq 1 ] || fail "stuck, $1: not one line: $(cat "$folder/log")"
    [ "$SECONDS" -le 12 ] || fail "stuck, $1: $SECONDS s"
    [ ! -e "$folder/stuck" ] || fail "stuck, $1: something was written"
}
is_stopped() { # process
    [ "$(ps -o stat= -p "$1" | cut -c1)" = T ]
}
for signal in TERM all; do
    [ $# -ge 2 ] || break # a build in which no library can be preloaded
    stuck "$signal" "$2"
done

# Under nohup the end of a terminal ends nothing.
: >"$folder/log"
(trap '' HUP && exec "$dtrain" "${small[@]}" --epochs 100000 --out "$folder/nohup" >"$folder/log" 2>&1 </dev/null) &
launcher=$!
await_line "$folder/log" '^epoch 1/'
kill -HUP "$launcher"
sleep 0.3
kill -TERM "$launcher"
finish 30
stopped "$folder/log" 'SIGTERM at rank 0'

# 3. To mpirun itself: SIGUSR1 goes to all ranks. After SIGTERM it gives the ranks a second; whether or not that is
#    enough to save, nothing is lost that was saved before.
launch 2 "$folder/log" --epochs 100000 --checkpoint-every 1epoch --out "$folder/launcher"
await_line "$folder/log" '^checkpoint:'
kill -USR1 "$launcher"
finish 30
stopped "$folder/log" 'SIGUSR1 at rank 0'
launch 2 "$folder/log" --epochs 100000 --checkpoint-every 1epoch --out "$folder/launcher" --resume
await_line "$folder/log" '^checkpoint:'
kill -TERM "$launcher"
finish 30
[ "$code" -ne 0 ] || fail "exit code 0 after SIGTERM to mpirun: $(cat "$folder/log")"
saved=$(sed -nE 's/^checkpoint: .*step-0*([0-9]+)\..*/\1/p' "$folder/log" | tail -n 1)
run 1 "$folder/log" --max-steps $((saved + 20)) --epochs 100000 --out "$folder/launcher" --resume
[ "$code" -eq 0 ] || fail "after SIGTERM to mpirun: $(cat "$folder/log")"
step=$(sed -nE 's/^resumed: .* step ([0-9]+)$/\1/p' "$folder/log")
[ "${step:-0}" -ge "$saved" ] || fail "step $saved was saved, step ${step:-none} resumed: $(cat "$folder/log")"

# 4. A second SIGINT leaves at once: the rank does not reach the end of its step, because another is stopped.
launch 2 "$folder/log" "${options[@]}" --epochs 100000 --out "$folder/twice"
await_line "$folder/log" '^epoch 1/'
mapfile -t processes < <(ranks)
kill -STOP "${processes[1]}"
kill -INT "${processes[0]}"
sleep 0.3
! gone "${processes[0]}" || fail "one SIGINT ended a rank at once"
kill -INT "${processes[0]}"
finish 10
[ "$code" -eq 130 ] || fail "second SIGINT: exit code $code: $(cat "$folder/log")"
expect "$folder/log" 'second SIGINT: leaving at once'

# 5. --max-time: the same by itself, and in time.
SECONDS=0
run 2 "$folder/log" --epochs 100000 --out "$folder/time" --max-time 4s
stopped "$folder/log" --max-time
[ "$SECONDS" -le 8 ] || fail "--max-time 4s took $SECONDS s"
run 1 "$folder/log" --epochs 100000 --out "$folder/time" --resume --max-time 4s
stopped "$folder/log" --max-time
expect "$folder/log" '^resumed: '

# 6. During an evaluation: noticed between its calls, and the epoch is evaluated when the run goes on.
# It has to last for more than a second, which takes fewer images where sanitizers watch.
images=60000
! "$dtrain" info | grep -q ', sanitizers ' || images=20000
evaluation=(--data "synthetic:$images" --validation $((images - 100)) --test-limit 16 --epochs 1)
launch 2 "$folder/log" "${evaluation[@]}" --out "$folder/evaluation"
await_line "$folder/log" '^start:'
sleep 1
kill -USR2 "$launcher"
finish 30
stopped "$folder/log" 'SIGUSR2 at rank 0'
run 1 "$folder/log" "${evaluation[@]}" --out "$folder/evaluation" --resume
[ "$code" -eq 0 ] || fail "resumed in an evaluation: $(cat "$folder/log")"
expect "$folder/log" '^epoch 1/1 '
echo "all signals as they should be"
