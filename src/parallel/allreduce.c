/* SPDX-License-Identifier: BSD-3-Clause */
/* The strategy in which every rank holds everything: all gradients are summed over the ranks while backward
 * goes on, and every rank makes the same Adam step on all weights. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "dtrain/memory.h"
#include "parallel/prefix.h"
#include "parallel/reduction.h"
#include "parallel/strategy_ops.h"

typedef struct allreduce {
    dt_model *model;
    dt_kernels *kernels;
    dt_adam_config adam;
    const dt_parameters *parameters;
    dt_prefix prefix;
    dt_reduction *reduction;
    dt_slab moments; /* Adam's m, then v, each as long as the weights */
} allreduce;

static void allreduce_destroy(void *state) {
    allreduce *self = state;
    if (!self)
        return;
    dt_reduction_destroy(self->reduction);
    dt_slab_release(&self->moments);
    free(self);
}

static dt_status allreduce_create(const dt_strategy_config *config, const dt_cut *cut, size_t piece_floats,
                                  void **state) {
    const dt_parameters *parameters = dt_model_parameters(config->model);
    allreduce *self = calloc(1, sizeof *self);
    *state = NULL;
    if (!self)
        return dt_fail(DT_MEMORY, "no memory for the allreduce strategy");
    self->model = config->model;
    self->kernels = config->kernels;
    self->adam = config->adam;
    self->parameters = parameters;
    self->prefix = dt_prefix_build(parameters);
    dt_reduction_config sum = {.comm = config->comm,
                               .kernels = config->kernels,
                               .cut = cut,
                               .base = dt_model_gradients(config->model),
                               .stride = dt_model_root_stride(config->model),
                               .floats = parameters->summed_floats,
                               .piece_floats = piece_floats};
    dt_status status;
    DT_TRY_CLEANUP(status,
                   dt_slab_reserve(2 * parameters->floats * sizeof(float), "Adam's moments", &self->moments));
    DT_TRY_CLEANUP(status, dt_reduction_create(&sum, &self->reduction));
    *state = self;
    return status;
cleanup:
    allreduce_destroy(self);
    return status;
}

static void allreduce_begin(void *state) {
    allreduce *self = state;
    dt_prefix_clear(&self->prefix);
    dt_reduction_begin(self->reduction);
}

static void allreduce_gradient_ready(void *state, int tensor) {
    allreduce *self = state;
    dt_reduction_extend(self->reduction, dt_prefix_add(&self->prefix, tensor));
    dt_reduction_progress(self->reduction);
}

static void allreduce_progress(void *state) {
    allreduce *self = state;
    dt_reduction_progress(self->reduction);
}

static void allreduce_finish(void *state) {
    allreduce *self = state;
    assert(self->prefix.leading == self->prefix.count);
    dt_reduction_finish(self->reduction);
}

/* Every rank has the same gradient, so every rank finds the same tensor. */
static int allreduce_first_not_finite(void *state) {
    allreduce *self = state;
    const float *gradients = dt_model_gradients(self->model);
    if (dt_all_finite(self->kernels, self->parameters->floats, gradients))
        return -1;
    for (int i = 0; i < self->parameters->count; i++) {
        const dt_tensor *tensor = &self->parameters->tensors[i];
        if (!dt_all_finite(self->kernels, tensor->count, gradients + tensor->offset))
            return i;
    }
    assert(false); /* gaps between tensors are zero */
    return -1;
}

static void allreduce_update(void *state, int64_t step) {
    assert(step >= 1);
    allreduce *self = state;
    const dt_adam_config *adam = &self->adam;
    double t = (double)step;
    double rate = adam->lr * sqrt(1.0 - pow(adam->beta2, t)) / (1.0 - pow(adam->beta1, t));
    dt_adam_step values = {.rate = (float)rate,
                           .one_minus_beta1 = (float)(1.0 - adam->beta1),
                           .one_minus_beta2 = (float)(1.0 - adam->beta2),
                           .epsilon = (float)adam->epsilon};
    size_t floats = self->parameters->floats;
    float *m = self->moments.base;
    dt_adam_update(self->kernels, values, floats, dt_model_gradients(self->model),
                   dt_model_weights(self->model), m, m + floats);
}

const dt_strategy_ops dt_allreduce_ops = {.name = "allreduce",
                                          .create = allreduce_create,
                                          .destroy = allreduce_destroy,
                                          .begin = allreduce_begin,
                                          .gradient_ready = allreduce_gradient_ready,
                                          .progress = allreduce_progress,
                                          .finish = allreduce_finish,
                                          .first_not_finite = allreduce_first_not_finite,
                                          .update = allreduce_update};
