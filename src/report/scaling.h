/* SPDX-License-Identifier: BSD-3-Clause */
/* The scaling benchmark's table: trials of the same kind put together, and set beside the run on one rank.
 * Local. */
#ifndef DTRAIN_REPORT_SCALING_H
#define DTRAIN_REPORT_SCALING_H

#include <stdio.h>

#include "report/estimate.h"
#include "report/trials.h"

/* The trials of one experiment with the same strategy, ranks, threads and batch. Figures come from its valid
 * trials alone: medians over them. All are NaN unless state is VALID. */
typedef struct dt_scaling_row {
    dt_experiment experiment;
    const dt_trial *first; /* strategy, ranks, threads, batch */
    int trials, valid;
    dt_trial_state state; /* INVALID if one of them is; FAILED if none ended; else VALID */
    const char *why;      /* of the first that is not valid; NULL if all are */
    bool oversubscribed;
    dt_summary speed; /* images/s */
    double exposed_ms, bytes_a_step, gflops, peak_gflops, phases_ms[DT_PHASES];
    double speedup;         /* images/s over those of the base: one rank with as many threads and the same
                               batch (strong) or batch a rank (weak); one rank with one thread (cores) */
    double efficiency;      /* speedup over the ratio of cores */
    double peak_share;      /* of the FMA peak, counted as direct convolution: may pass 1 */
    double serial_fraction; /* estimate.h */
} dt_scaling_row;

typedef struct dt_scaling {
    dt_scaling_row *rows; /* by experiment, batch (a rank, in weak scaling), ranks, threads, strategy */
    int count;
    int states[DT_TRIAL_STATES]; /* trials in each */
} dt_scaling;

/* The rows point into `trials`. Errors: DT_MEMORY. */
dt_status dt_scaling_make(const dt_trials *trials, dt_scaling *scaling);
void dt_scaling_release(dt_scaling *scaling);

/* Machine, versions and options in words, each line with `mark` in front. */
void dt_scaling_describe(const dt_trials *trials, const char *mark, FILE *stream);

/* Description and one table for each experiment, the reasons below. Errors: DT_MEMORY. */
dt_status dt_scaling_print(const dt_trials *trials, const dt_scaling *scaling, FILE *stream);

/* The rows as CSV, the description in front as lines with '#'. */
void dt_scaling_write_csv(const dt_trials *trials, const dt_scaling *scaling, FILE *file);

#endif
