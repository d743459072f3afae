/* SPDX-License-Identifier: BSD-3-Clause */
/* How the units of a dense layer are cut into blocks: the order of sums over units, and the parts in which
 * ranks share them.
 *
 * A layer's input gradient is a sum over its units. A block's sum runs over its units in order; blocks are
 * combined by the tree of leaves.h over their numbers. So whoever owns neighbouring blocks can reduce them to
 * the roots of their subtrees, and the result does not depend on where the cuts were. Pure functions. */
#ifndef DTRAIN_BLOCKS_H
#define DTRAIN_BLOCKS_H

#include "dtrain/leaves.h"

/* One sum's bits depend on these numbers, so they are fixed. */
enum {
    DT_BLOCK_GRAIN = 16, /* a block's units are a multiple of it, the last block's what is left */
    DT_MOST_BLOCKS = 64
};

/* Units of a block of a layer of `units`: the smallest multiple of DT_BLOCK_GRAIN that makes at most
 * DT_MOST_BLOCKS of them. */
int dt_blocks_size(int units);

int dt_blocks_count(int units);

/* The share of rank `rank` of `ranks` in the blocks of a layer, dealt out as dt_leaves_share deals leaves:
 * batch, first_sample and samples count units, the leaves are blocks. dt_leaves_plan takes it. */
dt_share dt_blocks_share(int units, int ranks, int rank);

/* The units of the blocks first_block .. end_block - 1. */
dt_share dt_blocks_run(int units, int first_block, int end_block);

#endif
