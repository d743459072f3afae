/* SPDX-License-Identifier: BSD-3-Clause */
/* What runs once over memory: pooling, normalisation, ReLU, dropout, Adam, sums. Work is cut into pieces of a
 * fixed size, rows of images or ranges of values. */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/bodies.h"
#include "kernels/leaf_sums.h"
#include "kernels/table.h"

enum {
    RANGE = 1 << 15,   /* values of one task over a flat array: 128 KB of each operand */
    CHANNEL_BLOCK = 64 /* channels of one statistics task */
};

/* A flat array operation. */
typedef struct range_call {
    const dt_bodies *bodies;
    size_t count;
    const float *a, *b;
    float *c, *m, *v;
    const uint16_t *read_halves;
    uint16_t *halves;
    dt_adam_function adam;
    void (*add)(size_t count, const float *values, float *sum);
    float scale;
    dt_adam_step step;
    atomic_bool found;
    atomic_int largest;
} range_call;

static void run_ranges(const dt_kernels *kernels, dt_task run, range_call *call) {
    call->bodies = kernels->bodies;
    dt_team_run(kernels->team, (int)((call->count + RANGE - 1) / RANGE), run, call);
}

static size_t range_size(const range_call *call, size_t begin) {
    return call->count - begin < RANGE ? call->count - begin : RANGE;
}

static void relu_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->bodies->relu_backward(range_size(call, begin), call->scale, call->a + begin, call->b + begin,
                                call->c + begin);
}

static void relu_backward(dt_kernels *kernels, size_t count, float scale, const float *y, const float *dy,
                          float *dz) {
    range_call call = {.count = count, .a = y, .b = dy, .c = dz, .scale = scale};
    run_ranges(kernels, relu_range, &call);
}

static void adam_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->adam(call->step, range_size(call, begin), call->a + begin, call->c + begin, call->m + begin,
               call->v + begin);
}

static void adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                        float *weights, float *m, float *v) {
    range_call call = {.count = count, .step = step, .a = gradient, .c = weights, .m = m, .v = v};
    call.adam = dt_adam_body(kernels);
    run_ranges(kernels, adam_range, &call);
}

static void finite_range(void *context, int task, int worker) {
    range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    if (!call->bodies->all_finite(range_size(call, begin), call->a + begin))
        atomic_store_explicit(&call->found, true, memory_order_relaxed);
}

static bool all_finite(dt_kernels *kernels, size_t count, const float *values) {
    range_call call = {.count = count, .a = values};
    run_ranges(kernels, finite_range, &call);
    return !atomic_load_explicit(&call.found, memory_order_relaxed);
}

static void magnitude_range(void *context, int task, int worker) {
    range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    int mine = call->bodies->largest_magnitude(range_size(call, begin), call->a + begin);
    int largest = atomic_load_explicit(&call->largest, memory_order_relaxed);
    (void)worker;
    while (mine > largest && !atomic_compare_exchange_weak(&call->largest, &largest, mine))
        ;
}

static float largest_magnitude(dt_kernels *kernels, size_t count, const float *values) {
    range_call call = {.count = count, .a = values};
    run_ranges(kernels, magnitude_range, &call);
    int bits = atomic_load_explicit(&call.largest, memory_order_relaxed);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    return largest;
}

static void add_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->add(range_size(call, begin), call->a + begin, call->c + begin);
}

static void add_to(dt_kernels *kernels, size_t count, const float *values, float *sum) {
    range_call call = {.count = count, .a = values, .c = sum};
    call.add = kernels->wire == DT_WIRE_BF16 ? kernels->bodies->add_rounded : kernels->bodies->add_to;
    run_ranges(kernels, add_range, &call);
}

static void round_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->bodies->round_values(range_size(call, begin), call->c + begin);
}

static void wire_round(dt_kernels *kernels, size_t count, float *values) {
    range_call call = {.count = count, .c = values};
    run_ranges(kernels, round_range, &call);
}

static void pack_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->bodies->pack_halves(range_size(call, begin), call->a + begin, call->halves + begin);
}

static void wire_pack(dt_kernels *kernels, size_t count, const float *values, uint16_t *halves) {
    range_call call = {.count = count, .a = values, .halves = halves};
    run_ranges(kernels, pack_range, &call);
}

static void unpack_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->bodies->unpack_halves(range_size(call, begin), call->read_halves + begin, call->c + begin);
}

static void wire_unpack(dt_kernels *kernels, size_t count, const uint16_t *halves, float *values) {
    range_call call = {.count = count, .read_halves = halves, .c = values};
    run_ranges(kernels, unpack_range, &call);
}

static void packed_adam_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->bodies->adam_update_packed(call->step, range_size(call, begin), call->a + begin, call->c + begin,
                                     call->m + begin, call->v + begin, call->halves + begin);
}

static void wire_adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                             float *weights, float *m, float *v, uint16_t *halves) {
    range_call call = {.count = count, .step = step, .a = gradient, .c = weights, .m = m, .v = v};
    call.halves = halves;
    run_ranges(kernels, packed_adam_range, &call);
}

