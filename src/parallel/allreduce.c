/* SPDX-License-Identifier: BSD-3-Clause */
/* The strategy in which every rank holds everything: all gradients are summed over the ranks while backward
 * goes on, and every rank makes the same Adam step on all weights. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/hash.h"
#include "dtrain/memory.h"
#include "parallel/prefix.h"
#include "parallel/reduction.h"
#include "parallel/strategy_ops.h"

typedef struct allreduce {
    dt_comm *comm;
    dt_model *model;
    dt_kernels *kernels;
    dt_adam_config adam;
    const dt_parameters *parameters;
    bool defers_dense; /* dense kernels have no stored gradient */
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
    self->comm = config->comm;
    self->model = config->model;
    self->kernels = config->kernels;
    self->adam = config->adam;
    self->parameters = parameters;
    self->defers_dense = dt_strategy_defers_dense(config);
    self->prefix = dt_prefix_build(parameters);
    dt_reduction_config sum = {.comm = config->comm,
                               .kernels = config->kernels,
                               .cut = cut,
                               .sharing = dt_node_memory_sharing(config->memory),
                               .base = dt_model_gradients(config->model),
                               .stride = dt_model_root_stride(config->model),
                               .floats = parameters->summed_floats,
                               .piece_floats = piece_floats,
                               .tag = DT_TAG_REDUCTION};
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

static bool is_deferred(const allreduce *self, int tensor) {
    return self->defers_dense && dt_model_is_dense_kernel(self->model, tensor);
}

static bool is_finite(allreduce *self, int tensor) {
    const dt_tensor *row = &self->parameters->tensors[tensor];
    if (is_deferred(self, tensor))
        return dt_model_dense_is_finite(self->model, tensor);
    return dt_all_finite(self->kernels, row->count, dt_model_gradients(self->model) + row->offset);
}

/* Every rank has the same gradient, so every rank finds the same tensor. */
static int allreduce_first_not_finite(void *state) {
    allreduce *self = state;
    for (int i = 0; i < self->parameters->count; i++)
        if (!is_finite(self, i))
            return i;
    return -1;
}

static void allreduce_update(void *state, int64_t step) {
    allreduce *self = state;
    dt_adam_step values = dt_strategy_adam_step(&self->adam, step);
    float *m = self->moments.base, *v = m + self->parameters->floats;
    float *weights = dt_model_weights(self->model);
    const float *gradients = dt_model_gradients(self->model);
    for (int i = 0; i < self->parameters->count; i++) {
        size_t offset = self->parameters->tensors[i].offset;
        if (!is_deferred(self, i))
            dt_adam_update(self->kernels, values, self->parameters->tensors[i].count, gradients + offset,
                           weights + offset, m + offset, v + offset);
    }
    if (self->defers_dense)
        dt_model_update_dense(self->model, values, m, v);
}

static uint64_t allreduce_hash_moments(void *state, int tensor, uint64_t hash) {
    allreduce *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    const float *m = (const float *)self->moments.base + row->offset, *v = m + self->parameters->floats;
    return dt_hash(dt_hash(hash, m, row->count * sizeof *m), v, row->count * sizeof *v);
}

/* Every rank has all of them. */
static void allreduce_collect(void *state, float *m, float *v) {
    allreduce *self = state;
    size_t floats = self->parameters->floats, bytes = floats * sizeof(float);
    const float *moments = self->moments.base;
    if (dt_comm_rank(self->comm) != 0)
        return;
    memcpy(m, moments, bytes);
    memcpy(v, moments + floats, bytes);
}

static void allreduce_restore(void *state, const float *m, const float *v) {
    allreduce *self = state;
    size_t floats = self->parameters->floats, bytes = floats * sizeof(float);
    float *moments = self->moments.base;
    if (dt_comm_rank(self->comm) == 0) {
        memcpy(moments, m, bytes);
        memcpy(moments + floats, v, bytes);
    }
    dt_comm_broadcast(self->comm, moments, 2 * bytes, 0);
}

const dt_strategy_ops dt_allreduce_ops = {.create = allreduce_create,
                                          .destroy = allreduce_destroy,
                                          .begin = allreduce_begin,
                                          .gradient_ready = allreduce_gradient_ready,
                                          .progress = allreduce_progress,
                                          .finish = allreduce_finish,
                                          .first_not_finite = allreduce_first_not_finite,
                                          .update = allreduce_update,
                                          .hash_moments = allreduce_hash_moments,
                                          .collect = allreduce_collect,
                                          .restore = allreduce_restore};
