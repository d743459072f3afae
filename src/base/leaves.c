/* SPDX-License-Identifier: BSD-3-Clause */
/* The canonical summation tree. */
#include "dtrain/leaves.h"

#include <assert.h>

int dt_leaves_count(int batch) {
    return (batch + DT_LEAF_SAMPLES - 1) / DT_LEAF_SAMPLES;
}

static int minimum(int a, int b) {
    return a < b ? a : b;
}

dt_share dt_leaves_share(int batch, int ranks, int rank) {
    return dt_leaves_run(batch, ranks, rank, 1);
}

dt_share dt_leaves_run(int batch, int ranks, int first, int count) {
    dt_share share = {.batch = batch, .total_leaves = dt_leaves_count(batch)};
    share.first_leaf = (int)((long)share.total_leaves * first / ranks);
    int end_leaf = (int)((long)share.total_leaves * (first + count) / ranks);
    share.leaves = end_leaf - share.first_leaf;
    share.first_sample = minimum(batch, share.first_leaf * DT_LEAF_SAMPLES);
    share.samples = minimum(batch, end_leaf * DT_LEAF_SAMPLES) - share.first_sample;
    return share;
}

int dt_leaves_samples(const dt_share *share, int leaf) {
    return minimum(DT_LEAF_SAMPLES, share->samples - leaf * DT_LEAF_SAMPLES);
}

/* Whether the node has leaves on the right of it that belong to the same parent. */
static bool has_right_sibling(int total_leaves, dt_subtree node) {
    return node.index % 2 == 0 && ((long)(node.index + 1) << node.level) < total_leaves;
}

/* Lifts a node without siblings to its parent, whose value is the same, as far as that goes. */
static dt_subtree lift(int total_leaves, dt_subtree node) {
    while (node.index > 0 && node.index % 2 == 0 && !has_right_sibling(total_leaves, node))
        node = (dt_subtree){node.level + 1, node.index / 2};
    return node;
}

int dt_leaves_reduce(int total_leaves, const dt_subtree *nodes, int count, unsigned char *merges,
                     dt_subtree *roots) {
    dt_subtree stack[DT_LEAF_DEPTH];
    int height = 0;
    for (int i = 0; i < count; i++) {
        assert(height < DT_LEAF_DEPTH);
        stack[height++] = lift(total_leaves, nodes[i]);
        merges[i] = 0;
        while (height >= 2) {
            dt_subtree top = stack[height - 1], below = stack[height - 2];
            if (top.index % 2 == 0 || top.level != below.level || top.index - 1 != below.index)
                break;
            stack[--height - 1] = lift(total_leaves, (dt_subtree){top.level + 1, top.index / 2});
            merges[i]++;
        }
    }
    for (int i = 0; roots && i < height; i++)
        roots[i] = stack[i];
    return height;
}

dt_leaf_plan dt_leaves_plan(const dt_share *share, unsigned char *merges, dt_subtree *roots) {
    /* One leaf at a time through the same reduction: the stack of maximal subtrees is carried as its nodes.
     */
    dt_subtree stack[DT_LEAF_DEPTH];
    dt_leaf_plan plan = {.samples = share->samples, .leaves = share->leaves, .merges = merges};
    for (int leaf = 0; leaf < share->leaves; leaf++) {
        unsigned char counts[DT_LEAF_DEPTH];
        stack[plan.roots] = (dt_subtree){0, share->first_leaf + leaf};
        int pushed = plan.roots + 1;
        if (pushed > plan.depth)
            plan.depth = pushed;
        plan.roots = dt_leaves_reduce(share->total_leaves, stack, pushed, counts, stack);
        merges[leaf] = (unsigned char)(pushed - plan.roots);
    }
    for (int i = 0; roots && i < plan.roots; i++)
        /* cppcheck-suppress uninitvar ; so many were pushed above */
        roots[i] = stack[i];
    return plan;
}
