/* SPDX-License-Identifier: BSD-3-Clause */
/* The method `tiles` for one input channel, where the kernel's pixels are the depth. They are copied together
 * for one pixel of the output at a time, so that they stay in the nearest cache; for the gradient of the
 * filters the depth is a row of the image, and the kernel's rows are those of the rounded image as it lies.
 * A leaf's sum is one chain over samples, rows and columns. */
#include <string.h>

#include "kernels/conv_method.h"
#include "kernels/conv_tiles.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"

enum {
    BLOCK = DT_CONV_TILE_BLOCK,
    HALVES = DT_CONV_TILE_BLOCK_HALVES,
    LEAF_HALVES = DT_CONV_TILE_LEAF_HALVES
};

/* `rows` and `columns` are those of the values that reach the output: with pooling an odd last one does not.
 */
typedef struct geometry {
    size_t height, width, kernel, margin, taps, depth; /* depth: taps in blocks */
    size_t out, out_blocks;
    size_t rows, columns, side, places; /* side: of a window, 1 without pooling */
    size_t runs;                        /* columns in blocks */
    size_t line, framed;                /* halves of a row and of a sample with its frame */
} geometry;

struct dt_tiles_first {
    geometry g;
    uint16_t *framed; /* [sample]; what is not image remains 0 */
    uint16_t *signs;  /* [group of 32 samples][place][out block][32][2][quarter] */
    float *dz;        /* of a leaf, for an input gradient */
};

static geometry geometry_of(dt_conv_shape shape) {
    geometry g = {
        .height = (size_t)shape.height, .width = (size_t)shape.width, .kernel = (size_t)shape.kernel};
    g.margin = g.kernel / 2;
    g.taps = g.kernel * g.kernel;
    g.depth = parts_of(g.taps, BLOCK);
    g.out = (size_t)shape.out_channels;
    g.out_blocks = parts_of(g.out, BLOCK);
    g.side = shape.pool ? 2 : 1;
    g.rows = g.height / g.side * g.side;
    g.columns = g.width / g.side * g.side;
    g.places = (g.rows / g.side) * (g.columns / g.side);
    g.runs = parts_of(g.columns, BLOCK);
    g.line = larger(g.runs * BLOCK, g.width) + g.kernel - 1;
    g.framed = (g.height + g.kernel - 1) * g.line;
    return g;
}

static bool can(const dt_kernels *kernels, dt_conv_shape shape) {
    return kernels->tiles && shape.kernel % 2 == 1 && shape.kernel < DT_CONV_TILE_SIDE;
}

static double executed_flop(const dt_conv *conv, dt_conv_pass pass) {
    const geometry *g = &conv->state.tiles_first->g;
    double columns = (double)(g->out_blocks * BLOCK * g->rows);
    if (pass == DT_CONV_BACKWARD_DATA)
        return dt_conv_direct_flop(conv->config.shape);
    if (pass == DT_CONV_BACKWARD_WEIGHTS)
        return 2 * columns * (double)(g->taps * g->runs * BLOCK);
    return 2 * columns * (double)(g->columns * g->depth * BLOCK);
}

static size_t quarters(const geometry *g) {
    return g->side * g->side;
}

static size_t sign_place(const geometry *g) {
    return BLOCK * 2 * quarters(g);
}

static size_t output_floats(const geometry *g) {
    return g->places * g->out;
}

static size_t block_channels(const geometry *g, size_t block) {
    return smaller(BLOCK, g->out - block * BLOCK);
}

static void lay_out(dt_conv *conv, dt_arena *arena) {
    const dt_conv_config *config = &conv->config;
    dt_tiles_first plan = {.g = geometry_of(config->shape)}, *first = dt_arena_take(arena, sizeof plan);
    const geometry *g = &plan.g;
    size_t leaves = (size_t)config->leaves, groups = parts_of(leaves * DT_LEAF_SAMPLES, BLOCK);
    plan.framed = dt_arena_take_halves(arena, (size_t)config->samples * g->framed);
    plan.signs = dt_arena_take_halves(arena, groups * g->places * g->out_blocks * sign_place(g));
    plan.dz =
        dt_arena_take_floats(arena, smaller(leaves, 1) * DT_LEAF_SAMPLES * g->height * g->width * g->out);
    if (first)
        *first = plan;
    conv->state.tiles_first = first;
}

typedef struct first_call {
    const dt_kernels *kernels;
    const dt_conv_tile_bodies *bodies;
    const dt_tiles_first *state;
    const geometry *g;
    size_t samples;
    dt_conv_input input;
    const float *bias;
    uint16_t *filters; /* [out block][depth][2][16][16][2] */
    uint16_t *signs;   /* NULL if nobody will ask */
    float *y;
    const dt_leaf_plan *plan; /* backward */
    const float *dy;
    size_t leaf; /* whose dz is written out */
    float *leaves, *bias_leaves, *spare, *bias_spare;
    size_t stride, bias_stride;
} first_call;

