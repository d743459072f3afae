/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolution, bias, ReLU, and the average pooling behind it. */
#include "model/layer.h"

dt_conv_shape dt_layer_conv_shape(const dt_layer_spec *spec) {
    return (dt_conv_shape){.height = spec->in.height,
                           .width = spec->in.width,
                           .in_channels = spec->in.channels,
                           .out_channels = spec->out.channels,
                           .kernel = spec->kernel};
}

static dt_pool_shape pool_shape(const dt_layer_spec *spec) {
    return (dt_pool_shape){spec->in.height, spec->in.width, spec->out.channels};
}

/* Values of a sample between convolution and pooling. */
static size_t activation_floats(const dt_layer_spec *spec) {
    return (size_t)spec->in.height * (size_t)spec->in.width * (size_t)spec->out.channels;
}

static void reserve(dt_layer *layer, dt_arena *arena, int samples, int leaves) {
    (void)leaves;
    layer->output = dt_arena_take_floats(arena, (size_t)samples * dt_volume_floats(layer->spec->out));
    layer->activation = layer->output;
    if (layer->spec->pool)
        layer->activation = dt_arena_take_floats(arena, (size_t)samples * activation_floats(layer->spec));
}

static void forward(dt_layer *layer, const dt_pass *pass) {
    double start = dt_timer_now();
    dt_conv_forward(pass->kernels, dt_layer_conv_shape(layer->spec), pass->samples, layer->input,
                    layer->main.weights, layer->second.weights, layer->activation);
    if (layer->spec->pool)
        dt_pool_forward(pass->kernels, pool_shape(layer->spec), pass->samples, layer->activation,
                        layer->output);
    dt_phases_add(pass->phases, DT_PHASE_CONV_FORWARD, start);
}

/* The gradient in front of the ReLU: in `spare` where the pooling makes it larger, else in place. */
static float *activation_gradient(const dt_layer *layer, const dt_pass *pass, float *dy, float *spare) {
    if (layer->spec->pool) {
        dt_pool_backward_relu(pass->kernels, pool_shape(layer->spec), pass->samples, layer->activation, dy,
                              spare);
        return spare;
    }
    size_t count = (size_t)pass->samples * activation_floats(layer->spec);
    dt_relu_backward(pass->kernels, count, 1.0f, layer->output, dy, dy);
    return dy;
}

static float *backward(dt_layer *layer, const dt_pass *pass, float *dy, float *spare) {
    double start = dt_timer_now();
    dt_conv_shape shape = dt_layer_conv_shape(layer->spec);
    float *dz = activation_gradient(layer, pass, dy, spare);
    float *dx = dz == dy ? spare : dy;
    dt_conv_backward_weights(pass->kernels, shape, pass->plan, layer->input, dz, layer->main.gradient,
                             layer->second.gradient);
    dt_layer_gradient_ready(pass, &layer->main);
    dt_layer_gradient_ready(pass, &layer->second);
    if (!layer->first)
        dt_conv_backward_data(pass->kernels, shape, pass->samples, dz, layer->main.weights, dx);
    dt_phases_add(pass->phases, DT_PHASE_CONV_BACKWARD, start);
    dt_layer_progress(pass);
    return dx;
}

const dt_layer_ops dt_layer_conv_ops = {reserve, forward, backward};
