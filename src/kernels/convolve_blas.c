/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolutions as im2col and single-threaded OpenBLAS calls: what the own bodies are compared with.
 *
 * With some of its kernels (those for Haswell and Zen among them) OpenBLAS sums a row in another order when
 * the row stands at another place of a matrix, so forward and backward_data make no promise about bits. A
 * weight gradient's calls belong to one leaf, and follow leaves.h. */
#include <cblas.h>
#include <string.h>

#include "kernels/bodies.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"
#include "kernels/table.h"

enum {
    BLOCK_ROWS = 392, /* pixels at least in a block: enough for the GEMM, few enough for the cache */
    COPY = 8,         /* floats that short runs are copied in */
    PART_ROWS = 192   /* rows of a weight gradient that are worth a call of their own */
};

/* Samples of one GEMM: a power of two up to a leaf. */
static int block_samples(dt_convolve_shape shape) {
    int samples = 1;
    while (samples < DT_LEAF_SAMPLES && samples * shape.height * shape.width < BLOCK_ROWS)
        samples *= 2;
    return samples;
}

static size_t patch(dt_convolve_shape shape, int channels) {
    return (size_t)(shape.kernel * shape.kernel * channels);
}

static size_t padded_floats(dt_convolve_shape shape, int channels) {
    return (size_t)(shape.height + shape.kernel - 1) * (size_t)(shape.width + shape.kernel - 1) *
           (size_t)channels;
}

/* Runs of the first convolution are 11 floats: a few fixed copies that overshoot, into what is written next,
 * beat a call of memcpy. */
static void copy_run(float *to, const float *from, size_t count) {
    if (count >= 4 * COPY)
        memcpy(to, from, count * sizeof(float));
    else
        for (size_t i = 0; i < count; i += COPY)
            memcpy(to + i, from + i, COPY * sizeof(float));
}

/* The sample in a frame of zeros. */
static void pad_sample(dt_convolve_shape shape, int channels, const float *image, float *padded) {
    size_t line = (size_t)(shape.width * channels), margin = (size_t)(shape.kernel / 2);
    size_t padded_line = (size_t)(shape.width + shape.kernel - 1) * (size_t)channels;
    memset(padded, 0, padded_floats(shape, channels) * sizeof(float));
    for (size_t row = 0; row < (size_t)shape.height; row++)
        memcpy(padded + (row + margin) * padded_line + margin * (size_t)channels, image + row * line,
               line * sizeof(float));
}

/* im2col of one sample for the kernel rows [first, first + rows): columns [pixel][rows * kernel * channels].
 * Both arrays have COPY floats of slack behind them. */
static void gather_sample(dt_convolve_shape shape, int channels, int first, int rows, const float *image,
                          float *padded, float *columns) {
    size_t padded_line = (size_t)(shape.width + shape.kernel - 1) * (size_t)channels;
    size_t run = (size_t)(shape.kernel * channels);
    pad_sample(shape, channels, image, padded);
    for (size_t y = 0; y < (size_t)shape.height; y++)
        for (size_t x = 0; x < (size_t)shape.width; x++)
            for (size_t row = (size_t)first; row < (size_t)(first + rows); row++, columns += run)
                copy_run(columns, padded + (y + row) * padded_line + x * (size_t)channels, run);
}

/* out = source convolved with weights [patch][outputs]; for backward_data source is dz and weights are turned
 * around. */
typedef struct conv_call {
    const dt_kernels *kernels;
    dt_convolve_shape shape;
    int channels, outputs; /* of source and destination */
    int samples;
    const float *source, *weights, *bias; /* bias: NULL for none, and no ReLU then */
    float *destination;
} conv_call;

static void conv_block(void *context, int task, int worker) {
    const conv_call *call = context;
    dt_convolve_shape shape = call->shape;
    size_t pixels = (size_t)(shape.height * shape.width), depth = patch(shape, call->channels);
    size_t outputs = (size_t)call->outputs;
    int first = task * block_samples(shape), samples = block_samples(shape);
    if (samples > call->samples - first)
        samples = call->samples - first;
    float *padded = dt_worker_scratch(call->kernels, worker);
    float *columns = padded + dt_align_floats(padded_floats(shape, call->channels) + COPY);
    float *destination = call->destination + (size_t)first * pixels * outputs;
    size_t rows = (size_t)samples * pixels;
    for (int i = 0; i < samples; i++)
        gather_sample(shape, call->channels, 0, shape.kernel,
                      call->source + (size_t)(first + i) * pixels * (size_t)call->channels, padded,
                      columns + (size_t)i * pixels * depth);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)outputs, (blasint)depth,
                1.0f, columns, (blasint)depth, call->weights, (blasint)outputs, 0.0f, destination,
                (blasint)outputs);
    if (call->bias)
        call->kernels->bodies->bias_relu(rows, outputs, call->bias, true, destination, outputs);
}

