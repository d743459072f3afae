/* SPDX-License-Identifier: BSD-3-Clause */
/* A convolution's passes by the clock. */
#include "dtrain/tuning.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "dtrain/timer.h"
#include "kernels/sizes.h"

enum { MOST_REPEATS = 63, PATTERN = 4093 };

/* One convolution and its data. */
typedef struct trial {
    dt_conv *conv;
    dt_conv_input input;
    int samples;
    float *x, *scale, *shift, *weights, *bias, *y, *dy, *dx, *dweights, *dbias;
    unsigned char *merges;
    dt_leaf_plan plan;
    dt_slab memory;
} trial;

/* Uniform in [-size, size); they repeat, since drawing takes longer than a convolution. */
static float *take_random(dt_arena *arena, size_t count, float size) {
    float *values = dt_arena_take_floats(arena, count);
    for (size_t i = 0; values && i < smaller(count, PATTERN); i++)
        values[i] =
            size *
            (2 * dt_random_unit(dt_random_draw(1, DT_PURPOSE_DIGITS, (uint32_t)i, 0, 0, 0).word[0]) - 1);
    for (size_t done = PATTERN; values && done < count; done += PATTERN)
        memcpy(values + done, values, smaller(PATTERN, count - done) * sizeof(float));
    return values;
}

static void lay_out(trial *t, const dt_conv_config *config, dt_arena *arena) {
    dt_conv_shape s = config->shape;
    size_t samples = (size_t)config->samples, image = (size_t)(s.height * s.width * s.in_channels);
    size_t output = (size_t)(dt_conv_out_height(s) * dt_conv_out_width(s) * s.out_channels);
    size_t weights = (size_t)(s.kernel * s.kernel * s.in_channels * s.out_channels);
    t->x = take_random(arena, samples * image, 1.0f);
    t->scale = take_random(arena, (size_t)s.height, 1.0f);
    t->shift = take_random(arena, (size_t)s.height, 1.0f);
    t->weights = take_random(arena, weights, 0.1f);
    t->bias = take_random(arena, (size_t)s.out_channels, 1.0f);
    t->dy = take_random(arena, samples * output, 1.0f);
    t->y = dt_arena_take_floats(arena, samples * output);
    t->dx = dt_arena_take_floats(arena, samples * image);
    t->dweights = dt_arena_take_floats(arena, weights);
    t->dbias = dt_arena_take_floats(arena, (size_t)s.out_channels);
    t->merges = dt_arena_take(arena, (size_t)dt_leaves_count(config->samples));
}

static void forward(trial *t) {
    dt_conv_forward(t->conv, t->samples, t->input, t->weights, t->bias, true, t->y);
}

static void backward_to(trial *t, float *dx) {
    dt_conv_backward(t->conv, &t->plan, t->input, t->dy, t->weights, (dt_root_sink){t->dweights, 0},
                     (dt_root_sink){t->dbias, 0}, dx);
}

static void backward_weights(trial *t) {
    backward_to(t, NULL);
}

static void backward(trial *t) {
    backward_to(t, t->dx);
}

static int compare_seconds(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_seconds(trial *t, void (*run)(trial *), int repeats) {
    double seconds[MOST_REPEATS];
    assert(repeats > 0 && repeats <= MOST_REPEATS);
    run(t);
    for (int i = 0; i < repeats; i++) {
        double since = dt_timer_now();
        run(t);
        seconds[i] = dt_timer_now() - since;
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, compare_seconds);
    return seconds[repeats / 2];
}

static dt_status open_trial(const dt_conv_config *config, trial *t) {
    dt_arena arena = {0};
    DT_TRY(dt_conv_create(config, &t->conv));
    lay_out(t, config, &arena);
    DT_TRY(dt_slab_reserve(arena.used, "the measurement of a convolution", &t->memory));
    arena = (dt_arena){.base = t->memory.base};
    lay_out(t, config, &arena);
    t->samples = config->samples;
    t->input = (dt_conv_input){.x = t->x};
    if (config->shape.in_channels > 1)
        t->input = (dt_conv_input){t->x, t->scale, t->shift, true};
    dt_share share = dt_leaves_share(config->samples, 1, 0);
    t->plan = dt_leaves_plan(&share, t->merges, NULL);
    return dt_ok();
}

dt_status dt_tuning_measure(const dt_conv_config *config, int repeats, dt_conv_times *times) {
    assert(repeats >= 1 && repeats <= MOST_REPEATS);
    trial t = {0};
    *times = (dt_conv_times){0};
    dt_status status = open_trial(config, &t);
    if (!dt_failed(&status)) {
        times->possible = true;
        times->forward = median_seconds(&t, forward, repeats);
        if (config->leaves > 0) {
            times->weights = median_seconds(&t, backward_weights, repeats);
            times->backward = median_seconds(&t, backward, repeats);
        }
    }
    dt_conv_destroy(t.conv);
    dt_slab_release(&t.memory);
    return status.code == DT_USAGE ? dt_ok() : status;
}
