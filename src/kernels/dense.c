/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layers on the matrix bodies. All passes are products of a small matrix, packed once a call, with a
 * large one that is read or written once a pass: forward, a task owns a few panels of columns and takes them
 * a block of depth at a time, while the next block is on its way to the cache; back to the input, a few rows.
 */
#include <assert.h>

#include "kernels/bodies.h"
#include "kernels/dense_bias.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"
#include "kernels/table.h"

enum {
    DEPTH_BLOCK = 128, /* with a panel of 48 columns 24 KB: in the first-level cache beside a tile of A */
    LINE = DT_ALIGNMENT_FLOATS,
    PACK_BLOCK = 512,  /* depth that one packing task covers */
    GROUP_PANELS = 4,  /* of one forward task: a block of A that they share comes from afar once */
    DATA_TILES = 4,    /* tiles of weight rows of one task of the input gradient */
    STRIP_TILES = 2,   /* tiles of weight rows of one gradient task: 2 keep a panel of dz in the cache */
    BLOCK_PANELS = 10, /* panels of an update's block: runs of 1,920 bytes, 15 KB of gradients */
    RANGE_BYTES = 640 << 10, /* of dz that stays in the second-level cache while a task takes rows of tiles */
    RANGE_ROW_TILES = 16,    /* of a task */
    SEGMENTS_AHEAD = 6,      /* rows of tiles between the fetch of weights and moments and their update */
    TASKS_PER_THREAD = 3     /* below that rows are split too */
};

static size_t tiles_of(size_t count, int tile) {
    return (count + (size_t)tile - 1) / (size_t)tile;
}

/* Steps of a chain over `depth` values, and so rows of its packed operands. */
static size_t steps_of(const dt_kernels *kernels, size_t depth) {
    return tiles_of(depth, kernels->products->pair);
}

/* Columns of the panel at `column`: tile_columns, or at the right edge as many whole vectors as it takes. */
static size_t panel_lanes(const dt_bodies *bodies, size_t columns, size_t column) {
    size_t width = (size_t)bodies->width, left = (columns - column + width - 1) / width * width;
    return smaller((size_t)bodies->tile_columns, left);
}

/* c [rows][columns] = a [rows][depth] * b [depth][columns], + bias, then ReLU if asked. */
typedef struct product {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    size_t rows, depth, columns;
    const float *a, *b;
    const float *bias;
    bool relu;
    float *c;
    size_t row_tiles;
    int row_parts;   /* tasks that the row tiles of a group are split over */
    size_t group;    /* columns of a group of panels */
    float *packed_a; /* [depth block][row tile][step][tile_rows] */
} product;

/* The steps of the depth block at k. */
static size_t block_steps(const product *p, size_t k) {
    return steps_of(p->kernels, smaller(DEPTH_BLOCK, p->depth - k));
}

/* A tile of the depth block at k. Tiles of a block lie side by side: a whole depth apart, they would compete
 * for the same few sets of the second-level cache. */
static float *packed_tile(const product *p, size_t k, size_t tile) {
    size_t before = steps_of(p->kernels, k) * p->row_tiles + block_steps(p, k) * tile;
    return p->packed_a + before * (size_t)p->bodies->tile_rows;
}

static void pack_rows(void *context, int task, int worker) {
    const product *p = context;
    size_t tile = (size_t)task % p->row_tiles, begin = (size_t)task / p->row_tiles * PACK_BLOCK;
    size_t tile_rows = (size_t)p->bodies->tile_rows, row = tile * tile_rows;
    (void)worker;
    for (size_t k = begin; k < smaller(begin + PACK_BLOCK, p->depth); k += DEPTH_BLOCK)
        p->kernels->products->pack_transposed(smaller(DEPTH_BLOCK, p->depth - k), tile_rows,
                                              smaller(tile_rows, p->rows - row), p->a + row * p->depth + k,
                                              p->depth, packed_tile(p, k, tile));
}

/* A task's share of c: columns of a group, tiles of rows; behind the last task no columns. */
typedef struct share {
    size_t column, end, first, tiles;
} share;

