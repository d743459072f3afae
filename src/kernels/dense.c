/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layers on the packed matrix bodies. All three passes are products of a small matrix, packed once a
 * call, with panels of a large one. Weights are read from memory once a pass: a task owns a panel of columns
 * and takes it a block of depth at a time, while the next block is on its way to the cache. */
#include <assert.h>

#include "kernels/bodies.h"
#include "kernels/leaf_sums.h"
#include "kernels/table.h"

enum {
    DEPTH_BLOCK = 128, /* with a panel of 48 columns 24 KB: in the first-level cache beside a tile of A */
    LINE = DT_ALIGNMENT_FLOATS,
    PACK_BLOCK = 512,     /* depth that one packing task covers */
    STRIP_TILES = 2,      /* tiles of weight rows of one gradient task: 2 keep a panel of dz in the cache */
    TASKS_PER_THREAD = 3, /* below that rows are split too */
    BIAS_COLUMNS = 256    /* columns of one task of the bias gradient */
};

static size_t tiles_of(size_t count, int tile) {
    return (count + (size_t)tile - 1) / (size_t)tile;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns of the panel at `column`: tile_columns, or at the right edge as many whole vectors as it takes. */
static size_t panel_lanes(const dt_bodies *bodies, size_t columns, size_t column) {
    size_t width = (size_t)bodies->width, left = (columns - column + width - 1) / width * width;
    return smaller((size_t)bodies->tile_columns, left);
}

/* c [rows][columns] = a [rows][depth] * b, b [depth][columns], or [columns][depth] where transposed. */
typedef struct product {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    size_t rows, depth, columns;
    const float *a, *b;
    bool b_transposed;
    const float *bias; /* NULL for none */
    bool relu;
    float *c;
    size_t row_tiles;
    int row_parts;   /* tasks that the row tiles of a panel are split over */
    float *packed_a; /* [row tile][depth][tile_rows] */
} product;

static void pack_rows(void *context, int task, int worker) {
    const product *p = context;
    size_t tile = (size_t)task % p->row_tiles, k = (size_t)task / p->row_tiles * PACK_BLOCK;
    size_t tile_rows = (size_t)p->bodies->tile_rows, row = tile * tile_rows;
    (void)worker;
    p->bodies->pack_transposed(smaller(PACK_BLOCK, p->depth - k), tile_rows,
                               smaller(tile_rows, p->rows - row), p->a + row * p->depth + k, p->depth,
                               p->packed_a + (tile * p->depth + k) * tile_rows);
}

/* A block of b: `lines` stretches of `floats` values, `stride` apart. */
typedef struct block {
    const float *from;
    size_t lines, floats, stride;
} block;

static block block_of(const product *p, size_t column, size_t k) {
    size_t columns = smaller((size_t)p->bodies->tile_columns, p->columns - column);
    size_t depth = k < p->depth ? smaller(DEPTH_BLOCK, p->depth - k) : 0;
    if (p->b_transposed)
        return (block){p->b + column * p->depth + k, depth ? columns : 0, depth, p->depth};
    return (block){p->b + k * p->columns + column, depth, columns, p->columns};
}

static void pack_block(const product *p, block b, size_t lanes, float *packed) {
    if (p->b_transposed)
        p->bodies->pack_transposed(b.floats, lanes, b.lines, b.from, b.stride, packed);
    else
        p->bodies->pack_straight(b.lines, lanes, b.floats, b.from, b.stride, packed);
}

/* Part number `part` of `parts` of a block into the second-level cache. */
static void prefetch_block(block b, size_t part, size_t parts) {
    for (size_t line = b.lines * part / parts; line < b.lines * (part + 1) / parts; line++)
        for (size_t i = 0; i < b.floats; i += LINE)
            __builtin_prefetch(b.from + line * b.stride + i, 0, 2);
}

static void product_panel(void *context, int task, int worker) {
    const product *p = context;
    size_t tile_rows = (size_t)p->bodies->tile_rows, tile_columns = (size_t)p->bodies->tile_columns;
    size_t part = (size_t)(task % p->row_parts), parts = (size_t)p->row_parts;
    size_t first = p->row_tiles * part / parts, tiles = p->row_tiles * (part + 1) / parts - first;
    size_t column = (size_t)(task / p->row_parts) * tile_columns;
    size_t lanes = panel_lanes(p->bodies, p->columns, column), vectors = lanes / (size_t)p->bodies->width;
    float *packed_b = dt_worker_scratch(p->kernels, worker), *c = packed_b + DEPTH_BLOCK * tile_columns;
    for (size_t k = 0; k < p->depth; k += DEPTH_BLOCK) {
        size_t depth = smaller(DEPTH_BLOCK, p->depth - k);
        block next = block_of(p, column, k + DEPTH_BLOCK);
        pack_block(p, block_of(p, column, k), lanes, packed_b);
        for (size_t tile = 0; tile < tiles; tile++) {
            prefetch_block(next, tile, tiles);
            p->bodies->gemm_tile(depth, vectors, p->packed_a + ((first + tile) * p->depth + k) * tile_rows,
                                 packed_b, k > 0, c + tile * tile_rows * tile_columns);
        }
    }
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t row = (first + tile) * tile_rows;
        p->bodies->store_tile(smaller(tile_rows, p->rows - row), smaller(tile_columns, p->columns - column),
                              c + tile * tile_rows * tile_columns, p->bias ? p->bias + column : NULL, p->relu,
                              p->c + row * p->columns + column, p->columns);
    }
}

