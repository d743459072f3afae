/* SPDX-License-Identifier: BSD-3-Clause */
/* The tensor table. */
#include "dtrain/parameters.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dtrain/hash.h"
#include "dtrain/memory.h"
#include "dtrain/random.h"

static const char *const role_names[] = {
    [DT_TENSOR_KERNEL] = "kernel",
    [DT_TENSOR_BIAS] = "bias",
    [DT_TENSOR_GAMMA] = "gamma",
    [DT_TENSOR_BETA] = "beta",
    [DT_TENSOR_MOVING_MEAN] = "moving_mean",
    [DT_TENSOR_MOVING_VARIANCE] = "moving_variance",
};

static void fill(dt_tensor *tensor, const dt_network *network, int layer, dt_tensor_role role, int rank,
                 const int dims[4]) {
    *tensor = (dt_tensor){.role = role, .layer = layer, .rank = rank, .count = 1};
    snprintf(tensor->name, sizeof tensor->name, "%s/%s", network->layers[layer].name, role_names[role]);
    for (int i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
        tensor->count *= (size_t)dims[i];
    }
}

static void add_learnt(dt_parameters *parameters, const dt_network *network, int layer, dt_tensor_role role,
                       int rank, const int dims[4]) {
    assert(parameters->count < DT_MAX_TENSORS);
    fill(&parameters->tensors[parameters->count++], network, layer, role, rank, dims);
}

static void add_state(dt_parameters *parameters, const dt_network *network, int layer, dt_tensor_role role,
                      int groups) {
    assert(parameters->state_count < DT_MAX_STATES);
    dt_tensor *tensor = &parameters->states[parameters->state_count++];
    fill(tensor, network, layer, role, 1, (const int[4]){groups});
    tensor->offset = parameters->state_floats;
    parameters->state_floats += dt_align_floats(tensor->count);
}

static void add_layer(dt_parameters *parameters, const dt_network *network, int index) {
    const dt_layer_spec *layer = &network->layers[index];
    int in = layer->in.channels, out = layer->out.channels;
    if (layer->kind == DT_LAYER_NORM) {
        const int groups[4] = {layer->by_rows ? layer->in.height : in};
        add_learnt(parameters, network, index, DT_TENSOR_GAMMA, 1, groups);
        add_learnt(parameters, network, index, DT_TENSOR_BETA, 1, groups);
        add_state(parameters, network, index, DT_TENSOR_MOVING_MEAN, groups[0]);
        add_state(parameters, network, index, DT_TENSOR_MOVING_VARIANCE, groups[0]);
        return;
    }
    if (layer->kind == DT_LAYER_CONV)
        add_learnt(parameters, network, index, DT_TENSOR_KERNEL, 4,
                   (const int[4]){layer->kernel, layer->kernel, in, out});
    else
        add_learnt(parameters, network, index, DT_TENSOR_KERNEL, 2, (const int[4]){in, out});
    add_learnt(parameters, network, index, DT_TENSOR_BIAS, 1, (const int[4]){out});
}

static bool is_summed(const dt_tensor *tensor) {
    return tensor->role == DT_TENSOR_KERNEL || tensor->role == DT_TENSOR_BIAS;
}

/* Deals out places from the last layer to the first, to the summed tensors or to the others; a kernel before
 * its bias. */
static void place(dt_parameters *parameters, const dt_network *network, bool summed) {
    for (int layer = network->count - 1; layer >= 0; layer--)
        for (int i = 0; i < parameters->count; i++) {
            dt_tensor *tensor = &parameters->tensors[i];
            if (tensor->layer != layer || is_summed(tensor) != summed)
                continue;
            tensor->offset = parameters->floats;
            parameters->floats += dt_align_floats(tensor->count);
        }
}

dt_parameters dt_parameters_layout(const dt_network *network) {
    dt_parameters parameters = {.config = network->config};
    for (int layer = 0; layer < network->count; layer++)
        add_layer(&parameters, network, layer);
    place(&parameters, network, true);
    parameters.summed_floats = parameters.floats;
    place(&parameters, network, false);
    return parameters;
}

int dt_parameters_find(const dt_parameters *parameters, int layer, dt_tensor_role role) {
    bool state = role == DT_TENSOR_MOVING_MEAN || role == DT_TENSOR_MOVING_VARIANCE;
    const dt_tensor *tensors = state ? parameters->states : parameters->tensors;
    int count = state ? parameters->state_count : parameters->count;
    for (int i = 0; i < count; i++)
        if (tensors[i].layer == layer && tensors[i].role == role)
            return i;
    return -1;
}

