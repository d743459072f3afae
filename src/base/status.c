/* SPDX-License-Identifier: BSD-3-Clause */
/* Status values. */
#include "dtrain/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "dtrain/text.h"

dt_status dt_ok(void) {
    return (dt_status){.code = DT_OK};
}

/* Without memory the text stays cut at its end. */
static void write_shortened(char text[DT_STATUS_TEXT], const char *format, va_list arguments) {
    char *whole;
    if (vasprintf(&whole, format, arguments) < 0)
        return;
    dt_text_fit(text, DT_STATUS_TEXT, whole);
    free(whole);
}

dt_status dt_fail(dt_code code, const char *format, ...) {
    dt_status status = {.code = code};
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    if (vsnprintf(status.text, sizeof status.text, format, arguments) >= (int)sizeof status.text)
        write_shortened(status.text, format, again);
    va_end(again);
    va_end(arguments);
    return status;
}
