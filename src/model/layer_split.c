/* SPDX-License-Identifier: BSD-3-Clause */
/* A hidden dense layer whose units are split over a group of ranks. In a training pass a rank computes its
 * units for all samples of the group; activations travel inside the group instead of gradients. In evaluation
 * it is the dense layer it would be on one rank. */
#include "model/layer.h"

static dt_dense_shape own_shape(const dt_layer *layer) {
    return (dt_dense_shape){layer->spec->in.channels, layer->split.units.samples};
}

static dt_status create(dt_layer *layer, dt_kernels *kernels, int samples, int leaves) {
    DT_TRY(dt_layer_dense_ops.create(layer, kernels, samples, leaves));
    return dt_dense_reserve(kernels, own_shape(layer), layer->split.samples);
}

static void destroy(dt_layer *layer) {
    (void)layer;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static void lay_out(dt_layer *layer, dt_arena *arena, int samples, int leaves) {
    dt_layer_split *split = &layer->split;
    size_t batch = (size_t)split->samples, in = (size_t)layer->spec->in.channels;
    size_t own = batch * (size_t)split->units.samples;
    (void)leaves;
    layer->output =
        dt_arena_take_floats(arena, larger((size_t)samples, batch) * (size_t)layer->spec->out.channels);
    layer->seen = (dt_conv_input){.x = layer->output};
    layer->dz = dt_arena_take_floats(arena, own);
    split->output = dt_arena_take_floats(arena, own);
    split->input = split->follows ? NULL : dt_arena_take_floats(arena, batch * in);
    split->partial_stride = dt_align_floats(batch * in);
    split->partials = dt_arena_take_floats(arena, (size_t)split->roots * split->partial_stride);
    /* Stored gradients have a slab of their own (connect_columns). */
    if (!split->kernel_gradient.base)
        split->bias_gradient = (dt_root_sink){dt_arena_take_floats(arena, (size_t)split->units.samples), 0};
}

static void reshape(const dt_pass *pass, dt_reshape shape, const float *source, float *target) {
    double start = dt_timer_now();
    pass->exchange->reshape(pass->exchange->context, shape, source, target);
    dt_phases_add(pass->phases, DT_PHASE_ACTIVATIONS, start);
}

static const float *whole_input(const dt_layer *layer) {
    return layer->split.follows ? layer->input.x : layer->split.input;
}

static void forward(dt_layer *layer, const dt_pass *pass) {
    if (!pass->exchange) {
        dt_layer_dense_ops.forward(layer, pass);
        return;
    }
    const dt_layer_spec *spec = layer->spec;
    dt_layer_split *split = &layer->split;
    int samples = split->group->samples;
    if (!split->follows)
        reshape(pass, (dt_reshape){DT_FORM_SAMPLES, DT_FORM_WHOLE, spec->in.channels, 0}, layer->input.x,
                split->input);
    double start = dt_timer_now();
    if (split->units.samples > 0 && samples > 0) {
        dt_dense_forward(pass->kernels, own_shape(layer), samples, whole_input(layer), split->kernel,
                         split->bias, spec->relu, split->output);
        if (spec->dropout > 0.0f) {
            dt_dropout_key key = {pass->seed, (uint32_t)layer->number, pass->batch->epoch, spec->dropout,
                                  split->units.first_sample};
            dt_dropout_forward(pass->kernels, key, samples, split->units.samples,
                               pass->batch->batch_samples + split->group->first_sample, split->output);
        }
        dt_wire_round(pass->kernels, (size_t)samples * (size_t)split->units.samples, split->output);
    }
    dt_phases_add(pass->phases, DT_PHASE_DENSE_FORWARD, start);
    reshape(
        pass,
        (dt_reshape){DT_FORM_UNITS, split->leads ? DT_FORM_WHOLE : DT_FORM_SAMPLES, spec->out.channels, 0},
        split->output, layer->output);
}

static float *backward(dt_layer *layer, const dt_pass *pass, float *dy, float *spare) {
    const dt_layer_spec *spec = layer->spec;
    dt_layer_split *split = &layer->split;
    int samples = split->group->samples;
    size_t values = (size_t)samples * (size_t)split->units.samples;
    if (!split->leads) {
        reshape(pass, (dt_reshape){DT_FORM_SAMPLES, DT_FORM_UNITS, spec->out.channels, 0}, dy, layer->dz);
        dy = layer->dz;
    }
    double start = dt_timer_now();
    dt_relu_backward(pass->kernels, values, 1.0f / (1.0f - spec->dropout), split->output, dy, layer->dz);
    if (values > 0)
        dt_dense_backward_weights(pass->kernels, own_shape(layer), split->plan, whole_input(layer), layer->dz,
                                  split->kernel_gradient, split->bias_gradient);
    dt_layer_gradient_ready(pass, &layer->main);
    dt_layer_gradient_ready(pass, &layer->second);
    dt_layer_progress(pass);
    if (values > 0)
        dt_dense_backward_data_share(pass->kernels, own_shape(layer), split->units, samples, layer->dz,
                                     split->kernel, (dt_root_sink){split->partials, split->partial_stride});
    dt_phases_add(pass->phases, DT_PHASE_DENSE_BACKWARD, start);
    dt_form form = split->follows ? DT_FORM_UNITS : DT_FORM_SAMPLES;
    reshape(pass, (dt_reshape){DT_FORM_PARTIAL, form, spec->in.channels, spec->out.channels}, split->partials,
            spare);
    return spare;
}

const dt_layer_ops dt_layer_split_ops = {create, destroy, lay_out, forward, backward};
