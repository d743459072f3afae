/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolutions as they are written, on tile registers: how the work is cut (conv_tiles.h has the inner
 * loops).
 *
 * 32 samples make a group. A pixel of a group is rounded once to [block of channels][sample][32], so that at
 * a tap the rows of a product lie together, and taps outside the image are left out. The way back rounds the
 * gradient in front of the ReLU to the same layout, for the gradient of the input, and turned, so that a
 * leaf's samples at neighbouring pixels are the depth of the product with the paired input, for that of the
 * filters: one chain over the leaf's rows and columns for each filter, and the tree of leaves.h above. */
#include <assert.h>
#include <string.h>

#include "kernels/conv_method.h"
#include "kernels/conv_tiles.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"

enum {
    BLOCK = DT_CONV_TILE_BLOCK,
    HALVES = DT_CONV_TILE_BLOCK_HALVES,
    LEAF_HALVES = DT_CONV_TILE_LEAF_HALVES,
    GROUP_LEAVES = DT_CONV_TILE_BLOCK / DT_LEAF_SAMPLES,
    TASKS_PER_THREAD = 3,
    STRIP = 8,               /* tiles of in channels of a gradient's task, at most, */
    STRIP_BYTES = 1200 << 10 /* and of their input, which stays in the second-level cache for the next task */
};

/* `rows` and `columns` are those of the values that reach the output: with pooling an odd last one does not.
 */
typedef struct geometry {
    size_t height, width, kernel, margin, taps;
    size_t in, out, in_blocks, out_blocks;
    size_t rows, columns, places; /* places: pixels of the output */
    size_t runs, framed;          /* columns in fours, and with a frame */
    size_t quarters;              /* values behind one of the output: 4 with pooling, else 1 */
} geometry;

/* From images of `rows` x `columns` pixels of `from` blocks. */
typedef struct direction {
    size_t rows, columns, from, to;
} direction;

struct dt_tiles {
    geometry g;
    size_t chunk;       /* groups that are rounded, and then multiplied, at a time */
    size_t strip;       /* tiles of in channels of one task */
    uint16_t *input;    /* [group][pixel][in block][32][32] */
    uint16_t *pairs;    /* [leaf][in tile][row][framed column][4][16][2]; its frame remains 0 */
    uint16_t *gradient; /* [group][pixel that reaches the output][out block][32][32] */
    uint16_t *turned;   /* [leaf][out block][row][run][2][16][4][8] */
    uint16_t *signs;    /* [group][place][out block][32][2][quarter] */
    float *bias;        /* [leaf][out], as whole blocks */
};

static geometry geometry_of(dt_conv_shape shape) {
    geometry g = {
        .height = (size_t)shape.height, .width = (size_t)shape.width, .kernel = (size_t)shape.kernel};
    g.margin = g.kernel / 2;
    g.taps = g.kernel * g.kernel;
    g.in = (size_t)shape.in_channels;
    g.out = (size_t)shape.out_channels;
    g.in_blocks = parts_of(g.in, BLOCK);
    g.out_blocks = parts_of(g.out, BLOCK);
    g.rows = shape.pool ? g.height / 2 * 2 : g.height;
    g.columns = shape.pool ? g.width / 2 * 2 : g.width;
    g.quarters = shape.pool ? 4 : 1;
    g.places = g.rows * g.columns / g.quarters;
    g.runs = parts_of(g.columns, DT_CONV_TILE_COLUMNS);
    g.framed = larger(g.runs * DT_CONV_TILE_COLUMNS, g.width) + 2 * g.margin;
    return g;
}

static direction forwards(const geometry *g) {
    return (direction){g->height, g->width, g->in_blocks, g->out_blocks};
}

static direction backwards(const geometry *g) {
    return (direction){g->rows, g->columns, g->out_blocks, g->in_blocks};
}

static size_t input_group(const geometry *g) {
    return g->height * g->width * g->in_blocks * HALVES;
}

static size_t gradient_group(const geometry *g) {
    return g->rows * g->columns * g->out_blocks * HALVES;
}

