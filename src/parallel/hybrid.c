/* SPDX-License-Identifier: BSD-3-Clause */
/* The strategy for networks whose dense layers have most of the parameters (Krizhevsky 2014,
 * arXiv:1404.5997): the hidden dense layers are split by their units and activations travel (activations.h);
 * everything else is data-parallel, with the optimizer shared out (shards.h). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "parallel/activations.h"
#include "parallel/prefix.h"
#include "parallel/replica.h"
#include "parallel/shards.h"
#include "parallel/strategy_ops.h"

/* In front of the split tensors lies the last layer, behind them lie the convolutions. */
enum { SIDES = 2 };

typedef struct hybrid {
    dt_comm *comm;
    dt_model *model;
    dt_kernels *kernels;
    dt_adam_config adam;
    const dt_parameters *parameters;
    const dt_split_layout *layout;
    const dt_cut *cut;
    dt_prefix prefix;
    dt_range sides[SIDES];
    dt_shards *shards[SIDES];
    dt_replica replica;
    dt_activations *activations;
    dt_slab moments; /* of the own columns: m, then v */
    bool taken;      /* the own columns have been taken from the whole weights */
    bool gathered;   /* the whole weights have all ranks' columns */
} hybrid;

static void hybrid_destroy(void *state) {
    hybrid *self = state;
    if (!self)
        return;
    for (int side = 0; side < SIDES; side++)
        dt_shards_destroy(self->shards[side]);
    dt_replica_release(&self->replica);
    dt_activations_destroy(self->activations);
    dt_slab_release(&self->moments);
    free(self);
}

static void find_sides(hybrid *self) {
    size_t begin = self->parameters->summed_floats, end = 0;
    for (int i = 0; i < self->layout->count; i++) {
        const dt_tensor *row = &self->parameters->tensors[self->layout->tensors[i].tensor];
        size_t row_end = row->offset + dt_align_floats(row->count);
        begin = row->offset < begin ? row->offset : begin;
        end = row_end > end ? row_end : end;
    }
    self->sides[0] = (dt_range){0, begin};
    self->sides[1] = (dt_range){end, self->parameters->summed_floats - end};
}

static dt_status open_parts(hybrid *self, const dt_strategy_config *config, size_t piece_floats) {
    size_t summed = self->parameters->summed_floats;
    float *weights = dt_model_weights(self->model), *gradients = dt_model_gradients(self->model);
    for (int side = 0; side < SIDES; side++) {
        dt_shards_config shards = {.comm = self->comm,
                                   .kernels = self->kernels,
                                   .cut = self->cut,
                                   .range = self->sides[side],
                                   .weights = weights,
                                   .gradients = gradients,
                                   .stride = dt_model_root_stride(self->model),
                                   .piece_floats = piece_floats,
                                   .number = side,
                                   .store_gradients = config->store_gradients};
        DT_TRY(dt_shards_create(&shards, &self->shards[side]));
    }
    DT_TRY(dt_replica_create(self->comm, self->kernels, (dt_range){summed, self->parameters->floats - summed},
                             weights, gradients, &self->replica));
    DT_TRY(dt_slab_reserve(2 * self->layout->floats * sizeof(float), "Adam's moments", &self->moments));
    return dt_activations_create(self->comm, self->kernels, dt_model_network(self->model), config->batch,
                                 &self->activations);
}

static dt_status hybrid_create(const dt_strategy_config *config, const dt_cut *cut, size_t piece_floats,
                               void **state) {
    hybrid *self = calloc(1, sizeof *self);
    *state = NULL;
    if (!self)
        return dt_fail(DT_MEMORY, "no memory for the hybrid strategy");
    self->comm = config->comm;
    self->model = config->model;
    self->kernels = config->kernels;
    self->adam = config->adam;
    self->parameters = dt_model_parameters(config->model);
    self->layout = dt_model_split_layout(config->model);
    self->cut = cut;
    self->prefix = dt_prefix_build(self->parameters);
    assert(self->layout->count > 0);
    find_sides(self);
    dt_status status = open_parts(self, config, piece_floats);
    if (dt_failed(&status))
        hybrid_destroy(self);
    else
        *state = self;
    return status;
}

