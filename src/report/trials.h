/* SPDX-License-Identifier: BSD-3-Clause */
/* The runs of the scaling benchmark: what each was asked to do, whether its answer is right, and how fast it
 * was. Local. */
#ifndef DTRAIN_REPORT_TRIALS_H
#define DTRAIN_REPORT_TRIALS_H

#include "report/records.h"

/* What a trial is part of; bits of dt_trial.experiments. */
typedef enum dt_experiment {
    DT_EXPERIMENT_STRONG, /* the global batch is fixed */
    DT_EXPERIMENT_WEAK,   /* the batch a rank is fixed */
    DT_EXPERIMENT_CORES,  /* the cores are fixed, cut into ranks and threads */
    DT_EXPERIMENTS
} dt_experiment;

const char *dt_experiment_name(dt_experiment experiment);

/* Only valid trials count. */
typedef enum dt_trial_state {
    DT_TRIAL_VALID,   /* every loss and the weights are those of the reference run on one rank, bit by bit */
    DT_TRIAL_INVALID, /* they are not, or there is no reference, or it is not the run that was asked for */
    DT_TRIAL_FAILED,  /* it did not end, or not with exit code 0 */
    DT_TRIAL_STATES
} dt_trial_state;

const char *dt_trial_state_name(dt_trial_state state);

enum { DT_TRIAL_NAME = 32, DT_TRIAL_WHY = 256 };

/* Times and speeds are NaN for a failed trial, others too where they are not known. */
typedef struct dt_trial {
    unsigned experiments;
    char strategy[DT_TRIAL_NAME]; /* asked for */
    char chosen[DT_TRIAL_NAME];   /* used: what `auto` took; empty if the record does not say it */
    int ranks, threads, batch;
    int repeat, order; /* order: its place among all runs of the benchmark, from 1 */
    bool oversubscribed;
    dt_trial_state state;
    char why[DT_TRIAL_WHY]; /* in words, if not valid */
    double images_per_s;    /* median of the epochs behind the warm-up */
    double exposed_ms;      /* a step */
    double bytes_a_step;
    double gflops;      /* images_per_s in operations, counted as direct convolution */
    double peak_gflops; /* FMA peak of the cores it used */
    double phases_ms[DT_PHASES];
} dt_trial;

typedef struct dt_trials {
    json_t *setup; /* the first line of scaling.jsonl: machine, versions, options */
    dt_trial *list;
    int count;
} dt_trials;

/* Why `run` is not the same computation with the same bits as `reference`, both whole: the first difference
 * in words. Returns false, and leaves `why` alone, if it is. */
bool dt_trial_differs(const dt_run_record *reference, const dt_run_record *run, char *why, int room);

/* Fills the figures of a trial from its run; the first `warmup` epochs do not count. */
void dt_trial_measure(dt_trial *trial, const dt_run_record *run, int warmup);

/* Reads what bench/scaling leaves in a folder: setup.json, and runs/NAME/asked.json with metrics.jsonl beside
 * it. Trials come in the order in which they ran. Errors: DT_FILE, DT_MEMORY. A run whose metrics.jsonl is
 * damaged is a failed trial, not an error. A run whose asked.json cannot be read is left out with a warning
 * and counted in *unread; one that is a second name of another run is left out with a warning. */
dt_status dt_trials_gather(const char *folder, dt_trials *trials, int *unread);

/* The same from a scaling.jsonl, and to it. Errors: DT_FILE, DT_MEMORY. */
dt_status dt_trials_read(const char *path, dt_trials *trials);
dt_status dt_trials_write(const dt_trials *trials, FILE *file);

void dt_trials_release(dt_trials *trials);

#endif
