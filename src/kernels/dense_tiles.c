/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layers on tiles of bfloat16. Their products take a fraction of the time in which the weights come
 * from memory, so everything here is about reading these once and without a pause: they are rounded as they
 * arrive, a block at a time, while the next block is on its way. Activations are packed once a call. */
#include <string.h>

#include "kernels/bodies.h"
#include "kernels/dense_bias.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"
#include "kernels/table.h"
#include "kernels/tiles.h"

enum {
    SIDE = DT_TILE_SIDE,
    LINE = DT_ALIGNMENT_FLOATS,
    PACK_DEPTH = 512,     /* that one packing task covers */
    BLOCK_STEPS = 4,      /* of a forward block of weights */
    STRIP_TILES = 32,     /* the most columns of tiles of a forward task: runs of 2 KB */
    TASKS_PER_THREAD = 2, /* below that forward strips are narrower */
    DATA_TILES = 2,       /* tiles of weight rows of one task of the input gradient */
    DATA_AHEAD = 4,       /* blocks of units between the fetch of weights and their use */
    TASK_TILES = 4,       /* tiles of weight rows of one task of the gradient */
    /* Rows of weights are often a power of two apart and so want the same few sets of a cache: what is on its
     * way is kept to runs so short, and rows so few, that they do not push one another out. */
    FETCH_STEPS = 1, /* between the fetch of forward weights and their use */
    BLOCK_TILES = 8, /* the most columns of tiles of a block of gradients */
    ROWS_AHEAD = 8   /* rows of a block between the fetch of weights and moments and their update */
};

/* Both operands of a forward product in tiles of whole rows and steps. */
typedef struct product {
    const dt_kernels *kernels;
    size_t rows, depth, columns;
    const float *x, *weights, *bias;
    bool relu;
    float *y;
    size_t row_tiles, steps, strip; /* columns of a task */
    float *left;                    /* [row tile][step] tiles */
} product;

static void pack_rows(void *context, int task, int worker) {
    const product *p = context;
    size_t tile = (size_t)task % p->row_tiles, row = tile * SIDE,
           k = (size_t)task / p->row_tiles * PACK_DEPTH;
    (void)worker;
    dt_tiles_pack_left(smaller(SIDE, p->rows - row), smaller(PACK_DEPTH, p->depth - k),
                       p->x + row * p->depth + k, p->depth,
                       p->left + (tile * p->steps + k / DT_TILE_STEP) * DT_TILE_FLOATS);
}

/* `lines` stretches of `floats` values, `stride` apart, into the second-level cache. */
static void fetch(const float *from, size_t lines, size_t floats, size_t stride) {
    for (size_t line = 0; line < lines; line++)
        for (size_t i = 0; i < floats; i += LINE)
            __builtin_prefetch(from + line * stride + i, 0, 2);
}

/* A block of weights into right tiles [column tile][step], fetching what lies deeper. */
static void pack_block(const product *p, size_t k, size_t column, size_t columns, float *packed) {
    for (size_t step = 0; step < BLOCK_STEPS && k + step * DT_TILE_STEP < p->depth; step++) {
        size_t first = k + step * DT_TILE_STEP, next = first + FETCH_STEPS * DT_TILE_STEP;
        size_t depth = smaller(DT_TILE_STEP, p->depth - first);
        size_t deeper = next < p->depth ? smaller(DT_TILE_STEP, p->depth - next) : 0;
        fetch(p->weights + next * p->columns + column, deeper, columns, p->columns);
        for (size_t j = 0; j < columns; j += SIDE)
            dt_tiles_pack_right(smaller(SIDE, columns - j), depth,
                                p->weights + first * p->columns + column + j, p->columns,
                                packed + (j / SIDE * BLOCK_STEPS + step) * DT_TILE_FLOATS);
    }
}

static void store_strip(const product *p, size_t column, size_t columns, const float *c) {
    size_t tiles = parts_of(columns, SIDE);
    for (size_t tile = 0; tile < p->row_tiles * tiles; tile++, c += DT_TILE_FLOATS) {
        size_t row = tile / tiles * SIDE, j = tile % tiles * SIDE;
        dt_tiles_store(smaller(SIDE, p->rows - row), smaller(SIDE, columns - j), c, p->bias + column + j,
                       p->relu, p->y + row * p->columns + column + j, p->columns);
    }
}

