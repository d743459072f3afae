/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder of a run as one finds it at the start. Local. */
#ifndef DTRAIN_TRAIN_FOLDER_H
#define DTRAIN_TRAIN_FOLDER_H

#include <stdint.h>

#include "dtrain/checkpoint.h"

/* Moves the checkpoints of steps above `above`, with -1 the best and the last one too, into the first of
 * FOLDER/earlier-1, earlier-2, .. that does not exist; `aside` is its name and *moved how many files went
 * there. Nothing to move: no folder is made. Errors: DT_FILE. */
dt_status dt_folder_set_aside(const char *folder, int64_t above, char aside[DT_CHECKPOINT_PATH], int *moved);

#endif