static size_t pairs_tile(const geometry *g) {
    return g->height * g->framed * DT_CONV_TILE_PIXEL;
}

static size_t turned_block(const geometry *g) {
    return g->rows * g->runs * HALVES;
}

static size_t sign_place(const geometry *g) {
    return BLOCK * 2 * g->quarters;
}

static size_t slot_floats(const geometry *g) {
    return g->taps * DT_CONV_TILE_FRAME;
}

static size_t in_tiles(const geometry *g) {
    return parts_of(g->in, DT_CONV_TILE_SIDE);
}

static bool can(const dt_kernels *kernels, dt_conv_shape shape) {
    return kernels->tiles && shape.kernel % 2 == 1;
}

/* Kernel rows [*first, *end) that touch one of `extent` rows around row `row`; likewise columns. */
static void touched(const geometry *g, size_t extent, size_t row, size_t *first, size_t *end) {
    *first = row < g->margin ? g->margin - row : 0;
    *end = smaller(g->kernel, extent + g->margin > row ? extent + g->margin - row : 0);
    *end = larger(*first, *end);
}

/* Kernel rows that touch the image, over `count` rows. */
static double touches(const geometry *g, size_t count, size_t extent) {
    size_t sum = 0, first, end;
    for (size_t row = 0; row < count; row++) {
        touched(g, extent, row, &first, &end);
        sum += end - first;
    }
    return (double)sum;
}

static double executed_flop(const dt_conv *conv, dt_conv_pass pass) {
    const geometry *g = &conv->state.tiles->g;
    double channels = (double)(g->in_blocks * g->out_blocks) * BLOCK * BLOCK;
    if (pass == DT_CONV_BACKWARD_DATA)
        return 2 * channels * touches(g, g->height, g->rows) * touches(g, g->width, g->columns);
    if (pass == DT_CONV_BACKWARD_WEIGHTS)
        return 2 * channels * touches(g, g->rows, g->height) *
               (double)(g->kernel * g->runs * DT_CONV_TILE_COLUMNS);
    return 2 * channels * touches(g, g->rows, g->height) * touches(g, g->columns, g->width);
}

static size_t strip_of(const dt_conv_config *config, const geometry *g) {
    size_t wanted = (size_t)(TASKS_PER_THREAD * dt_team_size(config->kernels->team));
    size_t bytes = larger(1, (size_t)config->leaves * pairs_tile(g) * sizeof(uint16_t));
    size_t strip = larger(1, smaller(STRIP, STRIP_BYTES / bytes));
    while (strip > 1 && parts_of(in_tiles(g), strip) * g->out_blocks < wanted)
        strip--;
    return strip;
}

static void lay_out(dt_conv *conv, dt_arena *arena) {
    const dt_conv_config *config = &conv->config;
    dt_tiles plan = {.g = geometry_of(config->shape)}, *tiles = dt_arena_take(arena, sizeof plan);
    const geometry *g = &plan.g;
    size_t leaves = (size_t)config->leaves, trained = parts_of(leaves, GROUP_LEAVES);
    size_t groups = parts_of((size_t)config->samples, BLOCK);
    plan.chunk = smaller(groups, (size_t)dt_team_size(config->kernels->team));
    plan.strip = strip_of(config, g);
    plan.input = dt_arena_take_halves(arena, larger(plan.chunk, trained) * input_group(g));
    plan.pairs = dt_arena_take_halves(arena, leaves * 2 * g->in_blocks * pairs_tile(g));
    plan.gradient = dt_arena_take_halves(arena, trained * gradient_group(g));
    plan.turned = dt_arena_take_halves(arena, leaves * g->out_blocks * turned_block(g));
    plan.signs = dt_arena_take_halves(arena, trained * g->places * g->out_blocks * sign_place(g));
    plan.bias = dt_arena_take_floats(arena, leaves * g->out_blocks * BLOCK);
    if (tiles)
        *tiles = plan;
    conv->state.tiles = tiles;
}

