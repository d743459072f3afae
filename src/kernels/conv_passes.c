/* SPDX-License-Identifier: BSD-3-Clause */
/* A layer's convolution as separate passes: normalise, convolve, pool; and back. */
#include "kernels/conv_method.h"

static dt_pool_shape pool_of(dt_conv_shape shape) {
    return (dt_pool_shape){shape.height, shape.width, shape.out_channels};
}

static size_t input_floats(dt_conv_shape shape) {
    return (size_t)shape.height * (size_t)shape.width * (size_t)shape.in_channels;
}

static size_t activation_floats(dt_conv_shape shape) {
    return (size_t)shape.height * (size_t)shape.width * (size_t)shape.out_channels;
}

static bool can(const dt_kernels *kernels, dt_conv_shape shape) {
    (void)kernels;
    return shape.kernel % 2 == 1;
}

static double executed_flop(const dt_conv *conv, dt_conv_pass pass) {
    (void)pass;
    return dt_conv_direct_flop(conv->config.shape);
}

static dt_status reserve(const dt_conv_config *config) {
    return dt_convolve_reserve(config->kernels, dt_conv_bare(config->shape), config->samples);
}

static void lay_out(dt_conv *conv, dt_arena *arena) {
    const dt_conv_config *config = &conv->config;
    dt_conv_passes_state *state = &conv->state.passes;
    size_t samples = (size_t)config->samples, activation = samples * activation_floats(config->shape);
    state->normal = dt_arena_take_floats(arena, samples * input_floats(config->shape));
    state->activation = dt_arena_take_floats(arena, config->shape.pool ? activation : 0);
    state->gradient = dt_arena_take_floats(arena, config->leaves > 0 && config->shape.pool ? activation : 0);
}

/* The input as the convolution sees it. */
static const float *normalised(dt_conv *conv, int samples, dt_conv_input input) {
    dt_conv_shape shape = conv->config.shape;
    if (!input.scale)
        return input.x;
    dt_norm_shape norm = {shape.height, shape.width, shape.in_channels, input.by_rows};
    dt_norm_forward(conv->config.kernels, norm, samples, input.x, input.scale, input.shift,
                    conv->state.passes.normal);
    return conv->state.passes.normal;
}

static void forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                    bool keep, float *y) {
    dt_kernels *kernels = conv->config.kernels;
    dt_conv_shape shape = conv->config.shape;
    float *activation = shape.pool ? conv->state.passes.activation : y;
    (void)keep;
    dt_convolve_forward(kernels, dt_conv_bare(shape), samples, normalised(conv, samples, input), weights,
                        bias, activation);
    if (shape.pool)
        dt_pool_forward(kernels, pool_of(shape), samples, activation, y);
    conv->state.passes.y = y;
}

/* The gradient in front of the ReLU: in place where no pooling makes it larger. */
static const float *activation_gradient(dt_conv *conv, int samples, float *dy) {
    dt_kernels *kernels = conv->config.kernels;
    dt_conv_shape shape = conv->config.shape;
    dt_conv_passes_state *state = &conv->state.passes;
    if (!shape.pool) {
        dt_relu_backward(kernels, (size_t)samples * activation_floats(shape), 1.0f, state->y, dy, dy);
        return dy;
    }
    dt_pool_backward_relu(kernels, pool_of(shape), samples, state->activation, dy, state->gradient);
    return state->gradient;
}

static void backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                     const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    dt_kernels *kernels = conv->config.kernels;
    dt_convolve_shape shape = dt_conv_bare(conv->config.shape);
    const float *dz = activation_gradient(conv, plan->samples, dy);
    const float *x = input.scale ? conv->state.passes.normal : input.x;
    dt_convolve_backward_weights(kernels, shape, plan, x, dz, dweights, dbias);
    if (dx)
        dt_convolve_backward_data(kernels, shape, plan->samples, dz, weights, dx);
}

const dt_conv_operations dt_conv_passes = {can, executed_flop, reserve, lay_out, forward, backward};
