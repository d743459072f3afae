/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolutions on the packed matrix bodies: im2col that is never written down. Tiles of A are packed straight
 * from the images, which get a frame of zeros first, so that every patch is a few runs of memory. Each output
 * is one chain of multiply-adds over [kernel row][kernel column][channel]. */
#include <assert.h>
#include <string.h>

#include "kernels/bodies.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"
#include "kernels/table.h"

enum {
    DEPTH_BLOCK = 256,    /* of A and B that one round multiplies */
    FORWARD_SAMPLES = 64, /* samples that are framed at the same time */
    MOST_TILES = 16, /* row tiles of a forward task: with 256 deep and 384 columns 130 KB of A, 200 KB of C */
    STRIP_TILES = 4, /* row tiles of a gradient task */
    TASKS_PER_THREAD = 6,
    BLOCK_PIXELS = 392 /* at least, of A and B that one round of a gradient multiplies */
};

/* Sizes of a convolution from `channels` to `outputs`, either way round. */
typedef struct geometry {
    size_t height, width, kernel, channels, outputs;
    size_t pixels, run, depth;  /* run: floats of a patch's row; depth: of the whole patch */
    size_t framed_line, framed; /* floats of a row and of a sample with its frame */
} geometry;

static geometry geometry_of(dt_convolve_shape shape, int channels, int outputs) {
    geometry g = {
        .height = (size_t)shape.height, .width = (size_t)shape.width, .kernel = (size_t)shape.kernel};
    g.channels = (size_t)channels;
    g.outputs = (size_t)outputs;
    g.pixels = g.height * g.width;
    g.run = g.kernel * g.channels;
    g.depth = g.kernel * g.run;
    g.framed_line = (g.width + g.kernel - 1) * g.channels;
    g.framed = (g.height + g.kernel - 1) * g.framed_line;
    return g;
}

/* Columns of a panel, as whole vectors. */
static size_t panel_lanes(const dt_bodies *bodies, size_t columns, size_t column) {
    size_t width = (size_t)bodies->width;
    return smaller((size_t)bodies->tile_columns, parts_of(columns - column, width) * width);
}

typedef struct frame_call {
    geometry g;
    const float *images;
    float *framed;
} frame_call;

static void frame_sample(void *context, int sample, int worker) {
    const frame_call *call = context;
    const geometry *g = &call->g;
    size_t margin = g->kernel / 2, line = g->width * g->channels;
    const float *image = call->images + (size_t)sample * g->pixels * g->channels;
    float *framed = call->framed + (size_t)sample * g->framed;
    (void)worker;
    memset(framed, 0, g->framed * sizeof(float));
    for (size_t row = 0; row < g->height; row++)
        memcpy(framed + (row + margin) * g->framed_line + margin * g->channels, image + row * line,
               line * sizeof(float));
}

static void frame_samples(const dt_kernels *kernels, geometry g, int samples, const float *images,
                          float *framed) {
    frame_call call = {g, images, framed};
    dt_team_run(kernels->team, samples, frame_sample, &call);
}

/* destination [sample][pixel][outputs] = the framed images convolved with packed weights. */
typedef struct conv_call {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    geometry g;
    const float *weights; /* as the layer has them: [tap][in][out] */
    const float *bias;    /* NULL for none, and no ReLU then */
    float *destination;
    float *packed_weights; /* [panel][depth][lanes] */
    float *framed;
    size_t rows, tiles, tiles_per_task;
} conv_call;

static void pack_forward_panel(void *context, int task, int worker) {
    const conv_call *call = context;
    const geometry *g = &call->g;
    size_t column = (size_t)task * (size_t)call->bodies->tile_columns;
    size_t lanes = panel_lanes(call->bodies, g->outputs, column);
    (void)worker;
    call->bodies->products.pack_straight(g->depth, lanes, smaller(lanes, g->outputs - column),
                                         call->weights + column, g->outputs,
                                         call->packed_weights + column * g->depth);
}

/* Back from dz the taps come in opposite order and in and out change places. */
static void pack_backward_panel(void *context, int task, int worker) {
    const conv_call *call = context;
    const geometry *g = &call->g;
    size_t column = (size_t)task * (size_t)call->bodies->tile_columns, taps = g->kernel * g->kernel;
    size_t lanes = panel_lanes(call->bodies, g->outputs, column);
    (void)worker;
    for (size_t tap = 0; tap < taps; tap++)
        call->bodies->products.pack_transposed(
            g->channels, lanes, smaller(lanes, g->outputs - column),
            call->weights + ((taps - 1 - tap) * g->outputs + column) * g->channels, g->channels,
            call->packed_weights + column * g->depth + tap * g->channels * lanes);
}

