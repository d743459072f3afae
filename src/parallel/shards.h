/* SPDX-License-Identifier: BSD-3-Clause */
/* A range of the parameters that is shared out: each rank owns a slice of every piece, finishes the sum of
 * its gradient, keeps Adam's moments for it and makes the step on it; the weights then go to all. Main thread
 * only. For two ranks and more. */
#ifndef DTRAIN_PARALLEL_SHARDS_H
#define DTRAIN_PARALLEL_SHARDS_H

#include "dtrain/strategy.h"
#include "parallel/cut.h"
#include "parallel/sharing.h"
#include "parallel/slices.h"

typedef struct dt_shards dt_shards;

typedef struct dt_shards_config {
    dt_comm *comm;             /* borrowed */
    dt_kernels *kernels;       /* borrowed */
    const dt_cut *cut;         /* borrowed: set before each begin */
    const dt_sharing *sharing; /* borrowed; NULL: no rank shares memory */
    dt_range range;            /* of the slabs of parameters */
    float *weights;            /* the slab, complete on every rank before the first step */
    float *gradients;          /* root 0's values of the range */
    size_t stride;             /* floats from one root's values to the next */
    size_t piece_floats;       /* a multiple of DT_ALIGNMENT_FLOATS */
    int number;                /* 0 or 1: tells ranges apart that travel at the same time */
    bool store_gradients;      /* every rank shall have the whole sum */
} dt_shards_config;

/* Local. Errors: DT_MEMORY. */
dt_status dt_shards_create(const dt_shards_config *config, dt_shards **shards);
void dt_shards_destroy(dt_shards *shards);

/* A new step. All are called on all ranks; begin and update wait for the ranks of the node, finish, wait,
 * collect and restore for others. */
void dt_shards_begin(dt_shards *shards);

/* The roots' gradients of the slab are complete up to place `end` (within the range). */
void dt_shards_extend(dt_shards *shards, size_t end);
void dt_shards_progress(dt_shards *shards);

/* Returns when the sum of this rank's slices stands. */
void dt_shards_finish(dt_shards *shards);

/* Whether this rank's part of the gradient in a range of the slab is finite. Local. */
bool dt_shards_are_finite(dt_shards *shards, dt_range range);

/* Adam on this rank's slices; the weights are on their way when it returns. Shared weights are written when
 * no rank of the node is in the pass before any more. */
void dt_shards_update(dt_shards *shards, dt_adam_step step);

/* Returns when the weights of a range of the slab are complete on this rank. */
void dt_shards_wait(dt_shards *shards, dt_range range);

/* Moments to rank 0's slabs m and v, and from there (NULL on the other ranks). */
void dt_shards_collect(dt_shards *shards, float *m, float *v);
void dt_shards_restore(dt_shards *shards, const float *m, const float *v);

/* The same for m alone, or the second, v; rank 0 of the communicator takes part like the others. */
void dt_shards_collect_moment(dt_shards *shards, bool second, float *slab);
void dt_shards_restore_moment(dt_shards *shards, bool second, const float *slab);

#endif
