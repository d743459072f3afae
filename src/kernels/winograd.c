/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's convolution, and that by spectra, which differs in its transforms alone: how the work is cut.
 *
 * Forward transforms a chunk of the batch, which is kept for the way back. Then a task owns a block of output
 * channels: it transforms the filters of the block and, group by group, multiplies at all points and
 * transforms the products to the output, so that filters and products stay in the cache. Of spectra it takes
 * a portion of the points at a time, and of its filters a piece of the depth. Backward does the
 * same with the gradient of the output, in the other direction, and multiplies the two transformed tensors,
 * leaf by leaf, for the gradient of the filters. That is transformed back before leaves are added, since
 * others add roots of their own to ours, and these are gradients of filters. */
#include <assert.h>
#include <string.h>

#include "kernels/conv_method.h"
#include "kernels/leaf_sums.h"
#include "kernels/sizes.h"
#include "kernels/winograd.h"

/* Forward errors matter most: they move ReLUs across their zero. A chain of L multiply-adds errs by about
 * 2^-25 sqrt(L / 2) of the sum, and the way back from the points enlarges that four times (F(4, 3)); F(2, 5)
 * enlarges it far less than F(4, 5), which is left to the backward pass. With these chains the forward errors
 * are at or below those of an implicit GEMM with chains over the whole depth (docs/performance.md). */
enum {
    CHAIN_3 = 64,         /* steps of the depth in one chain of multiply-adds, forward, for kernels of 3 */
    CHAIN_5 = 8,          /* and of 5 */
    CHAIN_SPECTRUM = 128, /* of spectra, in both directions */
    GROUP_TILES = 32,     /* of a group: with 32 channels 4 KB for each point */
    PRODUCT_BYTES = 320 << 10,        /* of a task at a time, beside filters in the second-level cache */
    FILTER_BYTES = 4 << 20,           /* filters up to here are transformed once a call for all tasks */
    SPECTRUM_PRODUCT_BYTES = 4 << 20, /* of spectra: their filters are transformed again for each batch */
    CHUNK_BYTES = 16 << 20,           /* of a tensor at the points: stays in the third-level cache */
    SMALL_CHUNK_BYTES = 6 << 20,     /* the same where filters need not be transformed again for each chunk */
    SPECTRUM_CHUNK_BYTES = 40 << 20, /* of spectra, forward: their filters are large, and each chunk */
    SPECTRUM_BACK_CHUNK_BYTES = 10 << 20, /* transforms them again; backward two tensors share the cache */
    TASKS_PER_THREAD = 3,
    SLICE_BYTES = 256 << 10, /* of a leaf and an out block: up to here it stays in the second-level cache */
    STRIP = 2,               /* in blocks that share it; their stacks take the rest of the cache */
    FILTER_ROWS = 64         /* of one task that transforms filters for all */
};

/* How a tensor's values at the points lie, in floats. */
typedef struct layout {
    size_t channels, blocks;
    size_t block, point, group; /* strides; neighbouring points are kept apart from a cache's same set */
} layout;

/* How images are cut, and how many samples share a matrix. */
typedef struct cut {
    dt_winograd_grid grid;
    int group, groups_of_leaf; /* samples of a group, groups of a leaf */
    size_t points;
} cut;

/* The products of one direction: from `depth` channels to blocks of others. */
typedef struct direction {
    cut cut;
    layout from;
    size_t chain;                        /* steps of the depth that go into one sum */
    size_t channels, blocks;             /* of the result */
    size_t piece;                        /* steps of the depth whose filters are transformed at a time */
    size_t filter_point;                 /* floats of a point's filters of one block, of a piece */
    bool shared_filters;                 /* transformed once for all tasks */
    int chunk;                           /* leaves that are transformed at a time */
    size_t parts;                        /* tasks of one block */
    size_t product_point, product_group; /* strides of products */
    int together;                        /* groups that a task multiplies at a time */
} direction;

struct dt_winograd {
    const dt_winograd_bodies *bodies;
    size_t taps;
    direction forward, backward;
    bool apart;    /* the way back has points of its own, so that the input is transformed twice */
    layout input;  /* of the input at the points of the way back */
    int strip;     /* in blocks whose filters' gradients one task works on */
    bool fused;    /* the bodies make a leaf's gradient of filters in one */
    float *points; /* if apart, a chunk of the input at the points of the way there, [group] */
    float *kept;   /* the input at the points of the way back, [group] */
    int32_t *mask; /* [sample][out block] of what winograd.h says */
    size_t mask_block;
};

static int fewer(int a, int b) {
    return a < b ? a : b;
}

static const dt_winograd_bodies *bodies_of(const dt_kernels *kernels) {
    static const dt_winograd_bodies *const bodies[DT_ISA_BEST][2] = {
        [DT_ISA_BASELINE] = {&dt_winograd_baseline, &dt_winograd_bf16_baseline},
#ifdef __x86_64__
        [DT_ISA_AVX2] = {&dt_winograd_avx2, &dt_winograd_bf16_avx2},
        [DT_ISA_AVX512] = {&dt_winograd_avx512, &dt_winograd_bf16_avx2},
        [DT_ISA_AVX512_BF16] = {&dt_winograd_avx512, &dt_winograd_avx512_bf16},
        [DT_ISA_AMX_BF16] = {&dt_winograd_avx512, &dt_winograd_avx512_bf16},
#endif
    };
    return bodies[kernels->isa][kernels->precision == DT_PRECISION_BF16];
}

