# SPDX-License-Identifier: BSD-3-Clause
# DT_COMMIT: what git calls the commit, "unknown" outside of a clone. Read when CMake configures, which a new commit
# triggers. The ceiling keeps git from answering for a repository that merely contains this folder.
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
  set(DT_COMMIT "unknown")
endif()
dt_run_git(DT_GIT_LOG rev-parse --git-path logs/HEAD)
if(DT_GIT_LOG)
  cmake_path(ABSOLUTE_PATH DT_GIT_LOG BASE_DIRECTORY ${PROJECT_SOURCE_DIR})
endif()
if(DT_GIT_LOG AND EXISTS ${DT_GIT_LOG})
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${DT_GIT_LOG})
endif()
