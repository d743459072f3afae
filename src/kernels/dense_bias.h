/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: the gradient of a dense layer's bias, which is no product. */
#ifndef DTRAIN_KERNELS_DENSE_BIAS_H
#define DTRAIN_KERNELS_DENSE_BIAS_H

#include "kernels/table.h"

/* Scratch for `samples` samples of `out` outputs. */
size_t dt_dense_bias_floats(int samples, size_t out);

/* The sums over the plan's samples of dz [sample][out]. Spreads over the team. */
void dt_dense_bias_gradient(dt_kernels *kernels, const dt_leaf_plan *plan, size_t out, const float *dz,
                            float *scratch, dt_root_sink dbias);

#endif
