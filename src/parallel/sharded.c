/* SPDX-License-Identifier: BSD-3-Clause */
/* The strategy in which Adam's work and memory are divided by the number of ranks: the gradient's sum stays
 * with the owners of its slices, each makes the step on its own, and the weights travel to all while the next
 * forward pass goes on. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "parallel/prefix.h"
#include "parallel/replica.h"
#include "parallel/shards.h"
#include "parallel/strategy_ops.h"

typedef struct sharded {
    dt_comm *comm;
    dt_model *model;
    dt_kernels *kernels;
    dt_adam_config adam;
    const dt_parameters *parameters;
    dt_prefix prefix;
    dt_shards *shards;  /* kernels and biases */
    dt_replica replica; /* gammas and betas */
} sharded;

static void sharded_destroy(void *state) {
    sharded *self = state;
    if (!self)
        return;
    dt_shards_destroy(self->shards);
    dt_replica_release(&self->replica);
    free(self);
}

static dt_status sharded_create(const dt_strategy_config *config, const dt_cut *cut, size_t piece_floats,
                                void **state) {
    const dt_parameters *parameters = dt_model_parameters(config->model);
    size_t summed = parameters->summed_floats;
    sharded *self = calloc(1, sizeof *self);
    *state = NULL;
    if (!self)
        return dt_fail(DT_MEMORY, "no memory for the sharded strategy");
    self->comm = config->comm;
    self->model = config->model;
    self->kernels = config->kernels;
    self->adam = config->adam;
    self->parameters = parameters;
    self->prefix = dt_prefix_build(parameters);
    dt_shards_config shards = {.comm = config->comm,
                               .kernels = config->kernels,
                               .cut = cut,
                               .sharing = dt_node_memory_sharing(config->memory),
                               .range = {0, summed},
                               .weights = dt_model_weights(config->model),
                               .gradients = dt_model_gradients(config->model),
                               .stride = dt_model_root_stride(config->model),
                               .piece_floats = piece_floats,
                               .store_gradients = config->store_gradients};
    dt_range rest = {summed, parameters->floats - summed};
    dt_status status;
    DT_TRY_CLEANUP(status, dt_shards_create(&shards, &self->shards));
    DT_TRY_CLEANUP(status, dt_replica_create(config->comm, config->kernels, shards.sharing, rest,
                                             shards.weights, shards.gradients + summed, &self->replica));
    *state = self;
    return status;
cleanup:
    sharded_destroy(self);
    return status;
}

static void sharded_begin(void *state) {
    sharded *self = state;
    dt_prefix_clear(&self->prefix);
    dt_shards_begin(self->shards);
}

static void sharded_weights_needed(void *state, int tensor) {
    sharded *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    size_t last = self->parameters->summed_floats - 1;
    /* Gammas and betas stand before any piece does; the last piece is the first that does. */
    dt_shards_wait(self->shards, (dt_range){row->offset < last ? row->offset : last, row->count});
}

static void sharded_gradient_ready(void *state, int tensor) {
    sharded *self = state;
    dt_shards_extend(self->shards, dt_prefix_add(&self->prefix, tensor));
    dt_shards_progress(self->shards);
}

static void sharded_progress(void *state) {
    sharded *self = state;
    dt_shards_progress(self->shards);
}

static void sharded_finish(void *state) {
    sharded *self = state;
    assert(self->prefix.leading == self->prefix.count);
    dt_shards_finish(self->shards);
}

/* Every rank looks at what it owns; gammas and betas are the same everywhere. */
static int sharded_first_not_finite(void *state) {
    sharded *self = state;
    const float *gradients = dt_model_gradients(self->model);
    int found = -1;
    for (int i = 0; i < self->parameters->count && found < 0; i++) {
        const dt_tensor *row = &self->parameters->tensors[i];
        bool finite = row->offset < self->parameters->summed_floats
                          ? dt_shards_are_finite(self->shards, (dt_range){row->offset, row->count})
                          : dt_all_finite(self->kernels, row->count, gradients + row->offset);
        found = finite ? -1 : i;
    }
    return dt_comm_lowest(self->comm, found);
}

static void sharded_update(void *state, int64_t step) {
    sharded *self = state;
    dt_adam_step values = dt_strategy_adam_step(&self->adam, step);
    dt_replica_update(&self->replica, values);
    dt_shards_update(self->shards, values);
}

static uint64_t sharded_hash_moments(void *state, int tensor, uint64_t hash) {
    sharded *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    return dt_replica_hash(&self->replica, (dt_range){row->offset, row->count}, hash);
}

static void sharded_gather(void *state) {
    sharded *self = state;
    dt_shards_wait(self->shards, (dt_range){0, self->parameters->summed_floats});
}

static void sharded_collect(void *state, float *m, float *v) {
    sharded *self = state;
    dt_shards_collect(self->shards, m, v);
    dt_replica_collect(&self->replica, m, v);
}

static void sharded_restore(void *state, const float *m, const float *v) {
    sharded *self = state;
    dt_shards_restore(self->shards, m, v);
    dt_replica_restore(&self->replica, m, v);
}

const dt_strategy_ops dt_sharded_ops = {.create = sharded_create,
                                        .destroy = sharded_destroy,
                                        .begin = sharded_begin,
                                        .weights_needed = sharded_weights_needed,
                                        .gradient_ready = sharded_gradient_ready,
                                        .progress = sharded_progress,
                                        .finish = sharded_finish,
                                        .first_not_finite = sharded_first_not_finite,
                                        .update = sharded_update,
                                        .gather = sharded_gather,
                                        .hash_moments = sharded_hash_moments,
                                        .collect = sharded_collect,
                                        .restore = sharded_restore};
