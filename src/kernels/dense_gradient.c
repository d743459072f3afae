/* SPDX-License-Identifier: BSD-3-Clause */
/* The gradient of a dense layer's weights, leaf by leaf, and Adam's step with it: an update never stores the
 * gradient, but computes it tile by tile while the tiles before go into the weights. */
#include "kernels/dense.h"
#include "kernels/dense_bias.h"
#include "kernels/leaf_sums.h"

enum {
    LINE = DT_ALIGNMENT_FLOATS,
    STRIP_TILES = 2,   /* tiles of weight rows at a time: 2 keep a panel of dz in the first-level cache */
    BLOCK_PANELS = 10, /* panels of an update's block: runs of 1,920 bytes, 15 KB of gradients */
    RANGE_BYTES = 640 << 10, /* of dz that stays in the second-level cache while a task takes rows of tiles */
    RANGE_ROW_TILES = 16,    /* of a task */
    SEGMENTS_AHEAD = 6       /* rows of tiles between the fetch of weights and moments and their update */
};

typedef struct gradient {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    dt_dense_shape shape;
    const dt_leaf_plan *plan;
    const float *x, *dz;
    dt_root_sink sink;
    dt_adam_step step; /* without a sink the gradient goes into this step on the weights */
    float *weights, *m, *v;
    size_t row_tiles, panels;
    size_t steps;     /* that the samples make; those of all leaves but the last are whole */
    float *packed_x;  /* [row tile][step][tile_rows] */
    float *packed_dz; /* [panel][step][tile_columns] */
    float *bias;      /* scratch of its gradient */
} gradient;

static void pack_gradient(void *context, int task, int worker) {
    const gradient *g = context;
    size_t samples = (size_t)g->plan->samples, tile_rows = (size_t)g->bodies->tile_rows;
    size_t tile_columns = (size_t)g->bodies->tile_columns, in = (size_t)g->shape.in,
           out = (size_t)g->shape.out;
    (void)worker;
    if ((size_t)task < g->panels) {
        size_t column = (size_t)task * tile_columns;
        g->kernels->products->pack_straight(samples, panel_lanes(g->bodies, out, column),
                                            smaller(tile_columns, out - column), g->dz + column, out,
                                            g->packed_dz + column * g->steps);
        return;
    }
    size_t row = ((size_t)task - g->panels) * tile_rows;
    g->kernels->products->pack_straight(samples, tile_rows, smaller(tile_rows, in - row), g->x + row, in,
                                        g->packed_x + row * g->steps);
}

/* Whether the leaf and the next one are the first to be added to each other, and can be computed together. */
static bool is_pair(const gradient *g, int leaf) {
    const dt_leaf_plan *plan = g->plan;
    return g->kernels->products->gemm_pair && leaf + 1 < plan->leaves && plan->merges[leaf] == 0 &&
           plan->merges[leaf + 1] > 0;
}

/* What is done beside the products: called after every other leaf and the last, with the leaves of the tile
 * so far. */
typedef void (*interlude)(void *context, size_t leaves);

