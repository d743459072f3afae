/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths. */
#include "dtrain/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static dt_status refuse(dt_code code, int length, const char *format, va_list arguments) {
    char *whole = NULL;
    if (vasprintf(&whole, format, arguments) < 0)
        whole = NULL;
    dt_status status = dt_fail(code, "a path has %d bytes, more than %d: give a shorter name: %s", length,
                               DT_PATH_ROOM - 1, whole ? whole : "");
    free(whole);
    return status;
}

dt_status dt_path_write(dt_code code, char path[DT_PATH_ROOM], const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(path, DT_PATH_ROOM, format, arguments);
    dt_status status = dt_ok();
    if (length < 0 || length >= DT_PATH_ROOM) {
        path[0] = '\0';
        status = refuse(code, length, format, again);
    }
    va_end(again);
    va_end(arguments);
    return status;
}
