# SPDX-License-Identifier: BSD-3-Clause
# include/dtrain/version.h carries the version; the commit is read at configure time where git knows it.
execute_process(COMMAND git describe --always --dirty
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE DT_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE
  ERROR_QUIET RESULT_VARIABLE DT_GIT_RESULT)
if(NOT DT_GIT_RESULT EQUAL 0)
  set(DT_COMMIT "unknown")
endif()