static void product_strip(void *context, int task, int worker) {
    const product *p = context;
    size_t column = (size_t)task * p->strip, columns = smaller(p->strip, p->columns - column);
    float *right = dt_worker_scratch(p->kernels, worker);
    float *c = right + STRIP_TILES * BLOCK_STEPS * DT_TILE_FLOATS;
    dt_tiles_begin();
    for (size_t step = 0; step < p->steps; step += BLOCK_STEPS) {
        pack_block(p, step * DT_TILE_STEP, column, columns, right);
        dt_tiles_multiply(p->row_tiles, parts_of(columns, SIDE), smaller(BLOCK_STEPS, p->steps - step),
                          p->left + step * DT_TILE_FLOATS, p->steps * DT_TILE_FLOATS, right,
                          BLOCK_STEPS * DT_TILE_FLOATS, step > 0, c);
    }
    dt_tiles_end();
    store_strip(p, column, columns, c);
}

static size_t strip_columns(const dt_kernels *kernels, size_t columns) {
    size_t tasks = (size_t)dt_team_size(kernels->team) * TASKS_PER_THREAD;
    size_t tiles = parts_of(parts_of(columns, tasks), SIDE);
    return smaller(STRIP_TILES, (tiles + 1) / 2 * 2) * SIDE;
}

static void dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                          const float *weights, const float *bias, bool relu, float *y) {
    product p = {.kernels = kernels, .x = x, .weights = weights, .bias = bias, .relu = relu, .y = y};
    if (rows == 0)
        return;
    p.rows = (size_t)rows;
    p.depth = (size_t)shape.in;
    p.columns = (size_t)shape.out;
    p.row_tiles = parts_of(p.rows, SIDE);
    p.steps = parts_of(p.depth, DT_TILE_STEP);
    p.strip = strip_columns(kernels, p.columns);
    p.left = kernels->shared;
    dt_team_run(kernels->team, (int)(p.row_tiles * parts_of(p.depth, PACK_DEPTH)), pack_rows, &p);
    dt_team_run(kernels->team, (int)parts_of(p.columns, p.strip), product_strip, &p);
}

/* dx = dz * weights^T as dx^T = weights * dz^T, so that weights are left operands as they lie. Block after
 * block of units goes through the stack machine of leaves.h. */
typedef struct data_call {
    const dt_kernels *kernels;
    const dt_unit_plan *units;
    size_t rows, in, out;
    const float *dz, *weights;
    dt_root_sink dx;
    size_t samples, steps; /* tiles of samples; steps of a block of units */
    float *right;          /* [block][tile of samples][step] tiles */
} data_call;

static void pack_units(void *context, int task, int worker) {
    const data_call *call = context;
    size_t block = (size_t)task / call->samples, row = (size_t)task % call->samples * SIDE;
    size_t unit = block * call->units->size;
    (void)worker;
    dt_tiles_pack_right_transposed(smaller(SIDE, call->rows - row),
                                   smaller(call->units->size, call->out - unit),
                                   call->dz + row * call->out + unit, call->out,
                                   call->right + (size_t)task * call->steps * DT_TILE_FLOATS);
}

/* The products of `count` weight rows from `first` on with a block of units: [tile of rows][tile of samples].
 */
static void data_block(const data_call *call, size_t first, size_t count, size_t block, float *left,
                       float *slot) {
    size_t size = call->units->size, unit = block * size, units = smaller(size, call->out - unit);
    size_t ahead = unit + DATA_AHEAD * size;
    size_t fetched = ahead < call->out ? smaller(size, call->out - ahead) : 0;
    const float *right = call->right + block * call->samples * call->steps * DT_TILE_FLOATS;
    for (size_t row = 0; row < count; row += SIDE) {
        const float *weights = call->weights + (first + row) * call->out;
        size_t rows = smaller(SIDE, count - row);
        fetch(weights + ahead, rows, fetched, call->out);
        dt_tiles_pack_left(rows, units, weights + unit, call->out,
                           left + row / SIDE * call->steps * DT_TILE_FLOATS);
    }
    dt_tiles_multiply(parts_of(count, SIDE), call->samples, parts_of(units, DT_TILE_STEP), left,
                      call->steps * DT_TILE_FLOATS, right, call->steps * DT_TILE_FLOATS, false, slot);
}

