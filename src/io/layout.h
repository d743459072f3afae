/* SPDX-License-Identifier: BSD-3-Clause */
/* Where Keras 3 keeps things in a `.weights.h5`: the one place that knows. Pure functions. */
#ifndef DTRAIN_IO_LAYOUT_H
#define DTRAIN_IO_LAYOUT_H

#include <stddef.h>

#include "dtrain/parameters.h"

enum { DT_PLACE_BYTES = 80, DT_LABEL_BYTES = 48 };

/* The name that Keras gives layer number `number`, from 0, of a kind: "conv2d_1". */
void dt_layout_layer_name(dt_layer_kind kind, int number, char name[DT_PLACE_BYTES]);

/* The layer's name, counted in the table, for the layer that a tensor belongs to. */
void dt_layout_tensor_layer(const dt_parameters *parameters, const dt_tensor *tensor,
                            char name[DT_PLACE_BYTES]);

/* The place of the first layer of a kind that the network has not: "layers/conv2d_5". */
void dt_layout_next_layer(const dt_parameters *parameters, dt_layer_kind kind, char place[DT_PLACE_BYTES]);

/* One tensor of a file. `values` lie where they are read to or written from; all else is a view of the table.
 */
typedef struct dt_entry {
    char label[DT_LABEL_BYTES]; /* "conv1/kernel", "conv1/kernel momentum" */
    char place[DT_PLACE_BYTES]; /* "layers/conv2d/vars/0", "optimizer/vars/2" */
    const dt_tensor *tensor;
    float *values;
    bool squares; /* no value is below 0 */
} dt_entry;

/* All tensors of a file. */
typedef struct dt_catalogue {
    int count;
    dt_entry entries[3 * DT_MAX_TENSORS + DT_MAX_STATES];
} dt_catalogue;

/* Appends the network's own tensors: layers/<layer>/vars/<i>. */
void dt_catalogue_add_network(dt_catalogue *catalogue, const dt_parameters *parameters, float *weights,
                              float *states);

/* Appends Adam's: behind the iteration and the learning rate, at optimizer/vars/0 and 1, momentum and
 * velocity of each learnt tensor in turn. */
void dt_catalogue_add_adam(dt_catalogue *catalogue, const dt_parameters *parameters, float *m, float *v);

extern const char dt_layout_iteration[], dt_layout_learning_rate[];

/* The variables of the model itself, which has none: Keras before 3.6 refuses a file without their group. */
extern const char dt_layout_model_group[];

#endif