/* A tile's leaves through the stack machine; its roots remain on the stack. */
static void compute_tile(const gradient *g, size_t row_tile, size_t panel, float *stack, interlude between,
                         void *context) {
    const dt_leaf_plan *plan = g->plan;
    const dt_products *products = g->kernels->products;
    bool rounded = g->kernels->wire == DT_WIRE_BF16;
    size_t next;
    size_t tile_rows = (size_t)g->bodies->tile_rows, tile_columns = (size_t)g->bodies->tile_columns;
    size_t lanes = panel_lanes(g->bodies, (size_t)g->shape.out, panel * tile_columns);
    size_t vectors = lanes / (size_t)g->bodies->width;
    const float *a = g->packed_x + row_tile * g->steps * tile_rows;
    const float *b = g->packed_dz + panel * g->steps * tile_columns;
    for (int leaf = 0; leaf < plan->leaves; leaf++, a += next * tile_rows, b += next * lanes) {
        size_t steps = steps_of(g->kernels, (size_t)dt_leaf_sums_samples(plan, leaf));
        if (is_pair(g, leaf)) {
            next = steps_of(g->kernels, (size_t)dt_leaf_sums_samples(plan, ++leaf));
            (rounded ? products->gemm_pair_rounded : products->gemm_pair)(steps, next, vectors, a, b,
                                                                          plan->merges[leaf] - 1, stack);
            stack += (2 - plan->merges[leaf]) * (long)(tile_rows * tile_columns);
            next += steps;
        } else {
            (rounded ? products->gemm_leaf_rounded : products->gemm_leaf)(steps, vectors, a, b,
                                                                          plan->merges[leaf], stack);
            stack += (1 - plan->merges[leaf]) * (long)(tile_rows * tile_columns);
            next = steps;
        }
        if (between && (leaf % 2 == 1 || leaf + 1 == plan->leaves))
            between(context, (size_t)leaf + 1);
    }
}

/* The roots of a tile to the sink. */
static void store_roots(const gradient *g, size_t row_tile, size_t panel, const float *stack) {
    size_t tile_rows = (size_t)g->bodies->tile_rows, tile_columns = (size_t)g->bodies->tile_columns;
    size_t row = row_tile * tile_rows, column = panel * tile_columns, out = (size_t)g->shape.out;
    for (int root = 0; root < g->plan->roots; root++)
        g->bodies->store_tile(smaller(tile_rows, (size_t)g->shape.in - row),
                              smaller(tile_columns, out - column),
                              stack + (size_t)root * tile_rows * tile_columns, NULL, false,
                              g->sink.base + (size_t)root * g->sink.stride + row * out + column, out);
}

/* A tile's memory, fetched before its sums begin: the store at their end would wait for it. */
static void prefetch_tile(const gradient *g, size_t row_tile, size_t panel) {
    size_t tile_rows = (size_t)g->bodies->tile_rows, tile_columns = (size_t)g->bodies->tile_columns;
    size_t out = (size_t)g->shape.out, end = smaller((row_tile + 1) * tile_rows, (size_t)g->shape.in);
    for (size_t row = row_tile * tile_rows; row < end; row++)
        for (size_t i = panel * tile_columns; i < smaller(out, (panel + 1) * tile_columns); i += LINE)
            __builtin_prefetch(g->sink.base + row * out + i, 1, 3);
}

/* A task's part of the gradient: rows of tiles and a range of panels, whose dz they share. */
typedef struct part {
    size_t row_tile, end_row_tile, panel, end_panel;
} part;

/* Panels of a range: whole blocks, of which at least one. */
static size_t range_panels(const gradient *g) {
    size_t panel = g->steps * (size_t)g->bodies->tile_columns * sizeof(float);
    return larger(1, RANGE_BYTES / (panel * BLOCK_PANELS)) * BLOCK_PANELS;
}

static int count_parts(const gradient *g) {
    return (int)(parts_of(g->row_tiles, RANGE_ROW_TILES) * parts_of(g->panels, range_panels(g)));
}

static part part_of(const gradient *g, int task) {
    size_t panels = range_panels(g), groups = parts_of(g->row_tiles, RANGE_ROW_TILES);
    size_t row_tile = (size_t)task % groups * RANGE_ROW_TILES, panel = (size_t)task / groups * panels;
    return (part){row_tile, smaller(g->row_tiles, row_tile + RANGE_ROW_TILES), panel,
                  smaller(g->panels, panel + panels)};
}

static void gradient_part(void *context, int task, int worker) {
    const gradient *g = context;
    part p = part_of(g, task);
    float *stack = dt_worker_scratch(g->kernels, worker);
    for (size_t first = p.row_tile; first < p.end_row_tile; first += STRIP_TILES)
        for (size_t panel = p.panel; panel < p.end_panel; panel++)
            for (size_t tile = first; tile < smaller(p.end_row_tile, first + STRIP_TILES); tile++) {
                prefetch_tile(g, tile, panel);
                compute_tile(g, tile, panel, stack, NULL, NULL);
                store_roots(g, tile, panel, stack);
            }
}

