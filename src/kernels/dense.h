/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: what the passes of dense layers on the matrix bodies share. */
#ifndef DTRAIN_KERNELS_DENSE_H
#define DTRAIN_KERNELS_DENSE_H

#include "kernels/bodies.h"
#include "kernels/sizes.h"
#include "kernels/table.h"

/* Steps of a chain over `depth` values, and so rows of its packed operands. */
static inline size_t steps_of(const dt_kernels *kernels, size_t depth) {
    return parts_of(depth, (size_t)kernels->products->pair);
}

/* Columns of the panel at `column`: tile_columns, or at the right edge as many whole vectors as it takes. */
static inline size_t panel_lanes(const dt_bodies *bodies, size_t columns, size_t column) {
    size_t width = (size_t)bodies->width;
    return smaller((size_t)bodies->tile_columns, parts_of(columns - column, width) * width);
}

/* Of dense_gradient.c; as the operations of these names in table.h. */
dt_scratch_need dt_dense_vector_gradient_need(const dt_kernels *kernels, dt_dense_shape shape, int samples);
void dt_dense_vector_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                                      const float *x, const float *dz, dt_root_sink dweights,
                                      dt_root_sink dbias);
void dt_dense_vector_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                            const float *x, const float *dz, dt_adam_step step, float *weights, float *m,
                            float *v);

#endif