static void run_product(dt_kernels *kernels, product p) {
    p.kernels = kernels;
    p.bodies = kernels->bodies;
    p.row_tiles = tiles_of(p.rows, p.bodies->tile_rows);
    p.packed_a = kernels->shared;
    size_t panels = tiles_of(p.columns, p.bodies->tile_columns);
    size_t wanted = (size_t)dt_team_size(kernels->team) * TASKS_PER_THREAD;
    p.row_parts = panels >= wanted ? 1 : (int)smaller(p.row_tiles, (wanted + panels - 1) / panels);
    dt_team_run(kernels->team, (int)(p.row_tiles * tiles_of(p.depth, PACK_BLOCK)), pack_rows, &p);
    dt_team_run(kernels->team, (int)panels * p.row_parts, product_panel, &p);
}

static void dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                          const float *weights, const float *bias, bool relu, float *y) {
    if (rows > 0)
        run_product(kernels, (product){.rows = (size_t)rows,
                                       .depth = (size_t)shape.in,
                                       .columns = (size_t)shape.out,
                                       .a = x,
                                       .b = weights,
                                       .bias = bias,
                                       .relu = relu,
                                       .c = y});
}

static void dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *dz,
                                const float *weights, float *dx) {
    if (rows > 0)
        run_product(kernels, (product){.rows = (size_t)rows,
                                       .depth = (size_t)shape.out,
                                       .columns = (size_t)shape.in,
                                       .a = dz,
                                       .b = weights,
                                       .b_transposed = true,
                                       .c = dx});
}

typedef struct gradient {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    dt_dense_shape shape;
    const dt_leaf_plan *plan;
    const float *x, *dz;
    dt_root_sink sink;
    size_t row_tiles, panels;
    float *packed_x;  /* [row tile][sample][tile_rows] */
    float *packed_dz; /* [panel][sample][tile_columns] */
    float *bias_leaves;
    size_t bias_stride;
} gradient;

static void pack_gradient(void *context, int task, int worker) {
    const gradient *g = context;
    size_t samples = (size_t)g->plan->samples, tile_rows = (size_t)g->bodies->tile_rows;
    size_t tile_columns = (size_t)g->bodies->tile_columns, in = (size_t)g->shape.in,
           out = (size_t)g->shape.out;
    (void)worker;
    if ((size_t)task < g->panels) {
        size_t column = (size_t)task * tile_columns;
        g->bodies->pack_straight(samples, panel_lanes(g->bodies, out, column),
                                 smaller(tile_columns, out - column), g->dz + column, out,
                                 g->packed_dz + column * samples);
        return;
    }
    size_t row = ((size_t)task - g->panels) * tile_rows;
    g->bodies->pack_straight(samples, tile_rows, smaller(tile_rows, in - row), g->x + row, in,
                             g->packed_x + row * samples);
}

/* The store of a tile at the end of its sum would wait for memory. */
static void prefetch_tile(size_t rows, size_t columns, const float *to, size_t stride) {
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < columns; i += LINE)
            __builtin_prefetch(to + row * stride + i, 1, 3);
}