static share share_of(const product *p, int task) {
    size_t part = (size_t)(task % p->row_parts), parts = (size_t)p->row_parts;
    size_t column = (size_t)(task / p->row_parts) * p->group, first = p->row_tiles * part / parts;
    return (share){smaller(column, p->columns), smaller(column + p->group, p->columns), first,
                   p->row_tiles * (part + 1) / parts - first};
}

/* The share's part of b in the depth block at k, fetched in step with `tiles` tiles. */
static dt_fetch fetch_of(const product *p, share own, size_t k, size_t tiles) {
    size_t runs = own.column < own.end ? smaller(DEPTH_BLOCK, p->depth - k) : 0;
    size_t floats = own.end - own.column, lines = runs * parts_of(floats, DT_FETCH_LINE);
    size_t times = tiles * parts_of(steps_of(p->kernels, DEPTH_BLOCK), DT_FETCH_STEPS);
    return (dt_fetch){.run = p->b + k * p->columns + own.column,
                      .floats = floats,
                      .stride = p->columns,
                      .runs = runs,
                      .lines = parts_of(lines, times)};
}

/* A depth block of the share's panel at `column`: c [row tile]. */
static void product_panel(const product *p, share own, size_t column, size_t k, float *packed_b, float *c,
                          dt_fetch *fetch) {
    size_t tile_columns = (size_t)p->bodies->tile_columns, lanes = panel_lanes(p->bodies, p->columns, column);
    p->kernels->products->pack_straight(smaller(DEPTH_BLOCK, p->depth - k), lanes,
                                        smaller(tile_columns, p->columns - column),
                                        p->b + k * p->columns + column, p->columns, packed_b);
    for (size_t tile = 0; tile < own.tiles; tile++, c += (size_t)p->bodies->tile_rows * tile_columns)
        p->kernels->products->gemm_tile(block_steps(p, k), lanes / (size_t)p->bodies->width,
                                        packed_tile(p, k, own.first + tile), packed_b, k > 0, c, fetch);
}

static void store_panel(const product *p, share own, size_t column, const float *c) {
    size_t tile_rows = (size_t)p->bodies->tile_rows, tile_columns = (size_t)p->bodies->tile_columns;
    for (size_t tile = 0; tile < own.tiles; tile++) {
        size_t row = (own.first + tile) * tile_rows;
        p->bodies->store_tile(smaller(tile_rows, p->rows - row), smaller(tile_columns, p->columns - column),
                              c + tile * tile_rows * tile_columns, p->bias + column, p->relu,
                              p->c + row * p->columns + column, p->columns);
    }
}

/* While a share ends, that which the worker takes next, if all are equally fast, begins to arrive. */
static void product_group(void *context, int task, int worker) {
    const product *p = context;
    size_t tile_columns = (size_t)p->bodies->tile_columns;
    share own = share_of(p, task);
    size_t panel = own.tiles * (size_t)p->bodies->tile_rows * tile_columns;
    float *packed_b = dt_worker_scratch(p->kernels, worker), *c = packed_b + DEPTH_BLOCK * tile_columns;
    share next = share_of(p, task + dt_team_size(p->kernels->team));
    size_t tiles = parts_of(own.end - own.column, tile_columns) * own.tiles;
    for (size_t k = 0; k < p->depth; k += DEPTH_BLOCK) {
        bool last = k + DEPTH_BLOCK >= p->depth;
        dt_fetch fetch = fetch_of(p, last ? next : own, last ? 0 : k + DEPTH_BLOCK, tiles);
        for (size_t column = own.column; column < own.end; column += tile_columns)
            product_panel(p, own, column, k, packed_b, c + (column - own.column) / tile_columns * panel,
                          &fetch);
    }
    for (size_t column = own.column; column < own.end; column += tile_columns)
        store_panel(p, own, column, c + (column - own.column) / tile_columns * panel);
}

