/* SPDX-License-Identifier: BSD-3-Clause */
/* The canonical sum of the ranks' gradients, piece by piece, while the rest is still being computed.
 *
 * Each rank holds an array for each of its roots. A piece of these arrays is cut in as many slices as there
 * are ranks; rank d owns slice d, and one rank of each other node holds the slice for the owner there
 * (node_map.h). Ranks of a node read each other's roots in place (sharing.h). What the node's roots leave
 * when they are merged inside it goes to the owner on another node; the owner merges all in the order of the
 * tree, and sends the sum to the holders on other nodes, where the others copy it. So a slice crosses to a
 * node once, and with each rank a node of its own a rank sends 2 (N-1)/N of the array's bytes where every
 * rank has one root. No order of arrival can change a bit. Main thread only. */
#ifndef DTRAIN_PARALLEL_REDUCTION_H
#define DTRAIN_PARALLEL_REDUCTION_H

#include <stddef.h>

#include "dtrain/comm.h"
#include "dtrain/kernels.h"
#include "parallel/cut.h"
#include "parallel/sharing.h"
#include "parallel/slices.h"

typedef struct dt_reduction dt_reduction;

typedef struct dt_reduction_config {
    dt_comm *comm;             /* borrowed */
    dt_kernels *kernels;       /* borrowed: the addition */
    const dt_cut *cut;         /* borrowed: set before each begin */
    const dt_sharing *sharing; /* borrowed; NULL: no rank shares memory */
    int number;                /* 0 .. DT_SHARED_RANGES - 1: of the counters in shared memory */
    float *base;               /* root 0's array, where the sum will stand */
    size_t stride;             /* floats from one root's array to the next */
    size_t floats;             /* length of an array, a multiple of DT_ALIGNMENT_FLOATS */
    size_t piece_floats;       /* a multiple of DT_ALIGNMENT_FLOATS */
    int tag;                   /* the first of DT_TAGS */
    bool keep;                 /* the sum stays with the owners of its slices; nobody else gets it */
} dt_reduction_config;

/* Local. Errors: DT_MEMORY. */
dt_status dt_reduction_create(const dt_reduction_config *config, dt_reduction **reduction);
void dt_reduction_destroy(dt_reduction *reduction);

/* A new sum; nothing is complete. All are called on all ranks; begin waits for the node to have finished the
 * last sum, finish for all ranks. */
void dt_reduction_begin(dt_reduction *reduction);

/* The first `floats` values of all roots of this rank are complete; the caller leaves them alone from now on.
 */
void dt_reduction_extend(dt_reduction *reduction, size_t floats);

/* Moves messages along, merges what has arrived. */
void dt_reduction_progress(dt_reduction *reduction);

/* Returns when the sum stands in root 0's array, or if it is kept this rank's slices of it do. All must be
 * complete. */
void dt_reduction_finish(dt_reduction *reduction);

/* Returns when all ranks of the node have finished the last sum: none of them is in the pass before it any
 * more, nor reads another's arrays. */
void dt_reduction_await_node(dt_reduction *reduction);

#endif
