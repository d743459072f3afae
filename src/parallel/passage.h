/* SPDX-License-Identifier: BSD-3-Clause */
/* Between columns on the ranks and whole tensors: through a small memory, a few rows at a time. For gathering
 * and saving, outside of steps. Main thread only. */
#ifndef DTRAIN_PARALLEL_PASSAGE_H
#define DTRAIN_PARALLEL_PASSAGE_H

#include "dtrain/comm.h"
#include "dtrain/memory.h"
#include "dtrain/split.h"

/* An owner: release with dt_passage_release. */
typedef struct dt_passage {
    dt_comm *group; /* the ranks that share the units */
    const dt_network *network;
    const dt_parameters *parameters;
    dt_slab memory;
} dt_passage;

/* Local. Errors: DT_MEMORY. */
dt_status dt_passage_create(dt_comm *group, const dt_network *network, const dt_parameters *parameters,
                            dt_passage *passage);
void dt_passage_release(dt_passage *passage);

/* Every rank's columns, laid out as dt_split_layout_of says, into the split tensors of the slab `whole`
 * (NULL: not wanted here). Collective over the group. */
void dt_passage_gather(dt_passage *passage, const float *columns, float *whole);

/* From the split tensors of a slab of rank 0 of `comm` (the others': NULL) to every rank's columns.
 * Collective over `comm`, to which the group belongs. */
void dt_passage_scatter(dt_passage *passage, dt_comm *comm, const float *whole, float *columns);

#endif