static void frame_sample(void *context, int sample, int worker) {
    const first_call *call = context;
    const geometry *g = call->g;
    const dt_conv_input *input = &call->input;
    const float *x = input->x + (size_t)sample * g->height * g->width;
    uint16_t *to = call->state->framed + (size_t)sample * g->framed + g->margin * (g->line + 1);
    (void)worker;
    for (size_t row = 0; row < g->height; row++, x += g->width, to += g->line) {
        size_t group = input->by_rows ? row : 0;
        call->bodies->round_run(g->width, x, input->scale ? input->scale[group] : 1.0f,
                                input->scale ? input->shift[group] : 0.0f, to);
    }
}

static void pack_filters(const first_call *call, const float *weights) {
    const geometry *g = call->g;
    for (size_t block = 0; block < g->out_blocks; block++)
        for (size_t depth = 0; depth < g->depth; depth++)
            call->bodies->pack_filters(smaller(BLOCK, g->taps - depth * BLOCK), block_channels(g, block),
                                       g->out, weights + depth * BLOCK * g->out + block * BLOCK,
                                       call->filters + (block * g->depth + depth) * HALVES);
}

/* A worker's pieces on the way there. */
typedef struct forward_pieces {
    uint16_t *records; /* [32 samples][depth][32]; zeros behind the taps */
    float *sums;       /* [out block][quarter][32][32] */
} forward_pieces;

static forward_pieces take_forward(dt_arena *arena, const geometry *g) {
    forward_pieces pieces;
    pieces.records = dt_arena_take_halves(arena, BLOCK * g->depth * BLOCK);
    pieces.sums = dt_arena_take_floats(arena, g->out_blocks * quarters(g) * HALVES);
    return pieces;
}

static void finish_place(const first_call *call, size_t group, size_t n, size_t place, const float *sums) {
    const geometry *g = call->g;
    float *y = call->y + group * BLOCK * output_floats(g) + place * g->out;
    for (size_t block = 0; block < g->out_blocks; block++) {
        uint16_t *signs = call->signs;
        if (signs)
            signs += ((group * g->places + place) * g->out_blocks + block) * sign_place(g);
        (g->side == 2 ? call->bodies->finish_window : call->bodies->finish)(
            n, block_channels(g, block), sums + block * quarters(g) * HALVES, call->bias + block * BLOCK,
            output_floats(g), y + block * BLOCK, signs);
    }
}

/* A task is a row of places of a group. */
static void forward_row(void *context, int task, int worker) {
    const first_call *call = context;
    const geometry *g = call->g;
    size_t rows = g->rows / g->side, columns = g->columns / g->side;
    size_t group = (size_t)task / rows, row = (size_t)task % rows;
    size_t n = smaller(BLOCK, call->samples - group * BLOCK), record = g->depth * BLOCK;
    const uint16_t *from = call->state->framed + group * BLOCK * g->framed;
    dt_arena arena = {.base = (char *)dt_worker_scratch(call->kernels, worker)};
    forward_pieces pieces = take_forward(&arena, g);
    memset(pieces.records, 0, BLOCK * record * sizeof(uint16_t));
    call->bodies->begin(n);
    for (size_t column = 0; column < columns; column++) {
        for (size_t k = 0; k < quarters(g); k++) {
            call->bodies->take_patches(n, g->framed, g->kernel, g->line,
                                       from + (g->side * row + k / 2) * g->line + g->side * column + k % 2,
                                       record, pieces.records);
            for (size_t block = 0; block < g->out_blocks; block++)
                call->bodies->multiply_records(n, g->depth, pieces.records,
                                               call->filters + block * g->depth * HALVES,
                                               pieces.sums + (block * quarters(g) + k) * HALVES);
        }
        finish_place(call, group, n, row * columns + column, pieces.sums);
    }
    call->bodies->end();
}

static void take_shared(dt_arena *arena, const geometry *g, int leaves, first_call *call) {
    size_t count = (size_t)leaves, spares = leaves > 0 ? (size_t)dt_leaf_sums_spares(leaves) : 0;
    call->stride = dt_align_floats(g->taps * g->out);
    call->bias_stride = g->out_blocks * BLOCK;
    call->filters = dt_arena_take_halves(arena, g->out_blocks * g->depth * HALVES);
    call->leaves = dt_arena_take_floats(arena, count * call->stride);
    call->spare = dt_arena_take_floats(arena, spares * call->stride);
    call->bias_leaves = dt_arena_take_floats(arena, count * call->bias_stride);
    call->bias_spare = dt_arena_take_floats(arena, spares * call->bias_stride);
}

