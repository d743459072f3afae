/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layers on the matrix bodies, but for the gradient of their weights (dense_gradient.c). All passes are
 * products of a small matrix, packed once a call, with a large one that is read or written once a pass:
 * forward, a task owns a few panels of columns and takes them a block of depth at a time, while the next
 * block is on its way to the cache; back to the input, a few rows.
 */
#include "kernels/dense.h"
#include "kernels/leaf_sums.h"

enum {
    DEPTH_BLOCK = 128, /* with a panel of 48 columns 24 KB: in the first-level cache beside a tile of A */
    PACK_BLOCK = 512,  /* depth that one packing task covers */
    GROUP_PANELS = 4,  /* of one forward task: a block of A that they share comes from afar once */
    DATA_TILES = 4,    /* of weight rows: a set, which goes through a block of units together */
    DATA_SETS = 4,     /* of a task of the input gradient, which takes them */
    DATA_BLOCKS = 16,  /* blocks of units, */
    DATA_GROUPS = 4, /* and groups of samples at a time: 0.4 MB of weights for 0.25 MB of dz after another */
    TASKS_PER_THREAD = 3 /* below that rows are split too */
};

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
    size_t floats = own.end - own.column, lines = runs * parts_of(floats, DT_ALIGNMENT_FLOATS);
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
    p.row_tiles = parts_of(p.rows, (size_t)p.bodies->tile_rows);
    p.packed_a = kernels->shared;
    size_t panels = parts_of(p.columns, (size_t)p.bodies->tile_columns);
    size_t wanted = (size_t)dt_team_size(kernels->team) * TASKS_PER_THREAD;
    size_t together = larger(1, smaller(GROUP_PANELS, panels / wanted));
    p.group = together * (size_t)p.bodies->tile_columns;
    p.row_parts = panels >= wanted ? 1 : (int)smaller(p.row_tiles, (wanted + panels - 1) / panels);
    dt_team_run(kernels->team, (int)(p.row_tiles * parts_of(p.depth, PACK_BLOCK)), pack_rows, &p);
    dt_team_run(kernels->team, (int)parts_of(panels, together) * p.row_parts, product_group, &p);
}

/* dx = dz * weights^T as dx^T = weights * dz^T: rows of the weights are read as they lie, samples fill the
 * vectors. Padded samples are zeros, so a sample's chain does not know who stands beside it. Block after
 * block of units goes through the stack machine of leaves.h. A few sets of rows and a few groups of samples
 * take turns at a few blocks, each with a stack of its own: either would otherwise come from afar for the
 * other. */
typedef struct data_call {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    const dt_unit_plan *units;
    size_t rows, in, out, lanes; /* lanes: of a group of samples, as many as row_products takes */
    const float *dz, *weights;
    dt_root_sink dx;
    size_t sets, task_sets; /* of DATA_TILES tiles of weight rows; those of a task */
    size_t steps;           /* that the outputs make */
    float *packed;          /* [group][step][lanes] */
} data_call;

/* Lanes of a whole group of samples. */
static size_t data_lanes(const dt_bodies *bodies) {
    return (size_t)(bodies->width * bodies->product_vectors);
}

static size_t group_lanes(const data_call *call, size_t group) {
    size_t width = (size_t)call->bodies->width, left = call->rows - group * call->lanes;
    return smaller(call->lanes, parts_of(left, width) * width);
}

static void pack_group(void *context, int task, int worker) {
    const data_call *call = context;
    size_t pieces = parts_of(call->out, PACK_BLOCK), group = (size_t)task / pieces;
    size_t k = (size_t)task % pieces * PACK_BLOCK, row = group * call->lanes,
           lanes = group_lanes(call, group);
    (void)worker;
    call->kernels->products->pack_transposed(
        smaller(PACK_BLOCK, call->out - k), lanes, smaller(lanes, call->rows - row),
        call->dz + row * call->out + k, call->out,
        call->packed + row * call->steps + steps_of(call->kernels, k) * lanes);
}

/* One set of weight rows and one group of samples. */
typedef struct data_tile {
    size_t first, count; /* weight rows */
    size_t group;
    size_t slot; /* floats */
    float *stack;
} data_tile;

/* The products of the tile's weight rows with a block of units: slot [weight row][lane]. */
static void data_block(const data_call *call, const data_tile *t, size_t number, float *slot) {
    const dt_bodies *bodies = call->bodies;
    size_t lanes = group_lanes(call, t->group), tile = (size_t)bodies->product_rows;
    size_t unit = number * call->units->size, units = smaller(call->units->size, call->out - unit);
    const float *b =
        call->packed + t->group * call->lanes * call->steps + steps_of(call->kernels, unit) * lanes;
    const float *rows[DT_MOST_PRODUCT_ROWS];
    for (size_t done = 0; done < t->count; done += tile) {
        for (size_t i = 0; i < tile; i++)
            rows[i] = call->weights + smaller(t->first + done + i, call->in - 1) * call->out + unit;
        call->kernels->products->row_products(units, lanes / (size_t)bodies->width, rows, b,
                                              slot + done * lanes);
    }
}

