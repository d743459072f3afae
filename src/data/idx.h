/* SPDX-License-Identifier: BSD-3-Clause */
/* The four IDX files of a data set in one folder, each plain or gzip. Local. */
#ifndef DTRAIN_DATA_IDX_H
#define DTRAIN_DATA_IDX_H

#include "dtrain/dataset.h"

/* How many of the four files the folder has. */
int dt_idx_count(const char *folder);

/* Whether a file's name is nearly that of one of the four; `proper`: the name that it should have. */
bool dt_idx_resembles(const char *name, char *proper, size_t room);

/* Fills the memory, views and warnings of a data set that is all zero. Of the names that a file may have, the
 * first that exists is read: "-idx", "-idx" with ".gz", ".idx", ".idx" with ".gz". A gzip file is recognised
 * under each of them, a plain one too; where two exist a warning names both. Errors: those of dt_dataset_read
 * that concern IDX files. On failure nothing is owned.
 */
dt_status dt_idx_read(const char *folder, dt_dataset *dataset);

#endif