/* Packs depth [k, k + count) of a row tile. A tile's rows are pixels in a row, of one sample or two. */
static void pack_tile(const conv_call *call, size_t tile, size_t k, size_t count, float *packed) {
    const geometry *g = &call->g;
    size_t tile_rows = (size_t)call->bodies->tile_rows;
    const float *patches[DT_MOST_TILE_ROWS], *rows[DT_MOST_TILE_ROWS];
    for (size_t i = 0; i < tile_rows; i++) {
        size_t row = smaller(tile * tile_rows + i, call->rows - 1), pixel = row % g->pixels;
        patches[i] = call->framed + row / g->pixels * g->framed + pixel / g->width * g->framed_line +
                     pixel % g->width * g->channels;
    }
    for (size_t end = k + count; k < end;) {
        size_t kernel_row = k / g->run, stretch = smaller(end, (kernel_row + 1) * g->run) - k;
        for (size_t i = 0; i < tile_rows; i++)
            rows[i] = patches[i] + kernel_row * g->framed_line + k % g->run;
        call->bodies->pack_rows(stretch, rows, packed);
        packed += stretch * tile_rows;
        k += stretch;
    }
}

static void multiply_block(const conv_call *call, size_t tiles, size_t k, size_t count, const float *packed,
                           float *c) {
    const geometry *g = &call->g;
    size_t tile_rows = (size_t)call->bodies->tile_rows, tile_columns = (size_t)call->bodies->tile_columns;
    for (size_t column = 0; column < g->outputs; column += tile_columns) {
        size_t lanes = panel_lanes(call->bodies, g->outputs, column);
        const float *b = call->packed_weights + column * g->depth + k * lanes;
        for (size_t tile = 0; tile < tiles; tile++, c += tile_rows * tile_columns)
            call->bodies->products.gemm_tile(count, lanes / (size_t)call->bodies->width,
                                             packed + tile * count * tile_rows, b, k > 0, c, &(dt_fetch){0});
    }
}

static void store_tiles(const conv_call *call, size_t first, size_t tiles, const float *c) {
    const geometry *g = &call->g;
    size_t tile_rows = (size_t)call->bodies->tile_rows, tile_columns = (size_t)call->bodies->tile_columns;
    for (size_t column = 0; column < g->outputs; column += tile_columns)
        for (size_t tile = 0; tile < tiles; tile++, c += tile_rows * tile_columns) {
            size_t row = (first + tile) * tile_rows;
            call->bodies->store_tile(smaller(tile_rows, call->rows - row),
                                     smaller(tile_columns, g->outputs - column), c,
                                     call->bias ? call->bias + column : NULL, call->bias != NULL,
                                     call->destination + row * g->outputs + column, g->outputs);
        }
}

static void conv_tiles(void *context, int task, int worker) {
    const conv_call *call = context;
    size_t tile_rows = (size_t)call->bodies->tile_rows;
    size_t first = (size_t)task * call->tiles_per_task,
           tiles = smaller(call->tiles_per_task, call->tiles - first);
    float *packed = dt_worker_scratch(call->kernels, worker),
          *c = packed + MOST_TILES * DEPTH_BLOCK * tile_rows;
    for (size_t k = 0; k < call->g.depth; k += DEPTH_BLOCK) {
        size_t count = smaller(DEPTH_BLOCK, call->g.depth - k);
        for (size_t tile = 0; tile < tiles; tile++)
            pack_tile(call, first + tile, k, count, packed + tile * count * tile_rows);
        multiply_block(call, tiles, k, count, packed, c);
    }
    store_tiles(call, first, tiles, c);
}

/* The pieces of shared scratch, in their order. */
static void take_conv_scratch(dt_arena *arena, const dt_bodies *bodies, int samples, conv_call *call) {
    size_t columns = parts_of(call->g.outputs, (size_t)bodies->width) * (size_t)bodies->width;
    size_t framed = smaller((size_t)samples, FORWARD_SAMPLES) * call->g.framed;
    call->packed_weights = dt_arena_take_floats(arena, columns * call->g.depth);
    call->framed = dt_arena_take_floats(arena, framed);
}

