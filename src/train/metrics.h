/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics.jsonl: one JSON object a line, `start`, `epoch`, `end`; appended, so that earlier runs in a folder
 * stay. Rank 0 opens the file; on the others all calls do nothing. */
#ifndef DTRAIN_TRAIN_METRICS_H
#define DTRAIN_TRAIN_METRICS_H

#include "train/session.h"

typedef struct dt_metrics dt_metrics;

/* What an epoch's line says. Times of rank 0. */
typedef struct dt_epoch_record {
    int epoch;
    int64_t steps; /* since the start of the run */
    dt_totals train, validation, test;
    double seconds;      /* the whole epoch */
    double images_per_s; /* training alone */
    dt_phases phases;
    dt_traffic traffic; /* of the epoch's steps */
    int64_t epoch_steps;
} dt_epoch_record;

/* Makes the folder if it is not there and opens DIR/metrics.jsonl. Local. Errors, DT_FILE, name folder or
 * file and cause. */
dt_status dt_metrics_open(const char *folder, bool writes, dt_metrics **metrics);
void dt_metrics_close(dt_metrics *metrics);

/* Each writes and flushes one line. Errors: DT_FILE (a full disk, say); the run need not end for that. */
dt_status dt_metrics_start(dt_metrics *metrics, const dt_session *session);
dt_status dt_metrics_epoch(dt_metrics *metrics, const dt_epoch_record *record);
dt_status dt_metrics_end(dt_metrics *metrics, uint64_t weights_hash, int64_t steps, double seconds,
                         const char *reason);

#endif
