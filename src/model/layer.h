/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kinds of layers have in common: a row of functions, and the memory that the model gives them. */
#ifndef DTRAIN_MODEL_LAYER_H
#define DTRAIN_MODEL_LAYER_H

#include "dtrain/conv.h"
#include "dtrain/memory.h"
#include "dtrain/model.h"

/* The values of a pass that every layer sees. */
typedef struct dt_pass {
    dt_kernels *kernels;
    const dt_exchange *exchange; /* NULL: evaluation, with moving statistics and without dropout */
    const dt_batch *batch;       /* NULL in evaluation */
    const dt_leaf_plan *plan;    /* NULL in evaluation */
    int samples;
    uint64_t seed;
    dt_phases *phases;
} dt_pass;

/* A learnt tensor and its gradient: root r's gradient stands at gradient.base + r * gradient.stride. */
typedef struct dt_learnt {
    int index; /* in the tensor table */
    float *weights;
    dt_root_sink gradient;
} dt_learnt;

typedef struct dt_layer dt_layer;

/* What a layer that is split over a group of ranks has beside (layer_split.c). Activations of the rank's
 * units are [samples of the group][units]. */
typedef struct dt_layer_split {
    int samples;              /* the most of the group */
    const dt_share *group;    /* its samples in the batch of the pass */
    const dt_leaf_plan *plan; /* of them */
    dt_share units;           /* this rank's */
    int roots;                /* of them */
    bool follows;             /* the layer before is split too: the input is whole already */
    bool leads; /* the layer behind is split too: the output is given whole, the gradient comes in units */
    float *kernel, *bias;         /* this rank's columns */
    dt_root_sink kernel_gradient; /* of this rank's columns; base NULL: not stored */
    dt_root_sink bias_gradient;
    float *input;    /* [samples][in], unless it follows a split layer */
    float *output;   /* the rank's units */
    float *partials; /* the input gradient's part from the rank's units, an array for each root */
    size_t partial_stride;
} dt_layer_split;

typedef struct dt_layer_ops {
    /* Makes what the layer computes with, for calls of up to `samples` samples and `leaves` leaves (0: no
     * training). */
    dt_status (*create)(dt_layer *layer, dt_kernels *kernels, int samples, int leaves);
    void (*destroy)(dt_layer *layer);
    /* Takes what the layer keeps from forward to backward, and says in layer->seen what the next layer reads;
     * called once to count and once to deal (memory.h). */
    void (*lay_out)(dt_layer *layer, dt_arena *arena, int samples, int leaves);
    /* From layer->input to layer->seen. */
    void (*forward)(dt_layer *layer, const dt_pass *pass);
    /* dy: gradient of what the next layer read; spare: as large. Both may be overwritten. Stores the
     * gradients of the layer's tensors and returns whichever of the two holds the gradient of the input
     * (layer->first: nobody needs it). */
    float *(*backward)(dt_layer *layer, const dt_pass *pass, float *dy, float *spare);
} dt_layer_ops;

struct dt_layer {
    const dt_layer_ops *ops;
    const dt_layer_spec *spec;
    bool first;             /* no layer wants this one's input gradient */
    bool before_conv;       /* a convolution follows: it can normalise what it reads by itself */
    int number;             /* key of a dropout */
    dt_learnt main, second; /* kernel and bias, or gamma and beta */
    float *moving_mean, *moving_variance;
    dt_conv_input input;   /* what the layer before gives; a scale is there only in front of a convolution */
    dt_conv_input seen;    /* what the next layer reads */
    float *output;         /* memory of its own behind seen.x, if it has any */
    dt_conv_method method; /* convolution: how it is computed */
    dt_conv *conv;
    float *dz;        /* dense: gradient in front of the ReLU, kept for dt_model_update_dense */
    float *vectors;   /* normalisation: some vectors of a float a group */
    double *partials; /* normalisation: sums of leaves, then totals */
    dt_layer_split split;
};

extern const dt_layer_ops dt_layer_conv_ops, dt_layer_norm_ops, dt_layer_dense_ops, dt_layer_split_ops;

/* The kernels' shape of a layer. */
dt_dense_shape dt_layer_dense_shape(const dt_layer_spec *spec);

/* Tells the exchange that a tensor's gradient is complete. */
static inline void dt_layer_gradient_ready(const dt_pass *pass, const dt_learnt *learnt) {
    pass->exchange->gradient_ready(pass->exchange->context, learnt->index);
}

/* In front of a layer of a training pass: messages move, and the layer's weights are waited for. */
static inline void dt_layer_await_weights(const dt_layer *layer, const dt_exchange *exchange) {
    exchange->progress(exchange->context);
    if (!exchange->weights_needed)
        return;
    exchange->weights_needed(exchange->context, layer->main.index);
    exchange->weights_needed(exchange->context, layer->second.index);
}

/* Whether the kernel gradient of this dense layer is left to dt_model_update_dense. */
static inline bool dt_layer_is_deferred(const dt_layer *layer, const dt_exchange *exchange) {
    return exchange->defers_dense && layer->spec->kind == DT_LAYER_DENSE;
}

/* Lets messages move. */
static inline void dt_layer_progress(const dt_pass *pass) {
    pass->exchange->progress(pass->exchange->context);
}

#endif
