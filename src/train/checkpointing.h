/* SPDX-License-Identifier: BSD-3-Clause */
/* When a run saves, what becomes of the outcome, and how a run stops before its end. Rank 0 alone decides and
 * writes; the others learn of it by the sums that every step makes anyway. */
#ifndef DTRAIN_TRAIN_CHECKPOINTING_H
#define DTRAIN_TRAIN_CHECKPOINTING_H

#include "train/run.h"

/* What the ranks tell each other in every step. Summed over the ranks, each is 0 or not. */
typedef struct dt_votes {
    int64_t stop;    /* a signal came, or the time is up */
    int64_t save;    /* a checkpoint is due */
    int64_t trouble; /* a checkpoint was not written because a value was not finite, or was not written and
                        --checkpoint-required was given */
} dt_votes;

/* This rank's votes in the step after position.step; on rank 0 first reports what was saved. Local. */
dt_votes dt_checkpointing_vote(dt_run *run);

/* Does what the sums of the votes ask for, at the end of the step: begins a save, notes that the run is to
 * stop. Collective. Errors, for a vote of trouble: DT_NOT_FINITE, DT_FILE, with rank 0's text. */
dt_status dt_checkpointing_obey(dt_run *run, dt_votes votes);

/* Whether anybody wants to stop now; then the run is stopping. Of type dt_break_off; the context is a dt_run.
 * Collective. */
bool dt_checkpointing_breaks_off(void *run);

/* After an epoch's evaluation: saves when --checkpoint-every says so or it is the best. Collective. */
void dt_checkpointing_end_epoch(dt_run *run, bool best);

/* Copies the state and begins to write it, waiting for an earlier save first. Collective. */
void dt_checkpointing_save(dt_run *run, bool best);

/* Waits until a save under way is done, and reports it. Local; does nothing on ranks other than 0. */
void dt_checkpointing_finish(dt_run *run);

/* Sees to it that the present state is on the disk. On rank 0 *hash is that of the weights. Collective.
 * Errors, agreed on: DT_FILE, DT_NOT_FINITE. */
dt_status dt_checkpointing_secure(dt_run *run, uint64_t *hash);

/* Saves and returns DT_STOPPED with the words for the user, or DT_FILE when the state could not be saved.
 * Collective. */
dt_status dt_checkpointing_stop(dt_run *run);

#endif
