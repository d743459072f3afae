/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics.jsonl: one JSON object a line, `start`, `resume`, `epoch`, `checkpoint`, `rewind`, `end`; appended,
 * so that earlier runs in a folder stay. Rank 0 opens the file; on the others all calls do nothing. A line
 * that cannot be written (a full disk, say) is lost as a whole, with one warning for all of them: the run
 * goes on, and dt_metrics_check tells at its end. */
#ifndef DTRAIN_TRAIN_METRICS_H
#define DTRAIN_TRAIN_METRICS_H

#include "dtrain/checkpoint.h"
#include "train/saver.h"
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
    dt_traffic traffic; /* bytes of the epoch's steps and the weights behind them, seconds of the steps */
    int64_t epoch_steps;
} dt_epoch_record;

/* Seconds of a step: as the plan predicted, NaN if it did not, and on average over the steps of this process
 * (what lies between them included, but for evaluation); NaN without steps. */
typedef struct dt_pace {
    double predicted, measured;
} dt_pace;

/* Makes the folder if it is not there and opens DIR/metrics.jsonl. Local. Errors, DT_FILE, name folder or
 * file and cause. */
dt_status dt_metrics_open(const char *folder, bool writes, dt_metrics **metrics);
void dt_metrics_close(dt_metrics *metrics);

/* Each writes and flushes one line. */
void dt_metrics_start(dt_metrics *metrics, const dt_session *session);
void dt_metrics_resume(dt_metrics *metrics, const char *path, const dt_checkpoint_position *position);
void dt_metrics_epoch(dt_metrics *metrics, const dt_epoch_record *record);
void dt_metrics_checkpoint(dt_metrics *metrics, const dt_saver_report *report);
void dt_metrics_rewind(dt_metrics *metrics, int64_t from_step, const dt_checkpoint_position *position);
void dt_metrics_end(dt_metrics *metrics, uint64_t weights_hash, int64_t steps, double seconds,
                    const char *reason, const dt_pace *pace);

/* The end of a run that failed: reason "not_finite" or "failed", code and error. */
void dt_metrics_fail(dt_metrics *metrics, const dt_status *status, int64_t steps, double seconds);

/* The end of a run that no rank goes on with: reason "stalled". A thread may call while no other does. */
void dt_metrics_stall(dt_metrics *metrics, int64_t steps);

/* DT_FILE when a line was lost: how many, and why. Local. */
dt_status dt_metrics_check(const dt_metrics *metrics);

/* Makes the folder DIR and those above it. Local. Errors: DT_FILE. */
dt_status dt_metrics_make_folder(const char *folder);

/* The epochs of a run, for its checkpoints: an array in JSON with an object for each whole epoch, its values
 * named as in the lines. Local. */
typedef struct dt_history dt_history;

/* From the text in a checkpoint; NULL: empty. Errors: DT_FILE, the text is not an array in JSON; DT_MEMORY.
 */
dt_status dt_history_create(const char *text, dt_history **history);
void dt_history_destroy(dt_history *history);
void dt_history_add(dt_history *history, const dt_epoch_record *record);

/* The caller frees it; NULL without memory. */
char *dt_history_text(const dt_history *history);

#endif
