/* SPDX-License-Identifier: BSD-3-Clause */
/* What state a run starts from, and how it goes back to an earlier one. */
#ifndef DTRAIN_TRAIN_RESUME_H
#define DTRAIN_TRAIN_RESUME_H

#include "train/run.h"

/* Where the state came from. */
typedef struct dt_resume {
    bool found;                    /* a checkpoint; else a fresh start */
    char path[DT_CHECKPOINT_PATH]; /* of it */
} dt_resume;

/* Reads what --resume names into rank 0's image, checks it against the options, and sets position, history
 * and learning rate. Says on a fresh start that it is one when --resume was given. Writes nothing.
 * Collective. Errors, agreed on: DT_FILE; DT_USAGE with the list of options that differ. */
dt_status dt_resume_read(dt_run *run, dt_resume *resume);

/* Gives the strategy and the model their state: the image that was read, the weights of --init, or initial
 * ones. Collective. Errors, agreed on: DT_FILE. */
dt_status dt_resume_place(dt_run *run, const dt_resume *resume);

/* Moves checkpoints in --out that this run does not go on from into a folder DIR/earlier-N: all on a fresh
 * start, on a resumed one those of later steps. So the newest in the folder is always this run's. Rank 0.
 * Errors: DT_FILE. */
dt_status dt_resume_clear_folder(const dt_run *run, const dt_resume *resume);

/* After a value that is not finite, `trouble`: back to the newest checkpoint in --out with half the learning
 * rate. Collective. Errors, agreed on: `trouble` itself when it happened too often; DT_FILE without a
 * checkpoint to go back to. */
dt_status dt_resume_rewind(dt_run *run, const dt_status *trouble);

#endif