static first_call begin_call(dt_conv *conv, int samples) {
    first_call call = {.kernels = conv->config.kernels, .state = conv->state.tiles_first};
    dt_arena arena = {.base = (char *)call.kernels->shared};
    call.bodies = call.kernels->tiles;
    call.g = &call.state->g;
    call.samples = (size_t)samples;
    take_shared(&arena, call.g, conv->config.leaves, &call);
    return call;
}

static void forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                    bool keep, float *y) {
    first_call call = begin_call(conv, samples);
    dt_team *team = call.kernels->team;
    call.input = input;
    call.bias = bias;
    call.signs = keep ? call.state->signs : NULL;
    call.y = y;
    pack_filters(&call, weights);
    dt_team_run(team, samples, frame_sample, &call);
    dt_team_run(team, (int)(parts_of(call.samples, BLOCK) * (call.g->rows / call.g->side)), forward_row,
                &call);
}

/* A worker's pieces on the way back. */
typedef struct backward_pieces {
    uint16_t *rows;  /* the gradient in front of the ReLU in a row of places: [side][column][8][32] */
    uint16_t *pairs; /* [sample of a leaf][row][run][2][16][16][2] */
    float *bias;     /* [8][32] */
    float *sums;     /* [tap][32] */
} backward_pieces;

static backward_pieces take_backward(dt_arena *arena, const geometry *g) {
    backward_pieces pieces;
    pieces.rows = dt_arena_take_halves(arena, g->side * g->columns * LEAF_HALVES);
    pieces.pairs = dt_arena_take_halves(arena, DT_LEAF_SAMPLES * g->rows * g->runs * HALVES);
    pieces.bias = dt_arena_take_floats(arena, LEAF_HALVES);
    pieces.sums = dt_arena_take_floats(arena, g->taps * BLOCK);
    return pieces;
}

/* Row `row` of a leaf's places, in one block of channels. */
static void gate_row(const first_call *call, size_t leaf, size_t row, size_t block, backward_pieces p) {
    const geometry *g = call->g;
    size_t columns = g->columns / g->side, line = g->columns * LEAF_HALVES,
           channels = block_channels(g, block);
    size_t first = leaf * DT_LEAF_SAMPLES, samples = (size_t)dt_leaf_sums_samples(call->plan, (int)leaf);
    const float *dy = call->dy + first * output_floats(g) + row * columns * g->out + block * BLOCK;
    const uint16_t *signs =
        call->state->signs +
        ((first / BLOCK * g->places + row * columns) * g->out_blocks + block) * sign_place(g) +
        first % BLOCK * 2 * quarters(g);
    for (size_t column = 0; column < columns; column++) {
        uint16_t *to = p.rows + g->side * column * LEAF_HALVES;
        uint16_t *const window[4] = {to, to + LEAF_HALVES, to + line, to + line + LEAF_HALVES};
        if (g->side == 2)
            call->bodies->gate_window(samples, channels, dy, output_floats(g), signs, p.bias, window);
        else
            call->bodies->gate(samples, channels, dy, output_floats(g), signs, p.bias, to);
        dy += g->out;
        signs += g->out_blocks * sign_place(g);
    }
}

/* A leaf's gradient as the depth of the products, row by row. */
static void pair_leaf(const first_call *call, size_t leaf, size_t block, backward_pieces p) {
    const geometry *g = call->g;
    size_t samples = (size_t)dt_leaf_sums_samples(call->plan, (int)leaf);
    memset(p.bias, 0, LEAF_HALVES * sizeof(float));
    for (size_t row = 0; row < g->rows; row++) {
        if (row % g->side == 0)
            gate_row(call, leaf, row / g->side, block, p);
        const uint16_t *from = p.rows + row % g->side * g->columns * LEAF_HALVES;
        for (size_t sample = 0; sample < samples; sample++, from += BLOCK)
            for (size_t run = 0; run < g->runs; run++)
                call->bodies->pair_columns(smaller(BLOCK, g->columns - run * BLOCK), LEAF_HALVES,
                                           from + run * BLOCK * LEAF_HALVES,
                                           p.pairs + ((sample * g->rows + row) * g->runs + run) * HALVES);
    }
    for (size_t sample = 1; sample < samples; sample++)
        call->kernels->bodies->add_to(BLOCK, p.bias + sample * BLOCK, p.bias);
}

