/* SPDX-License-Identifier: BSD-3-Clause */
/* The network at work: memory for one rank, forward and backward passes over this rank's share of a global
 * batch.
 *
 * Model and communication meet in dt_exchange alone: the model asks it to combine statistics over the ranks
 * and tells it which gradients are ready. Main thread only. Passes allocate nothing and cannot fail. */
#ifndef DTRAIN_MODEL_H
#define DTRAIN_MODEL_H

#include <stdint.h>

#include "dtrain/kernels.h"
#include "dtrain/methods.h"
#include "dtrain/network.h"
#include "dtrain/parameters.h"
#include "dtrain/split.h"
#include "dtrain/timer.h"

typedef struct dt_model dt_model;

/* How an activation of a split layer, or its gradient, lies on the ranks. */
typedef enum dt_form {
    DT_FORM_SAMPLES, /* the rank's samples, all units */
    DT_FORM_UNITS,   /* all samples of the group (split.h), the rank's units (dt_blocks_share) */
    DT_FORM_WHOLE,   /* all samples of the group, all units, on every rank of it */
    DT_FORM_PARTIAL /* all samples of the group, all units, to be summed: an array for each root of the rank's
                       share of the units of the layer behind */
} dt_form;

/* From one form to another: arrays [samples][units] of the batch of the step. Partial arrays are
 * dt_align_floats(dt_split_most_samples * units) apart. */
typedef struct dt_reshape {
    dt_form from, to;
    int units;
    int summed_units; /* DT_FORM_PARTIAL: units of the layer that is summed over; else 0 */
} dt_reshape;

/* How a pass reaches the other ranks. All are called on all ranks in the same order, ranks without
 * samples included. */
typedef struct dt_exchange {
    void *context;
    /* sums[i] = the sum over all leaves of the global batch of partials[leaf][i], i < width, in the order of
     * the leaves, from this rank's leaves `partials` [leaves of the share][width]. Collective. */
    void (*combine)(void *context, const double *partials, int width, double *sums);
    /* parameters.tensors[tensor] is about to be read: returns when it is complete. NULL: it always is. */
    void (*weights_needed)(void *context, int tensor);
    /* The gradient of parameters.tensors[tensor] is complete in all roots of the share. Local. */
    void (*gradient_ready)(void *context, int tensor);
    /* A moment between two kernels at which messages may be moved along. Local. */
    void (*progress)(void *context);
    /* Brings `source` into another form; only for a model that is split, else it may be NULL. Collective over
     * the group. */
    void (*reshape)(void *context, dt_reshape shape, const float *source, float *target);
    /* The gradients of the dense layers' kernels are not stored (nine tenths of all): the share is the whole
     * batch, and dt_model_update_dense is called after the pass. */
    bool defers_dense;
} dt_exchange;

/* Exact sums over samples: integers, so the same whatever the cut. */
enum { DT_LOSS_CAP = 2048 }; /* a single loss beyond it is counted as this */

typedef struct dt_totals {
    int64_t loss;    /* sum of rounded loss * 2^32 */
    int64_t correct; /* samples whose largest logit is the label's (the first largest, as argmax) */
    int64_t samples;
    int64_t not_finite; /* samples whose loss is not finite; they add nothing to `loss` */
} dt_totals;

double
dt_totals_loss(dt_totals totals); /* mean loss of a sample; NaN if any is not finite; 0 for no samples */
double dt_totals_accuracy(dt_totals totals); /* share of correct ones; 0 for no samples */
dt_totals dt_totals_add(dt_totals a, dt_totals b);

/* This rank's part of one global batch. */
typedef struct dt_batch {
    dt_share share;
    const float *x;           /* [share.samples][28][28][1] */
    const uint8_t *labels;    /* [share.samples] */
    const int *samples;       /* [share.samples] numbers in the training set: keys of the dropout */
    uint32_t epoch;           /* key of the dropout */
    const int *batch_samples; /* [share.batch] as `samples`, of the whole batch; for a split model alone */
} dt_batch;

