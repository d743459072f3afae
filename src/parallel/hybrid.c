/* SPDX-License-Identifier: BSD-3-Clause */
/* The strategy for networks whose dense layers have most of the parameters (Krizhevsky 2014,
 * arXiv:1404.5997): the hidden dense layers are split by their units over all ranks, or over the ranks of
 * each node (grid.h), and activations travel among those (activations.h); everything else is data-parallel,
 * with the optimizer shared out (shards.h). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "parallel/activations.h"
#include "parallel/columns.h"
#include "parallel/grid.h"
#include "parallel/passage.h"
#include "parallel/prefix.h"
#include "parallel/replica.h"
#include "parallel/shards.h"
#include "parallel/strategy_ops.h"

/* In front of the split tensors lies the last layer, behind them lie the convolutions. */
enum { SIDES = 2 };

typedef struct hybrid {
    dt_comm *comm;
    dt_grid grid;
    dt_comm *all;   /* numbered by position; comm itself for one group */
    dt_comm *group; /* of this rank; comm itself for one group */
    dt_model *model;
    dt_kernels *kernels;
    dt_adam_config adam;
    const dt_parameters *parameters;
    const dt_split_layout *layout;
    const dt_cut *cut;
    dt_sharing sharing; /* numbered as `all` is; without members: no rank shares memory */
    int *node_of;       /* of its ranks */
    dt_prefix prefix;
    dt_range sides[SIDES];
    dt_shards *shards[SIDES];
    dt_replica replica;
    dt_activations *activations;
    dt_columns *columns;
    dt_passage passage;
    bool taken;    /* the own columns have been taken from the whole weights */
    bool gathered; /* the whole weights have all ranks' columns */
} hybrid;

static void close_part(const hybrid *self, dt_comm *part) {
    if (part != self->comm)
        dt_comm_destroy(part);
}

static void hybrid_destroy(void *state) {
    hybrid *self = state;
    if (!self)
        return;
    for (int side = 0; side < SIDES; side++)
        dt_shards_destroy(self->shards[side]);
    dt_replica_release(&self->replica);
    dt_activations_destroy(self->activations);
    dt_columns_destroy(self->columns);
    dt_passage_release(&self->passage);
    close_part(self, self->group);
    close_part(self, self->all);
    dt_grid_release(&self->grid);
    free(self->node_of);
    free(self);
}

static void find_sides(hybrid *self) {
    size_t begin, end;
    dt_split_span(dt_model_network(self->model), self->parameters, &begin, &end);
    self->sides[0] = (dt_range){0, begin};
    self->sides[1] = (dt_range){end, self->parameters->summed_floats - end};
}

static float *gradients_at(const hybrid *self, size_t offset) {
    return dt_model_gradients(self->model) + dt_model_gradient_place(self->model, offset);
}

/* The communicators of the grid. Collective, agreed on. */
static dt_status open_grid(hybrid *self, bool by_node) {
    DT_TRY(dt_comm_agree(self->comm, dt_grid_create(self->comm, by_node, &self->grid)));
    self->all = self->group = self->comm;
    if (self->grid.groups == 1)
        return dt_ok();
    self->group = NULL;
    DT_TRY(dt_comm_split(self->comm, 0, self->grid.position, &self->all));
    return dt_comm_split(self->all, self->grid.group, self->grid.position, &self->group);
}

static const dt_sharing *sharing_of(const hybrid *self) {
    return self->sharing.members > 0 ? &self->sharing : NULL;
}

/* A node's ranks have the same order in both numbers, and so the same places in its memory. */
static dt_status open_sharing(hybrid *self, const dt_sharing *sharing) {
    int ranks = dt_comm_size(self->all);
    if (!sharing)
        return dt_ok();
    self->node_of = calloc((size_t)ranks, sizeof *self->node_of);
    if (!self->node_of)
        return dt_fail(DT_MEMORY, "no memory for the nodes of %d ranks", ranks);
    for (int rank = 0; rank < ranks; rank++)
        self->node_of[rank] = dt_comm_node_of(self->all, rank);
    self->sharing = *sharing;
    self->sharing.node_of = self->node_of;
    return dt_ok();
}

