/* SPDX-License-Identifier: BSD-3-Clause */
/* Status values. */
#include "dtrain/status.h"

#include <stdarg.h>
#include <stdio.h>

dt_status dt_ok(void) {
    return (dt_status){.code = DT_OK};
}

dt_status dt_fail(dt_code code, const char *format, ...) {
    dt_status status = {.code = code};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(status.text, sizeof status.text, format, arguments);
    va_end(arguments);
    return status;
}
