/* SPDX-License-Identifier: BSD-3-Clause */
/* Activations of split layers on their way between the ranks: dt_exchange's reshape. Direct messages between
 * all pairs, sums in the order of blocks.h. Main thread only. */
#ifndef DTRAIN_PARALLEL_ACTIVATIONS_H
#define DTRAIN_PARALLEL_ACTIVATIONS_H

#include "dtrain/comm.h"
#include "dtrain/model.h"

typedef struct dt_activations dt_activations;

/* The ranks of `comm` are the group of the split. Memory for global batches up to split.batch. Local. Errors:
 * DT_MEMORY. */
dt_status dt_activations_create(dt_comm *comm, dt_kernels *kernels, const dt_network *network, dt_split split,
                                dt_activations **activations);
void dt_activations_destroy(dt_activations *activations);

/* The global batch of the coming step. */
void dt_activations_set(dt_activations *activations, int batch);

/* model.h; returns when the target stands. Collective. */
void dt_activations_reshape(dt_activations *activations, dt_reshape shape, const float *source,
                            float *target);

#endif
