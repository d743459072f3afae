#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# check_hardening.sh BUILD_DIR COMPILER SANITIZERS: what cmake/Hardening.cmake promises, read from each built program, and a
# library planted in the current folder, which dtrain must not load.
set -euo pipefail
build=$1
compiler=$2
sanitizers=${3:-}
command -v readelf >/dev/null || {
    echo "skipped: no readelf here"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "$1" >&2
    failures=$((failures + 1))
}

# expect FILE TEXT PATTERN WORDS: a line of the text matches, or the words say what the file lacks.
expect() {
    grep -Eq -- "$3" <<<"$2" || fail "$1: $4"
}

check_program() {
    local text element elements
    text=$(readelf -hldW "$1")
    IFS=: read -ra elements < <(sed -nE 's/.*\((RUNPATH|RPATH)\).*\[(.*)\].*/\2:end/p' <<<"$text") || true
    for element in "${elements[@]:0:${#elements[@]}-1}"; do
        [[ $element == /* ]] || fail "$1: looks for libraries in '$element', a folder that depends on the current one"
    done
    expect "$1" "$text" 'Type: +DYN' "is not position-independent"
    expect "$1" "$text" 'GNU_RELRO' "no table is made read-only"
    expect "$1" "$text" '\(FLAGS_1\).* NOW|\(FLAGS\).*BIND_NOW|\(BIND_NOW\)' "functions are looked up late, their table stays writable"
    expect "$1" "$text" 'GNU_STACK.* RW +0x' "the stack can be executed"
}

# The compiler may leave either out of a small program that gives it no reason, but not out of dtrain.
check_code() {
    local symbols
    symbols=$(readelf --dyn-syms -W "$1")
    expect "$1" "$symbols" '__stack_chk_fail' "no stack protector"
    grep -q '@GLIBC_' <<<"$symbols" || return 0
    expect "$1" "$symbols" '__[a-z]*printf_chk|__[a-z]*cpy_chk' "_FORTIFY_SOURCE has no effect"
}

# A library that dtrain needs, found nowhere but in the current folder, says that it was loaded.
check_current_folder() {
    local library
    echo '#include <unistd.h>
        __attribute__((constructor)) static void speak(void) { _exit(write(1, "PLANTED", 7) == 7 ? 99 : 98); }' >"$work/planted.c"
    "$compiler" -shared -fPIC -o "$work/planted" "$work/planted.c"
    for library in $(readelf -dW "$1" | sed -nE 's/.*\(NEEDED\).*\[(lib(xxhash|jansson|hwloc|hdf5|z)[^]]*)\].*/\1/p'); do
        mv "$work/planted" "$work/$library"
        (cd "$work" && env -u LD_LIBRARY_PATH "$1" --version >said 2>&1) || true
        ! grep -q PLANTED "$work/said" || fail "$1: loads $library from the current folder"
        mv "$work/$library" "$work/planted"
    done
}

while read -r program; do
    check_program "$program"
done < <(find "$build/dtrain" "$build/bench" "$build/tests" -type f -perm -u+x ! -name '*.so*' -exec grep -LI . {} +)
if [ -z "$sanitizers" ]; then
    check_code "$build/dtrain"
    check_current_folder "$build/dtrain"
    cmake --install "$build" --prefix "$work/installed" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
    check_program "$work/installed/bin/dtrain"
    "$work/installed/bin/dtrain" --version >/dev/null || fail "the installed dtrain does not start"
fi

[ "$failures" -eq 0 ] || exit 1
echo "hardening holds"
