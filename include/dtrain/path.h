/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths made of parts. A path that was cut is the name of something else: it is never used. Local. */
#ifndef DTRAIN_PATH_H
#define DTRAIN_PATH_H

#include "dtrain/status.h"

/* Bytes of a path, the ending 0 included: Linux takes no longer ones. */
enum { DT_PATH_ROOM = 4096 };

/* Writes a path, printf-style. Errors: `code`, naming the limit, for one that does not fit; `path` is empty
 * then. */
dt_status dt_path_write(dt_code code, char path[DT_PATH_ROOM], const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
