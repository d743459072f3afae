/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank's network: slabs, layers in a row, the passes through them. */
#include "dtrain/model.h"

#include <assert.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "model/layer.h"
#include "model/loss.h"

struct dt_model {
    dt_network network;
    dt_parameters parameters;
    dt_kernels *kernels;
    int max_samples, max_leaves, roots;
    uint64_t seed;
    dt_layer layers[DT_MAX_LAYERS];
    float *weights, *gradients; /* its own slabs or the caller's */
    dt_slab own_weights, own_gradients, states, activations;
    dt_split split;
    dt_split_layout split_layout;
    size_t split_begin, split_end; /* of the slab of parameters: what the slab of gradients leaves out */
    dt_slab split_weights;         /* this rank's columns */
    dt_slab split_gradients;       /* of them, where they are stored: root after root */
    dt_share group;                /* samples of the ranks that share the units, in the last training pass */
    unsigned char *group_merges;
    dt_leaf_plan group_plan;
    float *scratch[2];     /* gradients of activations, walking back */
    unsigned char *merges; /* of the share's leaf plan */
    dt_leaf_plan plan;     /* of the last training pass */
    dt_phases own_phases;  /* where times go that nobody asked for */
    dt_phases *phases;
};

static const dt_layer_ops *const layer_ops[] = {
    [DT_LAYER_CONV] = &dt_layer_conv_ops,
    [DT_LAYER_NORM] = &dt_layer_norm_ops,
    [DT_LAYER_DENSE] = &dt_layer_dense_ops,
};

/* The most values of a sample that a gradient between two layers has. */
static size_t largest_gradient(const dt_network *network) {
    size_t largest = 0;
    for (int i = 0; i < network->count; i++) {
        size_t floats = dt_volume_floats(network->layers[i].out);
        largest = floats > largest ? floats : largest;
    }
    return largest;
}

/* The same between two layers that are split. */
static size_t largest_split_gradient(const dt_model *model) {
    size_t largest = 0;
    for (int i = 0; i < model->network.count; i++) {
        size_t floats =
            (size_t)model->layers[i].split.units.samples * (size_t)dt_split_most_samples(&model->split);
        largest = floats > largest ? floats : largest;
    }
    return largest;
}

/* Deals out (or counts) all that the passes write. */
static void lay_out(dt_model *model, dt_arena *arena) {
    for (int i = 0; i < model->network.count; i++) {
        dt_layer *layer = &model->layers[i];
        if (i > 0)
            layer->input = layer[-1].seen;
        layer->ops->lay_out(layer, arena, model->max_samples, model->max_leaves);
    }
    size_t floats = model->roots > 0 ? largest_gradient(&model->network) * (size_t)model->max_samples : 0;
    size_t split_floats = largest_split_gradient(model);
    floats = split_floats > floats ? split_floats : floats;
    model->scratch[0] = dt_arena_take_floats(arena, floats);
    model->scratch[1] = dt_arena_take_floats(arena, floats);
    model->merges = dt_arena_take(arena, (size_t)model->max_leaves);
    model->group_merges = dt_arena_take(arena, (size_t)dt_leaves_count(dt_split_most_samples(&model->split)));
}

static dt_learnt learnt_tensor(dt_model *model, int layer, dt_tensor_role role) {
    int index = dt_parameters_find(&model->parameters, layer, role);
    size_t offset = model->parameters.tensors[index].offset;
    dt_learnt learnt = {.index = index, .weights = model->weights + offset};
    if (model->roots > 0 && (offset < model->split_begin || offset >= model->split_end))
        learnt.gradient = (dt_root_sink){model->gradients + dt_model_gradient_place(model, offset),
                                         dt_model_root_stride(model)};
    return learnt;
}

static float *state_tensor(dt_model *model, int layer, dt_tensor_role role) {
    return (float *)model->states.base +
           model->parameters.states[dt_parameters_find(&model->parameters, layer, role)].offset;
}

