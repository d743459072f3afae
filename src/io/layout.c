/* SPDX-License-Identifier: BSD-3-Clause */
/* Keras' names and places. */
#include "io/layout.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char dt_layout_iteration[] = "optimizer/vars/0", dt_layout_learning_rate[] = "optimizer/vars/1";
const char dt_layout_model_group[] = "vars";

/* Keras names an unnamed layer after its class, and counts the layers of a class. */
static const char *const class_names[] = {
    [DT_LAYER_CONV] = "conv2d", [DT_LAYER_NORM] = "batch_normalization", [DT_LAYER_DENSE] = "dense"};

/* A variable's number within its layer: in the order of creation, learnt ones first. */
static const int variable_numbers[] = {
    [DT_TENSOR_KERNEL] = 0, [DT_TENSOR_BIAS] = 1,        [DT_TENSOR_GAMMA] = 0,
    [DT_TENSOR_BETA] = 1,   [DT_TENSOR_MOVING_MEAN] = 2, [DT_TENSOR_MOVING_VARIANCE] = 3,
};

/* The table knows layers by number; their kind shows in the kernel's rank. */
static dt_layer_kind layer_kind(const dt_parameters *parameters, int layer) {
    int kernel = dt_parameters_find(parameters, layer, DT_TENSOR_KERNEL);
    if (kernel < 0)
        return DT_LAYER_NORM;
    return parameters->tensors[kernel].rank == 4 ? DT_LAYER_CONV : DT_LAYER_DENSE;
}

/* Layers of a kind in front of `layer`. */
static int count_before(const dt_parameters *parameters, dt_layer_kind kind, int layer) {
    int count = 0;
    for (int i = 0; i < layer; i++)
        count += layer_kind(parameters, i) == kind;
    return count;
}

void dt_layout_layer_name(dt_layer_kind kind, int number, char name[DT_PLACE_BYTES]) {
    int length = snprintf(name, DT_PLACE_BYTES, "%s", class_names[kind]);
    if (number > 0)
        snprintf(name + length, (size_t)(DT_PLACE_BYTES - length), "_%d", number);
}

void dt_layout_tensor_layer(const dt_parameters *parameters, const dt_tensor *tensor,
                            char name[DT_PLACE_BYTES]) {
    dt_layer_kind kind = layer_kind(parameters, tensor->layer);
    dt_layout_layer_name(kind, count_before(parameters, kind, tensor->layer), name);
}

void dt_layout_next_layer(const dt_parameters *parameters, dt_layer_kind kind, char place[DT_PLACE_BYTES]) {
    static const char folder[] = "layers/";
    char name[DT_PLACE_BYTES];
    int layers = parameters->tensors[parameters->count - 1].layer + 1;
    dt_layout_layer_name(kind, count_before(parameters, kind, layers), name);
    snprintf(place, DT_PLACE_BYTES, "%s%.60s", folder, name);
}

static dt_entry *append(dt_catalogue *catalogue, const dt_tensor *tensor, const char *suffix, float *slab) {
    assert(catalogue->count < (int)(sizeof catalogue->entries / sizeof catalogue->entries[0]));
    dt_entry *entry = &catalogue->entries[catalogue->count++];
    *entry = (dt_entry){.tensor = tensor, .values = slab ? slab + tensor->offset : NULL};
    snprintf(entry->label, sizeof entry->label, "%s%s", tensor->name, suffix);
    return entry;
}

static void add_variable(dt_catalogue *catalogue, const dt_parameters *parameters, const dt_tensor *tensor,
                         float *slab) {
    char layer[DT_PLACE_BYTES];
    dt_entry *entry = append(catalogue, tensor, "", slab);
    dt_layout_tensor_layer(parameters, tensor, layer);
    snprintf(entry->place, sizeof entry->place, "layers/%.60s/vars/%d", layer,
             variable_numbers[tensor->role]);
    entry->squares = tensor->role == DT_TENSOR_MOVING_VARIANCE;
}

void dt_catalogue_add_network(dt_catalogue *catalogue, const dt_parameters *parameters, float *weights,
                              float *states) {
    for (int i = 0; i < parameters->count; i++)
        add_variable(catalogue, parameters, &parameters->tensors[i], weights);
    for (int i = 0; i < parameters->state_count; i++)
        add_variable(catalogue, parameters, &parameters->states[i], states);
}

static dt_entry *add_slot(dt_catalogue *catalogue, const dt_tensor *tensor, const char *suffix, float *slab,
                          int number) {
    dt_entry *entry = append(catalogue, tensor, suffix, slab);
    snprintf(entry->place, sizeof entry->place, "optimizer/vars/%d", number);
    return entry;
}

void dt_catalogue_add_adam(dt_catalogue *catalogue, const dt_parameters *parameters, float *m, float *v) {
    for (int i = 0; i < parameters->count; i++) {
        add_slot(catalogue, &parameters->tensors[i], " momentum", m, 2 + 2 * i);
        add_slot(catalogue, &parameters->tensors[i], " velocity", v, 3 + 2 * i)->squares = true;
    }
}
