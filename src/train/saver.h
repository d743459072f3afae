/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes checkpoints beside the training: the caller copies the state into memory that is reserved for it,
 * and a thread checks that all of it is finite, writes it, and brings the folder in order. One at a time. All
 * calls from the main thread of the one rank that saves; no other use of checkpoint.h while a save is under
 * way. */
#ifndef DTRAIN_TRAIN_SAVER_H
#define DTRAIN_TRAIN_SAVER_H

#include "dtrain/checkpoint.h"
#include "dtrain/strategy.h"

typedef struct dt_saver dt_saver;

typedef struct dt_saver_config {
    const char *folder;              /* borrowed */
    const dt_network *network;       /* borrowed */
    const dt_parameters *parameters; /* borrowed */
    int keep;
} dt_saver_config;

/* What came of a save. */
typedef struct dt_saver_report {
    dt_status status; /* DT_NOT_FINITE: nothing was written, and the text names the tensor */
    int64_t step;
    bool best;
    char path[DT_CHECKPOINT_PATH];
    dt_checkpoint_result result;
    double held_up; /* seconds for which training stood still, as dt_saver_start was told */
} dt_saver_report;

/* Takes the memory for a copy of the whole state and starts the thread. Errors: DT_MEMORY, DT_MACHINE. */
dt_status dt_saver_create(const dt_saver_config *config, dt_saver **saver);

/* Waits for a save that is under way. NULL is fine. */
void dt_saver_destroy(dt_saver *saver);

/* Where the copy goes. Not to be written while a save is under way. */
dt_strategy_image dt_saver_image(const dt_saver *saver);

bool dt_saver_is_busy(dt_saver *saver);

/* Returns when no save is under way. */
void dt_saver_wait(dt_saver *saver);

/* Begins to write what stands in the image. `options` and `history` become the saver's, from malloc. best:
 * this is the best state so far. Only when no save is under way and the last report was taken. */
void dt_saver_start(dt_saver *saver, const dt_checkpoint_position *position, char *options, char *history,
                    bool best, double held_up);

/* Hands out the report of a finished save, once; false if there is none. */
bool dt_saver_take_report(dt_saver *saver, dt_saver_report *report);

/* Seconds that a save takes: the longest so far, or a guess before the first. */
double dt_saver_estimate(const dt_saver *saver);

#endif