static void connect_layer(dt_model *model, int index) {
    dt_layer *layer = &model->layers[index];
    if (layer->spec->kind == DT_LAYER_NORM) {
        layer->main = learnt_tensor(model, index, DT_TENSOR_GAMMA);
        layer->second = learnt_tensor(model, index, DT_TENSOR_BETA);
        layer->moving_mean = state_tensor(model, index, DT_TENSOR_MOVING_MEAN);
        layer->moving_variance = state_tensor(model, index, DT_TENSOR_MOVING_VARIANCE);
    } else {
        layer->main = learnt_tensor(model, index, DT_TENSOR_KERNEL);
        layer->second = learnt_tensor(model, index, DT_TENSOR_BIAS);
    }
}

/* Makes a layer one whose units are shared. */
static void split_layer(dt_model *model, int index) {
    dt_layer *layer = &model->layers[index];
    const dt_layer_spec *spec = layer->spec;
    unsigned char merges[DT_MOST_BLOCKS];
    layer->ops = &dt_layer_split_ops;
    layer->split =
        (dt_layer_split){.samples = dt_split_most_samples(&model->split),
                         .group = &model->group,
                         .plan = &model->group_plan,
                         .units = dt_blocks_share(spec->out.channels, model->split.ranks, model->split.rank),
                         .follows = index > 0 && dt_split_is_split(spec - 1),
                         .leads = index + 1 < model->network.count && dt_split_is_split(spec + 1)};
    layer->split.roots = dt_leaves_plan(&layer->split.units, merges, NULL).roots;
}

/* Its columns, once their slab is there. */
static void connect_columns(dt_model *model, const dt_split_tensor *tensor) {
    const dt_tensor *row = &model->parameters.tensors[tensor->tensor];
    dt_layer_split *split = &model->layers[row->layer].split;
    float *columns = (float *)model->split_weights.base + tensor->offset;
    bool is_kernel = row->role == DT_TENSOR_KERNEL;
    *(is_kernel ? &split->kernel : &split->bias) = columns;
    if (model->split.roots > 0)
        *(is_kernel ? &split->kernel_gradient : &split->bias_gradient) = (dt_root_sink){
            (float *)model->split_gradients.base + tensor->offset, dt_model_split_stride(model)};
}

/* The columns' slabs, in front of the first lay_out, which gives memory to what has none. */
static dt_status reserve_columns(dt_model *model) {
    size_t bytes = model->split_layout.floats * sizeof(float);
    DT_TRY(dt_slab_reserve(bytes, "a share of the dense weights", &model->split_weights));
    DT_TRY(dt_slab_reserve((size_t)model->split.roots * bytes, "gradients of a share of the dense weights",
                           &model->split_gradients));
    for (int i = 0; i < model->split_layout.count; i++)
        connect_columns(model, &model->split_layout.tensors[i]);
    return dt_ok();
}

static dt_status create_layers(dt_model *model, dt_methods methods) {
    int leaves = model->roots > 0 ? model->max_leaves : 0, count = model->network.count, convolutions = 0;
    for (int i = 0; i < count; i++) {
        const dt_layer_spec *spec = &model->network.layers[i];
        dt_layer *layer = &model->layers[i];
        *layer = (dt_layer){.ops = layer_ops[spec->kind], .spec = spec, .first = i == 0, .number = i};
        layer->before_conv = i + 1 < count && spec[1].kind == DT_LAYER_CONV;
        if (spec->kind == DT_LAYER_CONV)
            layer->method = methods.of[convolutions++];
        if (model->split.ranks > 0 && dt_split_is_split(spec))
            split_layer(model, i);
        DT_TRY(layer->ops->create(layer, model->kernels, model->max_samples, leaves));
    }
    return dt_ok();
}

/* The caller's slab, or one of the model's own. */
static dt_status take_slab(float *given, size_t floats, const char *purpose, dt_slab *own, float **slab) {
    if (!given)
        DT_TRY(dt_slab_reserve(floats * sizeof(float), purpose, own));
    *slab = given ? given : own->base;
    return dt_ok();
}

