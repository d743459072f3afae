#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_spaces.sh DTRAIN SHIM: ranks that cannot see one another in /proc, as in containers with user or process name spaces
# of their own, share memory all the same; ranks that cannot share any hold copies. The same bits in every case.
# shellcheck disable=SC2154 # dtrain, folder and code are set in common.sh
. "$(dirname "$0")/common.sh"
shim=$2

# spaced LOG LAUNCHER_OPTION... -- WRAPPER...: a run of two ranks, each started by the wrapper.
spaced() {
    local log=$1 launcher_options=()
    shift
    while [ "$1" != -- ]; do
        launcher_options+=("$1")
        shift
    done
    shift
    rm -rf "$folder/run"
    code=0
    timeout 120 mpirun --oversubscribe --bind-to none "${launcher_options[@]}" -np 2 "$@" "$dtrain" "${small[@]}" --epochs 1 \
        --strategy sharded --out "$folder/run" >"$log" 2>&1 </dev/null || code=$?
    [ "$code" -eq 0 ] || fail "$*: exit code $code: $(cat "$log")"
}

run 2 "$folder/log" --epochs 1 --strategy sharded --out "$folder/whole"
expected=$(result "$folder/whole")

# same WHAT: as if nothing had been in the way, and whether memory was shared.
same() {
    [ "$(result "$folder/run")" = "$expected" ] || fail "$1: other results: $(result "$folder/run")"
}

# 1. No memory file, the first that a rank asks for: its machine's ranks work on copies.
LD_PRELOAD=$shim DT_FAULT_CALL=memfd_create DT_FAULT_AT=1 DT_FAULT_ERROR=38 spaced "$folder/log" --
same "copies"
expect "$folder/log" 'dtrain: warning: ranks of a machine cannot share memory here, so that each holds its own copies: .*memfd_create'

# 2. Name spaces. Open MPI 4's shared-memory transport does not survive process numbers that come twice.
if unshare -U -r true 2>/dev/null; then
    spaced "$folder/log" -- unshare -U -r
    same "user name spaces"
    ! grep -q 'copies' "$folder/log" || fail "user name spaces: no memory is shared: $(cat "$folder/log")"
else
    echo "skipped: user name spaces, which are not allowed here"
fi
if unshare -p -f --mount-proc true 2>/dev/null; then
    spaced "$folder/log" --mca btl '^vader' -- unshare -p -f --mount-proc
    same "process name spaces"
    ! grep -q 'copies' "$folder/log" || fail "process name spaces: no memory is shared: $(cat "$folder/log")"
else
    echo "skipped: process name spaces, which are not allowed here"
fi
echo "the same bits in all name spaces"
