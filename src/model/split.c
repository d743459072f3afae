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

dt_split_layout dt_split_layout_of(const dt_network *network, const dt_parameters *parameters, int ranks,
                                   int rank) {
    dt_split_layout layout = {0};
    for (int i = 0; i < parameters->count; i++) {
        const dt_tensor *row = &parameters->tensors[i];
        if (!dt_split_is_split(&network->layers[row->layer]))
            continue;
        assert(layout.count < DT_MAX_SPLIT_TENSORS);
        dt_split_tensor *tensor = &layout.tensors[layout.count++];
        *tensor = (dt_split_tensor){.tensor = i,
                                    .rows = row->rank == 2 ? row->dims[0] : 1,
                                    .units = dt_blocks_share(row->dims[row->rank - 1], ranks, rank),
                                    .offset = layout.floats};
        layout.floats += dt_align_floats((size_t)tensor->rows * (size_t)tensor->units.samples);
    }
    return layout;
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