/* A row of a tile, in the order in which they are updated: BLOCK_PANELS panels of a row of tiles make a
 * block, which is walked row by row, so that memory is met in longer runs. */
typedef struct segment {
    size_t number, row_tile, first_panel; /* of the block */
    size_t row, panel;
} segment;

/* A part on its way into the weights. While the products of one block are computed, the block before goes
 * through Adam's step, whose divisions and memory traffic then cost next to nothing. */
typedef struct update {
    const gradient *g;
    part part;
    float *blocks[2]; /* [BLOCK_PANELS tiles, then room for a stack] */
    segment now, ahead;
    size_t updated, fetched, computed; /* segments; those of the blocks computed so far */
    size_t start;                      /* segments that were updated when the tile began */
} update;

static size_t tile_rows_at(const gradient *g, size_t row_tile) {
    size_t tile_rows = (size_t)g->bodies->tile_rows;
    return smaller(tile_rows, (size_t)g->shape.in - row_tile * tile_rows);
}

static size_t block_end(const update *u, const segment *at) {
    return smaller(at->first_panel + BLOCK_PANELS, u->part.end_panel);
}

/* The first segment of the next block. */
static segment behind_block(const update *u, const segment *at) {
    size_t panel = block_end(u, at), row_tile = at->row_tile;
    if (panel == u->part.end_panel) {
        panel = u->part.panel;
        row_tile++;
    }
    return (segment){at->number + 1, row_tile, panel, 0, panel};
}

static void advance(const update *u, segment *at) {
    if (++at->panel < block_end(u, at))
        return;
    at->panel = at->first_panel;
    if (++at->row == tile_rows_at(u->g, at->row_tile))
        *at = behind_block(u, at);
}

static size_t segment_offset(const gradient *g, const segment *at) {
    size_t row = at->row_tile * (size_t)g->bodies->tile_rows + at->row;
    return row * (size_t)g->shape.out + at->panel * (size_t)g->bodies->tile_columns;
}

static size_t segment_columns(const gradient *g, const segment *at) {
    size_t tile_columns = (size_t)g->bodies->tile_columns;
    return smaller(tile_columns, (size_t)g->shape.out - at->panel * tile_columns);
}

static void fetch_segments(update *u, size_t end) {
    const gradient *g = u->g;
    for (; u->fetched < end && u->ahead.row_tile < u->part.end_row_tile;
         u->fetched++, advance(u, &u->ahead)) {
        size_t offset = segment_offset(g, &u->ahead), columns = segment_columns(g, &u->ahead);
        for (size_t i = offset; i < offset + columns; i += LINE) {
            __builtin_prefetch(g->weights + i, 1, 3);
            __builtin_prefetch(g->m + i, 1, 3);
            __builtin_prefetch(g->v + i, 1, 3);
        }
    }
}

static void update_segments(update *u, size_t end) {
    const gradient *g = u->g;
    size_t tile_columns = (size_t)g->bodies->tile_columns, tile = (size_t)g->bodies->tile_rows * tile_columns;
    for (; u->updated < end; u->updated++, advance(u, &u->now)) {
        const segment *at = &u->now;
        size_t offset = segment_offset(g, at);
        const float *gradients = u->blocks[at->number % 2];
        fetch_segments(u, u->updated + SEGMENTS_AHEAD);
        dt_adam_body(g->kernels)(g->step, segment_columns(g, at),
                                 gradients + (at->panel - at->first_panel) * tile + at->row * tile_columns,
                                 g->weights + offset, g->m + offset, g->v + offset);
    }
}

/* As many segments as a tile has, in step with its leaves. */
static void update_between(void *context, size_t leaves) {
    update *u = context;
    size_t due = u->start + (size_t)u->g->bodies->tile_rows * leaves / (size_t)u->g->plan->leaves;
    update_segments(u, smaller(due, u->computed));
}

