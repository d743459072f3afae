/* SPDX-License-Identifier: BSD-3-Clause */
/* The locale of a thread. */
#include "dtrain/locale.h"

#include <locale.h>

/* The C library holds this locale ready: nothing is allocated, and nothing has to be given back. */
dt_status dt_locale_use_c(void) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain || !uselocale(plain))
        return dt_fail(DT_MEMORY, "no memory for the rules by which numbers are read and written");
    return dt_ok();
}
