/* SPDX-License-Identifier: BSD-3-Clause */
/* What one sees of a run: a line that is drawn over on a terminal, plain lines now and then elsewhere, one
 * line an epoch. */
#ifndef DTRAIN_TRAIN_PROGRESS_H
#define DTRAIN_TRAIN_PROGRESS_H

#include <stdbool.h>

#include "train/metrics.h"
#include "train/speed.h"

/* A value: lives as long as the run. */
typedef struct dt_progress {
    int epochs;
    int64_t steps; /* of the whole run */
    int steps_an_epoch;
    dt_speed speed;
    double shown;      /* the last line */
    double evaluation; /* seconds of the last evaluation, for the time left */
    bool settling;     /* it was said that moving statistics are not settled */
} dt_progress;

/* `step` steps with `samples` samples of the epoch are done already. */
void dt_progress_epoch_begins(dt_progress *progress, int step, int64_t samples);

/* After step number `step` of the epoch; `totals` since the epoch's start. */
void dt_progress_step(dt_progress *progress, int epoch, int step, int64_t steps_done, dt_totals totals);

void dt_progress_epoch_ends(const dt_progress *progress, const dt_epoch_record *record);

/* Explains results that are worse than the training, once: after so few steps since the initial values, the
 * moving statistics of batch normalisation are still full of these. */
void dt_progress_say_unsettled(dt_progress *progress, int64_t steps);

/* The fields that fit into `columns`, in their order: with two spaces between them, with one, then without
 * the least important ones. `ranks`: 0 for the first to go, and so on. Writes at most `room` bytes. */
void dt_progress_compose(char *line, size_t room, const char *const *fields, const int *ranks, int count,
                         int columns);

#endif
