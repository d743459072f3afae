/* SPDX-License-Identifier: BSD-3-Clause */
/* Batch normalisation over the global batch (Ioffe & Szegedy 2015), momentum and variance as Keras 3: biased
 * batch variance, moving = 0.99 moving + 0.01 batch. */
#include "model/layer.h"

#include <math.h>

static const double momentum = DT_NORM_MOMENTUM, epsilon = 1e-3;

/* The vectors of a layer, each of `groups` floats, DT_ALIGNMENT apart. mean and inverse live from forward to
 * backward. */
enum { MEAN, INVERSE, SCALE, SHIFT, SLOPE, VECTORS };

static dt_norm_shape norm_shape(const dt_layer_spec *spec) {
    return (dt_norm_shape){spec->in.height, spec->in.width, spec->in.channels, spec->by_rows};
}

static int group_count(const dt_layer *layer) {
    return dt_norm_groups(norm_shape(layer->spec));
}

static float *vector(const dt_layer *layer, int which) {
    return layer->vectors + (size_t)which * dt_align_floats((size_t)group_count(layer));
}

/* The partials of `leaves` leaves and behind them one row for the totals. */
static double *totals_row(const dt_layer *layer, int leaves) {
    return layer->partials + (size_t)leaves * 2 * (size_t)group_count(layer);
}

static dt_status create(dt_layer *layer, dt_kernels *kernels, int samples, int leaves) {
    (void)layer, (void)kernels, (void)samples, (void)leaves;
    return dt_ok();
}

static void destroy(dt_layer *layer) {
    (void)layer;
}

/* In front of a convolution nothing is written: the convolution reads the input and normalises on the way. */
static void lay_out(dt_layer *layer, dt_arena *arena, int samples, int leaves) {
    size_t groups = (size_t)group_count(layer), values = (size_t)samples * dt_volume_floats(layer->spec->out);
    layer->output = dt_arena_take_floats(arena, layer->before_conv ? 0 : values);
    layer->vectors = dt_arena_take_floats(arena, VECTORS * dt_align_floats(groups));
    layer->partials = dt_arena_take(arena, ((size_t)leaves + 1) * 2 * groups * sizeof(double));
    if (layer->before_conv)
        layer->seen =
            (dt_conv_input){layer->input.x, vector(layer, SCALE), vector(layer, SHIFT), layer->spec->by_rows};
    else
        layer->seen = (dt_conv_input){.x = layer->output};
}

/* Values of the global batch in one group. */
static double group_size(const dt_layer *layer, const dt_pass *pass) {
    return (double)dt_volume_floats(layer->spec->in) / group_count(layer) * pass->batch->share.batch;
}

/* Sums a row of two vectors over all leaves of the global batch. */
static const double *combine(dt_layer *layer, const dt_pass *pass, double start) {
    double *totals = totals_row(layer, pass->plan->leaves);
    double now = dt_phases_add(pass->phases, DT_PHASE_NORM, start);
    pass->exchange->combine(pass->exchange->context, layer->partials, 2 * group_count(layer), totals);
    dt_phases_add(pass->phases, DT_PHASE_STATISTICS, now);
    return totals;
}

static void batch_moments(dt_layer *layer, const dt_pass *pass, const double *sums) {
    int groups = group_count(layer);
    double size = group_size(layer, pass);
    for (int g = 0; g < groups; g++) {
        double mean = sums[g] / size;
        double variance = fmax(sums[groups + g] / size - mean * mean, 0.0);
        vector(layer, MEAN)[g] = (float)mean;
        vector(layer, INVERSE)[g] = (float)(1.0 / sqrt(variance + epsilon));
        layer->moving_mean[g] = (float)(layer->moving_mean[g] * momentum + mean * (1.0 - momentum));
        layer->moving_variance[g] =
            (float)(layer->moving_variance[g] * momentum + variance * (1.0 - momentum));
    }
}

static void moving_moments(dt_layer *layer) {
    for (int g = 0; g < group_count(layer); g++) {
        vector(layer, MEAN)[g] = layer->moving_mean[g];
        vector(layer, INVERSE)[g] = (float)(1.0 / sqrt(layer->moving_variance[g] + epsilon));
    }
}

static void forward(dt_layer *layer, const dt_pass *pass) {
    double start = dt_timer_now();
    dt_norm_shape shape = norm_shape(layer->spec);
    if (pass->exchange) {
        dt_norm_statistics(pass->kernels, shape, pass->plan, layer->input.x, layer->partials);
        batch_moments(layer, pass, combine(layer, pass, start));
        start = dt_timer_now();
    } else {
        moving_moments(layer);
    }
    float *scale = vector(layer, SCALE), *shift = vector(layer, SHIFT);
    for (int g = 0; g < group_count(layer); g++) {
        scale[g] = layer->main.weights[g] * vector(layer, INVERSE)[g];
        shift[g] = layer->second.weights[g] - vector(layer, MEAN)[g] * scale[g];
    }
    if (!layer->before_conv)
        dt_norm_forward(pass->kernels, shape, pass->samples, layer->input.x, scale, shift, layer->output);
    dt_phases_add(pass->phases, DT_PHASE_NORM, start);
}

/* From the sums of dy and dy * xhat: the gradients of beta and gamma, and dx = a dy + b x + c (kernels.h)
 * with a in SCALE, b in SLOPE, c in SHIFT. */
static void gradient_coefficients(dt_layer *layer, const dt_pass *pass, const double *sums) {
    int groups = group_count(layer);
    double size = group_size(layer, pass);
    for (int g = 0; g < groups; g++) {
        double inverse = vector(layer, INVERSE)[g], mean = vector(layer, MEAN)[g];
        double scale = layer->main.weights[g] * inverse;
        double along = -scale * inverse * sums[groups + g] / size;
        vector(layer, SCALE)[g] = (float)scale;
        vector(layer, SLOPE)[g] = (float)along;
        vector(layer, SHIFT)[g] = (float)(-scale * sums[g] / size - along * mean);
        layer->main.gradient.base[g] = (float)sums[groups + g];
        layer->second.gradient.base[g] = (float)sums[g];
    }
}

static float *backward(dt_layer *layer, const dt_pass *pass, float *dy, float *spare) {
    (void)spare;
    double start = dt_timer_now();
    dt_norm_shape shape = norm_shape(layer->spec);
    dt_norm_backward_statistics(pass->kernels, shape, pass->plan, layer->input.x, dy, vector(layer, MEAN),
                                vector(layer, INVERSE), layer->partials);
    gradient_coefficients(layer, pass, combine(layer, pass, start));
    start = dt_timer_now();
    dt_layer_gradient_ready(pass, &layer->main);
    dt_layer_gradient_ready(pass, &layer->second);
    dt_norm_backward(pass->kernels, shape, pass->samples, layer->input.x, dy, vector(layer, SCALE),
                     vector(layer, SLOPE), vector(layer, SHIFT), dy);
    dt_phases_add(pass->phases, DT_PHASE_NORM, start);
    dt_layer_progress(pass);
    return dy;
}

const dt_layer_ops dt_layer_norm_ops = {create, destroy, lay_out, forward, backward};
