/* SPDX-License-Identifier: BSD-3-Clause */
/* An array whose slices lie with their owners is made complete on all ranks, piece by piece, while the caller
 * computes: direct messages from each owner to one rank of each other node (node_map.h). Ranks that share
 * memory share the array; counters tell them what stands in it. Main thread only. */
#ifndef DTRAIN_PARALLEL_SPREAD_H
#define DTRAIN_PARALLEL_SPREAD_H

#include "dtrain/comm.h"
#include "dtrain/kernels.h"
#include "parallel/sharing.h"
#include "parallel/slices.h"

typedef struct dt_spread dt_spread;

typedef struct dt_spread_config {
    dt_comm *comm;       /* borrowed */
    dt_kernels *kernels; /* borrowed */
    dt_slices slices;
    float *values;             /* the array: the node's, or the rank's own */
    int tag;                   /* the first of DT_TAGS */
    const dt_sharing *sharing; /* borrowed; NULL: no rank shares memory */
    int number;                /* 0 .. DT_SHARED_RANGES - 1: of the counters in shared memory */
} dt_spread_config;

/* Local. Errors: DT_MEMORY. */
dt_status dt_spread_create(const dt_spread_config *config, dt_spread **spread);
void dt_spread_destroy(dt_spread *spread);

/* With DT_WIRE_BF16 it is updates that travel (dt_wire_adam_update), and every node, or rank with an array of
 * its own, takes them from its weights: where a slice of them belongs before its piece is started. NULL with
 * DT_WIRE_FP32, and where there is one node. */
uint16_t *dt_spread_updates(dt_spread *spread, dt_range slice);

/* This rank's slice of piece `piece` stands: it is sent, others' are received. Every piece once, the last
 * first. The caller leaves the piece alone until it is complete. Nobody on the node may be reading the piece.
 * Collective, does not wait. */
void dt_spread_start(dt_spread *spread, int piece);

/* Moves messages along. */
void dt_spread_progress(dt_spread *spread);

/* Returns when the pieces that meet the range, or come behind it, are complete. None or all have been
 * started.
 */
void dt_spread_wait(dt_spread *spread, dt_range range);

#endif