static void store_data(const data_call *call, size_t first, size_t count, size_t root, const float *slot) {
    for (size_t tile = 0; tile < parts_of(count, SIDE) * call->samples; tile++, slot += DT_TILE_FLOATS) {
        size_t i = tile / call->samples * SIDE, row = tile % call->samples * SIDE;
        call->kernels->bodies->transpose(
            smaller(SIDE, count - i), smaller(SIDE, call->rows - row), slot, SIDE,
            call->dx.base + root * call->dx.stride + row * call->in + first + i, call->in);
    }
}

static void data_task(void *context, int task, int worker) {
    const data_call *call = context;
    const dt_leaf_plan *plan = &call->units->plan;
    size_t first = (size_t)task * DATA_TILES * SIDE, count = smaller(DATA_TILES * SIDE, call->in - first);
    size_t slot = parts_of(count, SIDE) * call->samples * DT_TILE_FLOATS, height = 0;
    float *left = dt_worker_scratch(call->kernels, worker);
    float *stack = left + DATA_TILES * call->steps * DT_TILE_FLOATS;
    dt_tiles_begin();
    for (size_t block = 0; block < (size_t)plan->leaves; block++) {
        data_block(call, first, count, block, left, stack + height++ * slot);
        dt_leaf_sums_merge(call->kernels, slot, slot, plan->merges[block], stack + (height - 1) * slot);
        height -= plan->merges[block];
    }
    dt_tiles_end();
    for (size_t root = 0; root < height; root++)
        store_data(call, first, count, root, stack + root * slot);
}

static void dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, const dt_unit_plan *units,
                                int rows, const float *dz, const float *weights, dt_root_sink dx) {
    data_call call = {.kernels = kernels, .units = units, .dz = dz, .weights = weights, .dx = dx};
    call.rows = (size_t)rows;
    call.in = (size_t)shape.in;
    call.out = (size_t)shape.out;
    call.samples = parts_of(call.rows, SIDE);
    call.steps = parts_of(smaller(units->size, call.out), DT_TILE_STEP);
    call.right = kernels->shared;
    dt_team_run(kernels->team, units->plan.leaves * (int)call.samples, pack_units, &call);
    dt_team_run(kernels->team, (int)parts_of(call.in, DATA_TILES * SIDE), data_task, &call);
}

typedef struct gradient {
    const dt_kernels *kernels;
    size_t in, out;
    const dt_leaf_plan *plan;
    const float *x, *dz;
    dt_root_sink sink;
    dt_adam_step step; /* without a sink the gradient goes into this step on the weights */
    float *weights, *m, *v;
    size_t row_tiles, column_tiles, blocks; /* blocks: of columns of tiles */
    size_t leaves;                          /* floats of all leaves' tiles beside each other */
    float *left, *right;                    /* [tile][leaf] */
    float *bias;
} gradient;

static void pack_leaves(void *context, int task, int worker) {
    const gradient *g = context;
    bool right = (size_t)task < g->column_tiles;
    size_t tile = right ? (size_t)task : (size_t)task - g->column_tiles, first = tile * SIDE;
    size_t count = right ? g->out : g->in;
    float *packed = (right ? g->right : g->left) + tile * g->leaves;
    const float *source = (right ? g->dz : g->x) + first;
    (void)worker;
    for (int leaf = 0; leaf < g->plan->leaves; leaf++, packed += DT_TILE_LEAF_FLOATS) {
        (right ? dt_tiles_pack_right_leaf : dt_tiles_pack_left_leaf)(
            smaller(SIDE, count - first), (size_t)dt_leaf_sums_samples(g->plan, leaf), source, count, packed);
        source += DT_LEAF_SAMPLES * count;
    }
}

/* A block of gradients, [root][SIDE rows][BLOCK_COLUMNS], made of `tiles` tiles; and what is updated. */
enum { BLOCK_COLUMNS = BLOCK_TILES * DT_TILE_SIDE, BLOCK_FLOATS = DT_TILE_SIDE * BLOCK_COLUMNS };