typedef struct dt_model_config {
    const dt_network *network; /* copied */
    dt_kernels *kernels;       /* borrowed */
    int samples;               /* the most samples of one call, training or not */
    int leaves;                /* the most leaves of a share */
    int roots;          /* the most roots of a share: gradient slabs; 0 for a model that does not train */
    uint64_t seed;      /* of the dropout */
    dt_methods methods; /* of the convolutions */
    dt_split split;     /* training passes share the units of the hidden dense layers among the ranks */
    float *weights, *gradients; /* borrowed slabs, zero, aligned to DT_ALIGNMENT, of parameters.floats and
                                   roots * dt_model_root_stride; NULL: the model takes its own */
} dt_model_config;

/* Takes all memory. Weights and states are zero until set (dt_parameters_init). Local. Errors: DT_MEMORY,
 * DT_USAGE (a method that cannot do its convolution). */
dt_status dt_model_create(const dt_model_config *config, dt_model **model);
void dt_model_destroy(dt_model *model);

const dt_network *dt_model_network(const dt_model *model);
const dt_parameters *dt_model_parameters(const dt_model *model);

/* Slabs, laid out as the tensor table says. */
float *dt_model_weights(dt_model *model);
float *dt_model_states(dt_model *model);
float *dt_model_gradients(dt_model *model); /* root 0: after the exchange, the gradient; after a pass that
                                               deferred them without values for dense kernels */
size_t dt_model_root_stride(const dt_model *model); /* floats from one root's slab to the next */

/* Where in the slab of gradients the place `offset` of the slab of weights lies: there too, but in a split
 * model the gradients of split tensors are not among them, and what lies behind has moved up. */
size_t dt_model_gradient_place(const dt_model *model, size_t offset);

/* Where the passes' time is added; NULL (the start) for nowhere. */
void dt_model_set_phases(dt_model *model, dt_phases *phases);

/* Forward and backward over the share; mean loss over the *global* batch. Kernel and bias gradients of this
 * rank's leaves stand in the root slabs; gamma and beta gradients of the whole batch in root 0. Moving
 * statistics are updated (momentum 0.99). totals receives this rank's sums. Weights are unchanged. */
void dt_model_train(dt_model *model, const dt_batch *batch, const dt_exchange *exchange, dt_totals *totals);

/* Whether a tensor of the table is the kernel of a dense layer. */
bool dt_model_is_dense_kernel(const dt_model *model, int tensor);

/* After a training pass: whether the gradient of this dense kernel is finite, whether or not it was stored.
 * Judged from samples * max |x| * max |dz|, which no entry can exceed; a bound that is not below half of
 * FLT_MAX, or of what DT_WIRE_BF16 leaves of the range, counts as not finite. Local. */
bool dt_model_dense_is_finite(dt_model *model, int tensor);

/* After a training pass over a whole batch: one Adam step on the kernels of all dense layers, with the
 * gradient of that pass. m and v lie as the weights do. Bits as if the gradients had been stored and
 * dt_adam_update called. Once for a pass, before the next pass of any kind. Local. */
void dt_model_update_dense(dt_model *model, dt_adam_step step, float *m, float *v);

/* A split model's own columns: where they lie, and their slab. They are what training passes use; the slab of
 * dt_model_weights is what evaluation uses. Whoever owns the optimizer keeps both. */
const dt_split_layout *dt_model_split_layout(const dt_model *model);
float *dt_model_split_weights(dt_model *model);

/* With split.roots: the gradients of the own columns, an array for each root of the group's samples, so many
 * floats apart; else NULL. */
float *dt_model_split_gradients(dt_model *model);
size_t dt_model_split_stride(const dt_model *model);

/* After a training pass of a split model whose gradients are not stored: one Adam step on its own columns,
 * with the gradient of that pass. m and v lie as dt_model_split_weights does. Local. */
void dt_model_update_split(dt_model *model, dt_adam_step step, float *m, float *v);

/* Then, too: whether this rank's columns of a split tensor have a finite gradient; kernels as
 * dt_model_dense_is_finite. Local. */
bool dt_model_split_is_finite(dt_model *model, int tensor);

/* Forward with moving statistics, no dropout. Adds to totals. Local. */
void dt_model_evaluate(dt_model *model, int samples, const float *x, const uint8_t *labels,
                       dt_totals *totals);

/* As dt_model_evaluate, giving class probabilities [samples][10]. Local. */
void dt_model_predict(dt_model *model, int samples, const float *x, float *probabilities);

/* The exchange of one rank that has the whole batch: `context` must point to an int holding the number of
 * leaves. */
dt_exchange dt_exchange_alone(const int *leaves);

#endif
