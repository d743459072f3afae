/* SPDX-License-Identifier: BSD-3-Clause */
/* A file that takes the place of another only when it is complete, on the disk, and found there as it should
 * be. Local. */
#ifndef DTRAIN_IO_REPLACEMENT_H
#define DTRAIN_IO_REPLACEMENT_H

#include <stddef.h>

#include "dtrain/status.h"

/* A part of a file's content. */
typedef struct dt_piece {
    const void *data;
    size_t bytes;
} dt_piece;

/* Writes the pieces, one behind the other, to a temporary name beside `path`, flushes the file to the disk,
 * drops it from the page cache, reads it back and compares, renames it, and flushes the folder. Errors:
 * DT_FILE with the path and the cause, DT_MEMORY; what stood at `path` stands there still, and the temporary
 * file is gone. Only when flushing the folder fails is the new file in place already. */
dt_status dt_replacement_write(const char *path, const dt_piece *pieces, int count);

/* "PATH.partial-HOST-PID", a name for what will be renamed to `path`. The caller frees it; NULL: no memory.
 */
char *dt_replacement_name(const char *path);

/* Whether a file name is such a name, and its writer is known to have ended: a process of this host that is
 * no more, or a process of another host, and the file, `age_seconds` old, an hour old. */
bool dt_replacement_is_abandoned(const char *name, double age_seconds);

/* Flushes the folder of `path`. Errors: DT_FILE, DT_MEMORY. */
dt_status dt_replacement_flush_folder(const char *path);

#endif
