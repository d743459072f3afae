/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of units. */
#include "dtrain/blocks.h"

#include <assert.h>

int dt_blocks_size(int units) {
    assert(units >= 1);
    int least = (units + DT_MOST_BLOCKS - 1) / DT_MOST_BLOCKS;
    return (least + DT_BLOCK_GRAIN - 1) / DT_BLOCK_GRAIN * DT_BLOCK_GRAIN;
}

int dt_blocks_count(int units) {
    int size = dt_blocks_size(units);
    return (units + size - 1) / size;
}

static int minimum(int a, int b) {
    return a < b ? a : b;
}

dt_share dt_blocks_share(int units, int ranks, int rank) {
    dt_share share = dt_leaves_share(dt_blocks_count(units) * DT_LEAF_SAMPLES, ranks, rank);
    return dt_blocks_run(units, share.first_leaf, share.first_leaf + share.leaves);
}

dt_share dt_blocks_run(int units, int first_block, int end_block) {
    int size = dt_blocks_size(units), first = minimum(units, first_block * size);
    return (dt_share){.batch = units,
                      .total_leaves = dt_blocks_count(units),
                      .first_leaf = first_block,
                      .leaves = end_block - first_block,
                      .first_sample = first,
                      .samples = minimum(units, end_block * size) - first};
}
