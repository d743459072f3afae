/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of layers. */
#include "dtrain/network.h"

#include <assert.h>
#include <stdio.h>

enum { INPUT_SIDE = 28, CLASSES = 10 };

const char *const dt_bn_axis_names[DT_BN_AXES] = {[DT_BN_ROWS] = "rows", [DT_BN_CHANNELS] = "channels"};
const char *const dt_bn_layers_names[DT_BN_LAYERS] = {
    [DT_BN_ALL] = "all", [DT_BN_FIRST2] = "first2", [DT_BN_NONE] = "none"};

size_t dt_volume_floats(dt_volume volume) {
    return (size_t)volume.height * (size_t)volume.width * (size_t)volume.channels;
}

/* The network in one glance: widths at --width 1. Normalisation behind convolution k is named bnk. */
static const struct {
    dt_layer_kind kind;
    const char *name;
    int units;
    int kernel;
    bool pool;
} rows[] = {
    {DT_LAYER_CONV, "conv1", 64, 11, true},  {DT_LAYER_CONV, "conv2", 192, 5, true},
    {DT_LAYER_CONV, "conv3", 384, 3, false}, {DT_LAYER_CONV, "conv4", 384, 3, false},
    {DT_LAYER_CONV, "conv5", 256, 3, true},  {DT_LAYER_DENSE, "fc1", 4096, 0, false},
    {DT_LAYER_DENSE, "fc2", 4096, 0, false}, {DT_LAYER_DENSE, "fc3", CLASSES, 0, false},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static int scaled(int units, double width) {
    int scaled_units = (int)(units * width);
    return scaled_units < 1 ? 1 : scaled_units;
}

/* Appends a layer that takes the last one's output, and returns it. */
static dt_layer_spec *append(dt_network *network, dt_layer_kind kind, const char *name) {
    assert(network->count < DT_MAX_LAYERS);
    dt_layer_spec *layer = &network->layers[network->count++];
    *layer = (dt_layer_spec){.kind = kind, .in = {INPUT_SIDE, INPUT_SIDE, 1}};
    if (network->count > 1)
        layer->in = layer[-1].out;
    snprintf(layer->name, sizeof layer->name, "%s", name);
    return layer;
}

static void append_conv(dt_network *network, int row) {
    dt_layer_spec *layer = append(network, DT_LAYER_CONV, rows[row].name);
    int divisor = rows[row].pool ? 2 : 1;
    layer->kernel = rows[row].kernel;
    layer->pool = rows[row].pool;
    layer->out = (dt_volume){layer->in.height / divisor, layer->in.width / divisor,
                             scaled(rows[row].units, network->config.width)};
}

static void append_norm(dt_network *network, int conv_number) {
    char name[16];
    snprintf(name, sizeof name, "bn%d", conv_number);
    dt_layer_spec *layer = append(network, DT_LAYER_NORM, name);
    layer->by_rows = network->config.bn_axis == DT_BN_ROWS;
    layer->out = layer->in;
}

static void append_dense(dt_network *network, int row) {
    dt_layer_spec *layer = append(network, DT_LAYER_DENSE, rows[row].name);
    layer->relu = row + 1 < ROWS;
    layer->dropout = layer->relu ? network->config.dropout : 0.0f;
    layer->in = (dt_volume){1, 1, (int)dt_volume_floats(layer->in)};
    layer->out = (dt_volume){1, 1, layer->relu ? scaled(rows[row].units, network->config.width) : CLASSES};
}

static bool has_norm(dt_bn_layers layers, int conv_number) {
    return layers == DT_BN_ALL || (layers == DT_BN_FIRST2 && conv_number <= 2);
}

dt_network dt_network_build(dt_network_config config) {
    dt_network network = {.config = config};
    for (int row = 0; row < ROWS; row++) {
        if (rows[row].kind == DT_LAYER_DENSE) {
            append_dense(&network, row);
            continue;
        }
        append_conv(&network, row);
        if (has_norm(config.bn_layers, row + 1))
            append_norm(&network, row + 1);
    }
    return network;
}

/* Multiply-adds of one layer's forward pass. The convolution runs before its pooling, on the input's extent.
 */
static double multiply_adds(const dt_layer_spec *layer) {
    double inputs = layer->in.channels, outputs = layer->out.channels;
    if (layer->kind == DT_LAYER_CONV)
        return (double)(layer->in.height * layer->in.width) * (double)(layer->kernel * layer->kernel) *
               inputs * outputs;
    return layer->kind == DT_LAYER_DENSE ? inputs * outputs : 0.0;
}

double dt_network_forward_flop(const dt_network *network) {
    double total = 0.0;
    for (int i = 0; i < network->count; i++)
        total += 2.0 * multiply_adds(&network->layers[i]);
    return total;
}

double dt_network_train_flop(const dt_network *network) {
    return 3.0 * dt_network_forward_flop(network) - 2.0 * multiply_adds(&network->layers[0]);
}