static void run_conv(dt_kernels *kernels, geometry g, int samples, const float *source, dt_task pack_panel,
                     conv_call call) {
    dt_arena arena = {.base = (char *)kernels->shared};
    size_t tile_rows = (size_t)kernels->bodies->tile_rows, destination_sample = g.pixels * g.outputs;
    call.kernels = kernels;
    call.bodies = kernels->bodies;
    call.g = g;
    take_conv_scratch(&arena, call.bodies, samples, &call);
    dt_team_run(kernels->team, (int)parts_of(g.outputs, (size_t)call.bodies->tile_columns), pack_panel,
                &call);
    for (int first = 0; first < samples; first += FORWARD_SAMPLES) {
        int count = (int)smaller(FORWARD_SAMPLES, (size_t)(samples - first));
        frame_samples(kernels, g, count, source + (size_t)first * g.pixels * g.channels, call.framed);
        call.rows = (size_t)count * g.pixels;
        call.tiles = parts_of(call.rows, tile_rows);
        call.tiles_per_task = larger(
            1, smaller(MOST_TILES, call.tiles / (size_t)(TASKS_PER_THREAD * dt_team_size(kernels->team))));
        dt_team_run(kernels->team, (int)parts_of(call.tiles, call.tiles_per_task), conv_tiles, &call);
        call.destination += (size_t)count * destination_sample;
    }
}

static void conv_forward(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *x,
                         const float *weights, const float *bias, float *y) {
    run_conv(kernels, geometry_of(shape, shape.in_channels, shape.out_channels), samples, x,
             pack_forward_panel, (conv_call){.weights = weights, .bias = bias, .destination = y});
}

static void conv_backward_data(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *dz,
                               const float *weights, float *dx) {
    run_conv(kernels, geometry_of(shape, shape.out_channels, shape.in_channels), samples, dz,
             pack_backward_panel, (conv_call){.weights = weights, .destination = dx});
}

/* The weight gradient: rows are places of a patch, depth is pixels, columns are output channels. */
typedef struct gradient_call {
    const dt_kernels *kernels;
    const dt_bodies *bodies;
    geometry g;
    const dt_leaf_plan *plan;
    const float *dz;
    dt_root_sink sink;
    float *framed;
    float *packed_dz;   /* [panel][pixel of the share][lanes] */
    float *bias_leaves; /* [leaf][bias_stride] */
    float *bias_spare;
    size_t bias_stride, tiles, panels, tiles_per_task, block_samples;
} gradient_call;

static void pack_dz(void *context, int task, int worker) {
    const gradient_call *call = context;
    const geometry *g = &call->g;
    size_t column = (size_t)task % call->panels * (size_t)call->bodies->tile_columns;
    size_t sample = (size_t)task / call->panels, lanes = panel_lanes(call->bodies, g->outputs, column);
    (void)worker;
    call->bodies->products.pack_straight(g->pixels, lanes, smaller(lanes, g->outputs - column),
                                         call->dz + sample * g->pixels * g->outputs + column, g->outputs,
                                         call->packed_dz + column * (size_t)call->plan->samples * g->pixels +
                                             sample * g->pixels * lanes);
}

/* Tile `tile` of A over the samples [first, first + samples). Rows behind the last repeat it. */
static void pack_patch_tile(const gradient_call *call, size_t tile, size_t first, size_t samples,
                            float *packed) {
    const geometry *g = &call->g;
    size_t tile_rows = (size_t)call->bodies->tile_rows, offsets[DT_MOST_TILE_ROWS];
    for (size_t i = 0; i < tile_rows; i++) {
        size_t place = smaller(tile * tile_rows + i, g->depth - 1);
        offsets[i] = place / g->run * g->framed_line + place % g->run;
    }
    for (size_t sample = first; sample < first + samples; sample++, packed += g->pixels * tile_rows)
        call->bodies->pack_pixels(g->height, g->width, g->framed_line, g->channels, offsets,
                                  call->framed + sample * g->framed, packed);
}

