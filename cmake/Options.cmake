# SPDX-License-Identifier: BSD-3-Clause
# dt_options: flags that every target of the project is compiled with; linked PRIVATE by each of them.
add_library(dt_options INTERFACE)
target_compile_features(dt_options INTERFACE c_std_11)
target_compile_definitions(dt_options INTERFACE _GNU_SOURCE)
target_compile_options(dt_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -fno-math-errno -fno-trapping-math -fno-omit-frame-pointer)
# Named constants are enumerators, which are of type int in C: Clang 18 and later warn of each product of one with a double.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  target_compile_options(dt_options INTERFACE -Wno-enum-float-conversion)
endif()
# Errors in every build: a library of another version whose types differ would be called, and misunderstood.
target_compile_options(dt_options INTERFACE
  -Werror=incompatible-pointer-types -Werror=implicit-function-declaration -Werror=int-conversion)
target_include_directories(dt_options INTERFACE ${PROJECT_SOURCE_DIR}/include)
if(DT_WERROR)
  target_compile_options(dt_options INTERFACE -Werror)
endif()
if(DT_ASSERTIONS)
  target_compile_options(dt_options INTERFACE -UNDEBUG)
endif()
if(DT_SANITIZE)
  target_compile_options(dt_options INTERFACE -fsanitize=${DT_SANITIZE} -fno-sanitize-recover=undefined)
  target_link_options(dt_options INTERFACE -fsanitize=${DT_SANITIZE})
endif()

# dt_add_folder(NAME SOURCES ... USES ...): the static library of one folder of src/.
# USES lists what the folder may look down on; nothing else is found by its includes.
#
# Threads may have stacks of 256 KB (DT_THREAD_STACK_LEAST). A function takes a sixth of that at most; Winograd's tiles, which
# no other large function stands above, take two thirds. Sanitizers and builds without optimisation need more.
function(dt_add_folder name)
  cmake_parse_arguments(FOLDER "" "" "SOURCES;USES;PRIVATE" ${ARGN})
  add_library(dt_${name} STATIC ${FOLDER_SOURCES})
  target_include_directories(dt_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(dt_${name} PUBLIC ${FOLDER_USES} PRIVATE dt_options ${FOLDER_PRIVATE})
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT DT_SANITIZE)
    set(largest_frame 43690)
    if(name STREQUAL "kernels")
      set(largest_frame 174762)
    endif()
    target_compile_options(dt_${name} PRIVATE -Wframe-larger-than=${largest_frame})
  endif()
endfunction()

# dt_name_leaks(TARGET): for programs that use MPI. With AddressSanitizer it links what lets tests/suppressions/lsan.txt
# name Open MPI's leaks; without, it does nothing.
function(dt_name_leaks target)
  if(DT_SANITIZE MATCHES address)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/suppressions/open_mpi.c)
    set_target_properties(${target} PROPERTIES ENABLE_EXPORTS ON)
  endif()
endfunction()