/* What each rank takes by itself. */
static dt_status open_parts(hybrid *self, const dt_strategy_config *config, dt_split split,
                            size_t piece_floats) {
    size_t summed = self->parameters->summed_floats;
    const dt_network *network = dt_model_network(self->model);
    float *weights = dt_model_weights(self->model);
    DT_TRY(open_sharing(self, dt_node_memory_sharing(config->memory)));
    for (int side = 0; side < SIDES; side++) {
        dt_shards_config shards = {.comm = self->all,
                                   .kernels = self->kernels,
                                   .cut = self->cut,
                                   .sharing = sharing_of(self),
                                   .range = self->sides[side],
                                   .weights = weights,
                                   .gradients = gradients_at(self, self->sides[side].begin),
                                   .stride = dt_model_root_stride(self->model),
                                   .piece_floats = piece_floats,
                                   .number = side,
                                   .store_gradients = config->store_gradients};
        DT_TRY(dt_shards_create(&shards, &self->shards[side]));
    }
    DT_TRY(dt_replica_create(self->comm, self->kernels, sharing_of(self),
                             (dt_range){summed, self->parameters->floats - summed}, weights,
                             gradients_at(self, summed), &self->replica));
    DT_TRY(dt_passage_create(self->group, network, self->parameters, &self->passage));
    return dt_activations_create(self->group, self->kernels, network, split, &self->activations);
}

static dt_status open_hybrid(hybrid *self, const dt_strategy_config *config, size_t piece_floats) {
    DT_TRY(open_grid(self, config->kind == DT_STRATEGY_HYBRID_NODE));
    dt_columns_config columns = {.all = self->all,
                                 .grid = &self->grid,
                                 .model = self->model,
                                 .kernels = self->kernels,
                                 .batch = config->batch,
                                 .piece_floats = piece_floats};
    DT_TRY(dt_columns_create(&columns, &self->columns));
    dt_split split = dt_strategy_split(config->kind, config->comm, config->batch);
    return dt_comm_agree(self->comm, open_parts(self, config, split, piece_floats));
}

static dt_status hybrid_create(const dt_strategy_config *config, const dt_cut *cut, size_t piece_floats,
                               void **state) {
    hybrid *self = calloc(1, sizeof *self);
    *state = NULL;
    dt_status status =
        dt_comm_agree(config->comm, self ? dt_ok() : dt_fail(DT_MEMORY, "no memory for the hybrid strategy"));
    if (!self || dt_failed(&status)) {
        free(self);
        return status;
    }
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
    status = open_hybrid(self, config, piece_floats);
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
    dt_columns_renew(self->columns);
    self->taken = true;
    self->gathered = true;
}

/* A tensor's place among the split ones; -1 for the others. */
static int split_number(const hybrid *self, int tensor) {
    for (int i = 0; i < self->layout->count; i++)
        if (self->layout->tensors[i].tensor == tensor)
            return i;
    return -1;
}

static void hybrid_begin(void *state) {
    hybrid *self = state;
    take_columns(self);
    dt_activations_set(self->activations, self->cut->share.batch);
    dt_columns_begin(self->columns, self->cut->share.batch);
    dt_prefix_clear(&self->prefix);
    for (int side = 0; side < SIDES; side++)
        dt_shards_begin(self->shards[side]);
    /* Gradients of split tensors stand in nobody's way: they go ways of their own. */
    for (int i = 0; i < self->layout->count; i++)
        dt_prefix_add(&self->prefix, self->layout->tensors[i].tensor);
}

static void hybrid_weights_needed(void *state, int tensor) {
    hybrid *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    int number = split_number(self, tensor);
    if (number >= 0)
        dt_columns_wait(self->columns, number);
    for (int side = 0; side < SIDES; side++)
        dt_shards_wait(self->shards[side], (dt_range){row->offset, row->count});
}

static void hybrid_progress(void *state) {
    hybrid *self = state;
    for (int side = 0; side < SIDES; side++)
        dt_shards_progress(self->shards[side]);
    dt_columns_progress(self->columns);
}

