/* SPDX-License-Identifier: BSD-3-Clause */
/* A layer's convolution: the choice of a method and the memory behind it. */
#include "dtrain/conv.h"

#include <stdlib.h>

#include "kernels/conv_method.h"

static const struct {
    const char *name;
    const dt_conv_operations *operations;
} methods[] = {
    [DT_CONV_AUTO] = {"auto", NULL},
    [DT_CONV_PASSES] = {"passes", &dt_conv_passes},
    [DT_CONV_DIRECT] = {"direct", &dt_conv_direct},
    [DT_CONV_WINOGRAD] = {"winograd", &dt_conv_winograd},
    [DT_CONV_FOURIER] = {"fourier", &dt_conv_fourier},
    [DT_CONV_TILES] = {"tiles", &dt_conv_tiles},
    [DT_CONV_WINOGRAD_LARGE] = {"winograd-large", &dt_conv_winograd_large},
};

const char *dt_conv_method_name(dt_conv_method method) {
    return methods[method].name;
}

int dt_conv_out_height(dt_conv_shape shape) {
    return shape.pool ? shape.height / 2 : shape.height;
}

int dt_conv_out_width(dt_conv_shape shape) {
    return shape.pool ? shape.width / 2 : shape.width;
}

static const dt_conv_operations *operations_of(dt_conv_method method, dt_conv_shape shape) {
    bool first = method == DT_CONV_TILES && shape.in_channels == 1;
    return first ? &dt_conv_tiles_first : methods[method].operations;
}

static bool can(const dt_kernels *kernels, dt_conv_shape shape, dt_conv_method method) {
    const dt_conv_operations *operations = operations_of(method, shape);
    return operations && operations->can(kernels, shape);
}

/* A later method is the faster one wherever it can. The choice depends on the kernels and the shape
 * alone, never on a clock. */
dt_conv_method dt_conv_choice(const dt_kernels *kernels, dt_conv_shape shape) {
    static const dt_conv_method last[] = {
        [DT_ENGINE_AUTO] = DT_CONV_TILES,
        [DT_ENGINE_DIRECT] = DT_CONV_DIRECT,
        [DT_ENGINE_BLAS] = DT_CONV_PASSES,
        [DT_ENGINE_REFERENCE] = DT_CONV_PASSES,
    };
    dt_conv_method method = last[dt_kernels_engine(kernels)];
    while (method > DT_CONV_PASSES && !can(kernels, shape, method))
        method--;
    return method;
}

static dt_status reserve(dt_conv *conv) {
    dt_arena arena = {0};
    DT_TRY(conv->operations->reserve(&conv->config));
    conv->operations->lay_out(conv, &arena);
    DT_TRY(dt_slab_reserve(arena.used, "a convolution", &conv->memory));
    arena = (dt_arena){.base = conv->memory.base};
    conv->operations->lay_out(conv, &arena);
    return dt_ok();
}

dt_status dt_conv_create(const dt_conv_config *config, dt_conv **out) {
    dt_conv_method method = config->method;
    *out = NULL;
    if (method == DT_CONV_AUTO)
        method = dt_conv_choice(config->kernels, config->shape);
    if (!can(config->kernels, config->shape, method))
        return dt_fail(DT_USAGE, "the method %s cannot compute a %dx%d convolution of %d channels",
                       dt_conv_method_name(method), config->shape.kernel, config->shape.kernel,
                       config->shape.in_channels);
    dt_conv *conv = calloc(1, sizeof *conv);
    if (!conv)
        return dt_fail(DT_MEMORY, "no memory for a convolution");
    conv->operations = operations_of(method, config->shape);
    conv->config = *config;
    conv->config.method = method;
    dt_status status = reserve(conv);
    if (dt_failed(&status))
        dt_conv_destroy(conv);
    else
        *out = conv;
    return status;
}

void dt_conv_destroy(dt_conv *conv) {
    if (!conv)
        return;
    dt_slab_release(&conv->memory);
    free(conv);
}

dt_conv_method dt_conv_chosen(const dt_conv *conv) {
    return conv->config.method;
}

double dt_conv_direct_flop(dt_conv_shape s) {
    return 2.0 * s.height * s.width * s.kernel * s.kernel * s.in_channels * s.out_channels;
}

double dt_conv_executed_flop(const dt_conv *conv, dt_conv_pass pass) {
    return conv->operations->executed_flop(conv, pass);
}

void dt_conv_forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                     bool keep, float *y) {
    conv->operations->forward(conv, samples, input, weights, bias, keep, y);
}

void dt_conv_backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                      const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    conv->operations->backward(conv, plan, input, dy, weights, dweights, dbias, dx);
}