/* One call; a chunk of groups after the other. */
typedef struct tiles_call {
    const dt_kernels *kernels;
    const dt_conv_tile_bodies *bodies;
    const dt_tiles *state;
    const geometry *g;
    direction d;
    size_t samples, first, groups; /* the chunk's */
    size_t parts;                  /* tasks of a group and a block of results */
    dt_conv_input input;
    const float *weights, *bias;
    uint16_t *filters;    /* [result block][tap][depth block][2][16][16][2] */
    const uint16_t *from; /* [group of the chunk] */
    uint16_t *signs;      /* [group of the chunk]; NULL if nobody will ask */
    float *y;
    const dt_leaf_plan *plan; /* backward */
    const float *dy;
    float *dx;
    dt_root_sink dweights;
    float *bias_spare;
    int product_tasks;
} tiles_call;

static size_t group_samples(const tiles_call *call, size_t group) {
    return smaller(BLOCK, call->samples - (call->first + group) * BLOCK);
}

static size_t block_channels(size_t channels, size_t block) {
    return smaller(BLOCK, channels - block * BLOCK);
}

/* A task is a tap and a block of in channels. */
static void pack_forward(void *context, int task, int worker) {
    const tiles_call *call = context;
    const geometry *g = call->g;
    size_t tap = (size_t)task / g->in_blocks, in = (size_t)task % g->in_blocks;
    const float *from = call->weights + (tap * g->in + in * BLOCK) * g->out;
    (void)worker;
    for (size_t out = 0; out < g->out_blocks; out++)
        call->bodies->pack_filters(block_channels(g->in, in), block_channels(g->out, out), g->out,
                                   from + out * BLOCK,
                                   call->filters + ((out * g->taps + tap) * g->in_blocks + in) * HALVES);
}

/* Back the taps come in opposite order, and in and out change places. */
static void pack_backward(void *context, int task, int worker) {
    const tiles_call *call = context;
    const geometry *g = call->g;
    size_t tap = (size_t)task / g->in_blocks, in = (size_t)task % g->in_blocks;
    const float *from = call->weights + (tap * g->in + in * BLOCK) * g->out;
    uint16_t *to = call->filters + (in * g->taps + g->taps - 1 - tap) * g->out_blocks * HALVES;
    (void)worker;
    for (size_t out = 0; out < g->out_blocks; out++)
        call->bodies->turn_filters(block_channels(g->in, in), block_channels(g->out, out), g->out,
                                   from + out * BLOCK, to + out * HALVES);
}

/* What the input's values in row `row` and a block of channels are multiplied by. */
static dt_conv_tile_scale scale_of(const dt_conv_input *input, size_t row, size_t block) {
    static const float one = 1.0f, zero = 0.0f;
    if (!input->scale)
        return (dt_conv_tile_scale){&one, &zero, true};
    size_t at = input->by_rows ? row : block * BLOCK;
    return (dt_conv_tile_scale){input->scale + at, input->shift + at, input->by_rows};
}

/* A task is a row of a group. */
static void round_row(void *context, int task, int worker) {
    const tiles_call *call = context;
    const geometry *g = call->g;
    size_t group = (size_t)task / g->height, row = (size_t)task % g->height;
    size_t sample_floats = g->height * g->width * g->in;
    const float *x = call->input.x + (call->first + group) * BLOCK * sample_floats + row * g->width * g->in;
    uint16_t *to = (uint16_t *)call->from + group * input_group(g) + row * g->width * g->in_blocks * HALVES;
    (void)worker;
    for (size_t column = 0; column < g->width; column++, x += g->in)
        for (size_t block = 0; block < g->in_blocks; block++, to += HALVES)
            call->bodies->round_pixel(group_samples(call, group), sample_floats, block_channels(g->in, block),
                                      x + block * BLOCK, scale_of(&call->input, row, block), to);
}