static dt_status reserve_memory(dt_model *model, const dt_model_config *config) {
    dt_arena arena = {0};
    size_t gradients = (size_t)model->roots * dt_model_root_stride(model);
    DT_TRY(create_layers(model, config->methods));
    DT_TRY(reserve_columns(model));
    lay_out(model, &arena);
    DT_TRY(dt_slab_reserve(arena.used, "activations", &model->activations));
    DT_TRY(take_slab(config->weights, model->parameters.floats, "weights", &model->own_weights,
                     &model->weights));
    DT_TRY(
        dt_slab_reserve(model->parameters.state_floats * sizeof(float), "moving statistics", &model->states));
    DT_TRY(take_slab(config->gradients, gradients, "gradients", &model->own_gradients, &model->gradients));
    arena = (dt_arena){.base = model->activations.base};
    lay_out(model, &arena);
    for (int i = 0; i < model->network.count; i++)
        connect_layer(model, i);
    return dt_ok();
}

dt_status dt_model_create(const dt_model_config *config, dt_model **out) {
    dt_model *model = calloc(1, sizeof *model);
    *out = model;
    if (!model)
        return dt_fail(DT_MEMORY, "no memory for a model");
    model->network = *config->network;
    model->parameters = dt_parameters_layout(&model->network);
    model->kernels = config->kernels;
    model->max_samples = config->samples;
    model->max_leaves = config->leaves;
    model->roots = config->roots;
    model->seed = config->seed;
    model->split = config->split;
    model->split_begin = model->split_end = model->parameters.floats;
    if (model->split.ranks > 0) {
        model->split_layout =
            dt_split_layout_of(&model->network, &model->parameters, model->split.ranks, model->split.rank);
        dt_split_span(&model->network, &model->parameters, &model->split_begin, &model->split_end);
    }
    model->phases = &model->own_phases;
    dt_status status = reserve_memory(model, config);
    if (dt_failed(&status)) {
        dt_model_destroy(model);
        *out = NULL;
    }
    return status;
}

void dt_model_destroy(dt_model *model) {
    if (!model)
        return;
    for (int i = 0; i < model->network.count; i++)
        if (model->layers[i].ops)
            model->layers[i].ops->destroy(&model->layers[i]);
    dt_slab_release(&model->activations);
    dt_slab_release(&model->own_weights);
    dt_slab_release(&model->states);
    dt_slab_release(&model->own_gradients);
    dt_slab_release(&model->split_weights);
    dt_slab_release(&model->split_gradients);
    free(model);
}

const dt_network *dt_model_network(const dt_model *model) {
    return &model->network;
}

const dt_parameters *dt_model_parameters(const dt_model *model) {
    return &model->parameters;
}

float *dt_model_weights(dt_model *model) {
    return model->weights;
}

float *dt_model_states(dt_model *model) {
    return model->states.base;
}

float *dt_model_gradients(dt_model *model) {
    return model->gradients;
}

size_t dt_model_root_stride(const dt_model *model) {
    return model->parameters.floats - (model->split_end - model->split_begin);
}

size_t dt_model_gradient_place(const dt_model *model, size_t offset) {
    assert(offset <= model->split_begin || offset >= model->split_end);
    return offset <= model->split_begin ? offset : offset - (model->split_end - model->split_begin);
}

void dt_model_set_phases(dt_model *model, dt_phases *phases) {
    model->phases = phases ? phases : &model->own_phases;
}

/* With DT_WIRE_BF16: what goes into the split layers and out of them, wherever it is needed. A layer that is
 * split rounds its own units itself. */
static void round_output(const dt_model *model, const dt_pass *pass, int index) {
    const dt_layer *layer = &model->layers[index];
    bool enters = index + 1 < model->network.count && dt_split_is_split(layer->spec + 1);
    if (layer->ops != &dt_layer_split_ops && (enters || dt_split_is_split(layer->spec)))
        dt_wire_round(pass->kernels, (size_t)pass->samples * dt_volume_floats(layer->spec->out),
                      layer->output);
}

