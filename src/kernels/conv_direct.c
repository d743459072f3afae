/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolutions of one input channel, computed as they are written: a strip of neighbouring pixels times a few
 * vectors of output channels stays in registers while the taps pass by. ReLU and pooling are applied to sums
 * that are still in the cache; of the values before the pooling only one bit each is kept. Rows of the kernel
 * that lie outside the image are left out.
 *
 * The weight gradient is the same inner loop with pixels and taps in each other's place: a leaf's sum is one
 * chain over samples, rows and columns. */
#include <string.h>

#include "kernels/conv_method.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"

enum {
    BLOCK_VECTORS = 2,   /* of output channels that are computed together */
    TASKS_PER_THREAD = 6 /* of a backward pass, at least, as far as there are rows of the kernel */
};

/* Sizes. `rows` and `columns` are those of the values that reach the output: with pooling an odd last one
 * does not. */
typedef struct geometry {
    size_t height, width, kernel, outputs, rows, columns;
    size_t margin, taps, line, framed; /* floats of a row and of a sample with its frame of zeros */
    size_t vector, lanes, blocks;      /* lanes: output channels as whole vectors */
    bool pool;
} geometry;

static geometry geometry_of(const dt_kernels *kernels, dt_conv_shape shape) {
    geometry g = {
        .height = (size_t)shape.height, .width = (size_t)shape.width, .kernel = (size_t)shape.kernel};
    g.outputs = (size_t)shape.out_channels;
    g.pool = shape.pool;
    g.rows = shape.pool ? g.height / 2 * 2 : g.height;
    g.columns = shape.pool ? g.width / 2 * 2 : g.width;
    g.margin = g.kernel / 2;
    g.taps = g.kernel * g.kernel;
    g.line = g.width + g.kernel - 1;
    g.framed = (g.height + g.kernel - 1) * g.line;
    g.vector = (size_t)kernels->bodies->width;
    g.lanes = parts_of(g.outputs, g.vector) * g.vector;
    g.blocks = parts_of(g.lanes, BLOCK_VECTORS * g.vector);
    return g;
}

/* Output channels in front of a block, and in it with and without padding. */
static size_t block_first(const geometry *g, size_t block) {
    return block * BLOCK_VECTORS * g->vector;
}

static size_t block_lanes(const geometry *g, size_t block) {
    return smaller(BLOCK_VECTORS * g->vector, g->lanes - block_first(g, block));
}

static size_t block_columns(const geometry *g, size_t block) {
    return smaller(block_lanes(g, block), g->outputs - block_first(g, block));
}

/* Floats of a sample's output. */
static size_t output_floats(const geometry *g) {
    return (g->pool ? g->rows / 2 * (g->columns / 2) : g->rows * g->columns) * g->outputs;
}

/* Rows [*first, *end) of the kernel that touch the image around row `row` of `height`; seen the other way
 * round, rows of the image that a row of the kernel touches. */
static void touched(size_t margin, size_t height, size_t row, size_t count, size_t *first, size_t *end) {
    *first = row < margin ? margin - row : 0;
    *end = smaller(count, larger(*first, height + margin > row ? height + margin - row : 0));
    *end = larger(*first, *end);
}

/* `total` neighbouring sums of chains over a window of b, strip by strip. */
static void correlate(const dt_bodies *bodies, size_t total, size_t lanes, size_t rows, size_t length,
                      const float *x, size_t x_line, const float *b, size_t b_line, bool resume,
                      float *sums) {
    size_t strips = parts_of(total, (size_t)bodies->strip);
    for (size_t strip = 0; strip < strips; strip++) {
        size_t begin = total * strip / strips, count = total * (strip + 1) / strips - begin;
        bodies->correlate(count, lanes / (size_t)bodies->width, rows, length, x + begin, x_line, b, b_line,
                          resume, sums + begin * lanes);
    }
}

/* Kernel rows that touch the image, over all rows. */
static double executed_flop(const dt_conv *conv, dt_conv_pass pass) {
    geometry g = geometry_of(conv->config.kernels, conv->config.shape);
    size_t touching = 0, first, end;
    if (pass == DT_CONV_BACKWARD_DATA)
        return dt_conv_direct_flop(conv->config.shape);
    for (size_t row = 0; row < g.rows; row++) {
        touched(g.margin, g.height, row, g.kernel, &first, &end);
        touching += end - first;
    }
    return 2.0 * (double)(touching * g.kernel * g.columns * g.lanes);
}

static bool can(const dt_kernels *kernels, dt_conv_shape shape) {
    (void)kernels;
    return shape.in_channels == 1 && shape.kernel % 2 == 1;
}

