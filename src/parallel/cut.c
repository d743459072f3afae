/* SPDX-License-Identifier: BSD-3-Clause */
/* Shares, roots and merges of a batch over all ranks. */
#include "parallel/cut.h"

#include <assert.h>
#include <stdlib.h>

#include "parallel/numbers.h"

int dt_cut_roots(int total_leaves, int first_leaf, int leaves) {
    /* From left to right: the largest subtree that starts at a leaf has as many leaves as the lowest bit of
     * its number says, and must end inside the run. At the end of the tree it may reach beyond: a node is
     * complete with the leaves that exist. */
    int end = first_leaf + leaves, roots = 0;
    for (int leaf = first_leaf, size; leaf < end; leaf += size, roots++) {
        size = leaf == 0 ? 1 << 30 : leaf & -leaf;
        while (end < total_leaves && size > end - leaf)
            size /= 2;
    }
    return roots;
}

dt_share dt_cut_share_of(dt_cut_parts parts, int batch, int part) {
    if (!parts.starts)
        return dt_leaves_share(batch, parts.count, part);
    return dt_leaves_run(batch, parts.starts[parts.count], parts.starts[part],
                         parts.starts[part + 1] - parts.starts[part]);
}

dt_cut_bounds dt_cut_find_bounds(int batch, dt_cut_parts parts, int part) {
    /* Only the number of leaves counts, and only the few subtrees of each share are visited: 8192 leaves over
     * 1024 ranks take some ten million steps. */
    dt_cut_bounds bounds = {0};
    for (int leaves = 1; leaves <= dt_leaves_count(batch); leaves++) {
        int total = 0, mine = 0;
        for (int other = 0; other < parts.count; other++) {
            dt_share share = dt_cut_share_of(parts, leaves * DT_LEAF_SAMPLES, other);
            int roots = dt_cut_roots(leaves, share.first_leaf, share.leaves);
            bounds.roots = larger(bounds.roots, roots);
            total += roots;
            if (other == part)
                mine = roots;
        }
        bounds.total = larger(bounds.total, total);
        bounds.foreign = larger(bounds.foreign, total - larger(mine, 1));
    }
    return bounds;
}

dt_status dt_cut_create(int batch, int ranks, int rank, dt_cut *cut) {
    return dt_cut_create_parts(batch, (dt_cut_parts){.count = ranks}, rank, cut);
}

dt_status dt_cut_create_parts(int batch, dt_cut_parts parts, int part, dt_cut *cut) {
    int ranks = parts.count;
    assert(batch >= 1 && ranks >= 1 && part >= 0 && part < ranks);
    *cut = (dt_cut){.ranks = ranks,
                    .rank = part,
                    .largest_batch = batch,
                    .parts = parts,
                    .bounds = dt_cut_find_bounds(batch, parts, part)};
    cut->first_root = calloc((size_t)ranks + 1, sizeof *cut->first_root);
    cut->merges = calloc((size_t)cut->bounds.total, sizeof *cut->merges);
    cut->nodes = calloc((size_t)cut->bounds.total, sizeof *cut->nodes);
    cut->plan = calloc((size_t)dt_leaves_count(batch), sizeof *cut->plan);
    if (cut->first_root && cut->merges && cut->nodes && cut->plan)
        return dt_ok();
    dt_cut_release(cut);
    return dt_fail(DT_MEMORY, "no memory for cutting batches of %d samples over %d ranks", batch, ranks);
}

void dt_cut_release(dt_cut *cut) {
    free(cut->first_root);
    free(cut->merges);
    free(cut->nodes);
    free(cut->plan);
    *cut = (dt_cut){0};
}

void dt_cut_set(dt_cut *cut, int batch) {
    assert(batch >= 1);
    if (batch == cut->share.batch)
        return;
    cut->share = dt_cut_share_of(cut->parts, batch, cut->rank);
    int total = 0;
    for (int rank = 0; rank < cut->ranks; rank++) {
        dt_share share = dt_cut_share_of(cut->parts, batch, rank);
        dt_subtree roots[DT_LEAF_DEPTH];
        int count = dt_leaves_plan(&share, cut->plan, roots).roots;
        assert(count <= cut->bounds.roots && total + count <= cut->bounds.total);
        for (int i = 0; i < count; i++)
            cut->nodes[total + i] = roots[i];
        total += count;
        cut->first_root[rank + 1] = total;
    }
    int remaining = dt_leaves_reduce(cut->share.total_leaves, cut->nodes, total, cut->merges, NULL);
    assert(remaining == 1);
    (void)remaining;
}

int dt_cut_roots_of(const dt_cut *cut, int rank) {
    return cut->first_root[rank + 1] - cut->first_root[rank];
}
