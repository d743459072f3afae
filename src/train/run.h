/* SPDX-License-Identifier: BSD-3-Clause */
/* A training run in the making, as run_train.c and its helpers resume.c and checkpointing.c share it. */
#ifndef DTRAIN_TRAIN_RUN_H
#define DTRAIN_TRAIN_RUN_H

#include "dtrain/checkpoint.h"
#include "dtrain/strategy.h"
#include "train/folder_lock.h"
#include "train/metrics.h"
#include "train/progress.h"
#include "train/saver.h"
#include "train/session.h"
#include "train/watchdog.h"

/* When the last checkpoint was begun. */
typedef struct dt_run_saved {
    int64_t step;
    int epoch, batch;
    double moment;
} dt_run_saved;

typedef struct dt_run {
    dt_session session;
    dt_adam_config adam; /* with the learning rate in force */
    dt_strategy *strategy;
    dt_watchdog *watchdog; /* borrowed */
    dt_exchange exchange;  /* the strategy's, watched */
    dt_metrics *metrics;
    dt_progress progress;
    dt_phases phases;
    int *order;                      /* the epoch's permutation of the training set */
    dt_checkpoint_position position; /* where the run stands; equal on all ranks */
    dt_history *history;             /* rank 0; NULL elsewhere */
    dt_saver *saver;                 /* rank 0; NULL elsewhere */
    dt_folder_lock lock;             /* rank 0: on the folder of results */
    dt_run_saved saved;              /* equal on all ranks, but for the moment */
    dt_status last_save;             /* rank 0: what the last save that was reported came to */
    dt_status trouble;               /* rank 0: a failed save that the run must not go on after */
    bool stopping;                   /* asked to stop; equal on all ranks */
    double started;
    int64_t steps_timed; /* steps of this process, and their seconds */
    double seconds_timed;
    double last_vote, longest_gap; /* when rank 0 last looked at the clock, and how long it ever did not */
} dt_run;

static inline int dt_run_rank(const dt_run *run) {
    return dt_comm_rank(run->session.comm);
}

/* Batches of an epoch. */
int dt_run_batches(const dt_run *run);

/* What the plan said of a step, and what steps took. */
dt_pace dt_run_pace(const dt_run *run);

/* Whether nothing is left to train: the last epoch, or --max-steps, is reached. */
bool dt_run_is_complete(const dt_run *run);

/* The strategy with the learning rate in force, its moments zero; an earlier one is given up. Collective;
 * errors are agreed on. */
dt_status dt_run_renew_strategy(dt_run *run);

#endif
