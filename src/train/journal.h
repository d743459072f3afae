/* SPDX-License-Identifier: BSD-3-Clause */
/* A file of lines that grows at its end. A line is in it whole or not at all. Local. */
#ifndef DTRAIN_TRAIN_JOURNAL_H
#define DTRAIN_TRAIN_JOURNAL_H

#include "dtrain/status.h"

typedef struct dt_journal dt_journal;

/* Opens the file for appending, or makes it. The part of a JSON line that an earlier process left at its end
 * is removed; any other text without a line break at its end gets one. Errors: DT_FILE, DT_MEMORY. */
dt_status dt_journal_open(const char *path, dt_journal **journal);
void dt_journal_close(dt_journal *journal);

/* Whether the file was removed since, or is no more under this name. */
bool dt_journal_is_gone(const dt_journal *journal);

/* Appends `line`, which has no line break, and one. What a full disk leaves of a line is taken away again.
 * Takes no memory and no lock: a thread may call while no other does. Errors, DT_FILE: nothing was appended.
 */
dt_status dt_journal_append(dt_journal *journal, const char *line);

#endif
