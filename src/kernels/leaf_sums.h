/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: the tree of leaves.h over whole arrays. */
#ifndef DTRAIN_KERNELS_LEAF_SUMS_H
#define DTRAIN_KERNELS_LEAF_SUMS_H

#include "kernels/table.h"

/* Samples of leaf `leaf` of the plan. */
int dt_leaf_sums_samples(const dt_leaf_plan *plan, int leaf);

/* Arrays that the stack of a plan with at most `leaves` leaves needs beside its roots. */
int dt_leaf_sums_spares(int leaves);

/* Values that the stack of such a plan holds at most, the roots included. */
int dt_leaf_sums_depth(int leaves);

/* Pushes the arrays values[i] (`count` floats each, `stride` apart) of the leaves first .. first + leaves - 1
 * on the plan's stack. The stack lies in the sink, and above the roots in `spare` (same stride). A plan's
 * leaves come in order, in one call or in several. Spreads over the team. */
void dt_leaf_sums_push(dt_kernels *kernels, const dt_leaf_plan *plan, int first, int leaves, size_t count,
                       size_t stride, const float *values, dt_root_sink sink, float *spare);

/* For stacks whose values are pushed one by one: adds the value in `slot` to the `merges` values below,
 * `stride` floats apart, the result taking the place of the lowest. With DT_WIRE_BF16 the value and each sum
 * are rounded. */
void dt_leaf_sums_merge(const dt_kernels *kernels, size_t count, size_t stride, int merges, float *slot);

#endif
