/* SPDX-License-Identifier: BSD-3-Clause */
/* The tensor table: name, shape, place and initial value of everything that a network learns. One row a
 * tensor; memory, initialisation, gradients, hashing and files all follow this table. Pure functions.
 *
 * The table lists tensors in Keras' order (layer by layer, kernel before bias, gamma before beta). In memory
 * the kernels and biases lie in the order in which the backward pass finishes them, last layer first, so that
 * a run of finished gradients is one range; behind them, from `summed_floats` on, the gammas and betas, whose
 * gradients are sums over the global batch on every rank already. Each tensor starts at a multiple of
 * DT_ALIGNMENT_FLOATS; the gaps stay zero. */
#ifndef DTRAIN_PARAMETERS_H
#define DTRAIN_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtrain/network.h"

typedef enum dt_tensor_role {
    DT_TENSOR_KERNEL,         /* glorot uniform */
    DT_TENSOR_BIAS,           /* 0 */
    DT_TENSOR_GAMMA,          /* 1 */
    DT_TENSOR_BETA,           /* 0 */
    DT_TENSOR_MOVING_MEAN,    /* 0; a state, not learnt */
    DT_TENSOR_MOVING_VARIANCE /* 1; a state, not learnt */
} dt_tensor_role;

typedef struct dt_tensor {
    char name[32]; /* "conv1/kernel", as Keras' path */
    dt_tensor_role role;
    int layer; /* index in the network */
    int rank;
    int dims[4];
    size_t count;  /* product of dims */
    size_t offset; /* floats from the start of its slab */
} dt_tensor;

enum { DT_MAX_TENSORS = 26, DT_MAX_STATES = 10 };

typedef struct dt_parameters {
    dt_network_config config; /* of the network that it is the table of */
    int count;
    dt_tensor tensors[DT_MAX_TENSORS];
    size_t floats;        /* of the slab of learnt tensors, gaps included */
    size_t summed_floats; /* of its part with kernels and biases */
    int state_count;
    dt_tensor states[DT_MAX_STATES]; /* moving means and variances, in a slab of their own */
    size_t state_floats;
} dt_parameters;

dt_parameters dt_parameters_layout(const dt_network *network);

/* Index of the layer's tensor with this role, in `tensors` (or `states` for moving ones); -1 if it has none.
 */
int dt_parameters_find(const dt_parameters *parameters, int layer, dt_tensor_role role);

enum { DT_SHAPE_DIFFERENCE = 160 };

/* Whether the tensors of two networks differ in number or shape. The text is then the options that make the
 * difference, "--width 0.05 then, 0.1 now; ..", else empty. */
bool dt_parameters_differ(const dt_parameters *then, const dt_parameters *now,
                          char difference[DT_SHAPE_DIFFERENCE]);

/* Number of learnt values, gaps not counted. */
size_t dt_parameters_total(const dt_parameters *parameters);

/* Initial values, a function of the seed alone. Glorot and Bengio 2010, eq. 16: uniform in +-sqrt(6 / (fan_in
 * + fan_out)), fans as Keras counts them (receptive field times channels). weights: `floats`; states:
 * `state_floats`. */
void dt_parameters_init(const dt_parameters *parameters, uint64_t seed, float *weights, float *states);

/* Hash over all values of weights and states in the table's order. */
uint64_t dt_parameters_hash(const dt_parameters *parameters, const float *weights, const float *states);

#endif
