#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_save.sh CASE SHIM: a save is ended, or fails, at each of its system calls in turn. Whatever happens, the folder has
# a newest checkpoint that is whole and holds one step's exact values, `last` and `best` mean whole files, the message
# names the path, and the next save succeeds and leaves nothing behind.
set -euo pipefail
case=$1 shim=$2
width=0.03
# In memory where that can be: hundreds of saves, each flushed, and what a call means is the same.
work=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
# The shim stands in front of the sanitizers' own library, which objects to that.
preload_options=${ASAN_OPTIONS:-}:verify_asan_link_order=0

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# A folder with the steps 1 and 2.
"$case" save "$work" 1 $width
mkdir "$work/base"
"$case" save "$work/base" 1 $width >/dev/null
"$case" save "$work/base" 2 $width >/dev/null

# Saves step 3 with a fault; settings are variables of the shim. Sets code.
save_with_fault() {
    rm -rf "$work/run"
    cp -a "$work/base" "$work/run"
    code=0
    env "$@" DT_FAULT_FOLDER="$work/run" DT_FAULT_COUNT="$work/count" LD_PRELOAD="$shim" ASAN_OPTIONS="$preload_options" \
        "$case" save "$work/run" 3 $width >"$work/out" 2>"$work/err" || code=$?
}

check_folder() { # what, the steps that the newest may be
    local step
    step=$("$case" newest "$work/run" $width 2>"$work/err2") || fail "$1: no newest: $(cat "$work/err2")"
    [[ " $2 " == *" $step "* ]] || fail "$1: the newest is step $step, not one of $2"
    "$case" file "$work/run/last.weights.h5" $width >/dev/null || fail "$1: last is not whole"
    [ "$("$case" file "$work/run/best.weights.h5" $width)" = 2 ] || fail "$1: best is not whole, or not step 2"
}

check_next_save() {
    "$case" save "$work/run" 4 $width >"$work/out" || fail "$1: the next save: $(cat "$work/out")"
    [ "$("$case" newest "$work/run" $width)" = 4 ] || fail "$1: the next save is not the newest"
    [ "$("$case" file "$work/run/best.weights.h5" $width)" = 4 ] || fail "$1: the next save is not the best"
    [ "$(find "$work/run" -type f -name '*.partial-*' | wc -l)" -eq 0 ] || fail "$1: something is left behind"
    [ "$(find "$work/run" -name 'step-*' | wc -l)" -eq 2 ] || fail "$1: not two checkpoints are kept"
}

# The number of calls, without a fault.
save_with_fault DT_FAULT_AT=0
[ "$code" -eq 0 ] || fail "without a fault: exit code $code: $(cat "$work/err")"
check_folder "without a fault" 3
calls=$(cat "$work/count")
[ "$calls" -ge 20 ] || fail "only $calls calls are seen: the shim does not see the save"

# 1. The process ends in place of a call, or in the middle of a write.
for half in 0 1; do
    ended=0
    for ((at = 1; at <= calls; at++)); do
        if [ $half -eq 1 ]; then
            save_with_fault DT_FAULT_AT=$at DT_FAULT_CALL=writev DT_FAULT_HALF=1
        else
            save_with_fault DT_FAULT_AT=$at
        fi
        [ "$code" -eq 99 ] || break
        ended=$((ended + 1))
        check_folder "ended at call $at (half: $half)" "2 3"
        check_next_save "ended at call $at (half: $half)"
    done
    [ $half -eq 1 ] || [ $ended -eq "$calls" ] || fail "ended at $ended of $calls calls"
    [ $ended -ge 2 ] || fail "ended in the middle of $ended writes"
    echo "ended at each of $ended calls (half: $half)"
done

# 2. A call fails: with an error of the disk, or because it is full. Nobody crashes (codes above 128).
for error in 5 28; do
    for ((at = 1; at <= calls; at++)); do
        save_with_fault DT_FAULT_AT=$at DT_FAULT_ERROR=$error
        [ "$code" -eq 0 ] || [ "$code" -eq 4 ] || fail "error $error at call $at: exit code $code: $(cat "$work/err")"
        if [ "$code" -eq 4 ]; then
            grep -q "^not saved: $work/run/.*: " "$work/out" || fail "error $error at call $at: $(cat "$work/out")"
        fi
        check_folder "error $error at call $at" "2 3"
    done
    echo "error $error at each of $calls calls"
done

# 3. A disk that fills up in the middle, where the file system could not promise room.
for ((at = 1; at <= 6; at++)); do
    save_with_fault DT_FAULT_AT=$at DT_FAULT_CALL=writev DT_FAULT_HALF=1 DT_FAULT_ERROR=28
    [ "$code" -eq 4 ] || break
    grep -q "step-00000003.weights.h5: cannot be written: No space left on device" "$work/out" || fail "$(cat "$work/out")"
    [ "$(find "$work/run" -type f -name '*.partial-*' | wc -l)" -eq 0 ] || fail "a full disk: something is left behind"
    check_folder "full at write $at" 2
done
[ "$at" -gt 2 ] || fail "only $((at - 1)) writes are seen"

# 4. What comes back from the disk is not what was written: the shim cannot change bytes, so the reading fails.
save_with_fault DT_FAULT_AT=1 DT_FAULT_CALL=pread DT_FAULT_ERROR=5
grep -q "what was written cannot be read back: at byte 0 Input/output error" "$work/out" || fail "$(cat "$work/out")"
check_folder "not readable" 2
echo "every save ended or failed as it should"
