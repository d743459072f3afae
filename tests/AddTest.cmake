# SPDX-License-Identifier: BSD-3-Clause
# How a test is declared. Sanitizer findings inside Open MPI and its helpers are suppressed by name in tests/suppressions.
# ThreadSanitizer sees no lock that a library takes which was built without it: what such a library does by itself is left out.
# Tests start ranks by DT_MPIRUN, which also is what they find as mpirun: one place knows what launchers are told.
set(DT_MPIRUN ${CMAKE_CURRENT_SOURCE_DIR}/launcher/mpirun)
execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE DT_MPIEXEC_VERSION ERROR_QUIET)
set(DT_MPIEXEC_KIND openmpi)
if(DT_MPIEXEC_VERSION MATCHES "HYDRA")
  set(DT_MPIEXEC_KIND hydra)
endif()
set(DT_TEST_PATH "PATH=path_list_prepend:${CMAKE_CURRENT_SOURCE_DIR}/launcher")

set(DT_TEST_ENVIRONMENT
  "DT_MPIEXEC=${MPIEXEC_EXECUTABLE}"
  "DT_MPIEXEC_KIND=${DT_MPIEXEC_KIND}"
  "LSAN_OPTIONS=suppressions=${CMAKE_CURRENT_SOURCE_DIR}/suppressions/lsan.txt:print_suppressions=0"
  "UBSAN_OPTIONS=print_stacktrace=1"
  "ASAN_OPTIONS=detect_leaks=1:verify_asan_link_order=0" # the libraries that tests preload are plain C in any build
  "TSAN_OPTIONS=ignore_noninstrumented_modules=1:second_deadlock_stack=1"
  "OMPI_ALLOW_RUN_AS_ROOT=1"
  "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
  "OMPI_MCA_rmaps_base_oversubscribe=1"
  "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe" # the same for Open MPI 5
  "OMPI_MCA_mpi_yield_when_idle=1"
  "DT_TEST_SOURCE_DIR=${PROJECT_SOURCE_DIR}")

# dt_add_test(LABEL NAME SOURCES file... [USES target...] [RANKS n...] [TIMEOUT seconds] [ARGUMENTS text...])
# A cmocka program LABEL.NAME; with RANKS it is run under mpirun once for each number, as LABEL.NAME.npN.
function(dt_add_test label name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;USES;RANKS;ARGUMENTS" ${ARGN})
  set(target test_${label}_${name})
  add_executable(${target} ${TEST_SOURCES})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} PRIVATE ${TEST_USES} dt_options PkgConfig::CMOCKA m)
  if(TEST_RANKS)
    dt_name_leaks(${target})
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(NOT TEST_RANKS)
    add_test(NAME ${label}.${name} COMMAND ${target} ${TEST_ARGUMENTS})
    set_tests_properties(${label}.${name} PROPERTIES
      LABELS ${label} TIMEOUT ${TEST_TIMEOUT} ENVIRONMENT "${DT_TEST_ENVIRONMENT}" ENVIRONMENT_MODIFICATION ${DT_TEST_PATH})
  endif()
  foreach(ranks ${TEST_RANKS})
    add_test(NAME ${label}.${name}.np${ranks} COMMAND
      ${DT_MPIRUN} -np ${ranks} --bind-to none $<TARGET_FILE:${target}> ${TEST_ARGUMENTS})
    set_tests_properties(${label}.${name}.np${ranks} PROPERTIES
      LABELS ${label} TIMEOUT ${TEST_TIMEOUT} PROCESSORS ${ranks} ENVIRONMENT "${DT_TEST_ENVIRONMENT}" ENVIRONMENT_MODIFICATION ${DT_TEST_PATH})
  endforeach()
endfunction()

# dt_add_script_test(LABEL NAME SCRIPT [TIMEOUT seconds] [PROCESSORS n] [ARGUMENTS text...]): a shell script that exits 0; or
# with 77, when it cannot be tried here, and says why.
function(dt_add_script_test label name script)
  cmake_parse_arguments(TEST "" "TIMEOUT;PROCESSORS" "ARGUMENTS" ${ARGN})
  add_test(NAME ${label}.${name} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${TEST_ARGUMENTS})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(NOT TEST_PROCESSORS)
    set(TEST_PROCESSORS 1)
  endif()
  set_tests_properties(${label}.${name} PROPERTIES
    LABELS ${label} TIMEOUT ${TEST_TIMEOUT} PROCESSORS ${TEST_PROCESSORS} SKIP_RETURN_CODE 77 ENVIRONMENT "${DT_TEST_ENVIRONMENT}" ENVIRONMENT_MODIFICATION ${DT_TEST_PATH})
endfunction()
