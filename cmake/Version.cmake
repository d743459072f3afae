# SPDX-License-Identifier: BSD-3-Clause
# DT_VERSION_TEXT: "dtrain 0.1.0 (COMMIT)", with what git calls the commit. In a tarball of git archive the commit stands in
# commit.txt; in a plain copy of the files it is left out. Read when CMake configures, which a new commit triggers. The
# ceiling keeps git from answering for a repository that merely contains this folder.
cmake_path(GET PROJECT_SOURCE_DIR PARENT_PATH DT_GIT_CEILING)
function(dt_run_git output)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env GIT_CEILING_DIRECTORIES=${DT_GIT_CEILING} git ${ARGN}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    OUTPUT_VARIABLE text OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(text "")
  endif()
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

dt_run_git(DT_COMMIT describe --always --dirty)
if(NOT DT_COMMIT)
  file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/commit.txt DT_COMMIT LIMIT_COUNT 1)
endif()
set(DT_VERSION_TEXT "${PROJECT_NAME} ${PROJECT_VERSION}")
if(NOT DT_COMMIT MATCHES "Format:")
  string(APPEND DT_VERSION_TEXT " (${DT_COMMIT})")
endif()
message(STATUS "${DT_VERSION_TEXT}")
dt_run_git(DT_GIT_LOG rev-parse --git-path logs/HEAD)
if(DT_GIT_LOG)
  cmake_path(ABSOLUTE_PATH DT_GIT_LOG BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
endif()
if(DT_GIT_LOG AND EXISTS ${DT_GIT_LOG})
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${DT_GIT_LOG})
endif()