/* A group's sums at one pixel in one block of the results. */
static void sum_pixel(const tiles_call *call, size_t group, size_t row, size_t column, size_t block,
                      float *sums) {
    const geometry *g = call->g;
    const direction *d = &call->d;
    size_t pixel = d->from * HALVES, line = d->columns * pixel, top, bottom, left, right;
    touched(g, d->rows, row, &top, &bottom);
    touched(g, d->columns, column, &left, &right);
    if (top == bottom || left == right) {
        call->bodies->multiply(group_samples(call, group), 0, 0, NULL, 0, NULL, 0, sums);
        return;
    }
    const uint16_t *a = call->from + group * d->rows * line + (row + top - g->margin) * line +
                        (column + left - g->margin) * pixel;
    const uint16_t *b = call->filters + ((block * g->kernel + top) * g->kernel + left) * pixel;
    call->bodies->multiply(group_samples(call, group), bottom - top, (right - left) * d->from, a, line, b,
                           g->kernel * pixel, sums);
}

/* The rows [*row, *end) of `count`, by twos with pooling, of a product's task. */
typedef struct product {
    size_t group, block, row, end;
} product;

static product product_of(const tiles_call *call, int task, size_t count) {
    size_t part = (size_t)task % call->parts, rest = (size_t)task / call->parts;
    return (product){.group = rest / call->d.to,
                     .block = rest % call->d.to,
                     .row = count * part / call->parts,
                     .end = count * (part + 1) / call->parts};
}

/* One place of the output: a pixel, or a window of four. */
static void finish_place(const tiles_call *call, product p, size_t row, size_t column, float *sums) {
    const geometry *g = call->g;
    bool pool = g->quarters == 4;
    size_t side = pool ? 2 : 1, place = row * (g->columns / side) + column;
    size_t sample = (call->first + p.group) * BLOCK, stride = g->places * g->out;
    uint16_t *signs = call->signs;
    if (signs)
        signs += ((p.group * g->places + place) * g->out_blocks + p.block) * sign_place(g);
    for (size_t k = 0; k < g->quarters; k++)
        sum_pixel(call, p.group, side * row + k / 2, side * column + k % 2, p.block, sums + k * HALVES);
    (pool ? call->bodies->finish_window : call->bodies->finish)(
        group_samples(call, p.group), block_channels(g->out, p.block), sums, call->bias + p.block * BLOCK,
        stride, call->y + sample * stride + place * g->out + p.block * BLOCK, signs);
}

static void forward_task(void *context, int task, int worker) {
    const tiles_call *call = context;
    const geometry *g = call->g;
    size_t side = g->quarters == 4 ? 2 : 1;
    product p = product_of(call, task, g->rows / side);
    call->bodies->begin(group_samples(call, p.group));
    for (size_t row = p.row; row < p.end; row++)
        for (size_t column = 0; column < g->columns / side; column++)
            finish_place(call, p, row, column, dt_worker_scratch(call->kernels, worker));
    call->bodies->end();
}

static void backward_data_task(const tiles_call *call, int task, int worker) {
    const geometry *g = call->g;
    product p = product_of(call, task, g->height);
    size_t stride = g->height * g->width * g->in, sample = (call->first + p.group) * BLOCK;
    float *sums = dt_worker_scratch(call->kernels, worker);
    float *to = call->dx + sample * stride + p.row * g->width * g->in + p.block * BLOCK;
    call->bodies->begin(group_samples(call, p.group));
    for (size_t row = p.row; row < p.end; row++)
        for (size_t column = 0; column < g->width; column++, to += g->in) {
            sum_pixel(call, p.group, row, column, p.block, sums);
            call->bodies->store(group_samples(call, p.group), block_channels(g->in, p.block), sums, stride,
                                to);
        }
    call->bodies->end();
}

static size_t filters_halves(const geometry *g) {
    return g->taps * g->in_blocks * g->out_blocks * HALVES;
}

static void take_scratch(dt_arena *arena, const geometry *g, int leaves, tiles_call *call) {
    size_t spares = leaves > 0 ? (size_t)dt_leaf_sums_spares(leaves) : 0;
    call->filters = dt_arena_take_halves(arena, filters_halves(g));
    call->bias_spare = dt_arena_take_floats(arena, spares * g->out_blocks * BLOCK);
}