/* Blocks `number` to `end` onto the stack; returns its height. */
static size_t data_blocks(const data_call *call, const data_tile *t, size_t number, size_t end,
                          size_t height) {
    size_t floats = t->count * group_lanes(call, t->group);
    for (; number < end; number++) {
        int merges = call->units->plan.merges[number];
        float *slot = t->stack + height * t->slot;
        data_block(call, t, number, slot);
        dt_leaf_sums_merge(call->kernels, floats, t->slot, merges, slot);
        height += 1 - (size_t)merges;
    }
    return height;
}

/* The roots of a stack to dx. */
static void data_store(const data_call *call, const data_tile *t, size_t height) {
    size_t lanes = group_lanes(call, t->group), row = t->group * call->lanes;
    for (size_t root = 0; root < height; root++)
        call->bodies->transpose(t->count, smaller(lanes, call->rows - row), t->stack + root * t->slot, lanes,
                                call->dx.base + root * call->dx.stride + row * call->in + t->first, call->in);
}

/* Floats of a stack. */
static size_t data_stack(const dt_bodies *bodies) {
    return DATA_TILES * (size_t)bodies->product_rows * data_lanes(bodies) *
           (size_t)dt_leaf_sums_depth(DT_MOST_BLOCKS);
}

static data_tile data_tile_of(const data_call *call, size_t set, size_t group, float *stack) {
    size_t height = DATA_TILES * (size_t)call->bodies->product_rows, first = set * height;
    return (data_tile){.first = first,
                       .count = smaller(height, call->in - first),
                       .group = group,
                       .slot = height * group_lanes(call, group),
                       .stack = stack};
}

/* A task's sets of weight rows with groups `group` to `end`. */
static void data_groups(const data_call *call, size_t set, size_t end_set, size_t group, size_t end,
                        float *stacks) {
    size_t blocks = (size_t)call->units->plan.leaves, stack = data_stack(call->bodies);
    size_t height = 0, reached = 0;
    for (size_t number = 0; number < blocks; number += DATA_BLOCKS, height = reached)
        for (size_t g = group; g < end; g++)
            for (size_t s = set; s < end_set; s++) {
                data_tile t = data_tile_of(call, s, g, stacks + ((g - group) * DATA_SETS + s - set) * stack);
                reached = data_blocks(call, &t, number, smaller(blocks, number + DATA_BLOCKS), height);
                if (number + DATA_BLOCKS >= blocks)
                    data_store(call, &t, reached);
            }
}

static void data_task(void *context, int task, int worker) {
    const data_call *call = context;
    size_t set = (size_t)task * call->task_sets, groups = parts_of(call->rows, call->lanes);
    for (size_t group = 0; group < groups; group += DATA_GROUPS)
        data_groups(call, set, smaller(call->sets, set + call->task_sets), group,
                    smaller(groups, group + DATA_GROUPS), dt_worker_scratch(call->kernels, worker));
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
    call.lanes = data_lanes(call.bodies);
    call.packed = kernels->shared;
    size_t groups = parts_of(call.rows, call.lanes);
    call.sets = parts_of(call.in, (size_t)call.bodies->product_rows * DATA_TILES);
    size_t wanted = (size_t)dt_team_size(kernels->team) * TASKS_PER_THREAD;
    call.task_sets = larger(1, smaller(DATA_SETS, call.sets / wanted));
    dt_team_run(kernels->team, (int)(groups * parts_of(call.out, PACK_BLOCK)), pack_group, &call);
    dt_team_run(kernels->team, (int)parts_of(call.sets, call.task_sets), data_task, &call);
}

static dt_scratch_need dense_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    const dt_bodies *bodies = kernels->bodies;
    size_t tile = (size_t)(bodies->tile_rows * bodies->tile_columns);
    size_t row_tiles = parts_of((size_t)samples, (size_t)bodies->tile_rows);
    dt_scratch_need gradient = dt_dense_vector_gradient_need(kernels, shape, samples);
    size_t forward = row_tiles * (size_t)bodies->tile_rows * steps_of(kernels, (size_t)shape.in);
    size_t backward = parts_of((size_t)samples, (size_t)bodies->width) * (size_t)bodies->width *
                      steps_of(kernels, (size_t)shape.out);
    size_t panels = (size_t)(DEPTH_BLOCK * bodies->tile_columns) + GROUP_PANELS * row_tiles * tile;
    size_t together = smaller(DATA_GROUPS, parts_of((size_t)samples, data_lanes(bodies)));
    size_t products = together * DATA_SETS * data_stack(bodies);
    return (dt_scratch_need){larger(gradient.shared, larger(forward, backward)),
                             larger(panels, larger(products, gradient.worker))};
}

const dt_dense_operations dt_dense_vector = {
    .need = dense_need,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dt_dense_vector_backward_weights,
    .update = dt_dense_vector_update,
};