static size_t block_floats(const dt_bodies *bodies) {
    return (size_t)((BLOCK_PANELS + DT_LEAF_DEPTH) * bodies->tile_rows * bodies->tile_columns);
}

static void compute_block(update *u, const segment *at) {
    const gradient *g = u->g;
    size_t tile = (size_t)(g->bodies->tile_rows * g->bodies->tile_columns), end = block_end(u, at);
    float *to = u->blocks[at->number % 2];
    for (size_t panel = at->first_panel; panel < end; panel++, to += tile) {
        u->start = u->updated;
        compute_tile(g, at->row_tile, panel, to, update_between, u);
    }
    update_segments(u, u->computed);
    u->computed += tile_rows_at(g, at->row_tile) * (end - at->first_panel);
}

static void update_part(void *context, int task, int worker) {
    const gradient *g = context;
    update u = {.g = g, .part = part_of(g, task)};
    segment at = {0, u.part.row_tile, u.part.panel, 0, u.part.panel};
    u.now = u.ahead = at;
    u.blocks[0] = dt_worker_scratch(g->kernels, worker);
    u.blocks[1] = u.blocks[0] + block_floats(g->bodies);
    for (; at.row_tile < u.part.end_row_tile; at = behind_block(&u, &at))
        compute_block(&u, &at);
    update_segments(&u, u.computed);
}

/* The pieces of shared scratch, in their order. */
static void take_gradient_scratch(dt_arena *arena, int samples, gradient *g) {
    g->steps = steps_of(g->kernels, (size_t)samples);
    g->row_tiles = parts_of((size_t)g->shape.in, (size_t)g->bodies->tile_rows);
    g->panels = parts_of((size_t)g->shape.out, (size_t)g->bodies->tile_columns);
    g->packed_x = dt_arena_take_floats(arena, g->row_tiles * g->steps * (size_t)g->bodies->tile_rows);
    g->packed_dz = dt_arena_take_floats(arena, g->panels * g->steps * (size_t)g->bodies->tile_columns);
    g->bias = dt_arena_take_floats(arena, dt_dense_bias_floats(samples, (size_t)g->shape.out));
}

void dt_dense_vector_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                                      const float *x, const float *dz, dt_root_sink dweights,
                                      dt_root_sink dbias) {
    dt_arena arena = {.base = (char *)kernels->shared};
    gradient g = {.kernels = kernels, .bodies = kernels->bodies, .shape = shape, .plan = plan};
    if (plan->leaves == 0)
        return;
    g.x = x;
    g.dz = dz;
    g.sink = dweights;
    take_gradient_scratch(&arena, plan->samples, &g);
    if (dweights.base) {
        dt_team_run(kernels->team, (int)(g.panels + g.row_tiles), pack_gradient, &g);
        dt_team_run(kernels->team, count_parts(&g), gradient_part, &g);
    }
    dt_dense_bias_gradient(kernels, plan, (size_t)shape.out, dz, g.bias, dbias);
}

void dt_dense_vector_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                            const float *x, const float *dz, dt_adam_step step, float *weights, float *m,
                            float *v) {
    dt_arena arena = {.base = (char *)kernels->shared};
    gradient g = {.kernels = kernels, .bodies = kernels->bodies, .shape = shape, .plan = plan};
    g.x = x;
    g.dz = dz;
    g.step = step;
    g.weights = weights;
    g.m = m;
    g.v = v;
    take_gradient_scratch(&arena, plan->samples, &g);
    dt_team_run(kernels->team, (int)(g.panels + g.row_tiles), pack_gradient, &g);
    dt_team_run(kernels->team, count_parts(&g), update_part, &g);
}

dt_scratch_need dt_dense_vector_gradient_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    dt_arena arena = {0};
    gradient g = {.kernels = kernels, .bodies = kernels->bodies, .shape = shape};
    take_gradient_scratch(&arena, samples, &g);
    return (dt_scratch_need){arena.used / sizeof(float), 2 * block_floats(g.bodies)};
}
