/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums over the leaves of the global batch, in the order of the leaves, from partial sums that lie with the
 * ranks: what batch normalisation needs in both directions. */
#ifndef DTRAIN_PARALLEL_STATISTICS_H
#define DTRAIN_PARALLEL_STATISTICS_H

#include "dtrain/comm.h"
#include "dtrain/leaves.h"
#include "dtrain/memory.h"
#include "dtrain/network.h"

/* An owner: release with dt_statistics_release. */
typedef struct dt_statistics {
    dt_comm *comm;
    int width;    /* the most values of a leaf */
    dt_slab slab; /* [leaves of the largest batch][width]; empty for one rank */
} dt_statistics;

/* Memory for batches up to `batch` and every normalisation of the network. Local. Errors: DT_MEMORY. */
dt_status dt_statistics_create(dt_comm *comm, const dt_network *network, int batch,
                               dt_statistics *statistics);
void dt_statistics_release(dt_statistics *statistics);

/* dt_exchange's combine; partials [share->leaves][width]. Collective. */
void dt_statistics_combine(dt_statistics *statistics, const dt_share *share, const double *partials,
                           int width, double *sums);

#endif
