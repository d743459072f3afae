# SPDX-License-Identifier: BSD-3-Clause
# Refuses flags under which the compiler may change what the source computes: a check for values that are not finite is
# then taken for always passed and left out, and sums are put in another order, so that the same run has other bits.
include(CheckCSourceCompiles)
set(unsafe "-Ofast|-ffast-math|-funsafe-math-optimizations|-ffinite-math-only|-fassociative-math|-freciprocal-math"
  "|-fno-signed-zeros|-fno-honor-nans|-fno-honor-infinities|-fapprox-func|-fsingle-precision-constant|-mrecip(=[^ ]*)?"
  "|-ffp-model=(fast|aggressive)|-fp-model[= ]fast(=[0-9])?")
string(CONCAT unsafe ${unsafe})

function(dt_refuse_arithmetic flag place)
  message(FATAL_ERROR
    "${flag} in ${place} changes what dtrain computes: checks for values that are not finite vanish, and sums have other "
    "bits. Configure without it in a new build folder. The kernels choose their instruction set by themselves.")
endfunction()

string(TOUPPER "${CMAKE_BUILD_TYPE};${CMAKE_CONFIGURATION_TYPES}" configurations)
set(places CMAKE_C_COMPILER_ARG1 CMAKE_C_FLAGS CMAKE_EXE_LINKER_FLAGS)
foreach(configuration ${configurations})
  list(APPEND places CMAKE_C_FLAGS_${configuration} CMAKE_EXE_LINKER_FLAGS_${configuration})
endforeach()
foreach(place ${places})
  if(" ${${place}} " MATCHES "[ \"'](${unsafe})[ \"']")
    dt_refuse_arithmetic("${CMAKE_MATCH_1}" ${place})
  endif()
endforeach()

# By whatever way the compiler came to it: a wrapper, its own configuration, the default of some vendors.
check_c_source_compiles("
  #if defined __FAST_MATH__ || (defined __FINITE_MATH_ONLY__ && __FINITE_MATH_ONLY__)
  #error this compiler takes every value for finite
  #endif
  int main(void) { return 0; }" DT_COMPILER_KEEPS_ARITHMETIC)
if(NOT DT_COMPILER_KEEPS_ARITHMETIC)
  unset(DT_COMPILER_KEEPS_ARITHMETIC CACHE)
  dt_refuse_arithmetic("An option like -ffast-math" "the settings of the compiler ${CMAKE_C_COMPILER}")
endif()
