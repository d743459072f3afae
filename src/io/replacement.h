/* SPDX-License-Identifier: BSD-3-Clause */
/* A file that takes the place of another only when it is complete and on the disk. Local. */
#ifndef DTRAIN_IO_REPLACEMENT_H
#define DTRAIN_IO_REPLACEMENT_H

#include <stddef.h>

#include "dtrain/status.h"

/* A replacement under way; an owner from begin to commit or discard. `path` is borrowed. */
typedef struct dt_replacement {
    const char *path;
    char *temporary; /* its name while it is written: a file in the folder of `path` */
    int handle;      /* of the temporary file */
} dt_replacement;

/* Creates the temporary file. Errors: DT_FILE, DT_MEMORY; nothing to discard then. */
dt_status dt_replacement_begin(const char *path, dt_replacement *replacement);

/* Appends to the temporary file. Errors: DT_FILE. */
dt_status dt_replacement_write(dt_replacement *replacement, const void *data, size_t bytes);

/* Flushes the temporary file, gives it its name and flushes the folder. Ends the replacement, whether it
 * succeeds or not: after a failure the temporary file is gone. Errors: DT_FILE. */
dt_status dt_replacement_commit(dt_replacement *replacement);

/* Removes the temporary file and leaves what stood at `path`. */
void dt_replacement_discard(dt_replacement *replacement);

#endif