static dt_status reserve(const dt_conv_config *config) {
    geometry g = geometry_of(config->shape);
    dt_arena arena = {0};
    tiles_call call = {0};
    take_scratch(&arena, &g, config->leaves, &call);
    size_t depth = config->leaves > 0 ? (size_t)dt_leaf_sums_depth(config->leaves) : 0;
    return dt_kernels_reserve(
        config->kernels,
        (dt_scratch_need){arena.used / sizeof(float),
                          larger(4 * HALVES, depth * strip_of(config, &g) * slot_floats(&g))});
}

static tiles_call begin_call(dt_conv *conv, int samples, const float *weights) {
    tiles_call call = {.kernels = conv->config.kernels, .state = conv->state.tiles};
    dt_arena arena = {.base = (char *)call.kernels->shared};
    call.bodies = call.kernels->tiles;
    call.g = &call.state->g;
    call.samples = (size_t)samples;
    call.weights = weights;
    take_scratch(&arena, call.g, conv->config.leaves, &call);
    return call;
}

/* Tasks for `groups` groups: a group's rows are shared out where there are too few blocks. */
static int product_tasks(tiles_call *call, size_t rows) {
    size_t wanted = (size_t)(TASKS_PER_THREAD * dt_team_size(call->kernels->team));
    size_t blocks = call->groups * call->d.to;
    call->parts = larger(1, smaller(rows, parts_of(wanted, blocks)));
    return (int)(blocks * call->parts);
}

static void forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                    bool keep, float *y) {
    tiles_call call = begin_call(conv, samples, weights);
    const dt_tiles *state = call.state;
    const geometry *g = call.g;
    dt_team *team = call.kernels->team;
    size_t groups = parts_of(call.samples, BLOCK);
    call.d = forwards(g);
    call.input = input;
    call.bias = bias;
    call.y = y;
    dt_team_run(team, (int)(g->taps * g->in_blocks), pack_forward, &call);
    for (; call.first < groups; call.first += call.groups) {
        size_t kept = keep ? call.first : 0;
        call.groups = smaller(state->chunk, groups - call.first);
        call.from = state->input + kept * input_group(g);
        call.signs = keep ? state->signs + kept * g->places * g->out_blocks * sign_place(g) : NULL;
        dt_team_run(team, (int)(call.groups * g->height), round_row, &call);
        dt_team_run(team, product_tasks(&call, g->quarters == 4 ? g->rows / 2 : g->rows), forward_task,
                    &call);
    }
}

/* Where a leaf's rows of the gradient lie at a pixel. */
static uint16_t *gradient_at(const tiles_call *call, size_t leaf, size_t row, size_t column, size_t block) {
    const geometry *g = call->g;
    return call->state->gradient + leaf / GROUP_LEAVES * gradient_group(g) +
           ((row * g->columns + column) * g->out_blocks + block) * HALVES + leaf % GROUP_LEAVES * LEAF_HALVES;
}

static void gate_place(const tiles_call *call, size_t leaf, size_t place, size_t block, size_t samples,
                       float *bias) {
    const geometry *g = call->g;
    size_t stride = g->places * g->out, channels = block_channels(g->out, block);
    const float *dy = call->dy + leaf * DT_LEAF_SAMPLES * stride + place * g->out + block * BLOCK;
    const uint16_t *signs =
        call->state->signs +
        ((leaf / GROUP_LEAVES * g->places + place) * g->out_blocks + block) * sign_place(g) +
        leaf % GROUP_LEAVES * DT_LEAF_SAMPLES * 2 * g->quarters;
    if (g->quarters == 1) {
        call->bodies->gate(samples, channels, dy, stride, signs, bias,
                           gradient_at(call, leaf, 0, place, block));
        return;
    }
    size_t row = place / (g->columns / 2) * 2, column = place % (g->columns / 2) * 2;
    uint16_t *const to[4] = {
        gradient_at(call, leaf, row, column, block), gradient_at(call, leaf, row, column + 1, block),
        gradient_at(call, leaf, row + 1, column, block), gradient_at(call, leaf, row + 1, column + 1, block)};
    call->bodies->gate_window(samples, channels, dy, stride, signs, bias, to);
}