static void hybrid_gradient_ready(void *state, int tensor) {
    hybrid *self = state;
    int number = split_number(self, tensor);
    if (number >= 0) {
        dt_columns_gradient_ready(self->columns, number);
        hybrid_progress(self);
        return;
    }
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
    dt_columns_finish(self->columns);
}

static bool is_finite(hybrid *self, int tensor) {
    const dt_tensor *row = &self->parameters->tensors[tensor];
    int number = split_number(self, tensor);
    if (number >= 0)
        return dt_columns_are_finite(self->columns, number);
    if (row->offset >= self->parameters->summed_floats)
        return dt_all_finite(self->kernels, row->count, gradients_at(self, row->offset));
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

/* The convolutions first: their weights then travel behind the dense layers' step, and are needed first. */
static void hybrid_update(void *state, int64_t step) {
    hybrid *self = state;
    dt_adam_step values = dt_strategy_adam_step(&self->adam, step);
    dt_replica_update(&self->replica, values);
    for (int side = SIDES - 1; side >= 0; side--)
        dt_shards_update(self->shards[side], values);
    dt_columns_update(self->columns, values);
    hybrid_progress(self);
    self->gathered = false;
}

static uint64_t hybrid_hash_moments(void *state, int tensor, uint64_t hash) {
    hybrid *self = state;
    const dt_tensor *row = &self->parameters->tensors[tensor];
    return dt_replica_hash(&self->replica, (dt_range){row->offset, row->count}, hash);
}

static int hybrid_shared_columns(void *state) {
    hybrid *self = state;
    return dt_columns_shared(self->columns);
}

static uint64_t hybrid_hash_column(void *state, int number, int *tensor) {
    hybrid *self = state;
    *tensor = self->layout->tensors[number % self->layout->count].tensor;
    return dt_columns_hash(self->columns, number);
}

/* One copy a node is written by one rank. */
static void gather_columns(hybrid *self) {
    bool writes = dt_sharing_leads(sharing_of(self));
    dt_passage_gather(&self->passage, dt_model_split_weights(self->model),
                      writes ? dt_model_weights(self->model) : NULL);
    if (sharing_of(self))
        dt_comm_node_barrier(self->comm);
}

static void hybrid_gather(void *state) {
    hybrid *self = state;
    take_columns(self);
    for (int side = 0; side < SIDES; side++)
        dt_shards_wait(self->shards[side], self->sides[side]);
    for (int i = 0; i < self->layout->count; i++)
        dt_columns_wait(self->columns, i);
    if (!self->gathered)
        gather_columns(self);
    self->gathered = true;
}

/* Rank 0 is in group 0, which has all moments once they are collected. */
static void collect_columns(hybrid *self, bool second, float *slab) {
    const float *moments = dt_columns_collect(self->columns, second);
    if (self->grid.group == 0)
        dt_passage_gather(&self->passage, moments, slab);
}

static void hybrid_collect(void *state, float *m, float *v) {
    hybrid *self = state;
    for (int side = 0; side < SIDES; side++)
        dt_shards_collect(self->shards[side], m, v);
    dt_replica_collect(&self->replica, m, v);
    collect_columns(self, false, m);
    collect_columns(self, true, v);
}

static void restore_columns(hybrid *self, bool second, const float *slab) {
    dt_passage_scatter(&self->passage, self->all, slab, dt_columns_moments(self->columns, second));
    dt_columns_restore(self->columns, second);
}

static void hybrid_restore(void *state, const float *m, const float *v) {
    hybrid *self = state;
    self->taken = false;
    take_columns(self);
    for (int side = 0; side < SIDES; side++)
        dt_shards_restore(self->shards[side], m, v);
    dt_replica_restore(&self->replica, m, v);
    restore_columns(self, false, m);
    restore_columns(self, true, v);
}

const dt_strategy_ops dt_hybrid_ops = {.create = hybrid_create,
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
                                       .shared_columns = hybrid_shared_columns,
                                       .hash_column = hybrid_hash_column,
                                       .collect = hybrid_collect,
                                       .restore = hybrid_restore};