/* As few tiles as there can be, and as many of them small as still cover the side. */
static dt_winograd_side cut_side(dt_winograd_family family, int size) {
    int outputs = dt_winograd_outputs(family), tiles = (size + outputs - 1) / outputs;
    int small = dt_winograd_nests(family) ? fewer(tiles, outputs * tiles - size) : 0;
    return (dt_winograd_side){size, outputs, tiles, tiles - small};
}

static int number_tiles(dt_winograd_grid *grid, int first, bool small_rows, bool small_columns) {
    const dt_winograd_side *rows = &grid->rows, *columns = &grid->columns;
    for (int row = small_rows ? rows->large : 0; row < (small_rows ? rows->tiles : rows->large); row++)
        for (int column = small_columns ? columns->large : 0;
             column < (small_columns ? columns->tiles : columns->large); column++)
            grid->position[row][column] = first++;
    return first;
}

/* In this order the tiles with large rows are neighbours, and so are those with large columns. */
static dt_winograd_grid cut_image(dt_winograd_family family, dt_conv_shape shape) {
    dt_winograd_grid grid = {.family = family, .points = dt_winograd_points(family)};
    grid.rows = cut_side(family, shape.height);
    grid.columns = cut_side(family, shape.width);
    grid.positions = number_tiles(&grid, 0, true, false);
    grid.positions = number_tiles(&grid, grid.positions, false, false);
    grid.positions = number_tiles(&grid, grid.positions, false, true);
    grid.positions = number_tiles(&grid, grid.positions, true, true);
    return grid;
}

/* Positions [first, first + count) have the point. */
typedef struct range {
    size_t first, count;
} range;

static range positions_with(const dt_winograd_grid *grid, int point) {
    int dropped = grid->points - 2, large = grid->rows.large, wide = grid->columns.large;
    int narrow = grid->columns.tiles - wide, first = (grid->rows.tiles - large) * wide;
    bool rows_drop = point / grid->points == dropped, columns_drop = point % grid->points == dropped;
    if (!dt_winograd_nests(grid->family))
        return (range){0, (size_t)grid->positions};
    if (rows_drop && columns_drop)
        return (range){(size_t)first, (size_t)(large * wide)};
    if (rows_drop)
        return (range){(size_t)first, (size_t)(large * (wide + narrow))};
    if (columns_drop)
        return (range){0, (size_t)(first + large * wide)};
    return (range){0, (size_t)grid->positions};
}

static cut cut_of(dt_winograd_family family, dt_conv_shape shape) {
    cut c = {.grid = cut_image(family, shape), .group = DT_LEAF_SAMPLES};
    while (c.group > 1 && c.group * c.grid.positions > GROUP_TILES)
        c.group /= 2;
    c.groups_of_leaf = DT_LEAF_SAMPLES / c.group;
    c.points = (size_t)dt_winograd_tile_points(family);
    return c;
}

static size_t portion_points(const cut *c, int portion) {
    return dt_winograd_portion(c->grid.family, portion + 1) - dt_winograd_portion(c->grid.family, portion);
}

/* Floats that the operands of one block of channels take. */
static size_t operand_floats(const dt_winograd *w) {
    return (size_t)(w->bodies->block / w->bodies->pair);
}

/* Floats that `rows` rows of a block's filters take at a point. */
static size_t filter_floats(const dt_winograd *w, size_t rows) {
    return parts_of(rows, (size_t)w->bodies->pair) * (size_t)w->bodies->block;
}

static layout layout_of(const dt_winograd *w, const cut *c, int channels) {
    size_t block = (size_t)w->bodies->block;
    layout l = {.channels = (size_t)channels, .blocks = parts_of((size_t)channels, block)};
    l.point = (size_t)(c->grid.positions * c->group) * operand_floats(w);
    l.block = c->points * l.point + block;
    l.group = l.blocks * l.block;
    return l;
}

static direction direction_of(const dt_winograd *w, cut c, int threads, bool back, int from, int to) {
    direction d = {.cut = c, .from = layout_of(w, &c, from), .channels = (size_t)to};
    bool spectra = dt_winograd_is_fourier(c.grid.family);
    size_t block = (size_t)w->bodies->block;
    size_t wanted = (size_t)(spectra && back ? threads : threads * TASKS_PER_THREAD);
    size_t leaf_bytes = d.from.group * (size_t)c.groups_of_leaf * sizeof(float);
    d.blocks = parts_of((size_t)to, block);
    d.filter_point = filter_floats(w, d.from.channels) + block;
    d.shared_filters = d.blocks < wanted ||
                       (!spectra && c.points * d.filter_point * d.blocks * sizeof(float) <= FILTER_BYTES);
    d.piece = spectra && !d.shared_filters && w->bodies->pair == 1 ? CHAIN_SPECTRUM : d.from.channels;
    d.filter_point = filter_floats(w, d.piece) + block;
    d.chunk = (int)larger(1, (d.shared_filters ? SMALL_CHUNK_BYTES : CHUNK_BYTES) / leaf_bytes);
    if (spectra)
        d.chunk = (int)larger(1, (back ? SPECTRUM_BACK_CHUNK_BYTES : SPECTRUM_CHUNK_BYTES) / leaf_bytes);
    d.parts = parts_of(wanted, d.blocks);
    d.product_point = (size_t)(c.grid.positions * c.group + 1) * block;
    d.product_group = c.points * d.product_point;
    d.together = (int)larger(1, (spectra ? SPECTRUM_PRODUCT_BYTES : PRODUCT_BYTES) /
                                    (d.product_group * sizeof(float)));
    return d;
}

