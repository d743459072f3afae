/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolution, bias, ReLU, and the average pooling behind it. */
#include "model/layer.h"

static dt_status create(dt_layer *layer, dt_kernels *kernels, int samples, int leaves) {
    dt_conv_config config = {.kernels = kernels,
                             .shape = dt_methods_shape(layer->spec),
                             .method = layer->method,
                             .samples = samples,
                             .leaves = leaves};
    return dt_conv_create(&config, &layer->conv);
}

static void destroy(dt_layer *layer) {
    dt_conv_destroy(layer->conv);
}

static void lay_out(dt_layer *layer, dt_arena *arena, int samples, int leaves) {
    (void)leaves;
    layer->output = dt_arena_take_floats(arena, (size_t)samples * dt_volume_floats(layer->spec->out));
    layer->seen = (dt_conv_input){.x = layer->output};
}

static void forward(dt_layer *layer, const dt_pass *pass) {
    double start = dt_timer_now();
    dt_conv_forward(layer->conv, pass->samples, layer->input, layer->main.weights, layer->second.weights,
                    pass->exchange != NULL, layer->output);
    dt_phases_add(pass->phases, DT_PHASE_CONV_FORWARD, start);
}

static float *backward(dt_layer *layer, const dt_pass *pass, float *dy, float *spare) {
    double start = dt_timer_now();
    dt_conv_backward(layer->conv, pass->plan, layer->input, dy, layer->main.weights, layer->main.gradient,
                     layer->second.gradient, layer->first ? NULL : spare);
    dt_layer_gradient_ready(pass, &layer->main);
    dt_layer_gradient_ready(pass, &layer->second);
    dt_phases_add(pass->phases, DT_PHASE_CONV_BACKWARD, start);
    dt_layer_progress(pass);
    return spare;
}

const dt_layer_ops dt_layer_conv_ops = {create, destroy, lay_out, forward, backward};