static void apply_update_range(void *context, int task, int worker) {
    const range_call *call = context;
    size_t begin = (size_t)task * RANGE;
    (void)worker;
    call->bodies->apply_update(range_size(call, begin), call->read_halves + begin, call->c + begin);
}

static void wire_apply_update(dt_kernels *kernels, size_t count, const uint16_t *halves, float *weights) {
    range_call call = {.count = count, .read_halves = halves, .c = weights};
    run_ranges(kernels, apply_update_range, &call);
}

typedef struct pool_call {
    const dt_bodies *bodies;
    dt_pool_shape shape;
    const float *x, *dy;
    float *y, *dz;
} pool_call;

static void pool_forward_task(void *context, int task, int worker) {
    const pool_call *call = context;
    size_t rows = (size_t)call->shape.height, windows_down = rows / 2,
           channels = (size_t)call->shape.channels;
    size_t line = (size_t)call->shape.width * channels, windows = (size_t)call->shape.width / 2;
    size_t sample = (size_t)task / windows_down, row = (size_t)task % windows_down;
    const float *upper = call->x + (sample * rows + 2 * row) * line;
    (void)worker;
    call->bodies->pool_forward_row(windows, channels, upper, upper + line,
                                   call->y + (size_t)task * windows * channels);
}

static void pool_forward(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x, float *y) {
    pool_call call = {.bodies = kernels->bodies, .shape = shape, .x = x, .y = y};
    dt_team_run(kernels->team, samples * (shape.height / 2), pool_forward_task, &call);
}

static void pool_backward_task(void *context, int task, int worker) {
    const pool_call *call = context;
    size_t rows = (size_t)call->shape.height, channels = (size_t)call->shape.channels;
    size_t line = (size_t)call->shape.width * channels, windows = (size_t)call->shape.width / 2;
    size_t sample = (size_t)task / rows, row = (size_t)task % rows, offset = (size_t)task * line;
    size_t reached = row / 2 < rows / 2 ? windows : 0;
    const float *dy = call->dy + (sample * (rows / 2) + row / 2) * windows * channels;
    (void)worker;
    call->bodies->pool_backward_row(reached, channels, call->x + offset, dy, call->dz + offset);
    size_t written = 2 * reached * channels;
    memset(call->dz + offset + written, 0, (line - written) * sizeof(float));
}

static void pool_backward_relu(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x,
                               const float *dy, float *dz) {
    pool_call call = {.bodies = kernels->bodies, .shape = shape, .x = x, .dy = dy, .dz = dz};
    dt_team_run(kernels->team, samples * shape.height, pool_backward_task, &call);
}

typedef struct dropout_call {
    const dt_bodies *bodies;
    dt_dropout_stream stream; /* of any row: the sample's number is missing */
    int units;
    const int *samples_of_rows;
    float *y;
} dropout_call;

static void dropout_row(void *context, int row, int worker) {
    const dropout_call *call = context;
    dt_dropout_stream stream = call->stream;
    (void)worker;
    stream.counter[2] = (uint32_t)call->samples_of_rows[row];
    call->bodies->dropout_row(&stream, (size_t)call->units, call->y + (size_t)row * (size_t)call->units);
}

/* The key as dt_random_draw makes it of seed and purpose. */
static void dropout_forward(dt_kernels *kernels, dt_dropout_key key, int rows, int units,
                            const int *samples_of_rows, float *y) {
    uint32_t upper = (uint32_t)(key.seed >> 32) ^ (uint32_t)DT_PURPOSE_DROPOUT * 0x9E3779B9u;
    dropout_call call = {.bodies = kernels->bodies, .units = units, .y = y};
    call.samples_of_rows = samples_of_rows;
    assert(key.first_unit % DT_BLOCK_GRAIN == 0);
    call.stream = (dt_dropout_stream){.first_unit = (uint32_t)key.first_unit,
                                      .key = {(uint32_t)key.seed, upper},
                                      .counter = {key.layer, key.epoch},
                                      .threshold = (int32_t)lroundf(key.rate * 65536.0f),
                                      .scale = 1.0f / (1.0f - key.rate)};
    dt_team_run(kernels->team, rows, dropout_row, &call);
}

typedef struct norm_call {
    const dt_bodies *bodies;
    dt_norm_shape shape;
    const dt_leaf_plan *plan;
    const float *u, *x;          /* the statistics' values, and their partners in the products */
    const float *mean, *inverse; /* NULL for 0 and 1 */
    const float *a, *b, *c;      /* forward: a the scale, b the shift */
    float *y;
    double *partials;
} norm_call;

static size_t row_values(dt_norm_shape shape) {
    return (size_t)shape.width * (size_t)shape.channels;
}