static void lay_out(dt_conv *conv, dt_arena *arena) {
    const dt_conv_config *config = &conv->config;
    geometry g = geometry_of(config->kernels, config->shape);
    dt_conv_direct_state *state = &conv->state.direct;
    size_t samples = (size_t)config->samples, trained = config->leaves > 0 ? samples : 0;
    state->framed = dt_arena_take_floats(arena, samples * g.framed);
    state->codes = dt_arena_take(arena, g.pool ? trained * (g.rows / 2) * (g.columns / 2) * g.lanes : 0);
    state->dz =
        dt_arena_take_floats(arena, smaller(trained, DT_LEAF_SAMPLES) * g.height * g.width * g.outputs);
}

typedef struct forward_call {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    geometry g;
    dt_conv_input input;
    const float *weights, *bias;
    float *framed;
    float *packed;        /* [block][tap][lanes] */
    float *packed_bias;   /* [lanes] */
    unsigned char *codes; /* NULL if nobody will ask */
    float *y;
} forward_call;

static void frame_sample(void *context, int sample, int worker) {
    const forward_call *call = context;
    const geometry *g = &call->g;
    const dt_conv_input *input = &call->input;
    const float *image = input->x + (size_t)sample * g->height * g->width;
    float *framed = call->framed + (size_t)sample * g->framed;
    (void)worker;
    memset(framed, 0, g->framed * sizeof(float));
    for (size_t row = 0; row < g->height; row++, image += g->width) {
        float *to = framed + (row + g->margin) * g->line + g->margin;
        size_t group = input->by_rows ? row : 0;
        if (input->scale)
            call->bodies->norm_forward_run(g->width, image, input->scale[group], input->shift[group], to);
        else
            memcpy(to, image, g->width * sizeof(float));
    }
}

static void pack_weights(const forward_call *call) {
    const geometry *g = &call->g;
    for (size_t block = 0; block < g->blocks; block++)
        call->bodies->products.pack_straight(g->taps, block_lanes(g, block), block_columns(g, block),
                                             call->weights + block_first(g, block), g->outputs,
                                             call->packed + block_first(g, block) * g->taps);
    call->bodies->products.pack_straight(1, g->lanes, g->outputs, call->bias, g->outputs, call->packed_bias);
}

static void sum_row(const forward_call *call, size_t sample, size_t row, size_t block, float *sums) {
    const geometry *g = &call->g;
    size_t lanes = block_lanes(g, block), first, end;
    touched(g->margin, g->height, row, g->kernel, &first, &end);
    correlate(call->bodies, g->columns, lanes, end - first, g->kernel,
              call->framed + sample * g->framed + (row + first) * g->line, g->line,
              call->packed + block_first(g, block) * g->taps + first * g->kernel * lanes, g->kernel * lanes,
              false, sums);
}

/* A task is a row of windows, or without pooling a row. */
static void forward_row(void *context, int task, int worker) {
    const forward_call *call = context;
    const geometry *g = &call->g;
    size_t windows = g->columns / 2, rows = g->pool ? g->rows / 2 : g->rows;
    size_t sample = (size_t)task / rows, row = (size_t)task % rows;
    float *upper = dt_worker_scratch(call->kernels, worker);
    for (size_t block = 0; block < g->blocks; block++) {
        size_t lanes = block_lanes(g, block), columns = block_columns(g, block), at = block_first(g, block);
        const float *bias = call->packed_bias + at;
        if (!g->pool) {
            sum_row(call, sample, row, block, upper);
            call->bodies->relu_sums(g->columns, lanes, columns, upper, bias,
                                    call->y + (size_t)task * g->columns * g->outputs + at, g->outputs);
            continue;
        }
        float *lower = upper + g->columns * lanes;
        sum_row(call, sample, 2 * row, block, upper);
        sum_row(call, sample, 2 * row + 1, block, lower);
        call->bodies->pool_sums(
            windows, lanes, columns, upper, lower, bias, call->y + (size_t)task * windows * g->outputs + at,
            g->outputs, call->codes ? call->codes + (size_t)task * windows * g->lanes + at : NULL, g->lanes);
    }
}

static void take_forward_scratch(dt_arena *arena, forward_call *call) {
    call->packed = dt_arena_take_floats(arena, call->g.lanes * call->g.taps);
    call->packed_bias = dt_arena_take_floats(arena, call->g.lanes);
}

