# SPDX-License-Identifier: BSD-3-Clause
# What makes a memory error end a program in place of being used: positions that change from start to start, tables that
# are read-only once the program runs, no code on the stack, a guard in front of return addresses, checked copies.
# tests/structure/check_hardening.sh looks for each of them in the built programs.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)

# -fPIE for the static libraries as well, which -fPIC would slow down.
set(shared $<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>)
target_compile_options(dt_options INTERFACE $<$<NOT:${shared}>:-fPIE>)
target_link_options(dt_options INTERFACE $<$<NOT:${shared}>:-pie> -Wl,-z,relro,-z,now,-z,noexecstack)

# A directory that a library came from is looked into at run time too, where it is none of the system's: built and installed
# programs find the same libraries. CMake itself would end the list for the build folder with a ':' so that it can be
# replaced on installation; the loader takes what stands behind it, nothing, for the current folder.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON CACHE BOOL "Look for libraries where they were linked from")
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)

# The sanitizers check more, and do not see through a checked copy.
if(DT_SANITIZE)
  return()
endif()
target_compile_options(dt_options INTERFACE -fstack-protector-strong)
check_c_compiler_flag("-Werror -fstack-clash-protection" DT_COMPILER_HAS_STACK_CLASH)
if(DT_COMPILER_HAS_STACK_CLASH)
  target_compile_options(dt_options INTERFACE -fstack-clash-protection)
endif()

# _FORTIFY_SOURCE works in optimised code only, where it else warns. Level 3 asks for GCC 12 or Clang 9, and glibc 2.34.
# Flags that name it have decided; a compiler that sets a level by itself is overruled.
if(NOT CMAKE_C_FLAGS MATCHES "_FORTIFY_SOURCE")
  set(CMAKE_REQUIRED_FLAGS "-O2 -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
  check_c_source_compiles("#include <string.h>
    int main(int count, char **words) { char copy[8]; memcpy(copy, words[0], (size_t)count); return copy[0]; }"
    DT_COMPILER_HAS_FORTIFY_3)
  unset(CMAKE_REQUIRED_FLAGS)
  set(level 2)
  if(DT_COMPILER_HAS_FORTIFY_3)
    set(level 3)
  endif()
  target_compile_options(dt_options INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=${level}>)
endif()
