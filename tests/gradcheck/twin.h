/* SPDX-License-Identifier: BSD-3-Clause */
/* The network's layers once more, forward only, in double precision and written as their definitions: what
 * finite differences are taken of. Arrays have the layouts of kernels.h. */
#ifndef DTRAIN_TESTS_TWIN_H
#define DTRAIN_TESTS_TWIN_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/network.h"

/* Where the ReLUs stand. A difference quotient is a derivative only if both ends have the same pattern. */
typedef struct twin_kinks {
    uint64_t pattern; /* hash of the side of 0 on which each pre-activation lies */
    double closest;   /* the smallest pre-activation, measured in the mean size of its layer's */
} twin_kinks;

static const twin_kinks twin_no_kinks = {0, 1e300};

/* What a layer computes from. main and second: kernel and bias, or gamma and beta. mask: factors behind a
 * ReLU of a dense layer, NULL for none. */
typedef struct twin_input {
    const double *x, *main, *second, *mask;
} twin_input;

/* y [samples][out]; normalisation by the statistics of these samples. Adds the layer's ReLUs to kinks. */
void twin_forward(const dt_layer_spec *spec, int samples, twin_input input, double *y, twin_kinks *kinks);

/* Groups of a normalisation; mean and biased variance of each. */
int twin_groups(const dt_layer_spec *spec);
void twin_moments(const dt_layer_spec *spec, int samples, const double *x, double *mean, double *variance);

/* Factors 0 or 1/(1 - rate) for [rows][units], as kernels.h defines dropout. */
void twin_dropout_mask(uint64_t seed, uint32_t layer, uint32_t epoch, float rate, int rows, int units,
                       const int *samples_of_rows, double *mask);

/* The mean of -log softmax(logits)[label] over samples of ten logits. */
double twin_loss(int samples, const double *logits, const uint8_t *labels);

/* Values of a layer's kernel or gamma, and of its bias or beta. */
size_t twin_main_count(const dt_layer_spec *spec);
size_t twin_second_count(const dt_layer_spec *spec);

/* Values uniform in [low, high), a function of stream and place, floats. */
void twin_fill(uint64_t stream, double low, double high, size_t count, float *values);

/* Copies, exactly. */
void twin_widen(size_t count, const float *values, double *wide);

#endif
