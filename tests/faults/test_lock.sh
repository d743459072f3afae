#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_lock.sh DTRAIN SHIM: one run at a time in a folder. A second one is refused and changes nothing, commands that read
# do read, and a run that is dead blocks no other.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
shim=$2
out=$folder/run
endless=(--epochs 100000 --checkpoint-every 50steps --stall-timeout 0)

state() { # of the folder: names, sizes and times
    find "$out" -printf '%P %s %T@ %l\n' | sort
}

# refused LOG PATTERN: one message, code 4.
refused() {
    [ "$code" -eq 4 ] || fail "exit code $code, not 4: $(cat "$1")"
    [ "$(grep -c 'dtrain: error' "$1")" -eq 1 ] || fail "not one message: $(cat "$1")"
    expect "$1" "dtrain: error: .*$2"
}

# 1. A second run while the first stands still, so that every change is the second's.
launch 2 "$folder/log" "${endless[@]}" --out "$out"
await_line "$folder/log" '^checkpoint:'
mapfile -t processes < <(ranks)
expect "$out/lock" "^process ${processes[0]}$"
file=$(find "/proc/${processes[0]}/fd" -lname "$out/lock" -printf %f)
flags=$(sed -n 's/^flags:\s*//p' "/proc/${processes[0]}/fdinfo/$file")
[ $((flags & 02000000)) -ne 0 ] || fail "programs that the run starts would hold its lock: flags $flags"
kill -STOP "${processes[@]}"
sleep 0.2 # until all threads have stopped
before=$(state)
busy="--out $out: another run is at work in this folder: process ${processes[0]} on $(hostname), started 20[0-9-]+ [0-9:]+ UTC"
for options in "" "--resume" "--resume --override"; do
    # shellcheck disable=SC2086 # options, split on purpose
    run 2 "$folder/second" "${endless[@]}" --out "$out" $options
    refused "$folder/second" "$busy"
done
ln -s run "$folder/other-name"
run 1 "$folder/second" "${endless[@]}" --out "$folder/other-name"
refused "$folder/second" "process ${processes[0]} on"
[ "$(state)" = "$before" ] || fail "the second run has changed the folder: $(diff <(state) <(echo "$before"))"

# 2. A file system that has no locks: what the file says of this host counts.
LD_PRELOAD=$shim DT_FAULT_FOLDER=$out DT_FAULT_CALL=flock DT_FAULT_AT=1 DT_FAULT_ERROR=38 run 1 "$folder/second" --out "$out"
refused "$folder/second" "process ${processes[0]} on"

# 3. Reading needs no lock.
for command in "eval $out --data synthetic:600 --validation 40 --threads 1" "inspect $out" "export $out $folder/whole.h5"; do
    # shellcheck disable=SC2086 # a command, split on purpose
    "$dtrain" $command >"$folder/second" 2>&1 || fail "$command: $(cat "$folder/second")"
done
[ "$(state)" = "$before" ] || fail "a command that reads has changed the folder: $(diff <(state) <(echo "$before"))"
"$dtrain" report "$out" >"$folder/second" 2>&1 || fail "report: $(cat "$folder/second")" # leaves its table there
kill -CONT "${processes[@]}"
kill -USR1 "$launcher"
finish 30
[ "$code" -eq 75 ] || fail "the first run: exit code $code: $(cat "$folder/log")"
[ ! -e "$out/lock" ] || fail "a run that has ended left its lock behind"

# 4. Killed: its file stays, and says nothing any more; with and without locks.
launch 1 "$folder/log" "${endless[@]}" --out "$out" --resume
await_line "$folder/log" '^checkpoint:'
kill -KILL "$(ranks)"
finish 10
[ -e "$out/lock" ] || fail "the lock of a killed run"
run 1 "$folder/second" "${endless[@]}" --max-time 1s --out "$out" --resume
[ "$code" -eq 75 ] || fail "after a kill: exit code $code: $(cat "$folder/second")"
launch 1 "$folder/log" "${endless[@]}" --out "$out" --resume
await_line "$folder/log" '^checkpoint:'
kill -KILL "$(ranks)"
finish 10
LD_PRELOAD=$shim DT_FAULT_FOLDER=$out DT_FAULT_CALL=flock DT_FAULT_AT=1 DT_FAULT_ERROR=38 run 1 "$folder/second" "${endless[@]}" --max-time 1s --out "$out" --resume
[ "$code" -eq 75 ] || fail "after a kill, without locks: exit code $code: $(cat "$folder/second")"
expect "$folder/second" "warning: $out/lock: this file system has no locks"

# 5. A host that went down, and a process number that came again.
printf 'host far\nprocess %d\nstart 2026-01-01 00:00:00 UTC\nboot 0-0\nticks 1\n' $$ >"$out/lock"
run 1 "$folder/second" "${endless[@]}" --max-time 1s --out "$out" --resume
[ "$code" -eq 75 ] || fail "another host's lock: exit code $code: $(cat "$folder/second")"
expect "$folder/second" "process $$ on far, started 2026-01-01 00:00:00 UTC, left this lock behind"
printf 'host far\nprocess %d\nstart 2026-01-01 00:00:00 UTC\nboot %s\nticks 1\n' $$ "$(cat /proc/sys/kernel/random/boot_id)" >"$out/lock"
LD_PRELOAD=$shim DT_FAULT_FOLDER=$out DT_FAULT_CALL=flock DT_FAULT_AT=1 DT_FAULT_ERROR=38 run 1 "$folder/second" "${endless[@]}" --max-time 1s --out "$out" --resume
[ "$code" -eq 75 ] || fail "a process number that came again: exit code $code: $(cat "$folder/second")"

# 6. A name that is taken.
for kind in "mkdir" "mkfifo" "ln -s /etc/passwd"; do
    $kind "$out/lock"
    run 1 "$folder/second" "${endless[@]}" --max-time 1s --out "$out" --resume
    refused "$folder/second" "$out/lock: dtrain needs this name for its lock"
    rm -rf "$out/lock"
done

# 7. Two at once, in a folder that neither finds: one of them trains.
mpirun --oversubscribe --bind-to none -np 1 "$dtrain" "${small[@]}" "${endless[@]}" --out "$folder/new/run" >"$folder/a" 2>&1 </dev/null &
first=$!
launch 1 "$folder/b" "${endless[@]}" --out "$folder/new/run"
one_is_refused() {
    gone "$first" || gone "$launcher"
}
await 60 one_is_refused
if gone "$first"; then refused=a loser=$first left=$launcher; else refused=b loser=$launcher left=$first; fi
code=0
wait "$loser" || code=$?
refused "$folder/$refused" 'another run is at work in this folder'
kill -USR1 "$left"
launcher=$left
finish 30
[ "$code" -eq 75 ] || fail "the one that trains: exit code $code: $(cat "$folder"/[ab])"
[ ! -e "$folder/new/run/earlier-1" ] || fail "the refused run has moved files"
echo "one run a folder"
