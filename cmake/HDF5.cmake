# SPDX-License-Identifier: BSD-3-Clause
# dt_hdf5: the HDF5 that src/io links. A serial build is taken wherever one is found: by pkg-config, or by find_package(HDF5),
# which knows h5cc, HDF5's own CMake files and HDF5_ROOT. Else a parallel build for the MPI of this build is taken: its
# headers include mpi.h, so that it brings MPI's include folders along.
include(CheckCSourceCompiles)
set(DT_HDF5_LEAST 1.10.3)

# The MPI libraries, as the dynamic linker names them, that these files are or need.
function(dt_list_mpi output)
  set(names "")
  foreach(library ${ARGN})
    if(EXISTS ${library})
      execute_process(COMMAND ${CMAKE_READELF} -d ${library} OUTPUT_VARIABLE text ERROR_QUIET)
      string(REGEX MATCHALL "libmpi(ch)?\\.so[.0-9]*" found "${text}")
      list(APPEND names ${found})
    endif()
  endforeach()
  set(${output} "${names}" PARENT_SCOPE)
endfunction()

# dt_probe_hdf5(RESULT CONDITION TARGET...): whether a program with hdf5.h can be made with the targets, and the condition of
# the preprocessor holds. What fails is tried again when CMake runs again.
function(dt_probe_hdf5 result condition)
  set(CMAKE_REQUIRED_LIBRARIES ${ARGN})
  set(CMAKE_REQUIRED_QUIET ON)
  string(MAKE_C_IDENTIFIER "DT_HDF5_PROBE_${condition}_${ARGN}" variable)
  check_c_source_compiles("
    #include <hdf5.h>
    #if !(${condition})
    #error another HDF5 is wanted
    #endif
    int main(void) { return H5open(); }" ${variable})
  set(${result} "${${variable}}" PARENT_SCOPE)
  if(NOT ${variable})
    unset(${variable} CACHE)
  endif()
endfunction()

# dt_judge_hdf5(REASON KIND TARGET FILES...): why this HDF5 cannot be taken as "serial" or "parallel"; empty when it can.
function(dt_judge_hdf5 reason kind target)
  string(REPLACE "." ", " condition "H5_VERSION_GE(${DT_HDF5_LEAST})")
  set(mpi "")
  set(other "")
  if(kind STREQUAL "serial")
    string(APPEND condition " && !defined H5_HAVE_PARALLEL")
  else()
    set(mpi MPI::MPI_C)
    dt_list_mpi(other ${ARGN})
    dt_list_mpi(ours ${MPI_C_LIBRARIES})
    list(REMOVE_ITEM other "" ${ours})
    list(REMOVE_DUPLICATES other)
    list(REMOVE_DUPLICATES ours)
  endif()
  dt_probe_hdf5(usable "${condition}" ${target} ${mpi})
  set(why "")
  if(other)
    set(why "it is parallel and needs ${other}, while the MPI of this build is ${ours}")
  elseif(NOT usable)
    set(why "it is older than ${DT_HDF5_LEAST}, or no program with hdf5.h can be made with it")
  endif()
  set(${reason} "${why}" PARENT_SCOPE)
endfunction()

# dt_take_hdf5(KIND WAY TARGET FILES...): makes dt_hdf5 of the target, unless there is one already or it is of another kind.
function(dt_take_hdf5 kind way target)
  if(TARGET dt_hdf5 OR NOT TARGET ${target} OR NOT TARGET MPI::MPI_C)
    return()
  endif()
  get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
  foreach(folder ${folders})
    if(IS_ABSOLUTE "${folder}" AND NOT EXISTS "${folder}") # of a package that is gone
      return()
    endif()
  endforeach()
  dt_judge_hdf5(reason ${kind} ${target} ${ARGN})
  if(NOT reason)
    add_library(dt_hdf5 INTERFACE)
    target_link_libraries(dt_hdf5 INTERFACE ${target})
    if(kind STREQUAL "parallel")
      target_link_libraries(dt_hdf5 INTERFACE MPI::MPI_C)
    endif()
    message(STATUS "HDF5: ${kind}, found by ${way}")
  elseif(kind STREQUAL "parallel")
    set_property(GLOBAL APPEND_STRING PROPERTY DT_HDF5_REFUSED "  HDF5 found by ${way}: ${reason}.\n")
  endif()
endfunction()

# One that pkg-config knows.
function(dt_try_hdf5_module kind module)
  string(MAKE_C_IDENTIFIER "DT_${module}" prefix)
  if(NOT TARGET dt_hdf5)
    pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${module})
    dt_take_hdf5(${kind} "pkg-config ${module}" PkgConfig::${prefix} ${${prefix}_LINK_LIBRARIES})
  endif()
endfunction()

# One that find_package knows.
function(dt_try_hdf5_package kind)
  if(TARGET dt_hdf5)
    return()
  endif()
  if(NOT TARGET dt_hdf5_package)
    find_package(HDF5 QUIET COMPONENTS C)
    if(NOT HDF5_FOUND)
      return()
    endif()
    add_library(dt_hdf5_package INTERFACE IMPORTED) # imported: others are unknown to probes
    target_include_directories(dt_hdf5_package INTERFACE ${HDF5_C_INCLUDE_DIRS})
    target_link_libraries(dt_hdf5_package INTERFACE ${HDF5_C_LIBRARIES})
    set_property(TARGET dt_hdf5_package PROPERTY DT_FILES ${HDF5_C_LIBRARIES})
  endif()
  get_target_property(files dt_hdf5_package DT_FILES)
  dt_take_hdf5(${kind} "find_package(HDF5)" dt_hdf5_package ${files})
endfunction()

# A folder that the user names comes first, a parallel build last.
if(HDF5_ROOT OR HDF5_DIR OR DEFINED ENV{HDF5_ROOT} OR DEFINED ENV{HDF5_DIR})
  dt_try_hdf5_package(serial)
  dt_try_hdf5_package(parallel)
endif()
dt_try_hdf5_module(serial hdf5-serial)
dt_try_hdf5_module(serial hdf5)
dt_try_hdf5_package(serial)
foreach(module hdf5 hdf5-openmpi hdf5-mpich)
  dt_try_hdf5_module(parallel ${module})
endforeach()
dt_try_hdf5_package(parallel)

# DT_HDF5_FOUND for the list of what is missing; the property DT_HDF5_REFUSED says why none of those found will do.
set(DT_HDF5_FOUND FALSE)
if(TARGET dt_hdf5)
  set(DT_HDF5_FOUND TRUE)
endif()
