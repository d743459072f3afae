/* SPDX-License-Identifier: BSD-3-Clause */
/* The grid of ranks over which the hidden dense layers are split: groups that share the units among their
 * ranks, and have the samples of all of them. One group of all ranks, or a group for each node.
 *
 * Positions number the ranks by group, then by rank; the samples of a batch are dealt out by position, so
 * that a group's are neighbours. Groups may have different numbers of ranks; the units are then cut into
 * segments wherever any group cuts them, and each segment has one holder in each group. Local, no
 * communication: every rank works out the same. */
#ifndef DTRAIN_PARALLEL_GRID_H
#define DTRAIN_PARALLEL_GRID_H

#include "dtrain/comm.h"
#include "dtrain/split.h"
#include "parallel/cut.h"

/* An owner: release with dt_grid_release. */
typedef struct dt_grid {
    int groups, group; /* all, and this rank's */
    int position;
    int *starts; /* [groups + 1] group g has the positions starts[g] .. starts[g + 1] - 1 */
    int segments;
    dt_fraction *bounds;            /* [segments + 1] of the blocks of a layer */
    int first_segment, end_segment; /* this rank's are first_segment .. end_segment - 1, never none */
} dt_grid;

/* Errors: DT_MEMORY. */
dt_status dt_grid_create(const dt_comm *comm, bool by_node, dt_grid *grid);
void dt_grid_release(dt_grid *grid);

/* This rank's position where groups are nodes. */
int dt_grid_position(const dt_comm *comm);

/* The ranks of the largest node. */
int dt_grid_largest_node(const dt_comm *comm);

/* dt_model_config.split where groups are nodes. */
dt_split dt_grid_split(const dt_comm *comm, int batch);

/* The groups as parts of a batch. */
dt_cut_parts dt_grid_parts(const dt_grid *grid);

#endif
