/* SPDX-License-Identifier: BSD-3-Clause */
/* Which ranks share memory, and which of them acts for a slice whose owner is on another node. Pure; every
 * rank works out the same. */
#ifndef DTRAIN_PARALLEL_NODE_MAP_H
#define DTRAIN_PARALLEL_NODE_MAP_H

#include "dtrain/status.h"

/* An owner: release with dt_node_map_release. */
typedef struct dt_node_map {
    int ranks, rank;
    int nodes;
    int *node_of; /* [ranks] */
    int *place;   /* [ranks] of a rank among those of its node */
    int *first;   /* [nodes + 1]: node n has members[first[n]] .. members[first[n + 1] - 1] */
    int *members; /* [ranks] ascending on each node */
} dt_node_map;

/* node_of: the node of each rank, numbered from 0 without gaps; NULL: each rank is a node of its own. Errors:
 * DT_MEMORY. */
dt_status dt_node_map_create(int ranks, int rank, const int *node_of, dt_node_map *map);
void dt_node_map_release(dt_node_map *map);

/* The rank of a node that holds the owner's slice there: the owner at home, elsewhere the rank at its place.
 * What belongs to the slice leaves and enters the node through it. */
int dt_node_map_holder(const dt_node_map *map, int node, int owner);

#endif