static void dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                          const float *weights, const float *bias, bool relu, float *y) {
    product p = {.kernels = kernels, .bodies = kernels->bodies, .a = x, .b = weights, .bias = bias, .c = y};
    if (rows == 0)
        return;
    p.rows = (size_t)rows;
    p.depth = (size_t)shape.in;
    p.columns = (size_t)shape.out;
    p.relu = relu;
    p.row_tiles = tiles_of(p.rows, p.bodies->tile_rows);
    p.packed_a = kernels->shared;
    size_t panels = tiles_of(p.columns, p.bodies->tile_columns);
    size_t wanted = (size_t)dt_team_size(kernels->team) * TASKS_PER_THREAD;
    size_t together = larger(1, smaller(GROUP_PANELS, panels / wanted));
    p.group = together * (size_t)p.bodies->tile_columns;
    p.row_parts = panels >= wanted ? 1 : (int)smaller(p.row_tiles, (wanted + panels - 1) / panels);
    dt_team_run(kernels->team, (int)(p.row_tiles * tiles_of(p.depth, PACK_BLOCK)), pack_rows, &p);
    dt_team_run(kernels->team, (int)parts_of(panels, together) * p.row_parts, product_group, &p);
}

/* dx = dz * weights^T as dx^T = weights * dz^T: rows of the weights are read as they lie, samples fill the
 * vectors. Padded samples are zeros, so a sample's chain does not know who stands beside it. Block after
 * block of units goes through the stack machine of leaves.h; a block of dz serves all tiles of a task. */
typedef struct data_call {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    const dt_unit_plan *units;
    size_t rows, in, out, lanes; /* lanes: of a group of samples, as many as row_products takes */
    const float *dz, *weights;
    dt_root_sink dx;
    size_t steps;  /* that the outputs make */
    float *packed; /* [group][step][lanes] */
} data_call;

static size_t group_lanes(const data_call *call, size_t group) {
    size_t width = (size_t)call->bodies->width, left = call->rows - group * call->lanes;
    return smaller(call->lanes, tiles_of(left, (int)width) * width);
}

static void pack_group(void *context, int task, int worker) {
    const data_call *call = context;
    size_t pieces = tiles_of(call->out, PACK_BLOCK), group = (size_t)task / pieces;
    size_t k = (size_t)task % pieces * PACK_BLOCK, row = group * call->lanes,
           lanes = group_lanes(call, group);
    (void)worker;
    call->kernels->products->pack_transposed(
        smaller(PACK_BLOCK, call->out - k), lanes, smaller(lanes, call->rows - row),
        call->dz + row * call->out + k, call->out,
        call->packed + row * call->steps + steps_of(call->kernels, k) * lanes);
}

/* The products of `count` weight rows, from the first on, with a block of units: slot [weight row][lane]. */
static void data_block(const data_call *call, size_t first, size_t count, size_t number, size_t group,
                       float *slot) {
    const dt_bodies *bodies = call->bodies;
    size_t lanes = group_lanes(call, group), tile = (size_t)bodies->product_rows;
    size_t unit = number * call->units->size, units = smaller(call->units->size, call->out - unit);
    const float *b = call->packed + group * call->lanes * call->steps + steps_of(call->kernels, unit) * lanes;
    const float *rows[DT_MOST_PRODUCT_ROWS];
    for (size_t done = 0; done < count; done += tile) {
        for (size_t i = 0; i < tile; i++)
            rows[i] = call->weights + smaller(first + done + i, call->in - 1) * call->out + unit;
        call->kernels->products->row_products(units, lanes / (size_t)bodies->width, rows, b,
                                              slot + done * lanes);
    }
}

/* DATA_TILES tiles of weight rows for one group of samples, then to dx. */
static void data_rows(const data_call *call, size_t first, size_t count, size_t group, float *stack) {
    const dt_leaf_plan *plan = &call->units->plan;
    size_t lanes = group_lanes(call, group), row = group * call->lanes;
    size_t samples = smaller(lanes, call->rows - row);
    size_t slot = DATA_TILES * (size_t)call->bodies->product_rows * lanes, height = 0;
    for (size_t number = 0; number < (size_t)plan->leaves; number++) {
        data_block(call, first, count, number, group, stack + height++ * slot);
        if (call->kernels->wire == DT_WIRE_BF16) {
            int merges = plan->merges[number];
            dt_leaf_sums_merge_rounded(call->bodies, count * lanes, slot, merges,
                                       stack + (height - 1) * slot);
            height -= (size_t)merges;
            continue;
        }
        for (int merge = 0; merge < plan->merges[number]; merge++, height--)
            call->bodies->add_to(count * lanes, stack + (height - 1) * slot, stack + (height - 2) * slot);
    }
    for (size_t root = 0; root < height; root++)
        call->bodies->transpose(count, samples, stack + root * slot, lanes,
                                call->dx.base + root * call->dx.stride + row * call->in + first, call->in);
}

