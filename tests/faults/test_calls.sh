#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_calls.sh DTRAIN SHIM STEP [DEPTH]: a call of MPI fails, at every STEP-th place that calls it, once a run: the run ends
# with exit code 7 and one message that names rank, host and call, and no rank waits for ever.
# shellcheck disable=SC2154 # dtrain, folder and code are set in common.sh
. "$(dirname "$0")/common.sh"
shim=$2
step=$3
export DT_MPI_DEPTH=${4:-1}
tried=0

# check RANK NAME: what the last run came to.
check() {
    local words="rank $1 on [^ ]+: $2\\("
    case $2 in # before MPI has told who this rank is
    MPI_Get_version) words='MPI [0-9.]+ is too old' ;;
    MPI_Get_library_version) words='.*(MPI_Get_library_version\(|the library that was loaded is)' ;;
    MPI_Init_thread) words='MPI could not be initialised \(MPI_Init_thread returned' ;;
    MPI_Comm_set_errhandler | MPI_Get_processor_name | MPI_Comm_rank | MPI_Comm_size) words="rank [0-9]+ on [^ ]*: $2\\(" ;;
    esac
    [ "$code" -eq 7 ] || fail "rank $1, $2: exit code $code, not 7: $(cat "$folder/log")"
    [ "$(grep -c 'dtrain: error' "$folder/log")" -eq 1 ] || fail "rank $1, $2: not one message: $(cat "$folder/log")"
    expect "$folder/log" "dtrain: error: $words"
}

for rank in 0 1; do
    for strategy in allreduce hybrid; do
        options=(--data synthetic:80 --width 0.03 --validation 16 --test-limit 8 --max-steps 2 --checkpoint-every none --strategy "$strategy")
        export DT_MPI_RANK=$rank
        rm -f "$folder/places"
        DT_MPI_LIST=$folder/places LD_PRELOAD=$shim run 2 "$folder/log" "${options[@]}" --out "$folder/run"
        [ "$code" -eq 0 ] || fail "undisturbed: $(cat "$folder/log")"
        for ((site = 1; site <= $(wc -l <"$folder/places"); site++)); do
            tried=$((tried + 1))
            [ $((tried % step)) -eq 0 ] || continue
            : >"$folder/struck"
            DT_MPI_LIST=$folder/struck DT_MPI_SITE=$site DT_MPI_DO=fail LD_PRELOAD=$shim run 2 "$folder/log" "${options[@]}" --out "$folder/run"
            # Waits take one way or another: places differ a little from run to run, at the end of the list.
            name=$(sed -n "s/^$site //p" "$folder/struck")
            [ -z "$name" ] && [ "$code" -eq 0 ] || check "$rank" "$name"
        done
    done
done
[ "$tried" -gt 100 ] || fail "only $tried places call MPI"
echo "a failure at every ${step}th of $tried places: a clean end each time"