/* What the whole weights were set to before the first step is what this rank's columns begin with. */
static void take_columns(hybrid *self) {
    if (self->taken)
        return;
    dt_split_take(self->layout, self->parameters, dt_model_weights(self->model),
                  dt_model_split_weights(self->model));
    self->taken = true;
    self->gathered = true;
}

static bool is_split(const hybrid *self, int tensor) {
    for (int i = 0; i < self->layout->count; i++)
        if (self->layout->tensors[i].tensor == tensor)
            return true;
    return false;
}

static void hybrid_begin(void *state) {
    hybrid *self = state;
    take_columns(self);
    dt_activations_set(self->activations, self->cut->share.batch);
    dt_prefix_clear(&self->prefix);
    for (int side = 0; side < SIDES; side++)
        dt_shards_begin(self->shards[side]);
    /* Gradients of split tensors stand in nobody's way: they are not summed over ranks. */
    for (int i = 0; i < self->layout->count; i++)
        dt_prefix_add(&self->prefix, self->layout->tensors[i].tensor);
}

static void hybrid_weights_needed(void *state, int tensor) {
    hybrid *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    for (int side = 0; side < SIDES; side++)
        dt_shards_wait(self->shards[side], (dt_range){row->offset, row->count});
}

static void hybrid_progress(void *state) {
    hybrid *self = state;
    for (int side = 0; side < SIDES; side++)
        dt_shards_progress(self->shards[side]);
}

static void hybrid_gradient_ready(void *state, int tensor) {
    hybrid *self = state;
    size_t complete = dt_prefix_add(&self->prefix, tensor);
    for (int side = 0; side < SIDES; side++) {
        dt_range range = self->sides[side];
        size_t end = complete < range.begin + range.count ? complete : range.begin + range.count;
        if (end >= range.begin)
            dt_shards_extend(self->shards[side], end);
    }
    hybrid_progress(self);
}

static void hybrid_reshape(void *state, dt_reshape shape, const float *source, float *target) {
    hybrid *self = state;
    dt_activations_reshape(self->activations, shape, source, target);
    hybrid_progress(self);
}

static void hybrid_finish(void *state) {
    hybrid *self = state;
    assert(self->prefix.leading == self->prefix.count);
    for (int side = 0; side < SIDES; side++)
        dt_shards_finish(self->shards[side]);
}

static bool is_finite(hybrid *self, int tensor) {
    const dt_tensor *row = &self->parameters->tensors[tensor];
    if (is_split(self, tensor))
        return dt_model_split_is_finite(self->model, tensor);
    if (row->offset >= self->parameters->summed_floats)
        return dt_all_finite(self->kernels, row->count, dt_model_gradients(self->model) + row->offset);
    for (int side = 0; side < SIDES; side++)
        if (!dt_shards_are_finite(self->shards[side], (dt_range){row->offset, row->count}))
            return false;
    return true;
}

/* Every rank looks at what it owns. */
static int hybrid_first_not_finite(void *state) {
    hybrid *self = state;
    int found = -1;
    for (int i = 0; i < self->parameters->count && found < 0; i++)
        found = is_finite(self, i) ? -1 : i;
    return dt_comm_lowest(self->comm, found);
}

/* The convolutions first: their weights then travel behind the dense layers' step. */
static void hybrid_update(void *state, int64_t step) {
    hybrid *self = state;
    dt_adam_step values = dt_strategy_adam_step(&self->adam, step);
    float *m = self->moments.base;
    dt_replica_update(&self->replica, values);
    for (int side = SIDES - 1; side >= 0; side--)
        dt_shards_update(self->shards[side], values);
    dt_model_update_split(self->model, values, m, m + self->layout->floats);
    hybrid_progress(self);
    self->gathered = false;
}