static void forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                    bool keep, float *y) {
    dt_kernels *kernels = conv->config.kernels;
    dt_arena arena = {.base = (char *)kernels->shared};
    forward_call call = {.kernels = kernels, .bodies = kernels->bodies, .input = input, .y = y};
    call.g = geometry_of(kernels, conv->config.shape);
    call.weights = weights;
    call.bias = bias;
    call.framed = conv->state.direct.framed;
    call.codes = keep ? conv->state.direct.codes : NULL;
    conv->state.direct.y = y;
    take_forward_scratch(&arena, &call);
    pack_weights(&call);
    dt_team_run(kernels->team, samples, frame_sample, &call);
    dt_team_run(kernels->team, samples * (int)(call.g.pool ? call.g.rows / 2 : call.g.rows), forward_row,
                &call);
}

typedef struct backward_call {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    geometry g;
    const dt_leaf_plan *plan;
    const dt_conv_direct_state *state;
    const float *dy;
    size_t groups;      /* of kernel rows */
    float *leaves;      /* [leaf][taps][outputs] */
    float *bias_leaves; /* [leaf][lanes] */
    float *spare, *bias_spare;
    size_t stride, bias_stride;
    int first; /* sample of the part whose dz is written out */
} backward_call;

/* The gradient in front of the ReLU for one block of channels: dz [rows][columns][lanes]. */
static void expand_sample(const backward_call *call, size_t sample, size_t block, float *dz) {
    const geometry *g = &call->g;
    size_t lanes = block_lanes(g, block), columns = block_columns(g, block), at = block_first(g, block);
    const float *dy = call->dy + sample * output_floats(g) + at;
    if (!g->pool) {
        call->bodies->gate_pixels(g->rows * g->columns, lanes, columns,
                                  call->state->y + sample * output_floats(g) + at, dy, g->outputs, dz);
        return;
    }
    size_t windows = g->columns / 2, line = g->columns * lanes;
    const unsigned char *codes = call->state->codes + sample * (g->rows / 2) * windows * g->lanes + at;
    for (size_t row = 0; row < g->rows; row += 2)
        call->bodies->unpool_codes(windows, lanes, columns, dy + row / 2 * windows * g->outputs, g->outputs,
                                   codes + row / 2 * windows * g->lanes, g->lanes, dz + row * line,
                                   dz + (row + 1) * line);
}

/* Adds a sample to the sums of kernel rows [first, end): sums [row][tap][lanes]. */
static void add_sample(const backward_call *call, size_t sample, size_t block, size_t first, size_t end,
                       bool resume, const float *dz, float *sums) {
    const geometry *g = &call->g;
    size_t lanes = block_lanes(g, block), line = g->columns * lanes;
    const float *framed = call->state->framed + sample * g->framed;
    for (size_t row = first; row < end; row++, sums += g->kernel * lanes) {
        size_t top, bottom;
        touched(g->margin, g->height, row, g->rows, &top, &bottom);
        correlate(call->bodies, g->kernel, lanes, bottom - top, g->columns, framed + (top + row) * g->line,
                  g->line, dz + top * line, line, resume, sums);
    }
}

/* A sample's pixels in order, then samples in order. */
static void add_bias(const backward_call *call, size_t lanes, bool resume, const float *dz, float *own,
                     float *sums) {
    call->bodies->column_sums(call->g.rows * call->g.columns, lanes, dz, lanes, resume ? own : sums);
    if (resume)
        call->bodies->add_to(lanes, own, sums);
}

/* A leaf's sums for a block of channels and a group of kernel rows. */
static void backward_leaf(void *context, int task, int worker) {
    const backward_call *call = context;
    const geometry *g = &call->g;
    size_t group = (size_t)task % call->groups, block = (size_t)task / call->groups % g->blocks;
    size_t leaf = (size_t)task / call->groups / g->blocks, at = block_first(g, block);
    size_t first = g->kernel * group / call->groups, end = g->kernel * (group + 1) / call->groups;
    size_t lanes = block_lanes(g, block), columns = block_columns(g, block);
    float *dz = dt_worker_scratch(call->kernels, worker);
    float *sums = dz + g->rows * g->columns * lanes, *bias = sums + g->taps * lanes, *own = bias + lanes;
    for (int i = 0; i < dt_leaf_sums_samples(call->plan, (int)leaf); i++) {
        size_t sample = leaf * DT_LEAF_SAMPLES + (size_t)i;
        expand_sample(call, sample, block, dz);
        add_sample(call, sample, block, first, end, i > 0, dz, sums);
        if (group == 0)
            add_bias(call, lanes, i > 0, dz, own, bias);
    }
    float *values = call->leaves + leaf * call->stride + first * g->kernel * g->outputs + at;
    for (size_t tap = 0; tap < (end - first) * g->kernel; tap++)
        memcpy(values + tap * g->outputs, sums + tap * lanes, columns * sizeof(float));
    if (group == 0)
        memcpy(call->bias_leaves + leaf * call->bias_stride + at, bias, columns * sizeof(float));
}