/* Statistics by rows: a task is one row of a leaf's images. */
static void moments_of_row(void *context, int task, int worker) {
    const norm_call *call = context;
    size_t rows = (size_t)call->shape.height, run = row_values(call->shape);
    size_t leaf = (size_t)task / rows, row = (size_t)task % rows;
    size_t offset = (leaf * DT_LEAF_SAMPLES * rows + row) * run;
    double *sums = call->partials + leaf * 2 * rows + row;
    (void)worker;
    call->bodies->moment_runs((size_t)dt_leaf_sums_samples(call->plan, (int)leaf), rows * run, run,
                              call->u + offset, call->x + offset, call->mean ? call->mean[row] : 0.0f,
                              call->inverse ? call->inverse[row] : 1.0f, sums, sums + rows);
}

/* Statistics by channels: a task is a block of channels of a leaf. */
static void moments_of_channels(void *context, int task, int worker) {
    const norm_call *call = context;
    size_t channels = (size_t)call->shape.channels, blocks = (channels + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK;
    size_t leaf = (size_t)task / blocks, first = (size_t)task % blocks * CHANNEL_BLOCK;
    size_t count = channels - first < CHANNEL_BLOCK ? channels - first : CHANNEL_BLOCK;
    size_t pixels = (size_t)call->shape.height * (size_t)call->shape.width;
    size_t offset = leaf * DT_LEAF_SAMPLES * pixels * channels + first;
    double *sums = call->partials + leaf * 2 * channels + first;
    (void)worker;
    call->bodies->moment_channels((size_t)dt_leaf_sums_samples(call->plan, (int)leaf) * pixels, channels,
                                  count, call->u + offset, call->x + offset,
                                  call->mean ? call->mean + first : NULL,
                                  call->inverse ? call->inverse + first : NULL, sums, sums + channels);
}

static void run_moments(const dt_kernels *kernels, norm_call *call) {
    int blocks =
        call->shape.by_rows ? call->shape.height : (call->shape.channels + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK;
    dt_team_run(kernels->team, call->plan->leaves * blocks,
                call->shape.by_rows ? moments_of_row : moments_of_channels, call);
}

static void norm_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan,
                            const float *x, double *partials) {
    norm_call call = {kernels->bodies, shape, plan, .u = x, .x = x, .partials = partials};
    run_moments(kernels, &call);
}

static void norm_backward_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan,
                                     const float *x, const float *dy, const float *mean, const float *inverse,
                                     double *partials) {
    norm_call call = {kernels->bodies, shape, plan, .u = dy, .x = x, .partials = partials};
    call.mean = mean;
    call.inverse = inverse;
    run_moments(kernels, &call);
}

/* Passes over values: a task is one row of an image, whichever the groups are. */
static void norm_forward_row(void *context, int task, int worker) {
    const norm_call *call = context;
    size_t run = row_values(call->shape), row = (size_t)(task % call->shape.height),
           offset = (size_t)task * run;
    (void)worker;
    if (call->shape.by_rows)
        call->bodies->norm_forward_run(run, call->x + offset, call->a[row], call->b[row], call->y + offset);
    else
        call->bodies->norm_forward_channels((size_t)call->shape.width, (size_t)call->shape.channels,
                                            call->x + offset, call->a, call->b, call->y + offset);
}

static void norm_forward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x,
                         const float *scale, const float *shift, float *y) {
    norm_call call = {kernels->bodies, shape, .x = x, .a = scale, .b = shift, .y = y};
    dt_team_run(kernels->team, samples * shape.height, norm_forward_row, &call);
}

static void norm_backward_row(void *context, int task, int worker) {
    const norm_call *call = context;
    size_t run = row_values(call->shape), row = (size_t)(task % call->shape.height),
           offset = (size_t)task * run;
    (void)worker;
    if (call->shape.by_rows)
        call->bodies->norm_backward_run(run, call->x + offset, call->u + offset, call->a[row], call->b[row],
                                        call->c[row], call->y + offset);
    else
        call->bodies->norm_backward_channels((size_t)call->shape.width, (size_t)call->shape.channels,
                                             call->x + offset, call->u + offset, call->a, call->b, call->c,
                                             call->y + offset);
}

static void norm_backward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x,
                          const float *dy, const float *a, const float *b, const float *c, float *dx) {
    norm_call call = {kernels->bodies, shape, .u = dy, .x = x, .a = a, .b = b, .c = c, .y = dx};
    dt_team_run(kernels->team, samples * shape.height, norm_backward_row, &call);
}

const dt_stream_operations dt_stream_vector = {
    .pool_forward = pool_forward,
    .pool_backward_relu = pool_backward_relu,
    .relu_backward = relu_backward,
    .dropout_forward = dropout_forward,
    .norm_statistics = norm_statistics,
    .norm_forward = norm_forward,
    .norm_backward_statistics = norm_backward_statistics,
    .norm_backward = norm_backward,
    .adam_update = adam_update,
    .all_finite = all_finite,
    .largest_magnitude = largest_magnitude,
    .add_to = add_to,
    .wire_round = wire_round,
    .wire_pack = wire_pack,
    .wire_unpack = wire_unpack,
    .wire_adam_update = wire_adam_update,
    .wire_apply_update = wire_apply_update,
};
