/* SPDX-License-Identifier: BSD-3-Clause */
/* Two sets of results side by side, and what of their difference is more than chance. Local. */
#ifndef DTRAIN_REPORT_COMPARISON_H
#define DTRAIN_REPORT_COMPARISON_H

#include <stdio.h>

#include "report/estimate.h"
#include "report/records.h"
#include "report/trials.h"

/* One line of a comparison. For speeds of trials, `contrast` is of the logarithms, so that exp of it is a
 * ratio. */
typedef struct dt_comparison_row {
    const dt_trial *trial; /* strategy, ranks, threads, batch; NULL in a comparison of runs */
    int quantity;          /* dt_quantity in a comparison of runs */
    dt_summary a, b;       /* of the values themselves */
    dt_contrast contrast;
    double p; /* corrected for all rows that were tested */
} dt_comparison_row;

typedef struct dt_comparison {
    dt_comparison_row *rows;
    int count, tested;
    bool by_epoch; /* single runs: their speeds are compared by epochs */
} dt_comparison;

/* Valid trials of the same strategy, ranks, threads and batch: images/s, one value a trial. Rows of `a` in
 * the order of their first trial, then what is in `b` alone. Errors: DT_MEMORY. */
dt_status dt_comparison_of_trials(const dt_trials *a, const dt_trials *b, dt_comparison *comparison);

/* All ended runs of `a` against all of `b`: one row for each dt_quantity, one value a run (sweep.h); of
 * two single runs the speeds of their epochs. Errors: DT_MEMORY. */
dt_status dt_comparison_of_runs(const dt_records *a, const dt_records *b, dt_comparison *comparison);

void dt_comparison_release(dt_comparison *comparison);

/* "faster", "lower", "not significant (..)", "only in the first". */
const char *dt_comparison_verdict(const dt_comparison_row *row);

/* Prints the rows and the method. Errors: DT_MEMORY. */
dt_status dt_comparison_print(const dt_comparison *comparison, FILE *stream);

#endif