/* In blocks of a strip: few enough to leave each thread its tasks. */
static int strip_of(const dt_winograd *w, int threads) {
    const direction *d = &w->backward;
    int strip = STRIP, wanted = threads * TASKS_PER_THREAD;
    if (d->from.block * (size_t)d->cut.groups_of_leaf * sizeof(float) > SLICE_BYTES)
        return 1;
    while (strip > 1 && (int)(w->forward.blocks * parts_of(d->blocks, (size_t)strip)) < wanted)
        strip--;
    return strip;
}

/* Everything but the pointers. */
static dt_winograd plan_of(const dt_conv_config *config) {
    dt_winograd w = {.bodies = bodies_of(config->kernels)};
    dt_conv_shape shape = config->shape;
    bool large = config->method == DT_CONV_WINOGRAD_LARGE, bf16 = w.bodies->pair == 2;
    bool spectra = config->method == DT_CONV_FOURIER;
    dt_winograd_family back = shape.kernel == 3 ? DT_WINOGRAD_4_3 : DT_WINOGRAD_4_5;
    dt_winograd_family there = shape.kernel == 3 || large ? back : DT_WINOGRAD_2_5;
    if (spectra)
        there = back = shape.kernel == 3 ? DT_FOURIER_8_3 : DT_FOURIER_16_5;
    int threads = dt_team_size(config->kernels->team);
    w.taps = (size_t)(shape.kernel * shape.kernel);
    w.forward = direction_of(&w, cut_of(there, shape), threads, false, shape.in_channels, shape.out_channels);
    w.backward = direction_of(&w, cut_of(back, shape), threads, true, shape.out_channels, shape.in_channels);
    w.forward.chain = shape.kernel == 3 ? CHAIN_3 : CHAIN_5;
    if (large || bf16)
        w.forward.chain = w.forward.from.channels;
    w.backward.chain = w.backward.from.channels;
    if (spectra && !bf16)
        w.forward.chain = w.backward.chain = CHAIN_SPECTRUM;
    w.apart = there != back;
    w.input = layout_of(&w, &w.backward.cut, shape.in_channels);
    w.strip = strip_of(&w, threads);
    w.fused = spectra && w.bodies->leaf_gradient;
    w.mask_block = (size_t)w.bodies->block * (size_t)shape.height;
    return w;
}

static bool can(const dt_kernels *kernels, dt_conv_shape shape) {
    (void)kernels;
    return (shape.kernel == 3 || shape.kernel == 5) && shape.height <= DT_WINOGRAD_SIDE &&
           shape.width <= DT_WINOGRAD_SIDE;
}

static bool has_spectra(const dt_kernels *kernels, dt_conv_shape shape) {
    int side = dt_winograd_outputs(shape.kernel == 3 ? DT_FOURIER_8_3 : DT_FOURIER_16_5);
    return can(kernels, shape) && shape.height <= side && shape.width <= side;
}

static bool can_be_larger(const dt_kernels *kernels, dt_conv_shape shape) {
    return shape.kernel == 5 && can(kernels, shape);
}

/* Products of one sample at all points, one channel by another. */
static double tile_products(const cut *c) {
    double count = 0;
    for (size_t point = 0; point < c->points; point++)
        count += (double)positions_with(&c->grid, (int)point).count;
    return count;
}

static double executed_flop(const dt_conv *conv, dt_conv_pass pass) {
    const dt_winograd *w = conv->state.winograd;
    dt_conv_shape shape = conv->config.shape;
    double block = w->bodies->block, in = shape.in_channels, out = shape.out_channels;
    double in_lanes = block * (double)w->backward.blocks, out_lanes = block * (double)w->forward.blocks;
    if (pass == DT_CONV_FORWARD)
        return 2 * tile_products(&w->forward.cut) * in * out_lanes;
    return 2 * tile_products(&w->backward.cut) *
           (pass == DT_CONV_BACKWARD_DATA ? out * in_lanes : in * out_lanes);
}

static void lay_out(dt_conv *conv, dt_arena *arena) {
    const dt_conv_config *config = &conv->config;
    dt_winograd plan = plan_of(config), *w = dt_arena_take(arena, sizeof plan);
    const cut *there = &plan.forward.cut, *back = &plan.backward.cut;
    int leaves = config->leaves, chunk = fewer(plan.forward.chunk, dt_leaves_count(config->samples));
    if (plan.apart)
        plan.points =
            dt_arena_take_floats(arena, (size_t)(chunk * there->groups_of_leaf) * plan.forward.from.group);
    else
        leaves = leaves > chunk ? leaves : chunk;
    plan.kept = dt_arena_take_floats(arena, (size_t)(leaves * back->groups_of_leaf) * plan.input.group);
    plan.mask = dt_arena_take(arena, (size_t)(config->leaves * DT_LEAF_SAMPLES) * plan.backward.from.blocks *
                                         plan.mask_block * sizeof *plan.mask);
    if (w)
        *w = plan;
    conv->state.winograd = w;
}

/* The pieces of the scratch of all. Forward needs filters alone. */
typedef struct shared_pieces {
    float *filters;  /* [result block][point][depth][block] */
    float *gradient; /* of the output at the points: [group of a chunk] */
    float *bias;     /* its sum over pixels, [sample of a chunk][out] */
    float *bias_spare;
    float *stacks; /* [pair of blocks][height][tap][block][block], where leaves come in several chunks */
} shared_pieces;