/* Adds samples [first, first + samples) to the sums of a strip's tiles, [tile][panel]. */
static void gradient_block(const gradient_call *call, size_t first_tile, size_t tiles, size_t first,
                           size_t samples, bool resume, float *packed, float *slot) {
    const geometry *g = &call->g;
    size_t tile_rows = (size_t)call->bodies->tile_rows, tile_columns = (size_t)call->bodies->tile_columns;
    size_t depth = samples * g->pixels;
    for (size_t tile = 0; tile < tiles; tile++)
        pack_patch_tile(call, first_tile + tile, first, samples, packed + tile * depth * tile_rows);
    for (size_t panel = 0; panel < call->panels; panel++) {
        size_t column = panel * tile_columns, lanes = panel_lanes(call->bodies, g->outputs, column);
        const float *b =
            call->packed_dz + column * (size_t)call->plan->samples * g->pixels + first * g->pixels * lanes;
        for (size_t tile = 0; tile < tiles; tile++)
            call->bodies->products.gemm_tile(
                depth, lanes / (size_t)call->bodies->width, packed + tile * depth * tile_rows, b, resume,
                slot + (tile * call->panels + panel) * tile_rows * tile_columns, &(dt_fetch){0});
    }
}

static void store_gradient(const gradient_call *call, size_t first_tile, size_t tiles, const float *slot,
                           float *to) {
    const geometry *g = &call->g;
    size_t tile_rows = (size_t)call->bodies->tile_rows, tile_columns = (size_t)call->bodies->tile_columns;
    for (size_t tile = first_tile; tile < first_tile + tiles; tile++)
        for (size_t panel = 0; panel < call->panels; panel++, slot += tile_rows * tile_columns) {
            size_t row = tile * tile_rows, column = panel * tile_columns;
            call->bodies->store_tile(smaller(tile_rows, g->depth - row),
                                     smaller(tile_columns, g->outputs - column), slot, NULL, false,
                                     to + row * g->outputs + column, g->outputs);
        }
}

/* A few tiles of rows through all leaves, on a stack of their own. */
static void gradient_strip(void *context, int task, int worker) {
    const gradient_call *call = context;
    const dt_leaf_plan *plan = call->plan;
    size_t first_tile = (size_t)task * call->tiles_per_task;
    size_t tiles = smaller(call->tiles_per_task, call->tiles - first_tile);
    size_t tile = (size_t)(call->bodies->tile_rows * call->bodies->tile_columns);
    size_t slot_floats = tiles * call->panels * tile;
    float *packed = dt_worker_scratch(call->kernels, worker);
    float *stack =
        packed + STRIP_TILES * call->block_samples * call->g.pixels * (size_t)call->bodies->tile_rows;
    float *slot = stack;
    for (int leaf = 0; leaf < plan->leaves; leaf++, slot += slot_floats) {
        size_t first = (size_t)leaf * DT_LEAF_SAMPLES, samples = (size_t)dt_leaf_sums_samples(plan, leaf);
        for (size_t done = 0; done < samples; done += call->block_samples)
            gradient_block(call, first_tile, tiles, first + done,
                           smaller(call->block_samples, samples - done), done > 0, packed, slot);
        dt_leaf_sums_merge(call->kernels, slot_floats, slot_floats, plan->merges[leaf], slot);
        slot -= plan->merges[leaf] * (long)slot_floats;
    }
    for (int root = 0; root < plan->roots; root++)
        store_gradient(call, first_tile, tiles, stack + (size_t)root * slot_floats,
                       call->sink.base + (size_t)root * call->sink.stride);
}

/* A leaf's bias gradient: a sample's pixels in order, then samples in order. */
static void bias_leaf(void *context, int leaf, int worker) {
    const gradient_call *call = context;
    size_t sample_floats = call->g.pixels * call->g.outputs;
    const float *dz = call->dz + (size_t)leaf * DT_LEAF_SAMPLES * sample_floats;
    float *sum = call->bias_leaves + (size_t)leaf * call->bias_stride;
    float *own = dt_worker_scratch(call->kernels, worker);
    for (int i = 0; i < dt_leaf_sums_samples(call->plan, leaf); i++, dz += sample_floats) {
        call->bodies->column_sums(call->g.pixels, call->g.outputs, dz, call->g.outputs, i > 0 ? own : sum);
        if (i > 0)
            call->bodies->add_to(call->g.outputs, own, sum);
    }
}

/* Samples of one round: a power of two up to a leaf. */
static size_t block_samples(const geometry *g) {
    size_t samples = 1;
    while (samples < DT_LEAF_SAMPLES && samples * g->pixels < BLOCK_PIXELS)
        samples *= 2;
    return samples;
}