/* A leaf's gradient in front of the ReLU in one block of out channels: both layouts, and its sum over pixels,
 * which goes over the samples in their order. */
static void round_gradient(const tiles_call *call, size_t leaf, size_t block) {
    const geometry *g = call->g;
    size_t samples = (size_t)dt_leaf_sums_samples(call->plan, (int)leaf), lanes = g->out_blocks * BLOCK;
    _Alignas(DT_ALIGNMENT) float bias[DT_LEAF_SAMPLES * BLOCK] = {0};
    for (size_t place = 0; place < g->places; place++)
        gate_place(call, leaf, place, block, samples, bias);
    uint16_t *to = call->state->turned + (leaf * g->out_blocks + block) * turned_block(g);
    for (size_t row = 0; row < g->rows; row++)
        for (size_t column = 0; column < g->columns; column += DT_CONV_TILE_COLUMNS, to += HALVES)
            call->bodies->turn_samples(smaller(DT_CONV_TILE_COLUMNS, g->columns - column),
                                       g->out_blocks * HALVES, gradient_at(call, leaf, row, column, block),
                                       to);
    for (size_t i = 1; i < samples; i++)
        call->kernels->bodies->add_to(BLOCK, bias + i * BLOCK, bias);
    memcpy(call->state->bias + leaf * lanes + block * BLOCK, bias, BLOCK * sizeof(float));
}

static void pair_input(const tiles_call *call, size_t leaf, size_t block) {
    const geometry *g = call->g;
    const uint16_t *from = call->state->input + leaf / GROUP_LEAVES * input_group(g) + block * HALVES +
                           leaf % GROUP_LEAVES * LEAF_HALVES;
    uint16_t *to = call->state->pairs + (leaf * g->in_blocks + block) * 2 * pairs_tile(g);
    for (size_t row = 0; row < g->height; row++)
        for (size_t column = 0; column < g->width; column++, from += g->in_blocks * HALVES) {
            uint16_t *pixel = to + (row * g->framed + column + g->margin) * DT_CONV_TILE_PIXEL;
            call->bodies->pair_samples(from, pixel, pixel + pairs_tile(g));
        }
}

static void round_leaf(void *context, int task, int worker) {
    const tiles_call *call = context;
    size_t blocks = call->g->in_blocks + call->g->out_blocks;
    size_t leaf = (size_t)task / blocks, block = (size_t)task % blocks;
    (void)worker;
    if (block < call->g->in_blocks)
        pair_input(call, leaf, block);
    else
        round_gradient(call, leaf, block - call->g->in_blocks);
}

/* A leaf's gradient of the filters from one tile of in channels to a block of out channels. */
static void weigh_leaf(const tiles_call *call, size_t leaf, size_t tile, size_t block, float *slot) {
    const geometry *g = call->g;
    size_t a_line = g->runs * HALVES, b_line = g->framed * DT_CONV_TILE_PIXEL, top, bottom;
    const uint16_t *a = call->state->turned + (leaf * g->out_blocks + block) * turned_block(g);
    const uint16_t *b = call->state->pairs + (leaf * g->in_blocks * 2 + tile) * pairs_tile(g);
    for (size_t row = 0; row < g->kernel; row++) {
        top = row < g->margin ? g->margin - row : 0;
        bottom = smaller(g->rows, g->height + g->margin > row ? g->height + g->margin - row : 0);
        size_t lines = bottom > top ? bottom - top : 0, first = lines > 0 ? top + row - g->margin : 0;
        for (size_t tap = 0; tap < g->kernel; tap += DT_CONV_TILE_TAPS)
            call->bodies->gradient(smaller(DT_CONV_TILE_TAPS, g->kernel - tap), lines, g->runs,
                                   a + (lines > 0 ? top * a_line : 0), a_line,
                                   b + first * b_line + tap * DT_CONV_TILE_PIXEL, b_line,
                                   slot + (row * g->kernel + tap) * DT_CONV_TILE_FRAME);
    }
}