static size_t filters_floats(const direction *d) {
    return d->shared_filters ? d->cut.points * d->filter_point * d->blocks : 0;
}

static size_t stack_floats(const dt_winograd *w, int leaves) {
    size_t block = (size_t)w->bodies->block;
    return (size_t)dt_leaf_sums_depth(leaves) * w->taps * block * block;
}

static shared_pieces take_shared(dt_arena *arena, const dt_winograd *w, int leaves) {
    shared_pieces pieces = {0};
    int chunk = fewer(leaves, w->backward.chunk);
    size_t bias_row = w->backward.from.blocks * (size_t)w->bodies->block;
    size_t pairs = w->forward.blocks * w->backward.blocks;
    pieces.filters =
        dt_arena_take_floats(arena, larger(filters_floats(&w->forward), filters_floats(&w->backward)));
    if (leaves == 0)
        return pieces;
    pieces.gradient = dt_arena_take_floats(arena, (size_t)(chunk * w->backward.cut.groups_of_leaf) *
                                                      w->backward.from.group);
    pieces.bias = dt_arena_take_floats(arena, (size_t)(chunk * DT_LEAF_SAMPLES) * bias_row);
    pieces.bias_spare =
        dt_arena_take_floats(arena, (size_t)(dt_leaf_sums_spares(leaves) * DT_LEAF_SAMPLES) * bias_row);
    if (chunk < leaves)
        pieces.stacks = dt_arena_take_floats(arena, pairs * stack_floats(w, leaves));
    return pieces;
}

/* A worker's pieces while it multiplies in one direction, and while it works on gradients of filters. */
typedef struct product_pieces {
    float *filters, *taps, *products;
} product_pieces;

static size_t most_portion_points(const cut *c) {
    size_t most = 0;
    for (int portion = 0; portion < dt_winograd_portions(c->grid.family); portion++)
        most = larger(most, portion_points(c, portion));
    return most;
}

static product_pieces take_product(dt_arena *arena, const dt_winograd *w, const direction *d) {
    size_t block = (size_t)w->bodies->block;
    product_pieces pieces;
    size_t rows = d->shared_filters ? FILTER_ROWS : d->from.channels;
    pieces.filters =
        dt_arena_take_floats(arena, d->shared_filters ? 0 : most_portion_points(&d->cut) * d->filter_point);
    pieces.taps = dt_arena_take_floats(arena, parts_of(rows, block) * w->taps * block * block);
    pieces.products = dt_arena_take_floats(arena, (size_t)d->together * d->product_group);
    return pieces;
}

typedef struct strip_pieces {
    float *sums, *stacks;
} strip_pieces;

static size_t sums_point(const dt_winograd *w) {
    size_t block = (size_t)w->bodies->block;
    return w->fused ? 0 : (block + 1) * block;
}

static strip_pieces take_strip(dt_arena *arena, const dt_winograd *w, int leaves) {
    strip_pieces pieces;
    pieces.sums = dt_arena_take_floats(arena, w->backward.cut.points * sums_point(w));
    pieces.stacks =
        dt_arena_take_floats(arena, (size_t)w->strip * stack_floats(w, fewer(leaves, w->backward.chunk)));
    return pieces;
}

static dt_status reserve(const dt_conv_config *config) {
    dt_winograd w = plan_of(config);
    dt_arena shared = {0}, forward = {0}, backward = {0}, strip = {0};
    take_shared(&shared, &w, config->leaves);
    take_product(&forward, &w, &w.forward);
    if (config->leaves > 0) {
        take_product(&backward, &w, &w.backward);
        take_strip(&strip, &w, config->leaves);
    }
    return dt_kernels_reserve(
        config->kernels,
        (dt_scratch_need){shared.used / sizeof(float),
                          larger(forward.used, larger(backward.used, strip.used)) / sizeof(float)});
}

/* One call. Chunks of leaves follow one another; what begins with `chunk` is the present one's. */
typedef struct winograd_call {
    const dt_kernels *kernels;
    const dt_winograd *w;
    const direction *d;
    dt_conv_shape shape;
    int samples, chunk_sample, chunk_samples, chunk_leaf, chunk_leaves;
    const float *weights;
    float *points; /* [group of the chunk] */
    shared_pieces shared;
    const float *bias; /* forward */
    dt_conv_input input;
    int32_t *mask;
    float *y;
    const float *dy; /* backward */
    float *dx;
    const float *kept;
    const dt_leaf_plan *plan;
    dt_root_sink dweights;
    int product_tasks;
} winograd_call;

static void begin_chunk(winograd_call *call, int leaf, int leaves) {
    call->chunk_leaf = leaf;
    call->chunk_leaves = leaves;
    call->chunk_sample = leaf * DT_LEAF_SAMPLES;
    call->chunk_samples = fewer(leaves * DT_LEAF_SAMPLES, call->samples - call->chunk_sample);
}

/* Leaves of a chunk, where none may have more than `most`: as even as they can be. */
static int even_chunk(int leaves, int most) {
    int chunks = (leaves + most - 1) / most;
    return chunks > 0 ? (leaves + chunks - 1) / chunks : 1;
}

static int chunk_groups(const winograd_call *call, const cut *c) {
    return (int)parts_of((size_t)call->chunk_samples, (size_t)c->group);
}

static int group_samples(const winograd_call *call, const cut *c, int group) {
    return fewer(c->group, call->chunk_samples - group * c->group);
}