/* A task's tiles of rows, each of them a block of columns after another. */
typedef struct walk {
    const gradient *g;
    size_t first, end; /* tiles of rows */
    float *stack;      /* of a tile's leaves */
    float *gradients;  /* blocks: two when updating, else one for each root */
    size_t updated;    /* rows of blocks */
} walk;

static walk walk_begin(const gradient *g, int task, int worker) {
    walk w = {.g = g, .first = (size_t)task * TASK_TILES};
    w.end = smaller(g->row_tiles, w.first + TASK_TILES);
    w.gradients = dt_worker_scratch(g->kernels, worker);
    w.stack = w.gradients + larger(2, (size_t)g->plan->roots) * BLOCK_FLOATS;
    return w;
}

/* Where a row of a block lies in the matrix; no columns if there is no such row. */
typedef struct stretch {
    size_t offset, columns;
} stretch;

static stretch stretch_at(const walk *w, size_t number) {
    const gradient *g = w->g;
    size_t block = number / SIDE, row = (w->first + block / g->blocks) * SIDE + number % SIDE;
    size_t column = block % g->blocks * BLOCK_COLUMNS;
    if (row >= g->in || w->first + block / g->blocks >= w->end)
        return (stretch){0, 0};
    return (stretch){row * g->out + column, smaller(BLOCK_COLUMNS, g->out - column)};
}

static void sum_tile(const walk *w, size_t block, size_t tile, float *to) {
    const gradient *g = w->g;
    size_t row_tile = w->first + block / g->blocks, column_tile = block % g->blocks * BLOCK_TILES + tile;
    dt_tiles_sum_leaves(g->plan->leaves, g->plan->merges, g->kernels->wire == DT_WIRE_BF16,
                        g->left + row_tile * g->leaves, g->right + column_tile * g->leaves, w->stack,
                        to + tile * SIDE, BLOCK_FLOATS, BLOCK_COLUMNS);
}

static size_t tiles_of_block(const gradient *g, size_t block) {
    return smaller(BLOCK_TILES, g->column_tiles - block % g->blocks * BLOCK_TILES);
}

static void fetch_to_write(const float *from, size_t floats) {
    for (size_t i = 0; i < floats; i += LINE)
        __builtin_prefetch(from + i, 1, 3);
}

static void gradient_task(void *context, int task, int worker) {
    const gradient *g = context;
    walk w = walk_begin(g, task, worker);
    dt_tiles_begin_leaves();
    for (size_t block = 0; block < (w.end - w.first) * g->blocks; block++) {
        for (size_t tile = 0; tile < tiles_of_block(g, block); tile++)
            sum_tile(&w, block, tile, w.gradients);
        for (size_t row = 0; row < SIDE; row++) {
            stretch at = stretch_at(&w, block * SIDE + row);
            for (int root = 0; at.columns > 0 && root < g->plan->roots; root++)
                memcpy(g->sink.base + (size_t)root * g->sink.stride + at.offset,
                       w.gradients + (size_t)root * BLOCK_FLOATS + row * BLOCK_COLUMNS,
                       at.columns * sizeof(float));
        }
    }
    dt_tiles_end();
}

/* Adam's steps on rows of blocks whose gradients are there. */
static void update_rows(walk *w, size_t end) {
    const gradient *g = w->g;
    for (; w->updated < end; w->updated++) {
        size_t block = w->updated / SIDE, row = w->updated % SIDE;
        stretch ahead = stretch_at(w, w->updated + ROWS_AHEAD), at = stretch_at(w, w->updated);
        fetch_to_write(g->weights + ahead.offset, ahead.columns);
        fetch_to_write(g->m + ahead.offset, ahead.columns);
        fetch_to_write(g->v + ahead.offset, ahead.columns);
        if (at.columns > 0)
            dt_adam_body(g->kernels)(g->step, at.columns,
                                     w->gradients + block % 2 * BLOCK_FLOATS + row * BLOCK_COLUMNS,
                                     g->weights + at.offset, g->m + at.offset, g->v + at.offset);
    }
}

