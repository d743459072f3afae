#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_reports.sh DTRAIN HOSTILE_CASE MPI_SHIM: twelve faults that users would meet first, each by one short example. Other
# tests look at each with its whole kind; this one shows all of them at a glance.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/../faults/common.sh"
hostile=$2 shim=$3
failures=0
unset OMP_WAIT_POLICY # as users have it

# check NAME CODE PATTERN LOG: the exit code, and one line of the log.
check() {
    if [ "$code" -eq "$2" ] && grep -Eq -- "$3" "$4"; then
        echo "ok: $1"
    else
        echo "FAILED: $1: exit code $code, not $2, or no line like '$3': $(head -c 600 "$4")"
        failures=$((failures + 1))
    fi
}

# try NAME CODE PATTERN COMMAND...
try() {
    local name=$1 expected=$2 pattern=$3
    shift 3
    code=0
    timeout 60 "$@" >"$folder/log" 2>&1 </dev/null || code=$?
    check "$name" "$expected" "$pattern" "$folder/log"
}

run 1 "$folder/log" --seed 5 --epochs 1 --out "$folder/run"
[ "$code" -eq 0 ] || fail "the run to try things with: $(cat "$folder/log")"
"$dtrain" export "$folder/run" "$folder/sound.weights.h5" >/dev/null 2>&1 || "$dtrain" export "$folder/run" "$folder/sound.h5" >/dev/null
spoilt() { # NAME MODE ARGUMENT...: weights made from sound ones
    local name=$1 mode=$2
    shift 2
    cp "$folder/run/last.weights.h5" "$folder/$name"
    "$hostile" "$mode" "$folder/$name" "$@"
}

# 1. A file in which no tensor is found is not good.
"$hostile" empty "$folder/empty.h5"
try "inspect: no tensor" 4 'no tensor is in it' "$dtrain" inspect "$folder/empty.h5"

# 2. Threads that wait sleep, and leave their core to a program beside them. The time of computing shows it, which does not
# depend on what else this machine does: two threads need little more of it than one. Threads that spin need thirty times.
computed() { # THREADS: milliseconds of computing
    local TIMEFORMAT=%U text
    text=$({ time timeout 100 "$dtrain" "${small[@]}" --threads "$1" --max-steps 60 --out "$folder/beside-$1" >"$folder/log" 2>&1 </dev/null; } 2>&1) || true
    echo "${text//[!0-9]/}"
}
timeout 200 sh -c 'while :; do :; done' &
busy=$!
one=$(computed 1) two=$(computed 2) code=0
kill "$busy"
wait "$busy" 2>/dev/null || true
[ $((10#$two)) -lt $((4 * 10#$one)) ] && echo "ok: threads beside a busy program" || {
    echo "FAILED: beside a busy program two threads compute $two ms, one $one ms"
    failures=$((failures + 1))
}

# 3. One run a folder.
launch 1 "$folder/first" --epochs 100000 --out "$folder/shared"
await 60 test -s "$folder/shared/metrics.jsonl"
try "two runs in one folder" 4 'another run is at work in this folder: process [0-9]+ on ' "$dtrain" "${small[@]}" --epochs 1 --out "$folder/shared"
kill -TERM "$launcher"
finish 30

# 4. Processes that another MPI's launcher started.
try "another MPI's launcher" 7 'started 4 processes' env PMI_SIZE=4 PMI_RANK=0 "$dtrain" "${small[@]}" --max-steps 1 --out "$folder/foreign"

# 5. A rank that stops while the run is set up.
start=(timeout -k 5 30 mpirun --oversubscribe --bind-to none -np 2 "$dtrain" "${small[@]}" --max-steps 1 --stall-timeout 2 --out "$folder/set-up")
code=0
DT_MPI_RANK=1 DT_MPI_CALL=MPI_Init_thread DT_MPI_SITE=1 DT_MPI_DO=behind-stop LD_PRELOAD=$shim \
    "${start[@]}" >"$folder/log" 2>&1 </dev/null || code=$?
check "a rank stopped in set-up" 76 'from rank 1: .*btl_tcp_if_include' "$folder/log"

# 6. eval scores what the run kept aside.
try "eval takes split and data of the run" 0 'of 40\)' "$dtrain" eval "$folder/run"

# 7. export writes what the ending says, or nothing.
try "export to an unknown ending" 2 "m.onnx': the ending of the name says" "$dtrain" export "$folder/run" "$folder/m.onnx"
[ ! -e "$folder/m.onnx" ] || { echo "FAILED: m.onnx was written"; failures=$((failures + 1)); }
cp "$folder/run/last.weights.h5" "$folder/kept.h5"
try "export over a file" 4 'exists: .*--force' "$dtrain" export "$folder/run" "$folder/kept.h5"

# 8. Sound checkpoints of another shape.
run 1 "$folder/log" --seed 5 --width 0.1 --override --resume --out "$folder/run"
check "another shape" 2 'width 0.05 then, 0.1 now' "$folder/log"
! grep -Eq 'not whole|is whole|damaged|Remove them' "$folder/log" || { echo "FAILED: sound files were called damaged"; failures=$((failures + 1)); }

# 9. What a file claims.
spoilt nan.weights.h5 nan
run 1 "$folder/log" --init "$folder/nan.weights.h5" --max-steps 1 --out "$folder/nan"
check "weights that are not numbers" 4 'nan.weights.h5: .*conv1/kernel' "$folder/log"

# 10. Values that leave no variance a number.
for i in 1 2 3 4 5 6; do
    mkdir -p "$folder/trials/$((i > 3))/$i"
    printf '{"event":"start","ranks":1,"options":{"seed":%d,"lr":%d}}\n{"event":"epoch","epoch":1,"step":4,"loss":%de200,"test_accuracy":1.7e308,"images_per_s":1e-300,"phases":{}}\n{"event":"end","step":4}\n' \
        "$i" "$((i > 3))" "$i" >"$folder/trials/$((i > 3))/$i/metrics.jsonl"
done
try "report of huge values" 0 '3.0000e\+200' "$dtrain" report "$folder/trials/0" "$folder/trials/1"

# 11. Values that lie in another file.
head -c 65536 /dev/zero | tr '\0' 'A' >"$folder/secret"
spoilt leak.weights.h5 external "$folder/secret"
run 1 "$folder/log" --init "$folder/leak.weights.h5" --max-steps 1 --out "$folder/leak"
check "values from another file" 4 'external storage' "$folder/log"

# 12. Options that a command does not use.
try "an option of another command" 2 '^dtrain: error: --lr' "$dtrain" report --lr 5 "$folder/run"

[ "$failures" -eq 0 ] || fail "$failures of the twelve"
echo "none of the twelve is there"