/* Sample i of a group of the chunk, in the batch. */
static size_t sample_of(const winograd_call *call, const cut *c, int group, int i) {
    return (size_t)(call->chunk_sample + group * c->group + i);
}

/* Where the values of sample `sample` of a group with n samples stand, a block of which takes `floats`. */
static dt_winograd_place place_of(size_t floats, float *block, size_t point_stride, int sample, int n) {
    return (dt_winograd_place){block + (size_t)sample * floats, point_stride, (size_t)n * floats};
}

static dt_winograd_pixels pixels_of(const dt_winograd *w, size_t channels, size_t block) {
    size_t floats = (size_t)w->bodies->block;
    return (dt_winograd_pixels){channels, (int)smaller(floats, channels - block * floats)};
}

/* Where the chunk's input goes to. */
typedef struct input_target {
    const winograd_call *call;
    const cut *cut;
    const layout *layout;
    float *points;
} input_target;

static void transform_input(void *context, int task, int worker) {
    const input_target *target = context;
    const winograd_call *call = target->call;
    const dt_winograd *w = call->w;
    const layout *l = target->layout;
    int group = task / (int)l->blocks, n = group_samples(call, target->cut, group);
    size_t block = (size_t)task % l->blocks, first = block * (size_t)w->bodies->block;
    size_t pixels = (size_t)(call->shape.height * call->shape.width);
    float *to = target->points + (size_t)group * l->group + block * l->block;
    (void)worker;
    for (int i = 0; i < n; i++) {
        dt_conv_input input = call->input;
        input.x += sample_of(call, target->cut, group, i) * pixels * l->channels + first;
        if (input.scale && !input.by_rows) {
            input.scale += first;
            input.shift += first;
        }
        w->bodies->input(&target->cut->grid, pixels_of(w, l->channels, block), input,
                         place_of(operand_floats(w), to, l->point, i, n));
    }
}

static void transform_inputs(const winograd_call *call, const cut *c, const layout *l, float *points) {
    input_target target = {call, c, l, points};
    dt_team_run(call->kernels->team, chunk_groups(call, c) * (int)l->blocks, transform_input, &target);
}

/* Into the cache: short pieces of many rows, which no hardware foresees. */
static void fetch_filters(const float *from, size_t rows, size_t stride, size_t floats) {
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < floats; i += DT_ALIGNMENT_FLOATS)
            __builtin_prefetch(from + row * stride + i);
}

/* Rows [first, first + rows) of a block's filters with in and out exchanged, [block of
 * rows][tap][row][block]. */
static void exchange_channels(const winograd_call *call, size_t block, size_t first, size_t rows,
                              float *taps) {
    const dt_winograd *w = call->w;
    size_t floats = (size_t)w->bodies->block, column = block * floats;
    size_t in = (size_t)call->shape.in_channels, out = (size_t)call->shape.out_channels;
    size_t channels = smaller(floats, call->d->channels - column);
    for (size_t end = first + rows; first < end; first += floats)
        for (size_t tap = 0; tap < w->taps; tap++, taps += floats * floats) {
            const float *from = call->weights + (tap * in + column) * out + first;
            const float *next =
                tap + 1 < w->taps ? from + in * out : call->weights + column * out + first + floats;
            fetch_filters(next, channels, out, floats);
            call->kernels->bodies->products.pack_transposed(smaller(floats, end - first), floats, channels,
                                                            from, out, taps);
        }
}

/* Rows [first, first + rows) of a block's filters to the points of a portion; taps: what exchange_channels
 * made of them, for the way back. */
static void transform_filters(const winograd_call *call, size_t block, int portion, size_t first, size_t rows,
                              const float *taps, float *to) {
    const dt_winograd *w = call->w;
    const direction *d = call->d;
    size_t floats = (size_t)w->bodies->block, column = block * floats;
    size_t in = (size_t)call->shape.in_channels, out = (size_t)call->shape.out_channels;
    int channels = (int)smaller(floats, d->channels - column);
    if (d == &w->forward) {
        w->bodies->filter(&d->cut.grid, portion, rows, channels, call->weights + first * out + column,
                          in * out, out, to, d->filter_point);
        return;
    }
    for (size_t done = 0; done < rows; done += floats, taps += w->taps * floats * floats)
        w->bodies->filter(&d->cut.grid, portion, smaller(floats, rows - done), channels, taps,
                          floats * floats, floats, to + filter_floats(w, done), d->filter_point);
}

static void transform_shared_filters(void *context, int task, int worker) {
    const winograd_call *call = context;
    const direction *d = call->d;
    size_t tasks = parts_of(d->from.channels, FILTER_ROWS);
    size_t block = (size_t)task / tasks, first = (size_t)task % tasks * FILTER_ROWS;
    size_t rows = smaller(FILTER_ROWS, d->from.channels - first);
    dt_arena arena = {.base = (char *)dt_worker_scratch(call->kernels, worker)};
    product_pieces pieces = take_product(&arena, call->w, d);
    float *to =
        call->shared.filters + block * d->cut.points * d->filter_point + filter_floats(call->w, first);
    if (d == &call->w->backward)
        exchange_channels(call, block, first, rows, pieces.taps);
    for (int portion = 0; portion < dt_winograd_portions(d->cut.grid.family); portion++)
        transform_filters(call, block, portion, first, rows, pieces.taps,
                          to + dt_winograd_portion(d->cut.grid.family, portion) * d->filter_point);
}

/* Groups of the chunk whose products a task makes at a time. */
typedef struct batch {
    int first, groups;
    bool begins; /* no other of the task came before */
} batch;

