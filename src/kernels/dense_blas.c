/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layers as single-threaded OpenBLAS calls on blocks of columns: what the own bodies are compared
 * with. */
#include <assert.h>
#include <cblas.h>
#include <string.h>

#include "kernels/bodies.h"
#include "kernels/leaf_sums.h"
#include "kernels/table.h"

enum { COLUMNS = 256 /* of one task */ };

typedef struct dense_call {
    const dt_kernels *kernels;
    dt_dense_shape shape;
    int first, rows;
    int units; /* of a root of the input gradient */
    const float *x, *weights, *bias, *dz;
    bool relu;
    float *y, *dx, *dweights;
    dt_adam_step step;
    float *updated, *m, *v;
} dense_call;

static int block_of(int columns, int task) {
    return columns - task * COLUMNS < COLUMNS ? columns - task * COLUMNS : COLUMNS;
}

static void run_columns(const dt_kernels *kernels, int columns, dt_task run, dense_call *call) {
    if (call->rows > 0)
        dt_team_run(kernels->team, (columns + COLUMNS - 1) / COLUMNS, run, call);
}

static void forward_columns(void *context, int task, int worker) {
    const dense_call *call = context;
    int in = call->shape.in, out = call->shape.out, columns = block_of(out, task);
    size_t first = (size_t)task * COLUMNS;
    (void)worker;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, call->rows, columns, in, 1.0f, call->x, in,
                call->weights + first, out, 0.0f, call->y + first, out);
    call->kernels->bodies->bias_relu((size_t)call->rows, (size_t)columns, call->bias + first, call->relu,
                                     call->y + first, (size_t)out);
}

static void dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                          const float *weights, const float *bias, bool relu, float *y) {
    dense_call call = {.kernels = kernels, .shape = shape, .rows = rows, .x = x, .weights = weights};
    call.bias = bias;
    call.relu = relu;
    call.y = y;
    run_columns(kernels, shape.out, forward_columns, &call);
}

static void backward_columns(void *context, int task, int worker) {
    const dense_call *call = context;
    int in = call->shape.in, out = call->shape.out;
    size_t first = (size_t)task * COLUMNS;
    (void)worker;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, call->rows, block_of(in, task), call->units, 1.0f,
                call->dz, out, call->weights + first * (size_t)out, out, 0.0f, call->dx + first, in);
}

/* The leaves of each root of a plan; returns the number of roots. */
static int count_leaves(const dt_leaf_plan *plan, int leaves[DT_LEAF_DEPTH]) {
    int height = 0;
    for (int leaf = 0; leaf < plan->leaves; leaf++) {
        leaves[height++] = 1;
        for (int merge = 0; merge < plan->merges[leaf]; merge++, height--) {
            assert(height > 1);
            leaves[height - 2] += leaves[height - 1];
        }
    }
    return height;
}

/* One GEMM for the units of each root. */
static void dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, const dt_unit_plan *units,
                                int rows, const float *dz, const float *weights, dt_root_sink dx) {
    dense_call call = {.kernels = kernels, .shape = shape, .rows = rows};
    int blocks[DT_LEAF_DEPTH], roots = count_leaves(&units->plan, blocks), first = 0;
    for (int root = 0; root < roots; root++, first += call.units) {
        int left = shape.out - first, wanted = blocks[root] * (int)units->size;
        call.units = wanted < left ? wanted : left;
        call.dz = dz + first;
        call.weights = weights + first;
        call.dx = dx.base + (size_t)root * dx.stride;
        run_columns(kernels, shape.in, backward_columns, &call);
    }
}

static void multiply_gradient(const dense_call *call, int task, float *to) {
    int in = call->shape.in, out = call->shape.out;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, block_of(in, task), out, call->rows, 1.0f,
                call->x + (size_t)call->first * (size_t)in + (size_t)task * COLUMNS, in,
                call->dz + (size_t)call->first * (size_t)out, out, 0.0f, to, out);
}

static void gradient_rows(void *context, int task, int worker) {
    const dense_call *call = context;
    (void)worker;
    multiply_gradient(call, task, call->dweights + (size_t)task * COLUMNS * (size_t)call->shape.out);
}

static void update_rows(void *context, int task, int worker) {
    const dense_call *call = context;
    size_t out = (size_t)call->shape.out, first = (size_t)task * COLUMNS * out;
    float *gradient = dt_worker_scratch(call->kernels, worker);
    multiply_gradient(call, task, gradient);
    dt_adam_body(call->kernels)(call->step, (size_t)block_of(call->shape.in, task) * out, gradient,
                                call->updated + first, call->m + first, call->v + first);
}

/* One GEMM for the leaves of each root. */
static void dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                                   const float *x, const float *dz, dt_root_sink dweights,
                                   dt_root_sink dbias) {
    dense_call call = {.kernels = kernels, .shape = shape, .x = x, .dz = dz};
    int root_leaves[DT_LEAF_DEPTH], height = count_leaves(plan, root_leaves);
    for (int root = 0; root < height; root++, call.first += call.rows) {
        int left = plan->samples - call.first, samples = root_leaves[root] * DT_LEAF_SAMPLES;
        call.rows = samples < left ? samples : left;
        if (dweights.base) {
            call.dweights = dweights.base + (size_t)root * dweights.stride;
            run_columns(kernels, shape.in, gradient_rows, &call);
        }
        kernels->bodies->column_sums((size_t)call.rows, (size_t)shape.out,
                                     dz + (size_t)call.first * (size_t)shape.out, (size_t)shape.out,
                                     dbias.base + (size_t)root * dbias.stride);
    }
}

static void dense_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan, const float *x,
                         const float *dz, dt_adam_step step, float *weights, float *m, float *v) {
    dense_call call = {.kernels = kernels, .shape = shape, .rows = plan->samples, .x = x, .dz = dz};
    call.step = step;
    call.updated = weights;
    call.m = m;
    call.v = v;
    run_columns(kernels, shape.in, update_rows, &call);
}

static dt_scratch_need dense_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    (void)kernels, (void)samples;
    return (dt_scratch_need){.worker = (size_t)COLUMNS * (size_t)shape.out};
}

const dt_dense_operations dt_dense_blas = {
    .need = dense_need,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
    .update = dense_update,
};