static void data_task(void *context, int task, int worker) {
    const data_call *call = context;
    size_t height = (size_t)call->bodies->product_rows * DATA_TILES, first = (size_t)task * height;
    for (size_t group = 0; group * call->lanes < call->rows; group++)
        data_rows(call, first, smaller(height, call->in - first), group,
                  dt_worker_scratch(call->kernels, worker));
}

static void dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, const dt_unit_plan *units,
                                int rows, const float *dz, const float *weights, dt_root_sink dx) {
    data_call call = {.kernels = kernels, .bodies = kernels->bodies, .units = units, .dz = dz};
    call.weights = weights;
    call.dx = dx;
    call.rows = (size_t)rows;
    call.in = (size_t)shape.in;
    call.out = (size_t)shape.out;
    call.steps = steps_of(kernels, call.out);
    call.lanes = (size_t)(call.bodies->width * call.bodies->product_vectors);
    call.packed = kernels->shared;
    size_t groups = tiles_of(call.rows, (int)call.lanes);
    dt_team_run(kernels->team, (int)(groups * tiles_of(call.out, PACK_BLOCK)), pack_group, &call);
    dt_team_run(kernels->team, (int)tiles_of(call.in, call.bodies->product_rows * DATA_TILES), data_task,
                &call);
}

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
    return (int)(tiles_of(g->row_tiles, RANGE_ROW_TILES) * tiles_of(g->panels, (int)range_panels(g)));
}

static part part_of(const gradient *g, int task) {
    size_t panels = range_panels(g), groups = tiles_of(g->row_tiles, RANGE_ROW_TILES);
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
    g->row_tiles = tiles_of((size_t)g->shape.in, g->bodies->tile_rows);
    g->panels = tiles_of((size_t)g->shape.out, g->bodies->tile_columns);
    g->packed_x = dt_arena_take_floats(arena, g->row_tiles * g->steps * (size_t)g->bodies->tile_rows);
    g->packed_dz = dt_arena_take_floats(arena, g->panels * g->steps * (size_t)g->bodies->tile_columns);
    g->bias = dt_arena_take_floats(arena, dt_dense_bias_floats(samples, (size_t)g->shape.out));
}

static void dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
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

static void dense_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan, const float *x,
                         const float *dz, dt_adam_step step, float *weights, float *m, float *v) {
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

static dt_scratch_need dense_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    const dt_bodies *bodies = kernels->bodies;
    size_t tile = (size_t)(bodies->tile_rows * bodies->tile_columns);
    size_t row_tiles = tiles_of((size_t)samples, bodies->tile_rows);
    dt_arena arena = {0};
    gradient g = {.kernels = kernels, .bodies = bodies, .shape = shape};
    take_gradient_scratch(&arena, samples, &g);
    size_t forward = row_tiles * (size_t)bodies->tile_rows * steps_of(kernels, (size_t)shape.in);
    size_t backward = tiles_of((size_t)samples, bodies->width) * (size_t)bodies->width *
                      steps_of(kernels, (size_t)shape.out);
    size_t panels = (size_t)(DEPTH_BLOCK * bodies->tile_columns) + GROUP_PANELS * row_tiles * tile;
    size_t products = (size_t)(DATA_TILES * bodies->product_rows * bodies->product_vectors * bodies->width) *
                      (size_t)dt_leaf_sums_depth(DT_MOST_BLOCKS);
    return (dt_scratch_need){larger(arena.used / sizeof(float), larger(forward, backward)),
                             larger(panels, larger(products, 2 * block_floats(bodies)))};
}

const dt_dense_operations dt_dense_vector = {
    .need = dense_need,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
    .update = dense_update,
};
