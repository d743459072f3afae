/* SPDX-License-Identifier: BSD-3-Clause */
/* Libraries whose headers and whose loaded code can be of two versions. The folder that owns a library tells
 * both, and whether they fit each other by the library's own rule. Local. */
#ifndef DTRAIN_LINKED_H
#define DTRAIN_LINKED_H

#include <stdbool.h>

#include "dtrain/status.h"

enum { DT_LINKED_TEXT = 48 };

typedef struct dt_linked {
    const char *name;
    char headers[DT_LINKED_TEXT], loaded[DT_LINKED_TEXT]; /* versions, "1.10.8" */
    bool fits;
} dt_linked;

/* Errors: DT_MACHINE, with both versions and the remedy. */
dt_status dt_linked_check(const dt_linked *library);

/* Whether two versions have the same number in front: "2.14" and "2.9". */
bool dt_linked_same_major(const char *a, const char *b);

/* The libraries of base. */
dt_linked dt_linked_hwloc(void);
dt_linked dt_linked_xxhash(void);

#endif
