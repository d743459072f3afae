#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_libraries.sh DTRAIN MPIEXEC SHIM: a library that does not fit its headers is found before anything is read or written,
# with both versions; info tells both.
set -euo pipefail
dtrain=$1 mpiexec=$2 shim=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "FAILED: $*: $(cat "$folder/log")" >&2
    exit 1
}

for library in HDF5 zlib jansson hwloc; do
    for command in "--data synthetic:100 --validation 10 --out $folder/run" "eval $folder/run" "inspect $folder/run" \
        "export $folder/run $folder/out.h5"; do
        code=0
        # shellcheck disable=SC2086 # words of a command
        DT_OTHER_LIBRARY=$library LD_PRELOAD=$shim "$dtrain" $command >"$folder/log" 2>&1 || code=$?
        [ "$code" -eq 7 ] || fail "$library, $command: exit code $code, not 7"
        grep -Eq "^dtrain: error: $library: dtrain was built with the headers of version [0-9.]+, but the library that was loaded is [0-9.]+, and the two do not fit. Build dtrain again" "$folder/log" ||
            fail "$library, $command"
        [ "$(wc -l <"$folder/log")" -eq 1 ] || fail "$library, $command: more than one line"
        [ ! -e "$folder/run" ] || fail "$library, $command made a folder"
    done
done

code=0
DT_OTHER_LIBRARY=HDF5 LD_PRELOAD=$shim "$mpiexec" -np 2 "$dtrain" --data synthetic:100 --validation 10 --out "$folder/run" \
    >"$folder/log" 2>&1 </dev/null || code=$?
[ "$code" -eq 7 ] || fail "two ranks: exit code $code, not 7"
[ "$(grep -c "^dtrain: error: rank 0 .*HDF5: dtrain was built with" "$folder/log")" -eq 1 ] || fail "two ranks: not one message"

DT_OTHER_LIBRARY=HDF5 LD_PRELOAD=$shim "$dtrain" info --data synthetic:100 >"$folder/log" 2>&1 || fail "info"
grep -Eq "HDF5 +1\.99\.[0-9]+ loaded, [0-9.]+ at build: these do not fit" "$folder/log" || fail "info has not both versions of HDF5"
"$dtrain" info --data synthetic:100 >"$folder/log" 2>&1 || fail "info"
for library in "Open MPI|MPICH|MPI" HDF5 zlib hwloc xxHash jansson; do
    grep -Eq "($library) +[0-9][0-9.]+[^ ]* loaded, [0-9][0-9.]+[^ ]* at build$" "$folder/log" || fail "info has not both versions of $library"
done
echo "each library that does not fit was named"