/* The products of a batch at one point with the filters of one piece, which serve all groups from the
 * first-level cache. next: the batch's values that are multiplied then. */
static void multiply_point(const winograd_call *call, batch of, size_t point, size_t steps,
                           const float *values, const float *next, const float *filters, bool resume,
                           float *products) {
    const direction *d = call->d;
    range valid = positions_with(&d->cut.grid, (int)point);
    for (int group = 0; group < of.groups; group++, products += d->product_group) {
        size_t n = (size_t)group_samples(call, &d->cut, of.first + group), first = valid.first * n;
        const float *now = values + first * operand_floats(call->w);
        values += d->from.group;
        call->w->bodies->multiply_tiles(valid.count * n, steps, d->chain, now, d->from.block, filters,
                                        group + 1 < of.groups ? values : next, resume,
                                        products + first * (size_t)call->w->bodies->block);
    }
}

static void multiply_portion(const winograd_call *call, batch of, int portion, size_t step,
                             const float *filters, float *products) {
    const direction *d = call->d;
    size_t point = dt_winograd_portion(d->cut.grid.family, portion);
    size_t end = dt_winograd_portion(d->cut.grid.family, portion + 1);
    const float *values = call->points + (size_t)of.first * d->from.group + point * d->from.point +
                          step / (size_t)call->w->bodies->block * d->from.block;
    products += point * d->product_point;
    for (; point < end; point++) {
        const float *next = point + 1 < end ? values + d->from.point : values;
        multiply_point(call, of, point, smaller(d->piece, d->from.channels - step), values, next, filters,
                       step > 0, products);
        values = next;
        filters += d->filter_point;
        products += d->product_point;
    }
}

static void finish_group(const winograd_call *call, int group, size_t block, float *products) {
    const dt_winograd *w = call->w;
    const direction *d = call->d;
    int n = group_samples(call, &d->cut, group);
    size_t column = block * (size_t)w->bodies->block;
    size_t pixels = (size_t)(call->shape.height * call->shape.width);
    size_t out_pixels = (size_t)(dt_conv_out_height(call->shape) * dt_conv_out_width(call->shape));
    for (int i = 0; i < n; i++) {
        size_t sample = sample_of(call, &d->cut, group, i);
        dt_winograd_place from = place_of((size_t)w->bodies->block, products, d->product_point, i, n);
        if (d == &w->backward) {
            w->bodies->input_gradient(&d->cut.grid, pixels_of(w, d->channels, block), from,
                                      call->dx + sample * pixels * d->channels + column);
            continue;
        }
        w->bodies->output(&d->cut.grid, pixels_of(w, d->channels, block), from, call->shape.pool,
                          call->bias + column,
                          call->mask ? call->mask + (sample * d->blocks + block) * w->mask_block : NULL,
                          call->y + sample * out_pixels * d->channels + column);
    }
}

/* All points' products of a batch. A portion's filters of a piece of the depth are transformed when they are
 * needed: they stay in the second-level cache, which all of a block's filters would pass through. */
static void multiply_batch(const winograd_call *call, size_t block, batch of, const product_pieces *pieces) {
    const dt_winograd *w = call->w;
    const direction *d = call->d;
    size_t piece_taps = w->taps * (size_t)w->bodies->block;
    int portions = dt_winograd_portions(d->cut.grid.family);
    for (int portion = 0; portion < portions; portion++)
        for (size_t step = 0; step < d->from.channels; step += d->piece) {
            const float *filters = pieces->filters;
            if (d->shared_filters)
                filters += dt_winograd_portion(d->cut.grid.family, portion) * d->filter_point;
            else if (of.begins || portions > 1)
                transform_filters(call, block, portion, step, smaller(d->piece, d->from.channels - step),
                                  pieces->taps + step * piece_taps, pieces->filters);
            multiply_portion(call, of, portion, step, filters, pieces->products);
        }
}

/* A block of the result, for a part of the chunk's groups. */
static void multiply_block(void *context, int task, int worker) {
    const winograd_call *call = context;
    const dt_winograd *w = call->w;
    const direction *d = call->d;
    size_t block = (size_t)task / d->parts;
    dt_arena arena = {.base = (char *)dt_worker_scratch(call->kernels, worker)};
    product_pieces pieces = take_product(&arena, w, d);
    long group, end;
    if (d->shared_filters)
        pieces.filters = call->shared.filters + block * d->cut.points * d->filter_point;
    else if (d == &w->backward)
        exchange_channels(call, block, 0, d->from.channels, pieces.taps);
    dt_team_split(chunk_groups(call, &d->cut), d->together, (int)((size_t)task % d->parts), (int)d->parts,
                  &group, &end);
    for (long begin = group; group < end; group += d->together) {
        batch of = {(int)group, fewer(d->together, (int)(end - group)), group == begin};
        multiply_batch(call, block, of, &pieces);
        for (int i = 0; i < of.groups; i++)
            finish_group(call, of.first + i, block, pieces.products + (size_t)i * d->product_group);
    }
}

static void prepare_filters(winograd_call *call) {
    const direction *d = call->d;
    if (d->shared_filters)
        dt_team_run(call->kernels->team, (int)(d->blocks * parts_of(d->from.channels, FILTER_ROWS)),
                    transform_shared_filters, call);
}

static winograd_call begin_call(dt_conv *conv, int samples, const float *weights) {
    winograd_call call = {.kernels = conv->config.kernels, .w = conv->state.winograd};
    dt_arena arena = {.base = (char *)call.kernels->shared};
    call.shape = conv->config.shape;
    call.samples = samples;
    call.weights = weights;
    call.shared = take_shared(&arena, call.w, conv->config.leaves);
    return call;
}

