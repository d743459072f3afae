/* SPDX-License-Identifier: BSD-3-Clause */
/* Many runs as one table: those that differ in their seed alone are one row. Local. */
#ifndef DTRAIN_REPORT_SWEEP_H
#define DTRAIN_REPORT_SWEEP_H

#include <stdio.h>

#include "report/estimate.h"
#include "report/records.h"

/* What is known of a run when it has ended, one value a run. */
typedef enum dt_quantity {
    DT_QUANTITY_TEST_ACCURACY, /* of the last epoch, in percent */
    DT_QUANTITY_TEST_LOSS,
    DT_QUANTITY_VALIDATION_ACCURACY,
    DT_QUANTITY_VALIDATION_LOSS,
    DT_QUANTITY_LOSS,
    DT_QUANTITY_SPEED, /* images/s: median over the epochs, without the first of three or more */
    DT_QUANTITIES
} dt_quantity;

const char *dt_quantity_name(dt_quantity quantity);

/* Value of a run that has ended; NaN if it is not known. */
double dt_quantity_of(const dt_run_record *run, dt_quantity quantity);

/* Values over the ended runs among `members`, `count` numbers of runs of `records` in rising order (NULL: all
 * runs). Runs of the same seed have the same bits, so that of them only the first counts, except for the
 * speed. Errors: DT_MEMORY. */
dt_status dt_sweep_summarise(const dt_records *records, const int *members, int count, dt_quantity quantity,
                             dt_summary *summary);

/* Images/s of the epochs of the only run of `records` that has ended, without the first of three or more.
 * With none or several such runs: no values. Errors: DT_MEMORY. */
dt_status dt_sweep_epoch_speeds(const dt_records *records, dt_summary *summary);

/* The names of options in which the runs differ, those of dt_record_is_aside left out, in
 * the order of the first run that has them: an option that only some of the runs have is one of them. The
 * names are borrowed from the records, the caller frees the list. Errors: DT_MEMORY. */
dt_status dt_sweep_varying(const dt_records *records, const char ***names, int *count);

/* Prints the table; and the same to `csv` unless that is NULL. Errors: DT_MEMORY. */
dt_status dt_sweep_print(const dt_records *records, FILE *stream, FILE *csv);

#endif
