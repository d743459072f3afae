/* SPDX-License-Identifier: BSD-3-Clause */
/* The canonical sum over a global batch.
 *
 * Floating-point addition is not associative, so a sum whose order follows the ranks changes with their
 * number. Here the order is a property of the batch alone. Its samples are cut into leaves of
 * DT_LEAF_SAMPLES; a leaf's sum runs over its samples in order; leaves are the lowest level of a binary tree
 * over leaf numbers, in which the node (level, index) covers the leaves [index << level, (index + 1) <<
 * level) that exist. A node's value is left + right, or left alone where no leaf stands to the right. Whoever
 * owns a run of neighbouring leaves can reduce it to the maximal subtrees inside that run, its roots; whoever
 * has the roots of all runs can finish the tree. The bits of the result do not depend on where the cuts were.
 *
 * Reducing is a stack machine: push the next value; then `merges` times add the top value to the one below it
 * (below += top) and drop the top. dt_leaves_reduce works the counts out, kernels only follow them. Pure
 * functions, thread safe. */
#ifndef DTRAIN_LEAVES_H
#define DTRAIN_LEAVES_H

#include "dtrain/status.h"

enum {
    DT_LEAF_SAMPLES = 8, /* one sum's bits depend on this number, so it is fixed */
    DT_LEAF_DEPTH = 64   /* no stack grows higher: a run of 2^k leaves has at most 2 k maximal subtrees */
};

/* A node of the tree. */
typedef struct dt_subtree {
    int level;
    int index;
} dt_subtree;

/* The share of one rank in a global batch: whole leaves. Sample numbers count within the global batch. */
typedef struct dt_share {
    int batch;        /* samples of the global batch */
    int total_leaves; /* leaves of the global batch */
    int first_leaf;
    int leaves;
    int first_sample;
    int samples;
} dt_share;

/* The leaves of a batch of `batch` samples. */
int dt_leaves_count(int batch);

/* Rank `rank` of `ranks` gets leaves [total * rank / ranks, total * (rank + 1) / ranks): sizes differ by at
 * most one leaf, and for ranks and leaves that are powers of two every share is one subtree. A share may be
 * empty. */
dt_share dt_leaves_share(int batch, int ranks, int rank);

/* What the neighbouring ranks first .. first + count - 1 of `ranks` have together. */
dt_share dt_leaves_run(int batch, int ranks, int first, int count);

/* Samples in leaf `leaf` (numbered within the share). */
int dt_leaves_samples(const dt_share *share, int leaf);

/* Reduces a run of `count` neighbouring subtrees `nodes` of a tree over total_leaves leaves. merges[i]
 * receives the number of merges after value i was pushed; roots, if not NULL, the subtrees that remain,
 * lowest leaf first (room for DT_LEAF_DEPTH). Returns how many remain: 1 for a run that covers the whole
 * tree, 0 for count 0. */
int dt_leaves_reduce(int total_leaves, const dt_subtree *nodes, int count, unsigned char *merges,
                     dt_subtree *roots);

/* What a kernel needs to sum over the samples of a share: the leaves, the merges after each, the roots that
 * remain. Values: `merges` points into memory of the caller of dt_leaves_plan. */
typedef struct dt_leaf_plan {
    int samples;
    int leaves;
    int roots;
    int depth; /* most values on the stack at one time */
    const unsigned char *merges;
} dt_leaf_plan;

/* The plan of a share; `merges` has room for share->leaves counts and must outlive the plan. */
dt_leaf_plan dt_leaves_plan(const dt_share *share, unsigned char *merges, dt_subtree *roots);

#endif