static bool same_tensors(const dt_tensor *a, int a_count, const dt_tensor *b, int b_count) {
    bool same = a_count == b_count;
    for (int i = 0; same && i < a_count; i++)
        same = strcmp(a[i].name, b[i].name) == 0 && a[i].rank == b[i].rank &&
               memcmp(a[i].dims, b[i].dims, sizeof a[i].dims) == 0;
    return same;
}

static void add_choice(const char *option, const char *then, const char *now,
                       char difference[DT_SHAPE_DIFFERENCE]) {
    size_t used = strlen(difference);
    if (strcmp(then, now) != 0)
        snprintf(difference + used, DT_SHAPE_DIFFERENCE - used, "%s--%s %s then, %s now", used ? "; " : "",
                 option, then, now);
}

static void describe_difference(const dt_network_config *then, const dt_network_config *now,
                                char difference[DT_SHAPE_DIFFERENCE]) {
    char then_width[32], now_width[32];
    snprintf(then_width, sizeof then_width, "%.10g", then->width);
    snprintf(now_width, sizeof now_width, "%.10g", now->width);
    add_choice("width", then_width, now_width, difference);
    add_choice("bn-axis", dt_bn_axis_names[then->bn_axis], dt_bn_axis_names[now->bn_axis], difference);
    add_choice("bn-layers", dt_bn_layers_names[then->bn_layers], dt_bn_layers_names[now->bn_layers],
               difference);
}

bool dt_parameters_differ(const dt_parameters *then, const dt_parameters *now,
                          char difference[DT_SHAPE_DIFFERENCE]) {
    difference[0] = '\0';
    if (same_tensors(then->tensors, then->count, now->tensors, now->count) &&
        same_tensors(then->states, then->state_count, now->states, now->state_count))
        return false;
    describe_difference(&then->config, &now->config, difference);
    return true;
}

size_t dt_parameters_total(const dt_parameters *parameters) {
    size_t total = 0;
    for (int i = 0; i < parameters->count; i++)
        total += parameters->tensors[i].count;
    return total;
}

static void set(float *values, size_t count, float value) {
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

static void glorot_uniform(const dt_tensor *tensor, uint64_t seed, uint32_t stream, float *values) {
    double field = tensor->rank == 4 ? (double)tensor->dims[0] * tensor->dims[1] : 1.0;
    double fans = field * (tensor->dims[tensor->rank - 2] + tensor->dims[tensor->rank - 1]);
    float limit = (float)sqrt(6.0 / fans);
    for (size_t i = 0; i < tensor->count; i += 4) {
        dt_random4 drawn = dt_random_draw(seed, DT_PURPOSE_INIT, stream, (uint32_t)(i / 4), 0, 0);
        for (size_t lane = 0; lane < 4 && i + lane < tensor->count; lane++)
            values[i + lane] = (2.0f * dt_random_unit(drawn.word[lane]) - 1.0f) * limit;
    }
}

void dt_parameters_init(const dt_parameters *parameters, uint64_t seed, float *weights, float *states) {
    for (int i = 0; i < parameters->count; i++) {
        const dt_tensor *tensor = &parameters->tensors[i];
        if (tensor->role == DT_TENSOR_KERNEL)
            glorot_uniform(tensor, seed, (uint32_t)i, weights + tensor->offset);
        else
            set(weights + tensor->offset, tensor->count, tensor->role == DT_TENSOR_GAMMA ? 1.0f : 0.0f);
    }
    for (int i = 0; i < parameters->state_count; i++) {
        const dt_tensor *tensor = &parameters->states[i];
        set(states + tensor->offset, tensor->count, tensor->role == DT_TENSOR_MOVING_VARIANCE ? 1.0f : 0.0f);
    }
}

uint64_t dt_parameters_hash(const dt_parameters *parameters, const float *weights, const float *states) {
    uint64_t hash = 0;
    for (int i = 0; i < parameters->count; i++)
        hash = dt_hash(hash, weights + parameters->tensors[i].offset,
                       parameters->tensors[i].count * sizeof(float));
    for (int i = 0; i < parameters->state_count; i++)
        hash =
            dt_hash(hash, states + parameters->states[i].offset, parameters->states[i].count * sizeof(float));
    return hash;
}
