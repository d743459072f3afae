/* SPDX-License-Identifier: BSD-3-Clause */
/* The program's version; the build passes the definitions to this file alone. */
#include "dtrain/version.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

#ifdef NDEBUG
#define ASSERTIONS ""
#else
#define ASSERTIONS ", assertions"
#endif

const char *dt_version_text(void) {
    return DT_VERSION_TEXT;
}

const char *dt_version_compiler(void) {
    return COMPILER;
}

const char *dt_version_arithmetic(void) {
    return COMPILER " " DT_ARITHMETIC;
}

const char *dt_version_build(void) {
    return DT_BUILD_TYPE ASSERTIONS DT_SANITIZERS;
}
