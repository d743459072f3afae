/* SPDX-License-Identifier: BSD-3-Clause */
/* The columns of each leaf are added up, then the leaves. */
#include "kernels/dense_bias.h"

#include "kernels/bodies.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"

enum { COLUMNS = 256 }; /* of one task */

typedef struct bias_call {
    const dt_bodies *bodies;
    const dt_leaf_plan *plan;
    size_t out, stride;
    const float *dz;
    float *leaves; /* [leaf][stride] */
} bias_call;

static void bias_leaf(void *context, int task, int worker) {
    const bias_call *call = context;
    size_t leaf = (size_t)(task % call->plan->leaves);
    size_t column = (size_t)(task / call->plan->leaves) * COLUMNS;
    (void)worker;
    call->bodies->column_sums((size_t)dt_leaf_sums_samples(call->plan, (int)leaf),
                              smaller(COLUMNS, call->out - column),
                              call->dz + leaf * DT_LEAF_SAMPLES * call->out + column, call->out,
                              call->leaves + leaf * call->stride + column);
}

size_t dt_dense_bias_floats(int samples, size_t out) {
    int leaves = dt_leaves_count(samples);
    return (size_t)(leaves + dt_leaf_sums_spares(leaves)) * dt_align_floats(out);
}

void dt_dense_bias_gradient(dt_kernels *kernels, const dt_leaf_plan *plan, size_t out, const float *dz,
                            float *scratch, dt_root_sink dbias) {
    bias_call call = {kernels->bodies, plan, out, dt_align_floats(out), dz, scratch};
    dt_team_run(kernels->team, plan->leaves * (int)parts_of(out, COLUMNS), bias_leaf, &call);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, out, call.stride, call.leaves, dbias,
                      scratch + (size_t)plan->leaves * call.stride);
}
