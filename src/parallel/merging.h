/* SPDX-License-Identifier: BSD-3-Clause */
/* Who adds which roots of the tree of leaves.h where ranks share memory: the ranks of a node merge their
 * roots as far as these are neighbours in the tree, so that less travels; the owner of a slice adds what is
 * left to the roots of its own node. Which additions there are does not depend on the nodes, only where they
 * are made. Local: every rank works out the same. */
#ifndef DTRAIN_PARALLEL_MERGING_H
#define DTRAIN_PARALLEL_MERGING_H

#include "parallel/cut.h"
#include "parallel/node_map.h"

/* Value `to` += value `from`. Values are the roots of all ranks as dt_cut numbers them. */
typedef struct dt_addition {
    int to, from;
} dt_addition;

/* An owner: release with dt_merging_release. */
typedef struct dt_merging {
    const dt_cut *cut;      /* borrowed */
    const dt_node_map *map; /* borrowed */
    int batch;              /* that all below is for */
    int most_own;           /* the most values of the ranks of this node, for any batch */
    int most_foreign;       /* the most values that any batch brings from other nodes to be staged */
    int *rank_of;           /* [values] whose root it is */
    int *staged;            /* [values] a foreign value's place in the staging memory; -1: none */
    bool *travels;          /* [values] it stands for its node's merged root */
    dt_addition *inside;    /* the additions on this node for owners on other nodes */
    int inside_count;
    dt_addition *final; /* the additions of an owner on this node: one value is left */
    int final_count;
    dt_subtree *nodes; /* scratch [values] */
    int *numbers;      /* scratch [values] */
    unsigned char *merges;
} dt_merging;

/* For batches up to that of the cut. Errors: DT_MEMORY. */
dt_status dt_merging_create(const dt_cut *cut, const dt_node_map *map, int batch, dt_merging *merging);
void dt_merging_release(dt_merging *merging);

/* For the batch that the cut was set to. */
void dt_merging_set(dt_merging *merging);

/* The value in whose place the sum of this rank's slice will stand: its first, or that of the whole batch. */
int dt_merging_home(const dt_merging *merging);

#endif
