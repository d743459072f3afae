#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# check_structure.sh SOURCE_DIR COMPILER: the rules of docs/architecture.md that a text search can hold.
set -euo pipefail
cd "$1"
compiler=$2
failures=0

fail() {
    echo "$1" >&2
    failures=$((failures + 1))
}

# What each folder may include beside itself.
declare -A below=(
    [base]=""
    [data]="base"
    [kernels]="base"
    [model]="kernels base"
    [comm]="base"
    [parallel]="model kernels comm base"
    [io]="model kernels base"
    [train]="parallel data io model kernels comm base"
    [report]="base"
    [cli]="report train parallel data io model kernels comm base"
)

# The folder that a public header belongs to: where its name is a source file, or the folder itself bears the name.
owner_of() {
    local name=$1 source
    if [ -d "src/$name" ]; then
        echo "$name"
        return
    fi
    source=$(find src -name "$name.c" -o -name "${name}_*.c" -path "src/$name/*" | sort | head -n 1)
    source=${source#src/}
    echo "${source%%/*}"
}

allowed() { # folder, folder of the included file
    [ "$1" = "$2" ] || [[ " ${below[$1]} " == *" $2 "* ]]
}

for folder in "${!below[@]}"; do
    while IFS=: read -r file line; do
        header=$(sed -E 's/.*"([^"]*)".*/\1/' <<<"$line")
        case $header in
        dtrain/*) owner=$(owner_of "$(basename "$header" .h)") ;;
        */*) owner=${header%%/*} ;;
        *) owner="" ;;
        esac
        if [ -z "$owner" ]; then
            fail "$file: $header belongs to no folder of src/"
        elif ! allowed "$folder" "$owner"; then
            fail "$file: includes $header of $owner, which $folder must not see"
        fi
    done < <(grep -rEo '^#include "[^"]*"' "src/$folder" --include='*.[ch]')
done

# One file knows MPI, one OpenMP, one folder HDF5; intrinsics stand only in files named for their instruction set.
only_in() { # pattern, what may have it, why
    local files
    files=$(grep -rlE "$1" src include bench --include='*.[ch]' | grep -vE "$2" || true)
    [ -z "$files" ] || fail "$3: $files"
}
only_in '#include *[<"]mpi\.h' '^src/comm/comm_mpi\.c$' "mpi.h outside src/comm/comm_mpi.c"
only_in '#include *<omp\.h|#pragma omp' '^src/base/team\.c$' "OpenMP outside src/base/team.c"
only_in '#include *<hdf5' '^src/io/' "HDF5 outside src/io"
only_in '#include *<(immintrin|x86intrin|arm_neon)\.h' '^src/kernels/.*(avx|amx|neon|sse)' "intrinsics outside files named for them"
only_in '#include *<(cblas|openblas.*)\.h' '^src/kernels/' "BLAS outside src/kernels"
only_in 'pthread_create *\(' '^src/base/thread\.c$' "a thread without a stack of its own size, outside src/base/thread.c"
only_in 'dt_thread_start *\(' '^(src/base/(thread|team)\.c|src/(train/signals|comm/guard)\.[ch]|include/dtrain/thread\.h)$' "a thread without dt_signals_start_thread, which sets its locale"
only_in 'setlocale *\(|uselocale *\(' '^src/base/locale\.c$' "a locale set outside src/base/locale.c"
only_in '#include *<hwloc' '^src/base/topology\.c$' "hwloc outside src/base/topology.c"

# A public header compiles alone.
for header in include/dtrain/*.h; do
    echo "#include \"${header#include/}\"" | "$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -x c -fsyntax-only - ||
        fail "$header does not compile alone"
done

# No function longer than 80 lines.
while read -r place; do
    fail "$place"
done < <(git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' 2>/dev/null | xargs -r awk '
    FNR == 1 || /^}/ { if (start && FNR - start > 80) print FILENAME ":" start ": a function of " FNR - start " lines"; start = 0 }
    /^[a-zA-Z]/ && /\(/ && !/=/ && !/;$/ && !start { start = FNR }')

[ "$failures" -eq 0 ] || exit 1
echo "structure holds"
