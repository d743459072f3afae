#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# check_configure.sh SOURCE_DIR COMPILER: what CMake refuses, what it says about packages that are missing, and which
# version a tree without a repository has. Configures only.
set -euo pipefail
source=$1
compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CFLAGS LDFLAGS

fail() {
    echo "FAILED: $1" >&2
    cat "$work/log" >&2
    exit 1
}

# configure SOURCE OPTION...: into a new folder; its words in one line, as CMake breaks them anywhere.
configure() {
    local tree=$1 code=0
    shift
    rm -rf "$work/build"
    cmake -S "$tree" -B "$work/build" -DDT_BUILD_BENCH=OFF "$@" >"$work/log" 2>&1 || code=$?
    words=$(tr -s '\n ' ' ' <"$work/log")
    return $code
}

says() {
    [[ $words == *"$1"* ]] || fail "not said: $1"
}

refuse_arithmetic() { # flag, place, option...
    ! configure "$source" -DCMAKE_C_COMPILER="$compiler" "${@:3}" || fail "${*:3} was not refused"
    says "$1 in $2 changes what dtrain computes: checks for values that are not finite vanish"
}

for flag in -ffast-math -Ofast -funsafe-math-optimizations -ffinite-math-only -fassociative-math -freciprocal-math; do
    refuse_arithmetic $flag CMAKE_C_FLAGS -DCMAKE_C_FLAGS="-O2 $flag -g"
done
refuse_arithmetic -Ofast CMAKE_C_FLAGS_RELEASE -DCMAKE_C_FLAGS_RELEASE=-Ofast
refuse_arithmetic -ffast-math CMAKE_C_FLAGS_DEBUG -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-ffast-math
refuse_arithmetic -ffast-math CMAKE_EXE_LINKER_FLAGS -DCMAKE_EXE_LINKER_FLAGS=-ffast-math
export CFLAGS=-ffast-math
refuse_arithmetic -ffast-math CMAKE_C_FLAGS
unset CFLAGS
printf '#!/bin/sh\nexec "%s" -ffinite-math-only "$@"\n' "$compiler" >"$work/wrapper"
chmod +x "$work/wrapper"
refuse_arithmetic "An option like -ffast-math" "the settings of the compiler $work/wrapper" -DCMAKE_C_COMPILER="$work/wrapper"

# All packages hidden: each is named, by both names.
mkdir "$work/nothing"
! PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR="$work/nothing" configure "$source" -DCMAKE_C_COMPILER="$compiler" \
    -DPKG_CONFIG_EXECUTABLE="$(command -v pkg-config)" -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON \
    -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON -DRANDOM123_INCLUDE_DIR='' || fail "missing packages were not refused"
for package in "MPI 3.0 or later (Debian: openmpi-bin libopenmpi-dev; Spack: openmpi)" \
    "zlib (Debian: zlib1g-dev; Spack: zlib)" "Random123 (Debian: librandom123-dev; Spack: random123)" \
    "OpenBLAS (Debian: libopenblas-dev; Spack: openblas)" "hwloc 2.0 or later (Debian: libhwloc-dev; Spack: hwloc)" \
    "jansson 2.10 or later (Debian: libjansson-dev; Spack: jansson)" \
    "xxHash 0.8 or later (Debian: libxxhash-dev; Spack: xxhash)" "HDF5 1.10.3 or later (Debian: libhdf5-dev; Spack: hdf5" \
    "(Debian: libcmocka-dev; Spack: cmocka)" \
    "apt-get install openmpi-bin libopenmpi-dev zlib1g-dev" "spack install openmpi zlib"; do
    says "$package"
done
! configure "$source" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON || fail "no pkg-config, and no word"
says "pkg-config, which finds the others (Debian: pkg-config; Spack: pkgconf)"

if git -C "$source" rev-parse HEAD >/dev/null 2>&1; then
    mkdir "$work/tree"
    git -C "$source" archive HEAD | tar -x -C "$work/tree"
    # A distribution's own level of _FORTIFY_SOURCE stays: twice would be a warning, in some builds an error.
    configure "$work/tree" -DCMAKE_C_COMPILER="$compiler" -DDT_BUILD_TESTS=OFF -DCMAKE_C_FLAGS=-Wp,-D_FORTIFY_SOURCE=1 ||
        fail "a tarball does not configure"
    says "dtrain 0.1.0 ($(git -C "$source" rev-parse --short HEAD))"
    ! grep -rq 'U_FORTIFY_SOURCE' "$work/build/src/base" || fail "_FORTIFY_SOURCE is set twice"
    cp "$source/cmake/commit.txt" "$work/tree/cmake/"
    cmake "$work/build" >"$work/log" 2>&1 || fail "a copy does not configure"
    grep -qx -- '-- dtrain 0.1.0' "$work/log" || fail "a copy without a repository has no version"
else
    echo "not tried: a tarball of git archive, because this tree is no repository"
fi
echo "configure holds"
