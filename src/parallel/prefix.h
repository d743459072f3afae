/* SPDX-License-Identifier: BSD-3-Clause */
/* How far the gradient slab is complete from its start, while tensors become ready one by one. Pure. */
#ifndef DTRAIN_PARALLEL_PREFIX_H
#define DTRAIN_PARALLEL_PREFIX_H

#include <stdbool.h>
#include <stddef.h>

#include "dtrain/parameters.h"

/* A value. The tensors whose gradients the ranks must sum, in the order of their places in the slab. */
typedef struct dt_prefix {
    int count;
    int tensors[DT_MAX_TENSORS];       /* numbers in the tensor table */
    size_t starts[DT_MAX_TENSORS + 1]; /* their offsets, then the end of the last, gaps included */
    bool ready[DT_MAX_TENSORS];
    int leading; /* so many at the front are ready */
} dt_prefix;

/* Nothing is ready. */
dt_prefix dt_prefix_build(const dt_parameters *parameters);
void dt_prefix_clear(dt_prefix *prefix);

/* Tensor `tensor` of the table is ready, once a step. Tensors that are not summed are passed over. Returns
 * the floats that are complete from the start of the slab. */
size_t dt_prefix_add(dt_prefix *prefix, int tensor);

#endif