static void forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                    bool keep, float *y) {
    winograd_call call = begin_call(conv, samples, weights);
    const dt_winograd *w = call.w;
    int leaves = dt_leaves_count(samples);
    size_t kept_leaf = (size_t)w->backward.cut.groups_of_leaf * w->input.group;
    call.d = &w->forward;
    call.input = input;
    call.bias = bias;
    call.mask = keep ? w->mask : NULL;
    call.y = y;
    prepare_filters(&call);
    int chunk = even_chunk(leaves, w->forward.chunk);
    for (int leaf = 0; leaf < leaves; leaf += chunk) {
        float *kept = w->kept + (keep ? (size_t)leaf * kept_leaf : 0);
        begin_chunk(&call, leaf, fewer(chunk, leaves - leaf));
        if (keep || !w->apart)
            transform_inputs(&call, &w->backward.cut, &w->input, kept);
        if (w->apart)
            transform_inputs(&call, &w->forward.cut, &w->forward.from, w->points);
        call.points = w->apart ? w->points : kept;
        dt_team_run(call.kernels->team, (int)(w->forward.blocks * w->forward.parts), multiply_block, &call);
    }
}

static void transform_gradient(void *context, int task, int worker) {
    const winograd_call *call = context;
    const dt_winograd *w = call->w;
    const layout *l = &w->backward.from;
    const cut *c = &w->backward.cut;
    int group = task / (int)l->blocks, n = group_samples(call, c, group);
    size_t block = (size_t)task % l->blocks, floats = (size_t)w->bodies->block;
    size_t out_pixels = (size_t)(dt_conv_out_height(call->shape) * dt_conv_out_width(call->shape));
    float *to = call->points + (size_t)group * l->group + block * l->block;
    (void)worker;
    for (int i = 0; i < n; i++) {
        size_t in_chunk = (size_t)(group * c->group + i), sample = sample_of(call, c, group, i);
        w->bodies->gradient(&c->grid, pixels_of(w, l->channels, block), call->shape.pool,
                            call->mask + (sample * l->blocks + block) * w->mask_block,
                            call->dy + sample * out_pixels * l->channels + block * floats,
                            call->shared.bias + (in_chunk * l->blocks + block) * floats,
                            place_of(operand_floats(w), to, l->point, i, n));
    }
}

/* The sum over a leaf's tiles at one point, of one pair of blocks: whole groups, then what is left. */
static void multiply_leaf_point(const winograd_call *call, int samples, size_t point, size_t rows,
                                const float *a, const float *b, float *sums) {
    const dt_winograd *w = call->w;
    const layout *in = &w->input, *out = &w->backward.from;
    size_t floats = operand_floats(w), group = (size_t)w->backward.cut.group;
    size_t whole = (size_t)samples / group, rest = (size_t)samples % group;
    range valid = positions_with(&w->backward.cut.grid, (int)point);
    size_t run = valid.count * group, skipped = valid.first * group * floats;
    if (whole > 0)
        w->bodies->multiply_channels(rows, whole * run, run, a + skipped, in->group, b + skipped, out->group,
                                     a + skipped + in->point, b + skipped + out->point, false, sums);
    run = valid.count * rest;
    skipped = valid.first * rest * floats;
    a += whole * in->group + skipped;
    b += whole * out->group + skipped;
    if (rest > 0)
        w->bodies->multiply_channels(rows, run, run, a, 0, b, 0, a + in->point, b + out->point, whole > 0,
                                     sums);
}

/* From a leaf's values at the points to its gradient of one pair of blocks, to which the last `merges` below
 * its slot are added. */
static void multiply_leaf(const winograd_call *call, int leaf, size_t in_block, size_t out_block, size_t rows,
                          float *sums, int merges, float *slot) {
    const dt_winograd *w = call->w;
    const layout *in = &w->input, *out = &w->backward.from;
    int samples = dt_leaf_sums_samples(call->plan, call->chunk_leaf + leaf);
    size_t groups = (size_t)w->backward.cut.groups_of_leaf, first = (size_t)leaf * groups;
    const float *a =
        call->kept + ((size_t)call->chunk_leaf * groups + first) * in->group + in_block * in->block;
    const float *b = call->points + first * out->group + out_block * out->block;
    if (w->fused) {
        w->bodies->leaf_gradient(&w->backward.cut.grid, rows, (size_t)samples, a, in->point, b, out->point,
                                 merges, slot);
        return;
    }
    for (size_t point = 0; point < w->backward.cut.points; point++)
        multiply_leaf_point(call, samples, point, rows, a + point * in->point, b + point * out->point,
                            sums + point * sums_point(w));
    w->bodies->filter_gradient(&w->backward.cut.grid, rows, sums, sums_point(w), merges, slot);
}

static void store_roots(const winograd_call *call, size_t in_block, size_t out_block, size_t rows,
                        const float *stack) {
    size_t floats = (size_t)call->w->bodies->block, column = out_block * floats;
    size_t in = (size_t)call->shape.in_channels, out = (size_t)call->shape.out_channels;
    for (int root = 0; root < call->plan->roots; root++) {
        float *to =
            call->dweights.base + (size_t)root * call->dweights.stride + in_block * floats * out + column;
        for (size_t tap = 0; tap < call->w->taps; tap++, stack += floats * floats)
            for (size_t row = 0; row < rows; row++)
                memcpy(to + (tap * in + row) * out, stack + row * floats,
                       smaller(floats, out - column) * sizeof(float));
    }
}

