/* SPDX-License-Identifier: BSD-3-Clause */
/* A range of the parameters that every rank holds and updates by itself: gammas and betas, whose gradients
 * are sums over the global batch on every rank already. Where the weights are a node's, its first rank alone
 * holds and updates them. Main thread only. */
#ifndef DTRAIN_PARALLEL_REPLICA_H
#define DTRAIN_PARALLEL_REPLICA_H

#include "dtrain/comm.h"
#include "dtrain/kernels.h"
#include "dtrain/memory.h"
#include "parallel/sharing.h"
#include "parallel/slices.h"

/* An owner: release with dt_replica_release. */
typedef struct dt_replica {
    dt_comm *comm;
    dt_kernels *kernels;
    const dt_sharing *sharing; /* borrowed; NULL: no rank shares memory */
    dt_range range;            /* of the slabs of parameters */
    float *weights;            /* the slab */
    const float *gradients;    /* of the range */
    dt_slab moments;           /* m, then v, of the range */
} dt_replica;

/* Local. Errors: DT_MEMORY. */
dt_status dt_replica_create(dt_comm *comm, dt_kernels *kernels, const dt_sharing *sharing, dt_range range,
                            float *weights, const float *gradients, dt_replica *replica);
void dt_replica_release(dt_replica *replica);

void dt_replica_update(dt_replica *replica, dt_adam_step step);

/* A hash of the moments of a range, continued from `hash`; `hash` itself where the range is not in this one.
 */
uint64_t dt_replica_hash(const dt_replica *replica, dt_range range, uint64_t hash);

/* To and from rank 0's slabs m and v. Restoring is collective. */
void dt_replica_collect(const dt_replica *replica, float *m, float *v);
void dt_replica_restore(dt_replica *replica, const float *m, const float *v);

#endif
