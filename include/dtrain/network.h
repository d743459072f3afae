/* SPDX-License-Identifier: BSD-3-Clause */
/* The network as a table: network.c is the one place that says which layers there are. Pure functions. */
#ifndef DTRAIN_NETWORK_H
#define DTRAIN_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

/* What batch normalisation shares its statistics over. Keras' BatchNormalization(axis=1) on channels-last
 * data is ROWS: one mean for each image row, over samples, columns and channels; axis=-1 is CHANNELS. */
typedef enum dt_bn_axis { DT_BN_ROWS, DT_BN_CHANNELS } dt_bn_axis;

/* Batch normalisation's moving statistics: moving = momentum moving + (1 - momentum) batch. */
#define DT_NORM_MOMENTUM 0.99

/* After which convolutions batch normalisation stands. */
typedef enum dt_bn_layers { DT_BN_ALL, DT_BN_FIRST2, DT_BN_NONE } dt_bn_layers;

/* Their names, as options and files have them. */
enum { DT_BN_AXES = DT_BN_CHANNELS + 1, DT_BN_LAYERS = DT_BN_NONE + 1 };
extern const char *const dt_bn_axis_names[DT_BN_AXES], *const dt_bn_layers_names[DT_BN_LAYERS];

typedef struct dt_network_config {
    dt_bn_axis bn_axis;
    dt_bn_layers bn_layers;
    double width;  /* every hidden width c becomes max(1, (int)(c * width)); > 0 */
    float dropout; /* rate behind the two hidden dense layers; 0 <= rate < 1 */
} dt_network_config;

typedef enum dt_layer_kind {
    DT_LAYER_CONV, /* convolution + bias + ReLU, then average pooling if `pool` */
    DT_LAYER_NORM, /* batch normalisation */
    DT_LAYER_DENSE /* dense + bias, then ReLU and dropout if `relu` */
} dt_layer_kind;

/* Extent of one sample's activation; a dense layer's is 1 x 1 x units. */
typedef struct dt_volume {
    int height, width, channels;
} dt_volume;

size_t dt_volume_floats(dt_volume volume);

typedef struct dt_layer_spec {
    dt_layer_kind kind;
    char name[16]; /* conv1, bn1, .. fc3 */
    dt_volume in, out;
    int kernel;    /* convolution: side of its square kernel */
    bool pool;     /* convolution: pooled 2x2 */
    bool by_rows;  /* normalisation: groups are rows, not channels */
    bool relu;     /* dense: hidden, with ReLU and dropout */
    float dropout; /* dense: rate; 0 for none */
} dt_layer_spec;

enum { DT_MAX_LAYERS = 13 };

typedef struct dt_network {
    dt_network_config config;
    int count;
    dt_layer_spec layers[DT_MAX_LAYERS];
} dt_network;

/* The layers for these options, input 28x28x1, output 10 logits. */
dt_network dt_network_build(dt_network_config config);

/* Floating-point operations to train on one sample with direct convolution, two a multiply-add: forward, and
 * backward without the first layer's input gradient. 1.389e9 at width 1. This is what every speed is counted
 * in. */
double dt_network_train_flop(const dt_network *network);

/* The same for the forward pass alone. */
double dt_network_forward_flop(const dt_network *network);

#endif