static uint64_t hybrid_hash_moments(void *state, int tensor, uint64_t hash) {
    hybrid *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    return dt_replica_hash(&self->replica, (dt_range){row->offset, row->count}, hash);
}

/* The slab of gradients lies idle between two steps: a rank's columns pass through it. */
static void hybrid_gather(void *state) {
    hybrid *self = state;
    take_columns(self);
    for (int side = 0; side < SIDES; side++)
        dt_shards_wait(self->shards[side], self->sides[side]);
    if (self->gathered)
        return;
    float *columns = dt_model_gradients(self->model);
    for (int rank = 0; rank < dt_comm_size(self->comm); rank++) {
        dt_split_layout layout = dt_split_layout_of(dt_model_network(self->model), self->parameters,
                                                    dt_comm_size(self->comm), rank);
        assert(layout.floats <= dt_model_root_stride(self->model));
        if (rank == dt_comm_rank(self->comm))
            memcpy(columns, dt_model_split_weights(self->model), layout.floats * sizeof(float));
        dt_comm_broadcast(self->comm, columns, layout.floats * sizeof(float), rank);
        dt_split_put(&layout, self->parameters, columns, dt_model_weights(self->model));
    }
    self->gathered = true;
}

/* Moments of the ranks' columns to rank 0's slab, one rank after the other. */
static void collect_moments(hybrid *self, bool second, float *slab) {
    float *columns = dt_model_gradients(self->model);
    const float *own = (const float *)self->moments.base + (second ? self->layout->floats : 0);
    for (int rank = 0; rank < dt_comm_size(self->comm); rank++) {
        dt_split_layout layout = dt_split_layout_of(dt_model_network(self->model), self->parameters,
                                                    dt_comm_size(self->comm), rank);
        if (rank == dt_comm_rank(self->comm))
            memcpy(columns, own, layout.floats * sizeof(float));
        dt_comm_broadcast(self->comm, columns, layout.floats * sizeof(float), rank);
        if (slab)
            dt_split_put(&layout, self->parameters, columns, slab);
    }
}

static void hybrid_collect(void *state, float *m, float *v) {
    hybrid *self = state;
    for (int side = 0; side < SIDES; side++)
        dt_shards_collect(self->shards[side], m, v);
    dt_replica_collect(&self->replica, m, v);
    collect_moments(self, false, m);
    collect_moments(self, true, v);
}

/* A whole slab of rank 0 through the slab of gradients to everybody's columns. */
static void restore_columns(hybrid *self, const float *slab, float *columns) {
    size_t bytes = self->parameters->floats * sizeof(float);
    float *whole = dt_model_gradients(self->model);
    if (slab)
        memcpy(whole, slab, bytes);
    dt_comm_broadcast(self->comm, whole, bytes, 0);
    dt_split_take(self->layout, self->parameters, whole, columns);
}

static void hybrid_restore(void *state, const float *m, const float *v) {
    hybrid *self = state;
    float *columns = self->moments.base;
    self->taken = false;
    take_columns(self);
    for (int side = 0; side < SIDES; side++)
        dt_shards_restore(self->shards[side], m, v);
    dt_replica_restore(&self->replica, m, v);
    restore_columns(self, m, columns);
    restore_columns(self, v, columns + self->layout->floats);
}

const dt_strategy_ops dt_hybrid_ops = {.name = "hybrid",
                                       .create = hybrid_create,
                                       .destroy = hybrid_destroy,
                                       .begin = hybrid_begin,
                                       .weights_needed = hybrid_weights_needed,
                                       .gradient_ready = hybrid_gradient_ready,
                                       .progress = hybrid_progress,
                                       .reshape = hybrid_reshape,
                                       .finish = hybrid_finish,
                                       .first_not_finite = hybrid_first_not_finite,
                                       .update = hybrid_update,
                                       .gather = hybrid_gather,
                                       .hash_moments = hybrid_hash_moments,
                                       .collect = hybrid_collect,
                                       .restore = hybrid_restore};
