/* SPDX-License-Identifier: BSD-3-Clause */
/* How a global batch is cut over the ranks: each rank's roots in the tree of leaves.h, and the merges that
 * make one sum of all of them. Local, no communication: every rank works out the same. */
#ifndef DTRAIN_PARALLEL_CUT_H
#define DTRAIN_PARALLEL_CUT_H

#include "dtrain/leaves.h"

/* Who holds the leaves. Part i, for i < count, has those of the ranks starts[i] .. starts[i + 1] - 1 of
 * starts[count]; without starts those of rank i of `count`. Starts are borrowed. */
typedef struct dt_cut_parts {
    int count;
    const int *starts;
} dt_cut_parts;

dt_share dt_cut_share_of(dt_cut_parts parts, int batch, int part);

/* The most there can be for any global batch up to a size. */
typedef struct dt_cut_bounds {
    int roots;   /* of one rank */
    int total;   /* of all ranks together */
    int foreign; /* of all ranks but one, not counting the first root of the batch where that one has none */
} dt_cut_bounds;

/* Bounds for batches of 1 .. batch samples; `foreign` is seen from `part`. */
dt_cut_bounds dt_cut_find_bounds(int batch, dt_cut_parts parts, int part);

/* Roots of a run of `leaves` leaves from first_leaf on, without building a plan. */
int dt_cut_roots(int total_leaves, int first_leaf, int leaves);

/* An owner: release with dt_cut_release. "Rank" is the number of a part here. The roots of all ranks, lowest
 * leaf first, are values 0 .. total - 1; rank r has first_root[r] .. first_root[r + 1] - 1. */
typedef struct dt_cut {
    int ranks, rank;
    int largest_batch;
    dt_cut_parts parts;
    dt_cut_bounds bounds;
    dt_share share;        /* of this rank in the batch that was set */
    int *first_root;       /* [ranks + 1] */
    unsigned char *merges; /* [total] merges after each value was pushed */
    dt_subtree *nodes;     /* [total] the values' places in the tree */
    unsigned char *plan;   /* [leaves of the largest batch] scratch */
} dt_cut;

/* Takes memory for batches up to `batch`, cut over ranks, or over parts. Errors: DT_MEMORY. */
dt_status dt_cut_create(int batch, int ranks, int rank, dt_cut *cut);
dt_status dt_cut_create_parts(int batch, dt_cut_parts parts, int part, dt_cut *cut);
void dt_cut_release(dt_cut *cut);

/* Cuts a batch of `batch` samples; nothing is done if the last one had as many. */
void dt_cut_set(dt_cut *cut, int batch);

/* Roots of rank `rank` in the batch that was set. */
int dt_cut_roots_of(const dt_cut *cut, int rank);

#endif