static int stack_height(const dt_leaf_plan *plan, int leaf) {
    int height = leaf;
    for (int i = 0; i < leaf; i++)
        height -= plan->merges[i];
    return height;
}

/* A leaf's part of the gradient of one pair of blocks: pushed on the pair's stack. */
static void gradient_leaf(const winograd_call *call, int leaf, int height, size_t in_block, size_t out_block,
                          float *sums, float *stack) {
    const dt_winograd *w = call->w;
    size_t floats = (size_t)w->bodies->block, slot = w->taps * floats * floats;
    size_t rows = smaller(floats, w->input.channels - in_block * floats);
    bool rounded = call->kernels->wire == DT_WIRE_BF16;
    int merges = call->plan->merges[call->chunk_leaf + leaf];
    float *top = stack + (size_t)height * slot;
    multiply_leaf(call, leaf, in_block, out_block, rows, sums, rounded ? 0 : merges, top);
    if (rounded)
        dt_leaf_sums_merge(call->kernels, slot, slot, merges, top);
    if (call->chunk_leaf + leaf + 1 == call->plan->leaves)
        store_roots(call, in_block, out_block, rows, stack);
}

/* The filters' gradients of one out block and a strip of in blocks, from the chunk's leaves. */
static void gradient_strip(const winograd_call *call, int strip, int worker) {
    const dt_winograd *w = call->w;
    size_t in_blocks = w->input.blocks, strips = parts_of(in_blocks, (size_t)w->strip);
    size_t out_block = (size_t)strip / strips, first = (size_t)strip % strips * (size_t)w->strip;
    size_t stride = stack_floats(w, call->plan->leaves);
    dt_arena arena = {.base = (char *)dt_worker_scratch(call->kernels, worker)};
    strip_pieces pieces = take_strip(&arena, w, call->plan->leaves);
    if (call->chunk_leaves < call->plan->leaves)
        pieces.stacks = call->shared.stacks + (out_block * in_blocks + first) * stride;
    int height = stack_height(call->plan, call->chunk_leaf);
    for (int leaf = 0; leaf < call->chunk_leaves; leaf++) {
        for (size_t i = 0; i < (size_t)w->strip && first + i < in_blocks; i++)
            gradient_leaf(call, leaf, height, first + i, out_block, pieces.sums, pieces.stacks + i * stride);
        height += 1 - call->plan->merges[call->chunk_leaf + leaf];
    }
}

static void backward_task(void *context, int task, int worker) {
    const winograd_call *call = context;
    if (task < call->product_tasks)
        multiply_block(context, task, worker);
    else
        gradient_strip(call, task - call->product_tasks, worker);
}

/* Sums the samples of each leaf of the chunk and pushes the leaves. */
static void push_bias(dt_kernels *kernels, const winograd_call *call, dt_root_sink dbias) {
    size_t row = call->w->backward.from.blocks * (size_t)call->w->bodies->block;
    for (int leaf = 0; leaf < call->chunk_leaves; leaf++) {
        float *sum = call->shared.bias + (size_t)(leaf * DT_LEAF_SAMPLES) * row;
        int samples = dt_leaf_sums_samples(call->plan, call->chunk_leaf + leaf);
        for (int i = 1; i < samples; i++)
            kernels->bodies->add_to(row, sum + (size_t)i * row, sum);
    }
    dt_leaf_sums_push(kernels, call->plan, call->chunk_leaf, call->chunk_leaves,
                      (size_t)call->shape.out_channels, row * DT_LEAF_SAMPLES, call->shared.bias, dbias,
                      call->shared.bias_spare);
}

static void backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                     const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    winograd_call call = begin_call(conv, plan->samples, weights);
    const dt_winograd *w = call.w;
    (void)input; /* kept at the points */
    if (plan->leaves == 0)
        return;
    assert(plan->leaves <= conv->config.leaves && plan->depth <= dt_leaf_sums_depth(plan->leaves));
    call.d = &w->backward;
    call.mask = w->mask;
    call.dy = dy;
    call.dx = dx;
    call.kept = w->kept;
    call.plan = plan;
    call.dweights = dweights;
    call.points = call.shared.gradient;
    call.product_tasks = dx ? (int)(w->backward.blocks * w->backward.parts) : 0;
    int strips = (int)(w->forward.blocks * parts_of(w->backward.blocks, (size_t)w->strip));
    if (dx)
        prepare_filters(&call);
    int chunk = even_chunk(plan->leaves, w->backward.chunk);
    for (int leaf = 0; leaf < plan->leaves; leaf += chunk) {
        begin_chunk(&call, leaf, fewer(chunk, plan->leaves - leaf));
        dt_team_run(call.kernels->team, chunk_groups(&call, &w->backward.cut) * (int)w->backward.from.blocks,
                    transform_gradient, &call);
        dt_team_run(call.kernels->team, call.product_tasks + strips, backward_task, &call);
        push_bias(conv->config.kernels, &call, dbias);
    }
}

const dt_conv_operations dt_conv_winograd = {can, executed_flop, reserve, lay_out, forward, backward};
const dt_conv_operations dt_conv_winograd_large = {can_be_larger, executed_flop, reserve,
                                                   lay_out,       forward,       backward};
const dt_conv_operations dt_conv_fourier = {has_spectra, executed_flop, reserve, lay_out, forward, backward};
