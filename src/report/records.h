/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics.jsonl read back: what each run was, and what its epochs say. Local. */
#ifndef DTRAIN_REPORT_RECORDS_H
#define DTRAIN_REPORT_RECORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "dtrain/status.h"
#include "dtrain/timer.h"

/* An epoch's line. What it does not hold, or holds as null, is NaN; a phase that it does not name is 0. */
typedef struct dt_epoch_figures {
    int64_t step; /* since the start of the run */
    double loss, accuracy, val_loss, val_accuracy, test_loss, test_accuracy;
    double images_per_s;
    double exposed_seconds; /* communication that no computation hid, of the whole epoch; where the line does
                               not hold it: the phases that wait for other ranks */
    double bytes_a_step;    /* sent by rank 0 */
    dt_phases phases;
} dt_epoch_figures;

/* A run: from a start line to the next. Owner of its parts. */
typedef struct dt_run_record {
    char *source;  /* the file */
    json_t *start; /* the start line */
    dt_epoch_figures *epochs;
    int epoch_count, epoch_room;
    bool ended;   /* an end line is there, and its reason "done" or "max_steps": else more would have come */
    bool resumed; /* it went on from a checkpoint */
    char weights_hash[17];
} dt_run_record;

typedef struct dt_records {
    dt_run_record *runs;
    int count, room;
} dt_records;

/* Adds the runs of a metrics.jsonl to `records`, all or none. Lines with events of other names are passed
 * over. Errors: those of dt_files_read_lines; DT_FILE also for a line that lacks what it must have or says
 * what no run can have, a negative step say. */
dt_status dt_records_read(const char *path, dt_records *records);

/* Leaves out the runs that were broken off and taken up again: not ended, and the next run of the same file
 * resumes, or has the same options but for those that dt_record_is_aside names. */
void dt_records_drop_superseded(dt_records *records);
void dt_records_release(dt_records *records);

/* A field of the start line: ranks; threads of rank 0. 0 where there is none. */
int dt_record_ranks(const dt_run_record *run);
int dt_record_threads(const dt_run_record *run);

/* The options in which runs that belong together may differ: seed, out, quiet. */
bool dt_record_is_aside(const char *name);

/* An option of the run as text: strings as they are, numbers with all their digits (1 and 1.0 alike), other
 * values as in JSON; "-" where the option is unknown or null. The caller frees it; NULL without memory. */
char *dt_record_option(const dt_run_record *run, const char *name);

#endif