/* Sizes, and the pieces of shared scratch in their order. */
static void take_gradient_scratch(dt_arena *arena, const dt_bodies *bodies, int samples,
                                  gradient_call *call) {
    const geometry *g = &call->g;
    size_t lanes = parts_of(g->outputs, (size_t)bodies->width) * (size_t)bodies->width;
    size_t leaves = (size_t)dt_leaves_count(samples), spares = (size_t)dt_leaf_sums_spares((int)leaves);
    call->tiles = parts_of(g->depth, (size_t)bodies->tile_rows);
    call->panels = parts_of(g->outputs, (size_t)bodies->tile_columns);
    call->block_samples = block_samples(g);
    call->bias_stride = dt_align_floats(g->outputs);
    call->framed = dt_arena_take_floats(arena, (size_t)samples * g->framed);
    call->packed_dz = dt_arena_take_floats(arena, (size_t)samples * g->pixels * lanes);
    call->bias_leaves = dt_arena_take_floats(arena, leaves * call->bias_stride);
    call->bias_spare = dt_arena_take_floats(arena, spares * call->bias_stride);
}

static void conv_backward_weights(dt_kernels *kernels, dt_convolve_shape shape, const dt_leaf_plan *plan,
                                  const float *x, const float *dz, dt_root_sink dweights,
                                  dt_root_sink dbias) {
    dt_arena arena = {.base = (char *)kernels->shared};
    gradient_call call = {.kernels = kernels, .bodies = kernels->bodies, .plan = plan, .dz = dz};
    if (plan->leaves == 0)
        return;
    call.sink = dweights;
    call.g = geometry_of(shape, shape.in_channels, shape.out_channels);
    take_gradient_scratch(&arena, call.bodies, plan->samples, &call);
    assert(plan->depth <= dt_leaf_sums_depth(plan->leaves));
    size_t wanted = (size_t)(TASKS_PER_THREAD * dt_team_size(kernels->team));
    call.tiles_per_task = larger(1, smaller(STRIP_TILES, call.tiles / wanted));
    frame_samples(kernels, call.g, plan->samples, x, call.framed);
    dt_team_run(kernels->team, plan->samples * (int)call.panels, pack_dz, &call);
    dt_team_run(kernels->team, (int)parts_of(call.tiles, call.tiles_per_task), gradient_strip, &call);
    dt_team_run(kernels->team, plan->leaves, bias_leaf, &call);
    dt_leaf_sums_push(kernels, plan, 0, plan->leaves, call.g.outputs, call.bias_stride, call.bias_leaves,
                      dbias, call.bias_spare);
}

static void add_conv_need(dt_scratch_need *need, const dt_bodies *bodies, geometry g, int samples) {
    dt_arena arena = {0};
    conv_call call = {.g = g};
    size_t tile_rows = (size_t)bodies->tile_rows;
    size_t columns = parts_of(g.outputs, (size_t)bodies->tile_columns) * (size_t)bodies->tile_columns;
    take_conv_scratch(&arena, bodies, samples, &call);
    need->shared = larger(need->shared, arena.used / sizeof(float));
    need->worker = larger(need->worker, MOST_TILES * tile_rows * (DEPTH_BLOCK + columns));
}

static void add_gradient_need(dt_scratch_need *need, const dt_bodies *bodies, geometry g, int samples) {
    dt_arena arena = {0};
    gradient_call call = {.g = g};
    size_t tile_rows = (size_t)bodies->tile_rows,
           depth = (size_t)dt_leaf_sums_depth(dt_leaves_count(samples));
    take_gradient_scratch(&arena, bodies, samples, &call);
    size_t slot_floats = STRIP_TILES * call.panels * tile_rows * (size_t)bodies->tile_columns;
    size_t packed = STRIP_TILES * call.block_samples * g.pixels * tile_rows;
    need->shared = larger(need->shared, arena.used / sizeof(float));
    need->worker = larger(need->worker, packed + depth * slot_floats);
}

static dt_scratch_need conv_need(const dt_kernels *kernels, dt_convolve_shape shape, int samples) {
    dt_scratch_need need = {0};
    geometry forward = geometry_of(shape, shape.in_channels, shape.out_channels);
    geometry backward = geometry_of(shape, shape.out_channels, shape.in_channels);
    add_conv_need(&need, kernels->bodies, forward, samples);
    add_conv_need(&need, kernels->bodies, backward, samples);
    add_gradient_need(&need, kernels->bodies, forward, samples);
    return need;
}

const dt_convolve_operations dt_convolve_packed = {
    .need = conv_need,
    .forward = conv_forward,
    .backward_data = conv_backward_data,
    .backward_weights = conv_backward_weights,
};
