/* SPDX-License-Identifier: BSD-3-Clause */
/* Versions at build and at run. */
#include "dtrain/linked.h"

#include <string.h>

dt_status dt_linked_check(const dt_linked *library) {
    if (library->fits)
        return dt_ok();
    return dt_fail(
        DT_MACHINE,
        "%s: dtrain was built with the headers of version %s, but the library that was loaded is %s, and "
        "the two do not fit. Build dtrain again, or let LD_LIBRARY_PATH name the folder of version %s",
        library->name, library->headers, library->loaded, library->headers);
}

bool dt_linked_same_major(const char *a, const char *b) {
    size_t digits = strspn(a, "0123456789");
    return digits > 0 && digits == strspn(b, "0123456789") && strncmp(a, b, digits) == 0;
}
