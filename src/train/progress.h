/* SPDX-License-Identifier: BSD-3-Clause */
/* What one sees of a run: a line that is drawn over on a terminal, plain lines now and then elsewhere, one
 * line an epoch. */
#ifndef DTRAIN_TRAIN_PROGRESS_H
#define DTRAIN_TRAIN_PROGRESS_H

#include <stdbool.h>

#include "train/metrics.h"

/* A value: lives as long as the run. */
typedef struct dt_progress {
    int epochs;
    int64_t steps; /* of the whole run */
    int steps_an_epoch;
    double started;    /* the epoch's first step, or where the run was resumed in it */
    int64_t samples;   /* of the epoch, trained before that */
    int first_step;    /* of the epoch, done before that */
    double shown;      /* the last line */
    double evaluation; /* seconds of the last evaluation, for the time left */
} dt_progress;

/* `step` steps with `samples` samples of the epoch are done already. */
void dt_progress_epoch_begins(dt_progress *progress, int step, int64_t samples);

/* After step number `step` of the epoch; `totals` since the epoch's start. */
void dt_progress_step(dt_progress *progress, int epoch, int step, int64_t steps_done, dt_totals totals);

void dt_progress_epoch_ends(const dt_progress *progress, const dt_epoch_record *record);

#endif