/* One sample's dz as an array of its own, [height][width][outputs]. */
static void write_sample(void *context, int task, int worker) {
    const backward_call *call = context;
    const geometry *g = &call->g;
    float *dz = dt_worker_scratch(call->kernels, worker);
    float *to = call->state->dz + (size_t)task * g->height * g->width * g->outputs;
    memset(to, 0, g->height * g->width * g->outputs * sizeof(float));
    for (size_t block = 0; block < g->blocks; block++) {
        size_t lanes = block_lanes(g, block);
        expand_sample(call, (size_t)(call->first + task), block, dz);
        for (size_t row = 0; row < g->rows; row++)
            for (size_t column = 0; column < g->columns; column++)
                memcpy(to + (row * g->width + column) * g->outputs + block_first(g, block),
                       dz + (row * g->columns + column) * lanes, block_columns(g, block) * sizeof(float));
    }
}

/* A first layer, which this method is for, needs no input gradient: so a few samples at a time with the
 * engine's kernel will do. */
static void backward_data(dt_conv *conv, backward_call *call, const float *weights, float *dx) {
    dt_kernels *kernels = conv->config.kernels;
    for (call->first = 0; call->first < call->plan->samples; call->first += DT_LEAF_SAMPLES) {
        int samples = (int)smaller(DT_LEAF_SAMPLES, (size_t)(call->plan->samples - call->first));
        dt_team_run(kernels->team, samples, write_sample, call);
        dt_convolve_backward_data(kernels, dt_conv_bare(conv->config.shape), samples, call->state->dz,
                                  weights, dx + (size_t)call->first * call->g.height * call->g.width);
    }
}

static void take_backward_scratch(dt_arena *arena, int leaves, backward_call *call) {
    size_t count = (size_t)leaves, spares = (size_t)dt_leaf_sums_spares(leaves);
    call->stride = dt_align_floats(call->g.taps * call->g.outputs);
    call->bias_stride = dt_align_floats(call->g.outputs);
    call->leaves = dt_arena_take_floats(arena, count * call->stride);
    call->spare = dt_arena_take_floats(arena, spares * call->stride);
    call->bias_leaves = dt_arena_take_floats(arena, count * call->bias_stride);
    call->bias_spare = dt_arena_take_floats(arena, spares * call->bias_stride);
}

static void backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                     const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    dt_kernels *kernels = conv->config.kernels;
    dt_arena arena = {.base = (char *)kernels->shared};
    backward_call call = {.kernels = kernels, .bodies = kernels->bodies, .plan = plan, .dy = dy};
    (void)input;
    if (plan->leaves == 0)
        return;
    call.g = geometry_of(kernels, conv->config.shape);
    call.state = &conv->state.direct;
    take_backward_scratch(&arena, plan->leaves, &call);
    size_t wanted = (size_t)(TASKS_PER_THREAD * dt_team_size(kernels->team));
    call.groups = smaller(call.g.kernel, parts_of(wanted, (size_t)plan->leaves * call.g.blocks));
    dt_team_run(kernels->team, plan->leaves * (int)(call.g.blocks * call.groups), backward_leaf, &call);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, call.g.taps * call.g.outputs, call.stride, call.leaves,
                      dweights, call.spare);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, call.g.outputs, call.bias_stride, call.bias_leaves,
                      dbias, call.bias_spare);
    if (dx)
        backward_data(conv, &call, weights, dx);
}

static dt_status reserve(const dt_conv_config *config) {
    forward_call forward_need = {.g = geometry_of(config->kernels, config->shape)};
    backward_call backward_need = {.g = forward_need.g};
    const geometry *g = &forward_need.g;
    dt_arena forward_arena = {0}, backward_arena = {0};
    size_t block = smaller(g->lanes, BLOCK_VECTORS * g->vector);
    take_forward_scratch(&forward_arena, &forward_need);
    take_backward_scratch(&backward_arena, config->leaves, &backward_need);
    if (config->leaves > 0)
        DT_TRY(dt_convolve_reserve(config->kernels, dt_conv_bare(config->shape), DT_LEAF_SAMPLES));
    return dt_kernels_reserve(
        config->kernels,
        (dt_scratch_need){larger(forward_arena.used, backward_arena.used) / sizeof(float),
                          larger(2 * g->columns, g->rows * g->columns + g->taps + 2) * block});
}

const dt_conv_operations dt_conv_direct = {can, executed_flop, reserve, lay_out, forward, backward};
