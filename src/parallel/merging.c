/* SPDX-License-Identifier: BSD-3-Clause */
/* Additions of roots inside nodes and by owners. */
#include "parallel/merging.h"

#include <assert.h>
#include <stdlib.h>

/* The most values of this node, and of the others together. One of the others' arrives where the sum will
 * stand if no rank of this node has any. */
static void find_bounds(dt_merging *merging, int batch) {
    const dt_node_map *map = merging->map;
    int here = map->node_of[map->rank];
    for (int leaves = 1; leaves <= dt_leaves_count(batch); leaves++) {
        int own = 0, foreign = 0;
        for (int rank = 0; rank < map->ranks; rank++) {
            dt_share share = dt_cut_share_of(merging->cut->parts, leaves * DT_LEAF_SAMPLES, rank);
            int roots = dt_cut_roots(leaves, share.first_leaf, share.leaves);
            *(map->node_of[rank] == here ? &own : &foreign) += roots;
        }
        foreign -= own == 0;
        merging->most_own = own > merging->most_own ? own : merging->most_own;
        merging->most_foreign = foreign > merging->most_foreign ? foreign : merging->most_foreign;
    }
}

dt_status dt_merging_create(const dt_cut *cut, const dt_node_map *map, int batch, dt_merging *merging) {
    size_t values = (size_t)cut->bounds.total;
    *merging = (dt_merging){.cut = cut, .map = map};
    find_bounds(merging, batch);
    merging->rank_of = calloc(values, sizeof *merging->rank_of);
    merging->staged = calloc(values, sizeof *merging->staged);
    merging->travels = calloc(values, sizeof *merging->travels);
    merging->inside = calloc(values, sizeof *merging->inside);
    merging->final = calloc(values, sizeof *merging->final);
    merging->nodes = calloc(values, sizeof *merging->nodes);
    merging->numbers = calloc(values, sizeof *merging->numbers);
    merging->merges = calloc(values, sizeof *merging->merges);
    if (merging->rank_of && merging->staged && merging->travels && merging->inside && merging->final &&
        merging->nodes && merging->numbers && merging->merges)
        return dt_ok();
    dt_merging_release(merging);
    return dt_fail(DT_MEMORY, "no memory for the merging of %zu roots", values);
}

void dt_merging_release(dt_merging *merging) {
    free(merging->rank_of);
    free(merging->staged);
    free(merging->travels);
    free(merging->inside);
    free(merging->final);
    free(merging->nodes);
    free(merging->numbers);
    free(merging->merges);
    *merging = (dt_merging){0};
}

int dt_merging_home(const dt_merging *merging) {
    const dt_cut *cut = merging->cut;
    return dt_cut_roots_of(cut, cut->rank) > 0 ? cut->first_root[cut->rank] : 0;
}

/* The stack machine of leaves.h over values `numbers`, written down as additions. The sum of two values may
 * stand in either one's place, addition being commutative: it stands in that of `home` if this is one of
 * them, else in the lower one's. Returns how many values remain; their numbers stand in `stack`. */
static int compile(const int *numbers, const unsigned char *merges, int count, int home,
                   dt_addition *additions, int *addition_count, int stack[DT_LEAF_DEPTH]) {
    int height = 0;
    for (int i = 0; i < count; i++) {
        assert(height < DT_LEAF_DEPTH);
        stack[height++] = numbers[i];
        for (int merge = 0; merge < merges[i]; merge++, height--) {
            assert(height > 1);
            int top = stack[height - 1], below = stack[height - 2];
            dt_addition addition = top == home ? (dt_addition){top, below} : (dt_addition){below, top};
            if (additions)
                additions[(*addition_count)++] = addition;
            stack[height - 2] = addition.to;
        }
    }
    return height;
}

/* Appends a value to what owners on this node add; returns the new length. */
static int append(dt_merging *merging, int length, int number, dt_subtree node) {
    merging->numbers[length] = number;
    merging->nodes[length] = node;
    return length + 1;
}

/* The values of a run of neighbouring ranks of one node. On this node each is added by itself; those of
 * another node arrive merged. */
static int add_run(dt_merging *merging, int length, int first, int end, bool here) {
    const dt_cut *cut = merging->cut;
    int count = end - first, stack[DT_LEAF_DEPTH];
    dt_subtree roots[DT_LEAF_DEPTH];
    int *numbers = merging->numbers + length;
    for (int i = 0; i < count; i++)
        numbers[i] = first + i;
    dt_leaves_reduce(cut->share.total_leaves, cut->nodes + first, count, merging->merges, roots);
    int remaining = compile(numbers, merging->merges, count, -1, here ? merging->inside : NULL,
                            &merging->inside_count, stack);
    for (int i = 0; i < remaining; i++)
        merging->travels[stack[i]] = true;
    for (int i = 0; here && i < count; i++)
        length = append(merging, length, first + i, cut->nodes[first + i]);
    for (int i = 0; !here && i < remaining; i++)
        length = append(merging, length, stack[i], roots[i]);
    return length;
}

/* All that an owner on this node adds, lowest leaf first. */
static int collect_values(dt_merging *merging) {
    const dt_node_map *map = merging->map;
    const int *first_root = merging->cut->first_root;
    int length = 0;
    merging->inside_count = 0;
    for (int rank = 0, end; rank < map->ranks; rank = end) {
        int node = map->node_of[rank];
        for (end = rank; end < map->ranks && map->node_of[end] == node; end++)
            for (int value = first_root[end]; value < first_root[end + 1]; value++) {
                merging->rank_of[value] = end;
                merging->travels[value] = false;
                merging->staged[value] = -1;
            }
        length = add_run(merging, length, first_root[rank], first_root[end], node == map->node_of[map->rank]);
    }
    return length;
}

void dt_merging_set(dt_merging *merging) {
    const dt_cut *cut = merging->cut;
    const dt_node_map *map = merging->map;
    if (merging->batch == cut->share.batch)
        return;
    merging->batch = cut->share.batch;
    int length = collect_values(merging), home = dt_merging_home(merging), staged = 0;
    for (int i = 0; i < length; i++) {
        int value = merging->numbers[i];
        if (map->node_of[merging->rank_of[value]] != map->node_of[map->rank] && value != home)
            merging->staged[value] = staged++;
    }
    assert(staged <= merging->most_foreign);
    int stack[DT_LEAF_DEPTH];
    dt_leaves_reduce(cut->share.total_leaves, merging->nodes, length, merging->merges, NULL);
    merging->final_count = 0;
    int remaining = compile(merging->numbers, merging->merges, length, home, merging->final,
                            &merging->final_count, stack);
    assert(remaining == 1 && stack[0] == home);
    (void)remaining;
}