/* While one block's gradients are computed, the block before is updated. */
static void update_task(void *context, int task, int worker) {
    const gradient *g = context;
    walk w = walk_begin(g, task, worker);
    size_t blocks = (w.end - w.first) * g->blocks;
    dt_tiles_begin_leaves();
    for (size_t block = 0; block < blocks; block++) {
        size_t tiles = tiles_of_block(g, block);
        for (size_t tile = 0; tile < tiles; tile++) {
            sum_tile(&w, block, tile, w.gradients + block % 2 * BLOCK_FLOATS);
            if (block > 0)
                update_rows(&w, (block - 1) * SIDE + SIDE * (tile + 1) / tiles);
        }
    }
    dt_tiles_end();
    update_rows(&w, blocks * SIDE);
}

/* The pieces of shared scratch, in their order. */
static void take_gradient_scratch(dt_arena *arena, int samples, gradient *g) {
    g->row_tiles = parts_of(g->in, SIDE);
    g->column_tiles = parts_of(g->out, SIDE);
    g->blocks = parts_of(g->column_tiles, BLOCK_TILES);
    g->leaves = (size_t)dt_leaves_count(samples) * DT_TILE_LEAF_FLOATS;
    g->left = dt_arena_take_floats(arena, g->row_tiles * g->leaves);
    g->right = dt_arena_take_floats(arena, g->column_tiles * g->leaves);
    g->bias = dt_arena_take_floats(arena, dt_dense_bias_floats(samples, g->out));
}

static gradient gradient_begin(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                               const float *x, const float *dz) {
    dt_arena arena = {.base = (char *)kernels->shared};
    gradient g = {.kernels = kernels, .in = (size_t)shape.in, .out = (size_t)shape.out, .plan = plan};
    g.x = x;
    g.dz = dz;
    take_gradient_scratch(&arena, plan->samples, &g);
    return g;
}

static void run_gradient(gradient *g, void (*body)(void *, int, int)) {
    dt_team_run(g->kernels->team, (int)(g->column_tiles + g->row_tiles), pack_leaves, g);
    dt_team_run(g->kernels->team, (int)parts_of(g->row_tiles, TASK_TILES), body, g);
}

static void dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                                   const float *x, const float *dz, dt_root_sink dweights,
                                   dt_root_sink dbias) {
    if (plan->leaves == 0)
        return;
    gradient g = gradient_begin(kernels, shape, plan, x, dz);
    g.sink = dweights;
    if (dweights.base)
        run_gradient(&g, gradient_task);
    dt_dense_bias_gradient(kernels, plan, g.out, dz, g.bias, dbias);
}

static void dense_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan, const float *x,
                         const float *dz, dt_adam_step step, float *weights, float *m, float *v) {
    gradient g = gradient_begin(kernels, shape, plan, x, dz);
    g.step = step;
    g.weights = weights;
    g.m = m;
    g.v = v;
    run_gradient(&g, update_task);
}

static dt_scratch_need dense_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    dt_arena arena = {0};
    gradient g = {.kernels = kernels, .in = (size_t)shape.in, .out = (size_t)shape.out};
    take_gradient_scratch(&arena, samples, &g);
    size_t tiles = parts_of((size_t)samples, SIDE), depth = (size_t)dt_leaf_sums_depth(DT_MOST_BLOCKS);
    size_t steps = parts_of(g.out, DT_TILE_STEP); /* of a block of units, at most */
    size_t forward = tiles * parts_of(g.in, DT_TILE_STEP);
    size_t backward = tiles * (parts_of(g.out, DT_BLOCK_GRAIN) + 1); /* whatever the blocks of the layer */
    size_t strip = STRIP_TILES * (BLOCK_STEPS + tiles);
    size_t data = DATA_TILES * (steps + tiles * depth);
    size_t leaves = (size_t)dt_leaf_sums_depth(dt_leaves_count(samples));
    size_t blocks = leaves * BLOCK_FLOATS + (leaves + DT_TILE_SPARES) * DT_TILE_FLOATS;
    return (dt_scratch_need){larger(arena.used / sizeof(float), larger(forward, backward) * DT_TILE_FLOATS),
                             larger(larger(strip, data) * DT_TILE_FLOATS, blocks)};
}

const dt_dense_operations dt_dense_tiles = {
    .need = dense_need,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
    .update = dense_update,
};
