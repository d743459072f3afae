/* SPDX-License-Identifier: BSD-3-Clause */
/* An array whose slices lie with their owners is made complete on all ranks, piece by piece, while the caller
 * computes: direct messages from each owner to all others. Main thread only. */
#ifndef DTRAIN_PARALLEL_SPREAD_H
#define DTRAIN_PARALLEL_SPREAD_H

#include "dtrain/comm.h"
#include "dtrain/kernels.h"
#include "parallel/slices.h"

typedef struct dt_spread dt_spread;

/* `values` is the array; `tag` the first of DT_TAGS. Local. Errors: DT_MEMORY. */
dt_status dt_spread_create(dt_comm *comm, dt_kernels *kernels, dt_slices slices, float *values, int tag,
                           dt_spread **spread);
void dt_spread_destroy(dt_spread *spread);

/* With DT_WIRE_BF16 it is updates that travel (dt_wire_pack_update), and every rank takes them from its own
 * weights: where a slice of them belongs before its piece is started. NULL with DT_WIRE_FP32. */
uint16_t *dt_spread_updates(dt_spread *spread, dt_range slice);

/* This rank's slice of piece `piece` stands: it is sent, the others' are received. Every piece once, the
 * last first. The caller leaves the piece alone until it is complete. Collective, does not wait. */
void dt_spread_start(dt_spread *spread, int piece);

/* Moves messages along. */
void dt_spread_progress(dt_spread *spread);

/* Returns when the pieces that meet the range, or come behind it, are complete; pieces that were not started
 * count as complete. */
void dt_spread_wait(dt_spread *spread, dt_range range);

#endif
