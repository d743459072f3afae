/* SPDX-License-Identifier: BSD-3-Clause */
/* Columns of split tensors. */
#include "dtrain/split.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "dtrain/memory.h"

bool dt_split_is_split(const dt_layer_spec *layer) {
    return layer->kind == DT_LAYER_DENSE && layer->relu;
}

int dt_split_most_ranks(const dt_network *network) {
    int most = INT_MAX;
    for (int i = 0; i < network->count; i++) {
        const dt_layer_spec *layer = &network->layers[i];
        if (dt_split_is_split(layer) && dt_blocks_count(layer->out.channels) < most)
            most = dt_blocks_count(layer->out.channels);
    }
    return most;
}

dt_share dt_split_samples(const dt_split *split, int batch) {
    if (split->ranks == 0)
        return (dt_share){.batch = batch, .total_leaves = dt_leaves_count(batch)};
    return split->of == 0 ? dt_leaves_share(batch, 1, 0)
                          : dt_leaves_run(batch, split->of, split->first, split->ranks);
}

int dt_split_most_samples(const dt_split *split) {
    int leaves = dt_leaves_count(split->batch);
    if (split->ranks == 0)
        return 0;
    /* A run of r of n ranks has at most r n-ths of the leaves, rounded up. */
    int most = split->of == 0 ? leaves : (int)(((long)leaves * split->ranks + split->of - 1) / split->of);
    return most * DT_LEAF_SAMPLES < split->batch ? most * DT_LEAF_SAMPLES : split->batch;
}

static int block_at(int units, dt_fraction place) {
    return (int)((long)dt_blocks_count(units) * place.numerator / place.denominator);
}

static void add_tensor(dt_split_layout *layout, const dt_parameters *parameters, int number, dt_fraction low,
                       dt_fraction high) {
    const dt_tensor *row = &parameters->tensors[number];
    int units = row->dims[row->rank - 1];
    assert(layout->count < DT_MAX_SPLIT_TENSORS);
    dt_split_tensor *tensor = &layout->tensors[layout->count++];
    *tensor = (dt_split_tensor){.tensor = number,
                                .rows = row->rank == 2 ? row->dims[0] : 1,
                                .units = dt_blocks_run(units, block_at(units, low), block_at(units, high)),
                                .offset = layout->floats};
    layout->floats += dt_align_floats((size_t)tensor->rows * (size_t)tensor->units.samples);
}

dt_split_layout dt_split_layout_between(const dt_network *network, const dt_parameters *parameters,
                                        dt_fraction low, dt_fraction high) {
    dt_split_layout layout = {0};
    for (int layer = network->count - 1; layer >= 0; layer--) {
        if (!dt_split_is_split(&network->layers[layer]))
            continue;
        add_tensor(&layout, parameters, dt_parameters_find(parameters, layer, DT_TENSOR_KERNEL), low, high);
        add_tensor(&layout, parameters, dt_parameters_find(parameters, layer, DT_TENSOR_BIAS), low, high);
    }
    return layout;
}

dt_split_layout dt_split_layout_of(const dt_network *network, const dt_parameters *parameters, int ranks,
                                   int rank) {
    return dt_split_layout_between(network, parameters, (dt_fraction){rank, ranks},
                                   (dt_fraction){rank + 1, ranks});
}

void dt_split_span(const dt_network *network, const dt_parameters *parameters, size_t *begin, size_t *end) {
    *begin = parameters->summed_floats;
    *end = 0;
    for (int i = 0; i < parameters->count; i++) {
        const dt_tensor *row = &parameters->tensors[i];
        if (!dt_split_is_split(&network->layers[row->layer]))
            continue;
        size_t row_end = row->offset + dt_align_floats(row->count);
        *begin = row->offset < *begin ? row->offset : *begin;
        *end = row_end > *end ? row_end : *end;
    }
}

/* Row by row between a whole tensor and a part of it. */
static void copy_columns(const dt_split_tensor *tensor, const dt_parameters *parameters, float *whole,
                         float *part, bool take) {
    size_t columns = (size_t)tensor->units.samples, stride = (size_t)tensor->units.batch;
    float *from = whole + parameters->tensors[tensor->tensor].offset + tensor->units.first_sample;
    float *to = part + tensor->offset;
    for (int row = 0; row < tensor->rows; row++, from += stride, to += columns)
        memcpy(take ? to : from, take ? from : to, columns * sizeof(float));
}

/* One of the two slabs is only read. */
void dt_split_take(const dt_split_layout *layout, const dt_parameters *parameters, const float *whole,
                   float *part) {
    for (int i = 0; i < layout->count; i++)
        copy_columns(&layout->tensors[i], parameters, (float *)(uintptr_t)whole, part, true);
}

void dt_split_put(const dt_split_layout *layout, const dt_parameters *parameters, const float *part,
                  float *whole) {
    for (int i = 0; i < layout->count; i++)
        copy_columns(&layout->tensors[i], parameters, whole, (float *)(uintptr_t)part, false);
}