static void store_roots(const tiles_call *call, size_t tile, size_t block, const float *stack) {
    const geometry *g = call->g;
    size_t rows = smaller(DT_CONV_TILE_SIDE, g->in - tile * DT_CONV_TILE_SIDE);
    for (int root = 0; root < call->plan->roots; root++) {
        float *to = call->dweights.base + (size_t)root * call->dweights.stride +
                    tile * DT_CONV_TILE_SIDE * g->out + block * BLOCK;
        for (size_t tap = 0; tap < g->taps; tap++, stack += DT_CONV_TILE_FRAME, to += g->in * g->out) {
            size_t columns = block_channels(g->out, block), lower = smaller(columns, DT_CONV_TILE_SIDE);
            call->kernels->bodies->transpose(lower, rows, stack, DT_CONV_TILE_SIDE, to, g->out);
            if (columns > lower)
                call->kernels->bodies->transpose(columns - lower, rows, stack + DT_CONV_TILE_FRAME / 2,
                                                 DT_CONV_TILE_SIDE, to + lower, g->out);
        }
    }
}

/* A strip of tiles of in channels by a block of out channels, through all leaves. */
static void weigh_strip(const tiles_call *call, int task, int worker) {
    const geometry *g = call->g;
    const dt_leaf_plan *plan = call->plan;
    size_t first = (size_t)task / g->out_blocks * call->state->strip, block = (size_t)task % g->out_blocks;
    size_t end = smaller(in_tiles(g), first + call->state->strip), slot = slot_floats(g);
    float *stacks = dt_worker_scratch(call->kernels, worker);
    size_t height = 0, stack = (size_t)plan->depth * slot;
    call->bodies->begin(BLOCK);
    for (int leaf = 0; leaf < plan->leaves; leaf++, height++) {
        int merges = plan->merges[leaf];
        for (size_t tile = first; tile < end; tile++) {
            float *top = stacks + (tile - first) * stack + height * slot;
            weigh_leaf(call, (size_t)leaf, tile, block, top);
            dt_leaf_sums_merge(call->kernels, slot_floats(call->g), slot_floats(call->g), merges, top);
        }
        height -= (size_t)merges;
    }
    call->bodies->end();
    for (size_t tile = first; tile < end; tile++)
        store_roots(call, tile, block, stacks + (tile - first) * stack);
}

static void backward_task(void *context, int task, int worker) {
    const tiles_call *call = context;
    if (task < call->product_tasks)
        backward_data_task(call, task, worker);
    else
        weigh_strip(call, task - call->product_tasks, worker);
}

static void backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                     const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    tiles_call call = begin_call(conv, plan->samples, weights);
    const geometry *g = call.g;
    dt_team *team = call.kernels->team;
    (void)input; /* kept, rounded */
    if (plan->leaves == 0)
        return;
    assert(plan->leaves <= conv->config.leaves && plan->depth <= dt_leaf_sums_depth(plan->leaves));
    call.d = backwards(g);
    call.groups = parts_of(call.samples, BLOCK);
    call.plan = plan;
    call.dy = dy;
    call.dx = dx;
    call.dweights = dweights;
    call.from = call.state->gradient;
    call.product_tasks = dx ? product_tasks(&call, g->height) : 0;
    if (dx)
        dt_team_run(team, (int)(g->taps * g->in_blocks), pack_backward, &call);
    dt_team_run(team, plan->leaves * (int)(g->in_blocks + g->out_blocks), round_leaf, &call);
    int strips = (int)(parts_of(in_tiles(g), call.state->strip) * g->out_blocks);
    dt_team_run(team, call.product_tasks + strips, backward_task, &call);
    dt_leaf_sums_push(conv->config.kernels, plan, 0, plan->leaves, g->out, g->out_blocks * BLOCK,
                      call.state->bias, dbias, call.bias_spare);
}

const dt_conv_operations dt_conv_tiles = {can, executed_flop, reserve, lay_out, forward, backward};