/* Runs all layers; returns the logits. */
static const float *forward(dt_model *model, const dt_pass *pass, const float *x) {
    assert(pass->samples <= model->max_samples);
    model->layers[0].input = (dt_conv_input){.x = x};
    for (int i = 0; i < model->network.count; i++) {
        double start = dt_timer_now();
        if (pass->exchange)
            dt_layer_await_weights(&model->layers[i], pass->exchange);
        dt_phases_add(pass->phases, DT_PHASE_GRADIENTS, start);
        model->layers[i].ops->forward(&model->layers[i], pass);
        if (pass->exchange)
            round_output(model, pass, i);
    }
    return model->layers[model->network.count - 1].output;
}

static void backward(dt_model *model, const dt_pass *pass) {
    float *dy = model->scratch[0];
    for (int i = model->network.count - 1; i >= 0; i--) {
        float *spare = dy == model->scratch[0] ? model->scratch[1] : model->scratch[0];
        dy = model->layers[i].ops->backward(&model->layers[i], pass, dy, spare);
    }
}

void dt_model_train(dt_model *model, const dt_batch *batch, const dt_exchange *exchange, dt_totals *totals) {
    assert(batch->share.leaves <= model->max_leaves);
    model->plan = dt_leaves_plan(&batch->share, model->merges, NULL);
    assert(model->plan.roots <= model->roots);
    if (model->split.ranks > 0) {
        assert(batch->share.batch <= model->split.batch);
        model->group = dt_split_samples(&model->split, batch->share.batch);
        model->group_plan = dt_leaves_plan(&model->group, model->group_merges, NULL);
        assert(model->split.roots == 0 || model->group_plan.roots <= model->split.roots);
    }
    dt_pass pass = {.kernels = model->kernels,
                    .exchange = exchange,
                    .batch = batch,
                    .plan = &model->plan,
                    .samples = batch->share.samples,
                    .seed = model->seed,
                    .phases = model->phases};
    const float *logits = forward(model, &pass, batch->x);
    double start = dt_timer_now();
    *totals = (dt_totals){0};
    dt_loss_measure(pass.samples, logits, batch->labels, totals);
    dt_loss_gradient(pass.samples, batch->share.batch, logits, batch->labels, model->scratch[0]);
    dt_phases_add(model->phases, DT_PHASE_LOSS, start);
    backward(model, &pass);
}

/* The dense layer whose kernel a tensor is; NULL for any other tensor. */
static const dt_layer *dense_layer_of(const dt_model *model, int tensor) {
    const dt_tensor *row = &model->parameters.tensors[tensor];
    const dt_layer *layer = &model->layers[row->layer];
    return row->role == DT_TENSOR_KERNEL && layer->spec->kind == DT_LAYER_DENSE ? layer : NULL;
}

bool dt_model_is_dense_kernel(const dt_model *model, int tensor) {
    return dense_layer_of(model, tensor) != NULL;
}

/* Half of the range is left to the roundings of the sum. With DT_WIRE_BF16 it ends below 2^112. A NaN fails
 * the comparison. */
static bool is_bounded(dt_kernels *kernels, size_t samples, dt_dense_shape shape, const float *x,
                       const float *dz) {
    double largest_x = dt_largest_magnitude(kernels, samples * (size_t)shape.in, x);
    double largest_dz = dt_largest_magnitude(kernels, samples * (size_t)shape.out, dz);
    double range = dt_kernels_wire(kernels) == DT_WIRE_BF16 ? 0x1p112 : (double)FLT_MAX;
    return (double)samples * largest_x * largest_dz < 0.5 * range;
}

bool dt_model_dense_is_finite(dt_model *model, int tensor) {
    const dt_layer *layer = dense_layer_of(model, tensor);
    assert(layer);
    return is_bounded(model->kernels, (size_t)model->plan.samples, dt_layer_dense_shape(layer->spec),
                      layer->input.x, layer->dz);
}

const dt_split_layout *dt_model_split_layout(const dt_model *model) {
    return &model->split_layout;
}

float *dt_model_split_weights(dt_model *model) {
    return model->split_weights.base;
}

