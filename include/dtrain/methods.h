/* SPDX-License-Identifier: BSD-3-Clause */
/* By which method each convolution of the network is computed. Local, pure but for the measurement.
 *
 * Methods differ in their last bits, and a clock differs from run to run. So the choice is fixed by engine
 * and shape (conv.h) unless the user names methods, or asks for those that were measured fastest. */
#ifndef DTRAIN_METHODS_H
#define DTRAIN_METHODS_H

#include "dtrain/network.h"
#include "dtrain/tuning.h"

enum { DT_METHODS_CONVOLUTIONS = 5, DT_METHODS_TEXT = 96 };

/* In the order of the network's convolutions; all zero: the fixed choice. */
typedef struct dt_methods {
    dt_conv_method of[DT_METHODS_CONVOLUTIONS];
} dt_methods;

/* Reads "auto" or five names with commas between them. Errors: DT_USAGE, names the word. */
dt_status dt_methods_read(const char *text, dt_methods *methods);

/* Writes the five names. Returns `text`. */
const char *dt_methods_write(dt_methods methods, char text[DT_METHODS_TEXT]);

/* The convolution `index` of the network, from 0; NULL behind the last one. */
const dt_layer_spec *dt_methods_layer(const dt_network *network, int index);
dt_conv_shape dt_methods_shape(const dt_layer_spec *layer);

/* The fixed choice. */
dt_methods dt_methods_fixed(const dt_network *network, const dt_kernels *kernels);

typedef struct dt_methods_times {
    dt_conv_times of[DT_METHODS_CONVOLUTIONS][DT_CONV_METHODS];
} dt_methods_times;

/* Times every method of every convolution on `samples` samples, median of `repeats` calls. Errors: DT_MEMORY.
 */
dt_status dt_methods_measure(const dt_network *network, dt_kernels *kernels, int samples, int repeats,
                             dt_methods_times *times);

/* Seconds of a training step in convolution `index`: the first one needs no gradient of its input. */
double dt_methods_step(const dt_methods_times *times, int index, dt_conv_method method);

/* The methods with the shortest steps. DT_CONV_WINOGRAD_LARGE does not stand for election: it is less exact.
 */
dt_methods dt_methods_fastest(const dt_methods_times *times);

#endif
