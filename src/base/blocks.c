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
    int size = dt_blocks_size(units), blocks = dt_blocks_count(units);
    dt_share share = dt_leaves_share(blocks * DT_LEAF_SAMPLES, ranks, rank);
    int end = minimum(units, (share.first_leaf + share.leaves) * size);
    share.batch = units;
    share.first_sample = minimum(units, share.first_leaf * size);
    share.samples = end - share.first_sample;
    return share;
}
