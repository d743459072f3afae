# SPDX-License-Identifier: BSD-3-Clause
# What the project stands on. Each target below is linked by the one folder that owns it (docs/architecture.md).
# tools/prepare installs the Debian packages that are named here.

# dt_need(FOUND NAME DEBIAN package... SPACK package...): notes how to install what was looked for, if it was not found.
function(dt_need found name)
  cmake_parse_arguments(NEED "" "" "DEBIAN;SPACK" ${ARGN})
  if(NOT ${found})
    list(JOIN NEED_DEBIAN " " debian)
    set_property(GLOBAL APPEND_STRING PROPERTY DT_MISSING "\n  ${name}  (Debian: ${debian}; Spack: ${NEED_SPACK})")
    set_property(GLOBAL APPEND_STRING PROPERTY DT_MISSING_DEBIAN " ${debian}")
    set_property(GLOBAL APPEND_STRING PROPERTY DT_MISSING_SPACK " ${NEED_SPACK}")
  endif()
endfunction()

set(CMAKE_THREAD_PREFER_PTHREAD ON)
find_package(Threads)
dt_need(Threads_FOUND "POSIX threads" DEBIAN libc6-dev SPACK glibc)
find_package(MPI 3.0 COMPONENTS C)
dt_need(MPI_C_FOUND "MPI 3.0 or later" DEBIAN openmpi-bin libopenmpi-dev SPACK openmpi)
find_package(OpenMP COMPONENTS C)
set(DT_OPENMP_PACKAGES DEBIAN gcc SPACK gcc)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  set(DT_OPENMP_PACKAGES DEBIAN libomp-dev SPACK llvm-openmp)
endif()
dt_need(OpenMP_C_FOUND "OpenMP for ${CMAKE_C_COMPILER}" ${DT_OPENMP_PACKAGES})
find_package(ZLIB)
dt_need(ZLIB_FOUND "zlib" DEBIAN zlib1g-dev SPACK zlib)
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h)
dt_need(RANDOM123_INCLUDE_DIR "Random123" DEBIAN librandom123-dev SPACK random123)

find_package(PkgConfig)
dt_need(PKG_CONFIG_FOUND "pkg-config, which finds the others" DEBIAN pkg-config SPACK pkgconf)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(OPENBLAS IMPORTED_TARGET openblas)
  dt_need(OPENBLAS_FOUND "OpenBLAS" DEBIAN libopenblas-dev SPACK openblas)
  pkg_check_modules(HWLOC IMPORTED_TARGET hwloc>=2.0)
  dt_need(HWLOC_FOUND "hwloc 2.0 or later" DEBIAN libhwloc-dev SPACK hwloc)
  pkg_check_modules(JANSSON IMPORTED_TARGET jansson>=2.10)
  dt_need(JANSSON_FOUND "jansson 2.10 or later" DEBIAN libjansson-dev SPACK jansson)
  pkg_check_modules(XXHASH IMPORTED_TARGET libxxhash>=0.8)
  dt_need(XXHASH_FOUND "xxHash 0.8 or later" DEBIAN libxxhash-dev SPACK xxhash)
  pkg_search_module(HDF5 IMPORTED_TARGET hdf5-serial hdf5)
  dt_need(HDF5_FOUND "HDF5" DEBIAN libhdf5-dev SPACK hdf5~mpi)
  if(DT_BUILD_TESTS)
    pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
    dt_need(CMOCKA_FOUND "cmocka, for the tests (or -DDT_BUILD_TESTS=OFF)" DEBIAN libcmocka-dev SPACK cmocka)
  endif()
endif()

get_property(missing GLOBAL PROPERTY DT_MISSING)
if(missing)
  get_property(debian GLOBAL PROPERTY DT_MISSING_DEBIAN)
  get_property(spack GLOBAL PROPERTY DT_MISSING_SPACK)
  message(FATAL_ERROR "These were not found, or are too old:\n${missing}\n\n"
    "Debian, Ubuntu:\n  apt-get install${debian}\n"
    "Spack:\n  spack install${spack}\n  spack load${spack}\n"
    "What stands elsewhere is found with -DCMAKE_PREFIX_PATH=FOLDER and PKG_CONFIG_PATH.")
endif()
