/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups, positions, segments. */
#include "parallel/grid.h"

#include <assert.h>
#include <stdlib.h>

/* Ranks on nodes below `node`, or on `node` itself and below `rank`. */
static int ranks_before(const dt_comm *comm, int node, int rank) {
    int before = 0;
    for (int other = 0; other < dt_comm_size(comm); other++) {
        int its_node = dt_comm_node_of(comm, other);
        before += its_node < node || (its_node == node && other < rank);
    }
    return before;
}

int dt_grid_position(const dt_comm *comm) {
    return ranks_before(comm, dt_comm_node(comm), dt_comm_rank(comm));
}

int dt_grid_largest_node(const dt_comm *comm) {
    int largest = 1;
    for (int node = 0; node < dt_comm_nodes(comm); node++) {
        int size = ranks_before(comm, node + 1, 0) - ranks_before(comm, node, 0);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* The most roots that a group has for any batch. */
static int most_roots(const dt_split *split) {
    int most = 1;
    for (int leaves = 1; leaves <= dt_leaves_count(split->batch); leaves++) {
        dt_share share = dt_split_samples(split, leaves * DT_LEAF_SAMPLES);
        int roots = dt_cut_roots(leaves, share.first_leaf, share.leaves);
        most = roots > most ? roots : most;
    }
    return most;
}

dt_split dt_grid_split(const dt_comm *comm, int batch) {
    dt_split split = {.ranks = dt_comm_node_size(comm),
                      .rank = dt_comm_node_rank(comm),
                      .batch = batch,
                      .first = ranks_before(comm, dt_comm_node(comm), 0),
                      .of = dt_comm_size(comm)};
    if (dt_comm_nodes(comm) > 1)
        split.roots = most_roots(&split);
    return split;
}

dt_cut_parts dt_grid_parts(const dt_grid *grid) {
    return (dt_cut_parts){grid->groups, grid->starts};
}

static int compare_fractions(const void *a, const void *b) {
    const dt_fraction *x = a, *y = b;
    long left = (long)x->numerator * y->denominator, right = (long)y->numerator * x->denominator;
    return (left > right) - (left < right);
}

/* Every group's bounds, in order, each once. */
static void find_segments(dt_grid *grid) {
    int count = 0, kept = 0;
    for (int group = 0; group < grid->groups; group++) {
        int ranks = grid->starts[group + 1] - grid->starts[group];
        for (int place = 0; place < ranks; place++)
            grid->bounds[count++] = (dt_fraction){place, ranks};
    }
    grid->bounds[count++] = (dt_fraction){1, 1};
    qsort(grid->bounds, (size_t)count, sizeof *grid->bounds, compare_fractions);
    for (int i = 0; i < count; i++)
        if (kept == 0 || compare_fractions(&grid->bounds[kept - 1], &grid->bounds[i]) != 0)
            grid->bounds[kept++] = grid->bounds[i];
    grid->segments = kept - 1;
}

static int segment_at(const dt_grid *grid, dt_fraction bound) {
    int segment = 0;
    while (compare_fractions(&grid->bounds[segment], &bound) < 0)
        segment++;
    return segment;
}

dt_status dt_grid_create(const dt_comm *comm, bool by_node, dt_grid *grid) {
    int ranks = dt_comm_size(comm), groups = by_node ? dt_comm_nodes(comm) : 1;
    *grid = (dt_grid){.groups = groups,
                      .group = by_node ? dt_comm_node(comm) : 0,
                      .position = by_node ? dt_grid_position(comm) : dt_comm_rank(comm)};
    grid->starts = calloc((size_t)groups + 1, sizeof *grid->starts);
    grid->bounds = calloc((size_t)ranks + 1, sizeof *grid->bounds);
    if (!grid->starts || !grid->bounds) {
        dt_grid_release(grid);
        return dt_fail(DT_MEMORY, "no memory for a grid of %d ranks", ranks);
    }
    for (int group = 0; group <= groups; group++)
        grid->starts[group] = by_node ? ranks_before(comm, group, 0) : group * ranks;
    find_segments(grid);
    int own = grid->starts[grid->group + 1] - grid->starts[grid->group];
    int place = grid->position - grid->starts[grid->group];
    grid->first_segment = segment_at(grid, (dt_fraction){place, own});
    grid->end_segment = segment_at(grid, (dt_fraction){place + 1, own});
    assert(grid->end_segment > grid->first_segment);
    return dt_ok();
}

void dt_grid_release(dt_grid *grid) {
    free(grid->starts);
    free(grid->bounds);
    *grid = (dt_grid){0};
}