static void run_blocks(conv_call *call) {
    int block = block_samples(call->shape);
    dt_team_run(call->kernels->team, (call->samples + block - 1) / block, conv_block, call);
}

static void conv_forward(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *x,
                         const float *weights, const float *bias, float *y) {
    conv_call call = {kernels, shape, shape.in_channels, shape.out_channels, samples, x, weights, bias, y};
    run_blocks(&call);
}

typedef struct turn_call {
    const dt_bodies *bodies;
    dt_convolve_shape shape;
    const float *weights; /* [tap][in][out] */
    float *turned;        /* [last tap first][out][in] */
} turn_call;

static void turn_tap(void *context, int tap, int worker) {
    const turn_call *call = context;
    size_t in = (size_t)call->shape.in_channels, out = (size_t)call->shape.out_channels;
    size_t last = (size_t)(call->shape.kernel * call->shape.kernel) - 1;
    (void)worker;
    call->bodies->products.pack_transposed(out, in, in, call->weights + (size_t)tap * in * out, out,
                                           call->turned + (last - (size_t)tap) * in * out);
}

static void conv_backward_data(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *dz,
                               const float *weights, float *dx) {
    turn_call turn = {kernels->bodies, shape, weights, kernels->shared};
    conv_call call = {kernels, shape, shape.out_channels, shape.in_channels, samples, dz, turn.turned,
                      NULL,    dx};
    dt_team_run(kernels->team, shape.kernel * shape.kernel, turn_tap, &turn);
    run_blocks(&call);
}

/* Kernel rows of one weight gradient call: one where it gives enough rows, else all. */
static int part_kernel_rows(dt_convolve_shape shape) {
    return shape.kernel * shape.in_channels >= PART_ROWS ? 1 : shape.kernel;
}

/* Leaves whose gradients are in memory at the same time. */
static int group_leaves(const dt_kernels *kernels, int leaves) {
    int group = (int)larger(DT_LEAF_SAMPLES, (size_t)dt_team_size(kernels->team));
    return group < leaves ? group : leaves;
}

typedef struct gradient_call {
    const dt_kernels *kernels;
    dt_convolve_shape shape;
    const dt_leaf_plan *plan;
    int first_leaf;
    const float *x, *dz;
    size_t weights, weights_stride, bias_stride;
    float *weights_leaves; /* [leaf of the group][weights] */
    float *bias_leaves;    /* [leaf of the group][out] */
    float *weights_spare, *bias_spare;
} gradient_call;

static void gradient_part(void *context, int task, int worker) {
    const gradient_call *call = context;
    dt_convolve_shape shape = call->shape;
    int kernel_rows = part_kernel_rows(shape), parts = shape.kernel / kernel_rows;
    int leaf = task / parts, first_row = task % parts * kernel_rows;
    int samples = dt_leaf_sums_samples(call->plan, call->first_leaf + leaf), block = block_samples(shape);
    size_t pixels = (size_t)(shape.height * shape.width), in = (size_t)shape.in_channels;
    size_t out = (size_t)shape.out_channels, width = (size_t)(kernel_rows * shape.kernel) * in;
    float *padded = dt_worker_scratch(call->kernels, worker);
    float *columns = padded + dt_align_floats(padded_floats(shape, shape.in_channels) + COPY);
    float *gradient = call->weights_leaves + (size_t)leaf * call->weights_stride +
                      (size_t)(first_row * shape.kernel) * in * out;
    for (int begin = 0; begin < samples; begin += block) {
        int count = samples - begin < block ? samples - begin : block;
        size_t sample = (size_t)((call->first_leaf + leaf) * DT_LEAF_SAMPLES + begin);
        for (int i = 0; i < count; i++)
            gather_sample(shape, shape.in_channels, first_row, kernel_rows,
                          call->x + (sample + (size_t)i) * pixels * in, padded,
                          columns + (size_t)i * pixels * width);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)width, (blasint)out,
                    (blasint)((size_t)count * pixels), 1.0f, columns, (blasint)width,
                    call->dz + sample * pixels * out, (blasint)out, begin > 0 ? 1.0f : 0.0f, gradient,
                    (blasint)out);
    }
}

