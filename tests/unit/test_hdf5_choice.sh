#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_hdf5_choice.sh CMAKE COMPILER READELF: which HDF5 cmake/HDF5.cmake takes. HDF5 is played by a header and an empty library.
set -euo pipefail
cmake=$1 compiler=$2 readelf=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# make_hdf5 MODULE VERSION [MPI]: parallel and in need of this MPI library, or serial.
make_hdf5() {
    local place=$folder/$1 version=${2//./, } mpi=${3:-}
    mkdir -p "$place" "$folder/pkgconfig"
    {
        [ -z "$mpi" ] || printf '#include <mpi.h>\n#define H5_HAVE_PARALLEL 1\n'
        echo "#define DT_IS(a, b, c) (H5_IS(a, b, c, $version))"
        echo '#define H5_IS(a, b, c, d, e, f) (d * 10000 + e * 100 + f >= a * 10000 + b * 100 + c)'
        echo '#define H5_VERSION_GE(a, b, c) DT_IS(a, b, c)'
        echo 'int H5open(void);'
    } >"$place/hdf5.h"
    echo 'int H5open(void);' >"$place/hdf5.c"
    echo 'int H5open(void) { return 0; }' >>"$place/hdf5.c"
    if [ -n "$mpi" ]; then
        "$compiler" -shared -fPIC -x c /dev/null -o "$place/libmpi.so" -Wl,-soname,"$mpi"
        "$compiler" -shared -fPIC "$place/hdf5.c" -o "$place/libhdf5.so" -Wl,--no-as-needed "$place/libmpi.so"
    else
        "$compiler" -shared -fPIC "$place/hdf5.c" -o "$place/libhdf5.so"
    fi
    printf 'Name: HDF5\nDescription: played\nVersion: %s\nCflags: -I%s\nLibs: -L%s -lhdf5\n' "$2" "$place" "$place" \
        >"$folder/pkgconfig/$1.pc"
}

cat >"$folder/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.22)
project(choice LANGUAGES C)
find_package(MPI REQUIRED COMPONENTS C)
find_package(PkgConfig REQUIRED)
list(JOIN MPI_C_LIBRARIES " " libraries)
message(STATUS "libraries of MPI: \${libraries}")
include($DT_TEST_SOURCE_DIR/cmake/HDF5.cmake)
if(NOT DT_HDF5_FOUND)
  get_property(refused GLOBAL PROPERTY DT_HDF5_REFUSED)
  message(FATAL_ERROR "HDF5 \${DT_HDF5_LEAST} is missing. \${refused}")
endif()
EOF

# configure CODE TEXT: with nothing but the played ones in sight.
configure() {
    local code=0
    PKG_CONFIG_LIBDIR=$folder/pkgconfig PKG_CONFIG_PATH='' "$cmake" -S "$folder" -B "$folder/build" \
        -DCMAKE_C_COMPILER="$compiler" -DCMAKE_DISABLE_FIND_PACKAGE_HDF5=ON >"$folder/log" 2>&1 || code=$?
    [ "$code" -eq "$1" ] && tr -s ' \n' ' ' <"$folder/log" | grep -qF -- "$2" ||
        fail "exit code $code, or '$2' is not in: $(cat "$folder/log")"
}

configure 1 "HDF5 1.10.3 is missing."
make_hdf5 hdf5 1.14.5 libmpi.so.99
configure 1 "pkg-config hdf5: it is parallel and needs libmpi.so.99, while the MPI of this build is lib"
read -ra libraries <<<"$(sed -n 's/^-- libraries of MPI: //p' "$folder/log")"
ours=$("$readelf" -d "${libraries[0]}" | sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p')
make_hdf5 hdf5-openmpi 1.14.5 "$ours"
configure 0 "HDF5: parallel, found by pkg-config hdf5-openmpi"
make_hdf5 hdf5-serial 1.10.2
configure 0 "HDF5: parallel, found by pkg-config hdf5-openmpi"
make_hdf5 hdf5-serial 2.0.0
configure 0 "HDF5: serial, found by pkg-config hdf5-serial"
echo "5 choices of HDF5 are as they should be"
