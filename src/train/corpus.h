/* SPDX-License-Identifier: BSD-3-Clause */
/* The data set as all ranks see it: rank 0 reads, each node keeps one copy in shared memory. */
#ifndef DTRAIN_TRAIN_CORPUS_H
#define DTRAIN_TRAIN_CORPUS_H

#include "dtrain/comm.h"
#include "dtrain/dataset.h"
#include "dtrain/train.h"

typedef struct dt_corpus {
    dt_images train;      /* after the validation set was cut off the front, and the limit */
    dt_images validation; /* may be empty */
    dt_images test;
    char name[64];
    char source[DT_PATH_ROOM];
    char warnings[1024];
    uint64_t fingerprint;
    bool standard;
    dt_comm_window *window; /* owns what the views point to */
} dt_corpus;

/* Reads and shares the data set that the options name, and checks that the options fit it: validation and
 * limits within its size, the batch no larger than the training set. Collective. Errors, agreed on: DT_DATA,
 * DT_USAGE, DT_MEMORY. */
dt_status dt_corpus_create(dt_comm *comm, const dt_options *options, dt_corpus *corpus);
void dt_corpus_release(dt_corpus *corpus);

#endif
