/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of floats in the form of the kernels' wire: a set of dt_transfers whose values travel as they are,
 * or as bfloat16, in which they fit (kernels.h). Main thread only. */
#ifndef DTRAIN_PARALLEL_PARCELS_H
#define DTRAIN_PARALLEL_PARCELS_H

#include "dtrain/comm.h"
#include "dtrain/kernels.h"

typedef struct dt_parcels dt_parcels;

/* A set of at most `capacity` messages of `floats` values together, sent and received; a run that goes to
 * several ranks one behind the other counts once. Local. Errors: DT_MEMORY. */
dt_status dt_parcels_create(dt_comm *comm, dt_kernels *kernels, int capacity, size_t floats,
                            dt_parcels **parcels);
void dt_parcels_destroy(dt_parcels *parcels);

/* As dt_transfers: arrays stay untouched until the set is done. */
void dt_parcels_send(dt_parcels *parcels, int rank, int tag, const float *values, size_t count);
void dt_parcels_receive(dt_parcels *parcels, int rank, int tag, float *values, size_t count);
bool dt_parcels_test(dt_parcels *parcels);
void dt_parcels_wait(dt_parcels *parcels);

#endif