float *dt_model_split_gradients(dt_model *model) {
    return model->split_gradients.base;
}

size_t dt_model_split_stride(const dt_model *model) {
    return model->split_layout.floats;
}

static const float *split_input(const dt_layer *layer) {
    return layer->split.follows ? layer->input.x : layer->split.input;
}

bool dt_model_split_is_finite(dt_model *model, int tensor) {
    const dt_layer *layer = &model->layers[model->parameters.tensors[tensor].layer];
    int units = layer->split.units.samples;
    if (model->parameters.tensors[tensor].role == DT_TENSOR_BIAS)
        return dt_all_finite(model->kernels, (size_t)units, layer->split.bias_gradient.base);
    return is_bounded(model->kernels, (size_t)model->group_plan.samples,
                      (dt_dense_shape){layer->spec->in.channels, units}, split_input(layer), layer->dz);
}

void dt_model_update_split(dt_model *model, dt_adam_step step, float *m, float *v) {
    float *weights = dt_model_split_weights(model);
    for (int i = 0; i < model->split_layout.count; i++) {
        const dt_split_tensor *tensor = &model->split_layout.tensors[i];
        const dt_tensor *row = &model->parameters.tensors[tensor->tensor];
        const dt_layer *layer = &model->layers[row->layer];
        size_t at = tensor->offset;
        if (tensor->units.samples == 0)
            continue;
        if (row->role == DT_TENSOR_BIAS)
            dt_adam_update(model->kernels, step, (size_t)tensor->units.samples,
                           layer->split.bias_gradient.base, weights + at, m + at, v + at);
        else
            dt_dense_update(model->kernels, (dt_dense_shape){tensor->rows, tensor->units.samples},
                            &model->group_plan, split_input(layer), layer->dz, step, weights + at, m + at,
                            v + at);
    }
}

void dt_model_update_dense(dt_model *model, dt_adam_step step, float *m, float *v) {
    float *weights = dt_model_weights(model);
    for (int i = 0; i < model->parameters.count; i++) {
        const dt_layer *layer = dense_layer_of(model, i);
        size_t offset = model->parameters.tensors[i].offset;
        if (layer)
            dt_dense_update(model->kernels, dt_layer_dense_shape(layer->spec), &model->plan, layer->input.x,
                            layer->dz, step, weights + offset, m + offset, v + offset);
    }
}

static const float *evaluate(dt_model *model, int samples, const float *x) {
    /* Evaluation is one phase of its own, whatever it is made of. */
    dt_phases inside = {{0}};
    double start = dt_timer_now();
    dt_pass pass = {.kernels = model->kernels, .samples = samples, .phases = &inside};
    const float *logits = forward(model, &pass, x);
    dt_phases_add(model->phases, DT_PHASE_EVALUATION, start);
    return logits;
}

void dt_model_evaluate(dt_model *model, int samples, const float *x, const uint8_t *labels,
                       dt_totals *totals) {
    dt_loss_measure(samples, evaluate(model, samples, x), labels, totals);
}

void dt_model_predict(dt_model *model, int samples, const float *x, float *probabilities) {
    dt_loss_probabilities(samples, evaluate(model, samples, x), probabilities);
}

static void combine_alone(void *context, const double *partials, int width, double *sums) {
    int leaves = *(const int *)context;
    for (int i = 0; i < width; i++) {
        sums[i] = 0.0;
        for (int leaf = 0; leaf < leaves; leaf++)
            sums[i] += partials[(size_t)leaf * (size_t)width + (size_t)i];
    }
}

static void ignore_gradient(void *context, int tensor) {
    (void)context;
    (void)tensor;
}

static void ignore_progress(void *context) {
    (void)context;
}

dt_exchange dt_exchange_alone(const int *leaves) {
    /* The exchange never writes through its context here. */
    return (dt_exchange){.context = (void *)(uintptr_t)leaves,
                         .combine = combine_alone,
                         .gradient_ready = ignore_gradient,
                         .progress = ignore_progress};
}