/* A leaf's sums for a block of channels. */
static void backward_leaf(void *context, int task, int worker) {
    const first_call *call = context;
    const geometry *g = call->g;
    size_t leaf = (size_t)task / g->out_blocks, block = (size_t)task % g->out_blocks;
    size_t samples = (size_t)dt_leaf_sums_samples(call->plan, (int)leaf);
    const uint16_t *framed = call->state->framed + leaf * DT_LEAF_SAMPLES * g->framed;
    dt_arena arena = {.base = (char *)dt_worker_scratch(call->kernels, worker)};
    backward_pieces p = take_backward(&arena, g);
    pair_leaf(call, leaf, block, p);
    call->bodies->begin_taps(g->kernel);
    for (size_t tap = 0; tap < g->kernel; tap += 2)
        call->bodies->weigh_lines(smaller(2, g->kernel - tap), samples, g->framed, g->rows, g->line, g->runs,
                                  framed + tap, p.pairs, g->kernel * BLOCK, p.sums + tap * BLOCK);
    call->bodies->end();
    float *to = call->leaves + leaf * call->stride + block * BLOCK;
    for (size_t tap = 0; tap < g->taps; tap++)
        memcpy(to + tap * g->out, p.sums + tap * BLOCK, block_channels(g, block) * sizeof(float));
    memcpy(call->bias_leaves + leaf * call->bias_stride + block * BLOCK, p.bias, BLOCK * sizeof(float));
}

/* A half as float. */
static float widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A leaf's dz as an array of its own, [height][width][out]. */
static void write_block(void *context, int task, int worker) {
    const first_call *call = context;
    const geometry *g = call->g;
    size_t block = (size_t)task, samples = (size_t)dt_leaf_sums_samples(call->plan, (int)call->leaf);
    dt_arena arena = {.base = (char *)dt_worker_scratch(call->kernels, worker)};
    backward_pieces p = take_backward(&arena, g);
    for (size_t row = 0; row < g->rows; row++) {
        if (row % g->side == 0)
            gate_row(call, call->leaf, row / g->side, block, p);
        const uint16_t *from = p.rows + row % g->side * g->columns * LEAF_HALVES;
        for (size_t column = 0; column < g->columns; column++)
            for (size_t i = 0; i < samples * BLOCK; i++)
                if (i % BLOCK < block_channels(g, block))
                    call->state->dz[((i / BLOCK * g->height + row) * g->width + column) * g->out +
                                    block * BLOCK + i % BLOCK] = widen(from[column * LEAF_HALVES + i]);
    }
}

/* A first layer needs no input gradient: so leaf by leaf with the engine's kernel will do. */
static void backward_data(dt_conv *conv, first_call *call, const float *weights, float *dx) {
    dt_kernels *kernels = conv->config.kernels;
    const geometry *g = call->g;
    size_t pixels = g->height * g->width;
    for (call->leaf = 0; call->leaf < (size_t)call->plan->leaves; call->leaf++) {
        int samples = dt_leaf_sums_samples(call->plan, (int)call->leaf);
        memset(call->state->dz, 0, (size_t)samples * pixels * g->out * sizeof(float));
        dt_team_run(kernels->team, (int)g->out_blocks, write_block, call);
        dt_convolve_backward_data(kernels, dt_conv_bare(conv->config.shape), samples, call->state->dz,
                                  weights, dx + call->leaf * DT_LEAF_SAMPLES * pixels);
    }
}

static void backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                     const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    first_call call = begin_call(conv, plan->samples);
    dt_kernels *kernels = conv->config.kernels;
    const geometry *g = call.g;
    (void)input; /* kept, rounded */
    if (plan->leaves == 0)
        return;
    call.plan = plan;
    call.dy = dy;
    dt_team_run(kernels->team, plan->leaves * (int)g->out_blocks, backward_leaf, &call);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, g->taps * g->out, call.stride, call.leaves, dweights,
                      call.spare);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, g->out, call.bias_stride, call.bias_leaves, dbias,
                      call.bias_spare);
    if (dx)
        backward_data(conv, &call, weights, dx);
}

static dt_status reserve(const dt_conv_config *config) {
    geometry g = geometry_of(config->shape);
    first_call call = {0};
    dt_arena shared = {0}, there = {0}, back = {0};
    take_shared(&shared, &g, config->leaves, &call);
    take_forward(&there, &g);
    if (config->leaves > 0) {
        take_backward(&back, &g);
        DT_TRY(dt_convolve_reserve(config->kernels, dt_conv_bare(config->shape), DT_LEAF_SAMPLES));
    }
    return dt_kernels_reserve(
        config->kernels,
        (dt_scratch_need){shared.used / sizeof(float), larger(there.used, back.used) / sizeof(float)});
}

const dt_conv_operations dt_conv_tiles_first = {can, executed_flop, reserve, lay_out, forward, backward};