/* One tile of the gradient: its leaves through the stack machine, its roots to the sink. */
static void gradient_tile(const gradient *g, size_t row_tile, size_t panel, float *stack) {
    const dt_leaf_plan *plan = g->plan;
    size_t samples = (size_t)plan->samples, out = (size_t)g->shape.out;
    size_t tile_rows = (size_t)g->bodies->tile_rows, tile_columns = (size_t)g->bodies->tile_columns;
    const float *a = g->packed_x + row_tile * samples * tile_rows;
    const float *b = g->packed_dz + panel * samples * tile_columns;
    size_t row = row_tile * tile_rows, column = panel * tile_columns;
    size_t rows = smaller(tile_rows, (size_t)g->shape.in - row),
           columns = smaller(tile_columns, out - column);
    size_t lanes = panel_lanes(g->bodies, out, column), vectors = lanes / (size_t)g->bodies->width;
    float *to = g->sink.base + row * out + column, *slot = stack;
    prefetch_tile(rows, columns, to, out);
    for (int leaf = 0; leaf < plan->leaves; leaf++) {
        size_t depth = (size_t)dt_leaf_sums_samples(plan, leaf);
        int merges = plan->merges[leaf];
        g->bodies->gemm_leaf(depth, vectors, a, b, merges, slot);
        slot += (1 - merges) * (long)(tile_rows * tile_columns);
        a += depth * tile_rows;
        b += depth * lanes;
    }
    for (int root = 0; root < plan->roots; root++)
        g->bodies->store_tile(rows, columns, stack + (size_t)root * tile_rows * tile_columns, NULL, false,
                              to + (size_t)root * g->sink.stride, out);
}

static void gradient_strip(void *context, int task, int worker) {
    const gradient *g = context;
    size_t first = (size_t)task * STRIP_TILES, end = smaller(g->row_tiles, first + STRIP_TILES);
    for (size_t panel = 0; panel < g->panels; panel++)
        for (size_t row_tile = first; row_tile < end; row_tile++)
            gradient_tile(g, row_tile, panel, dt_worker_scratch(g->kernels, worker));
}

static void bias_leaf(void *context, int task, int worker) {
    const gradient *g = context;
    size_t out = (size_t)g->shape.out, leaf = (size_t)(task % g->plan->leaves);
    size_t column = (size_t)(task / g->plan->leaves) * BIAS_COLUMNS;
    (void)worker;
    g->bodies->column_sums((size_t)dt_leaf_sums_samples(g->plan, (int)leaf),
                           smaller(BIAS_COLUMNS, out - column), g->dz + leaf * DT_LEAF_SAMPLES * out + column,
                           out, g->bias_leaves + leaf * g->bias_stride + column);
}

/* The pieces of shared scratch, in their order. */
static void take_gradient_scratch(dt_arena *arena, const dt_bodies *bodies, dt_dense_shape shape, int samples,
                                  gradient *g, float **spare) {
    int leaves = dt_leaves_count(samples);
    g->row_tiles = tiles_of((size_t)shape.in, bodies->tile_rows);
    g->panels = tiles_of((size_t)shape.out, bodies->tile_columns);
    g->bias_stride = dt_align_floats((size_t)shape.out);
    g->packed_x = dt_arena_take_floats(arena, g->row_tiles * (size_t)(samples * bodies->tile_rows));
    g->packed_dz = dt_arena_take_floats(arena, g->panels * (size_t)(samples * bodies->tile_columns));
    g->bias_leaves = dt_arena_take_floats(arena, (size_t)leaves * g->bias_stride);
    *spare = dt_arena_take_floats(arena, (size_t)dt_leaf_sums_spares(leaves) * g->bias_stride);
}

static void dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                                   const float *x, const float *dz, dt_root_sink dweights,
                                   dt_root_sink dbias) {
    dt_arena arena = {.base = (char *)kernels->shared};
    float *spare;
    gradient g = {.kernels = kernels, .bodies = kernels->bodies, .shape = shape, .plan = plan};
    if (plan->leaves == 0)
        return;
    g.x = x;
    g.dz = dz;
    g.sink = dweights;
    take_gradient_scratch(&arena, g.bodies, shape, plan->samples, &g, &spare);
    dt_team_run(kernels->team, (int)(g.panels + g.row_tiles), pack_gradient, &g);
    dt_team_run(kernels->team, (int)tiles_of(g.row_tiles, STRIP_TILES), gradient_strip, &g);
    dt_team_run(kernels->team, plan->leaves * (int)tiles_of((size_t)shape.out, BIAS_COLUMNS), bias_leaf, &g);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, (size_t)shape.out, g.bias_stride, g.bias_leaves, dbias,
                      spare);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static dt_scratch_need dense_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    const dt_bodies *bodies = kernels->bodies;
    size_t tile = (size_t)(bodies->tile_rows * bodies->tile_columns);
    size_t row_tiles = tiles_of((size_t)samples, bodies->tile_rows);
    dt_arena arena = {0};
    gradient g;
    float *spare;
    take_gradient_scratch(&arena, bodies, shape, samples, &g, &spare);
    return (dt_scratch_need){
        larger(arena.used / sizeof(float),
               row_tiles * (size_t)bodies->tile_rows * larger((size_t)shape.in, (size_t)shape.out)),
        larger((size_t)(DEPTH_BLOCK * bodies->tile_columns) + row_tiles * tile, tile * DT_LEAF_DEPTH)};
}

const dt_dense_operations dt_dense_vector = {
    .need = dense_need,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
};