/* A leaf's bias gradient: pixels in order, then samples in order. */
static void bias_leaf(void *context, int leaf, int worker) {
    const gradient_call *call = context;
    const dt_bodies *bodies = call->kernels->bodies;
    size_t pixels = (size_t)(call->shape.height * call->shape.width), out = (size_t)call->shape.out_channels;
    size_t first = (size_t)(call->first_leaf + leaf) * DT_LEAF_SAMPLES;
    float *sum = call->bias_leaves + (size_t)leaf * call->bias_stride,
          *own = dt_worker_scratch(call->kernels, worker);
    for (int i = 0; i < dt_leaf_sums_samples(call->plan, call->first_leaf + leaf); i++) {
        bodies->column_sums(pixels, out, call->dz + (first + (size_t)i) * pixels * out, out,
                            i > 0 ? own : sum);
        if (i > 0)
            bodies->add_to(out, own, sum);
    }
}

/* The pieces of shared scratch, in their order. */
static void take_gradient_scratch(dt_arena *arena, const dt_kernels *kernels, dt_convolve_shape shape,
                                  int samples, gradient_call *call) {
    int leaves = dt_leaves_count(samples);
    size_t group = (size_t)group_leaves(kernels, leaves), spares = (size_t)dt_leaf_sums_spares(leaves);
    call->weights = patch(shape, shape.in_channels) * (size_t)shape.out_channels;
    call->weights_stride = dt_align_floats(call->weights);
    call->bias_stride = dt_align_floats((size_t)shape.out_channels);
    call->weights_leaves = dt_arena_take_floats(arena, group * call->weights_stride);
    call->weights_spare = dt_arena_take_floats(arena, spares * call->weights_stride);
    call->bias_leaves = dt_arena_take_floats(arena, group * call->bias_stride);
    call->bias_spare = dt_arena_take_floats(arena, spares * call->bias_stride);
}

static void conv_backward_weights(dt_kernels *kernels, dt_convolve_shape shape, const dt_leaf_plan *plan,
                                  const float *x, const float *dz, dt_root_sink dweights,
                                  dt_root_sink dbias) {
    dt_arena arena = {.base = (char *)kernels->shared};
    gradient_call call = {.kernels = kernels, .shape = shape, .plan = plan, .x = x, .dz = dz};
    int group = group_leaves(kernels, plan->leaves), parts = shape.kernel / part_kernel_rows(shape);
    take_gradient_scratch(&arena, kernels, shape, plan->samples, &call);
    for (int first = 0; first < plan->leaves; first += group) {
        int leaves = plan->leaves - first < group ? plan->leaves - first : group;
        call.first_leaf = first;
        dt_team_run(kernels->team, leaves * parts, gradient_part, &call);
        dt_team_run(kernels->team, leaves, bias_leaf, &call);
        dt_leaf_sums_push(kernels, plan, first, leaves, call.weights, call.weights_stride,
                          call.weights_leaves, dweights, call.weights_spare);
        dt_leaf_sums_push(kernels, plan, first, leaves, (size_t)shape.out_channels, call.bias_stride,
                          call.bias_leaves, dbias, call.bias_spare);
    }
}

static size_t worker_floats(dt_convolve_shape shape, int channels) {
    size_t rows = (size_t)(block_samples(shape) * shape.height * shape.width);
    return dt_align_floats(padded_floats(shape, channels) + COPY) +
           dt_align_floats(rows * patch(shape, channels) + COPY);
}

static dt_scratch_need conv_need(const dt_kernels *kernels, dt_convolve_shape shape, int samples) {
    dt_arena arena = {0};
    gradient_call call;
    take_gradient_scratch(&arena, kernels, shape, samples, &call);
    return (dt_scratch_need){arena.used / sizeof(float), larger(worker_floats(shape, shape.in_channels),
                                                                worker_floats(shape, shape.out_channels))};
}

const dt_convolve_operations dt_convolve_blas = {
    .need = conv_need,
    .forward = conv_forward,
    .backward_data = conv_backward_data,
    .backward_weights = conv_backward_weights,
};
