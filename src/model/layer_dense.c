/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layer and bias; the hidden ones with ReLU and dropout. */
#include "model/layer.h"

#include <string.h>

dt_dense_shape dt_layer_dense_shape(const dt_layer_spec *spec) {
    return (dt_dense_shape){spec->in.channels, spec->out.channels};
}

static dt_status create(dt_layer *layer, dt_kernels *kernels, int samples, int leaves) {
    (void)leaves;
    return dt_dense_reserve(kernels, dt_layer_dense_shape(layer->spec), samples);
}

static void destroy(dt_layer *layer) {
    (void)layer;
}

static void lay_out(dt_layer *layer, dt_arena *arena, int samples, int leaves) {
    size_t values = (size_t)samples * dt_volume_floats(layer->spec->out);
    layer->output = dt_arena_take_floats(arena, values);
    layer->dz = dt_arena_take_floats(arena, leaves > 0 ? values : 0);
    layer->seen = (dt_conv_input){.x = layer->output};
}

static void forward(dt_layer *layer, const dt_pass *pass) {
    double start = dt_timer_now();
    const dt_layer_spec *spec = layer->spec;
    dt_dense_forward(pass->kernels, dt_layer_dense_shape(spec), pass->samples, layer->input.x,
                     layer->main.weights, layer->second.weights, spec->relu, layer->output);
    if (pass->exchange && spec->dropout > 0.0f) {
        dt_dropout_key key = {pass->seed, (uint32_t)layer->number, pass->batch->epoch, spec->dropout, 0};
        dt_dropout_forward(pass->kernels, key, pass->samples, spec->out.channels, pass->batch->samples,
                           layer->output);
    }
    dt_phases_add(pass->phases, DT_PHASE_DENSE_FORWARD, start);
}

static float *backward(dt_layer *layer, const dt_pass *pass, float *dy, float *spare) {
    double start = dt_timer_now();
    const dt_layer_spec *spec = layer->spec;
    dt_dense_shape shape = dt_layer_dense_shape(spec);
    dt_root_sink kernel_sink = layer->main.gradient;
    size_t values = (size_t)pass->samples * (size_t)shape.out;
    if (dt_layer_is_deferred(layer, pass->exchange))
        kernel_sink.base = NULL;
    /* A unit that was dropped and one that the ReLU cut off both left a 0: the output tells all that backward
     * needs. */
    if (spec->relu)
        dt_relu_backward(pass->kernels, values, 1.0f / (1.0f - spec->dropout), layer->output, dy, layer->dz);
    else
        memcpy(layer->dz, dy, values * sizeof(float));
    dt_dense_backward_weights(pass->kernels, shape, pass->plan, layer->input.x, layer->dz, kernel_sink,
                              layer->second.gradient);
    dt_layer_gradient_ready(pass, &layer->main);
    dt_layer_gradient_ready(pass, &layer->second);
    dt_layer_progress(pass);
    if (!layer->first)
        dt_dense_backward_data(pass->kernels, shape, pass->samples, layer->dz, layer->main.weights, spare);
    dt_phases_add(pass->phases, DT_PHASE_DENSE_BACKWARD, start);
    dt_layer_progress(pass);
    return spare;
}

const dt_layer_ops dt_layer_dense_ops = {create, destroy, lay_out, forward, backward};
