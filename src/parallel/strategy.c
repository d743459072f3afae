/* SPDX-License-Identifier: BSD-3-Clause */
/* The strategies behind one door: what all of them need, and the choice between them. */
#include "dtrain/strategy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/hash.h"
#include "parallel/cut.h"
#include "parallel/grid.h"
#include "parallel/statistics.h"
#include "parallel/strategy_ops.h"

struct dt_strategy {
    const dt_strategy_ops *ops;
    dt_comm *comm;
    dt_model *model;
    const dt_sharing *sharing;
    void *state; /* the ops' own */
    dt_exchange exchange;
    dt_cut cut;
    dt_statistics statistics;
    int columns; /* shared ones, that are compared */
    int held;    /* tensors whose gradients are ready and wait for a combination */
    int held_tensors[DT_MAX_TENSORS];
    uint64_t *hashes; /* [ranks + 1][replicas]: this rank's, then everybody's */
};

static const dt_strategy_ops *const kinds[] = {[DT_STRATEGY_ALLREDUCE] = &dt_allreduce_ops,
                                               [DT_STRATEGY_SHARDED] = &dt_sharded_ops,
                                               [DT_STRATEGY_HYBRID] = &dt_hybrid_ops,
                                               [DT_STRATEGY_HYBRID_NODE] = &dt_hybrid_ops};

const char *dt_strategy_name(dt_strategy_kind kind) {
    static const char *const names[] = {[DT_STRATEGY_ALLREDUCE] = "allreduce",
                                        [DT_STRATEGY_SHARDED] = "sharded",
                                        [DT_STRATEGY_HYBRID] = "hybrid",
                                        [DT_STRATEGY_HYBRID_NODE] = "hybrid-node",
                                        [DT_STRATEGY_AUTO] = "auto"};
    return names[kind];
}

dt_adam_step dt_strategy_adam_step(const dt_adam_config *adam, int64_t step) {
    assert(step >= 1);
    double t = (double)step;
    double rate = adam->lr * sqrt(1.0 - pow(adam->beta2, t)) / (1.0 - pow(adam->beta1, t));
    return (dt_adam_step){.rate = (float)rate,
                          .one_minus_beta1 = (float)(1.0 - adam->beta1),
                          .one_minus_beta2 = (float)(1.0 - adam->beta2),
                          .epsilon = (float)adam->epsilon};
}

dt_status dt_strategy_check(dt_strategy_kind kind, const dt_network *network, int ranks, int node_ranks) {
    int most = dt_split_most_ranks(network);
    if (kind == DT_STRATEGY_HYBRID && ranks > most)
        return dt_fail(
            DT_USAGE,
            "--strategy hybrid splits the hidden dense layers by columns, in %d blocks at this "
            "width: too few for %d ranks; use at most %d ranks, a larger --width or another strategy",
            most, ranks, most);
    if (kind == DT_STRATEGY_HYBRID_NODE && node_ranks > most && ranks > 1)
        return dt_fail(
            DT_USAGE,
            "--grid node splits the hidden dense layers by columns over the ranks of a node, in %d "
            "blocks at this width: too few for %d ranks; use at most %d ranks a node, a larger "
            "--width or another strategy",
            most, node_ranks, most);
    return dt_ok();
}

dt_split dt_strategy_split(dt_strategy_kind kind, dt_comm *comm, int batch) {
    int ranks = dt_comm_size(comm);
    if (ranks > 1 && kind == DT_STRATEGY_HYBRID_NODE)
        return dt_grid_split(comm, batch);
    if (ranks > 1 && kind == DT_STRATEGY_HYBRID)
        return (dt_split){.ranks = ranks, .rank = dt_comm_rank(comm), .batch = batch};
    return (dt_split){0};
}

int dt_strategy_node_ranks(const dt_comm *comm) {
    return dt_grid_largest_node(comm);
}

int dt_strategy_roots(int batch, int ranks) {
    return dt_cut_find_bounds(batch, (dt_cut_parts){.count = ranks}, 0).roots;
}

static void release_held(dt_strategy *strategy) {
    for (int i = 0; i < strategy->held; i++)
        strategy->ops->gradient_ready(strategy->state, strategy->held_tensors[i]);
    strategy->held = 0;
}

bool dt_strategy_shares_weights(dt_strategy_kind kind) {
    return kind != DT_STRATEGY_ALLREDUCE && kind != DT_STRATEGY_AUTO;
}

static void exchange_combine(void *context, const double *partials, int width, double *sums) {
    dt_strategy *strategy = context;
    dt_statistics_combine(&strategy->statistics, &strategy->cut.share, partials, width, sums);
    release_held(strategy);
}

static void exchange_weights_needed(void *context, int tensor) {
    dt_strategy *strategy = context;
    if (!strategy->ops->weights_needed)
        return;
    dt_comm_wait_begin(strategy->comm);
    strategy->ops->weights_needed(strategy->state, tensor);
    dt_comm_wait_end(strategy->comm);
}

/* Behind a normalisation's layer its statistics are combined next, in small messages that everybody waits
 * for. They would wait behind the gradient's on the same link: it leaves after them, and travels while the
 * next layer is computed. */
static void exchange_gradient_ready(void *context, int tensor) {
    dt_strategy *strategy = context;
    int layer = dt_model_parameters(strategy->model)->tensors[tensor].layer;
    const dt_network *network = dt_model_network(strategy->model);
    if (layer > 0 && network->layers[layer].kind == DT_LAYER_CONV &&
        network->layers[layer - 1].kind == DT_LAYER_NORM)
        strategy->held_tensors[strategy->held++] = tensor;
    else
        strategy->ops->gradient_ready(strategy->state, tensor);
}

static void exchange_reshape(void *context, dt_reshape shape, const float *source, float *target) {
    dt_strategy *strategy = context;
    dt_comm_wait_begin(strategy->comm);
    strategy->ops->reshape(strategy->state, shape, source, target);
    dt_comm_wait_end(strategy->comm);
}

static void exchange_progress(void *context) {
    dt_strategy *strategy = context;
    strategy->ops->progress(strategy->state);
}

/* What is compared over ranks: shared columns, then learnt tensors, then moving statistics. */
static int replica_count(const dt_strategy *strategy) {
    const dt_parameters *parameters = dt_model_parameters(strategy->model);
    return strategy->columns + parameters->count + parameters->state_count;
}

dt_status dt_strategy_create(const dt_strategy_config *config, dt_strategy **strategy) {
    return dt_strategy_create_pieces(config, DT_PIECE_FLOATS, strategy);
}

/* What all strategies need; the state and the hashes are still missing. */
static dt_status open_common(dt_strategy *strategy, const dt_strategy_config *config) {
    int ranks = dt_comm_size(config->comm), place = dt_comm_rank(config->comm);
    if (config->kind == DT_STRATEGY_HYBRID_NODE)
        place = dt_grid_position(config->comm);
    strategy->comm = config->comm;
    strategy->model = config->model;
    strategy->sharing = dt_node_memory_sharing(config->memory);
    strategy->exchange = (dt_exchange){.context = strategy,
                                       .combine = exchange_combine,
                                       .weights_needed = exchange_weights_needed,
                                       .gradient_ready = exchange_gradient_ready,
                                       .progress = exchange_progress,
                                       .reshape = exchange_reshape,
                                       .defers_dense = dt_strategy_defers_dense(config)};
    DT_TRY(dt_cut_create(config->batch, ranks, place, &strategy->cut));
    return dt_statistics_create(config->comm, dt_model_network(config->model), config->batch,
                                &strategy->statistics);
}

static dt_status open_hashes(dt_strategy *strategy) {
    size_t rows = (size_t)dt_comm_size(strategy->comm) + 1;
    if (strategy->ops->shared_columns)
        strategy->columns = strategy->ops->shared_columns(strategy->state);
    strategy->hashes = calloc(rows * (size_t)replica_count(strategy), sizeof *strategy->hashes);
    return strategy->hashes ? dt_ok() : dt_fail(DT_MEMORY, "no memory to compare %zu replicas", rows - 1);
}

dt_status dt_strategy_create_pieces(const dt_strategy_config *config, size_t piece_floats,
                                    dt_strategy **strategy) {
    dt_strategy *created = calloc(1, sizeof *created);
    dt_status status = dt_ok();
    *strategy = NULL;
    if (!created)
        status = dt_fail(DT_MEMORY, "no memory for the %s strategy", dt_strategy_name(config->kind));
    else
        status = open_common(created, config);
    status = dt_comm_agree(config->comm, status);
    if (!created || dt_failed(&status))
        goto cleanup;
    /* One rank has nothing to share. */
    const dt_strategy_ops *ops = dt_comm_size(config->comm) == 1 ? &dt_allreduce_ops : kinds[config->kind];
    status = ops->create(config, &created->cut, piece_floats, &created->state);
    if (!dt_failed(&status)) {
        created->ops = ops;
        status = open_hashes(created);
    }
    DT_TRY_CLEANUP(status, dt_comm_agree(config->comm, status));
    *strategy = created;
    return status;
cleanup:
    dt_strategy_destroy(created);
    return status;
}

void dt_strategy_destroy(dt_strategy *strategy) {
    if (!strategy)
        return;
    if (strategy->ops)
        strategy->ops->destroy(strategy->state);
    dt_statistics_release(&strategy->statistics);
    dt_cut_release(&strategy->cut);
    free(strategy->hashes);
    free(strategy);
}

const dt_exchange *dt_strategy_exchange(const dt_strategy *strategy) {
    return &strategy->exchange;
}

dt_share dt_strategy_begin(dt_strategy *strategy, int batch) {
    dt_cut_set(&strategy->cut, batch);
    dt_comm_wait_begin(strategy->comm);
    strategy->ops->begin(strategy->state);
    dt_comm_wait_end(strategy->comm);
    return strategy->cut.share;
}

void dt_strategy_finish(dt_strategy *strategy) {
    dt_comm_wait_begin(strategy->comm);
    release_held(strategy);
    strategy->ops->finish(strategy->state);
    dt_comm_wait_end(strategy->comm);
}

int dt_strategy_first_not_finite(dt_strategy *strategy) {
    return strategy->ops->first_not_finite(strategy->state);
}

void dt_strategy_update(dt_strategy *strategy, int64_t step) {
    strategy->ops->update(strategy->state, step);
}

void dt_strategy_gather(dt_strategy *strategy) {
    if (strategy->ops->gather)
        strategy->ops->gather(strategy->state);
}

/* The tensor that replica `number` belongs to, counted over learnt ones and moving statistics. */
static int replica_tensor(dt_strategy *strategy, int number) {
    int tensor = number - strategy->columns;
    if (number < strategy->columns)
        (void)strategy->ops->hash_column(strategy->state, number, &tensor);
    return tensor;
}

/* 0: this rank does not hold it. Weights that the ranks of a node share are held by the first of them. */
static uint64_t hash_replica(dt_strategy *strategy, int number) {
    const dt_parameters *parameters = dt_model_parameters(strategy->model);
    int tensor;
    if (number < strategy->columns)
        return strategy->ops->hash_column(strategy->state, number, &tensor);
    tensor = number - strategy->columns;
    if (tensor >= parameters->count) {
        const dt_tensor *row = &parameters->states[tensor - parameters->count];
        return dt_hash(0, dt_model_states(strategy->model) + row->offset, row->count * sizeof(float));
    }
    if (!dt_sharing_leads(strategy->sharing))
        return 0;
    const dt_tensor *row = &parameters->tensors[tensor];
    uint64_t hash = dt_hash(0, dt_model_weights(strategy->model) + row->offset, row->count * sizeof(float));
    return strategy->ops->hash_moments(strategy->state, tensor, hash);
}

/* The hash of replica `number` that most of its holders have; of two with as many, the lower rank's. */
static uint64_t common_hash(const uint64_t *all, int ranks, int replicas, int number) {
    int best = 0, most = 0;
    for (int rank = 0; rank < ranks; rank++) {
        int alike = 0;
        for (int other = 0; other < ranks; other++)
            alike += all[rank * replicas + number] == all[other * replicas + number];
        if (all[rank * replicas + number] != 0 && alike > most) {
            most = alike;
            best = rank;
        }
    }
    return all[best * replicas + number];
}

/* The first replica that some holder has otherwise than most: -1 if there is none. Of a column that differs
 * its holder is known; the whole tensors of its group, gathered from it, differ all. */
static int first_difference(const uint64_t *all, int ranks, int replicas) {
    for (int number = 0; number < replicas; number++) {
        uint64_t common = common_hash(all, ranks, replicas, number);
        for (int rank = 0; rank < ranks; rank++) {
            uint64_t hash = all[rank * replicas + number];
            if (hash != 0 && hash != common)
                return number;
        }
    }
    return -1;
}

static const char *tensor_name(const dt_strategy *strategy, int tensor) {
    const dt_parameters *parameters = dt_model_parameters(strategy->model);
    return tensor < parameters->count ? parameters->tensors[tensor].name
                                      : parameters->states[tensor - parameters->count].name;
}

dt_status dt_strategy_check_replicas(dt_strategy *strategy, int64_t step) {
    int ranks = dt_comm_size(strategy->comm), replicas = replica_count(strategy);
    uint64_t *mine = strategy->hashes, *all = mine + replicas;
    dt_status status = dt_ok();
    dt_strategy_gather(strategy);
    if (ranks == 1)
        return status;
    for (int i = 0; i < replicas; i++)
        mine[i] = hash_replica(strategy, i);
    dt_comm_allgather(strategy->comm, mine, (size_t)replicas * sizeof *mine, all);
    int number = first_difference(all, ranks, replicas);
    if (number >= 0 && mine[number] != 0 && mine[number] != common_hash(all, ranks, replicas, number))
        status = dt_fail(DT_MACHINE,
                         "after step %lld its %s (weights or Adam's moments) is not what the other ranks "
                         "have: memory or a processor of this host may be at fault",
                         (long long)step, tensor_name(strategy, replica_tensor(strategy, number)));
    return dt_comm_agree(strategy->comm, status);
}

/* An array that every rank has whole: to rank 0's image, or from it to all. Without normalisation there are
 * no moving statistics and no array. */
static void collect_array(const dt_strategy *strategy, float *image, const float *array, size_t floats) {
    if (floats > 0 && dt_comm_rank(strategy->comm) == 0)
        memcpy(image, array, floats * sizeof(float));
}

static void restore_array(const dt_strategy *strategy, const float *image, float *array, size_t floats) {
    if (floats > 0 && dt_comm_rank(strategy->comm) == 0)
        memcpy(array, image, floats * sizeof(float));
    dt_comm_broadcast(strategy->comm, array, floats * sizeof(float), 0);
}

void dt_strategy_collect(dt_strategy *strategy, dt_strategy_image image) {
    const dt_parameters *parameters = dt_model_parameters(strategy->model);
    dt_strategy_gather(strategy);
    collect_array(strategy, image.weights, dt_model_weights(strategy->model), parameters->floats);
    collect_array(strategy, image.states, dt_model_states(strategy->model), parameters->state_floats);
    strategy->ops->collect(strategy->state, image.m, image.v);
}

/* Weights that the ranks of a node share are written by one of them. */
static void restore_weights(const dt_strategy *strategy, const float *image) {
    size_t floats = dt_model_parameters(strategy->model)->floats;
    float *weights = dt_model_weights(strategy->model);
    if (!strategy->sharing || !strategy->sharing->weights) {
        restore_array(strategy, image, weights, floats);
        return;
    }
    /* Another rank may still be giving them their first values. */
    dt_comm_node_barrier(strategy->comm);
    if (dt_comm_rank(strategy->comm) == 0)
        memcpy(weights, image, floats * sizeof(float));
    dt_comm_publish(strategy->comm, weights, floats * sizeof(float));
}

/* The gathering first: weights on their way from the last step would overwrite those of the image. */
void dt_strategy_restore(dt_strategy *strategy, dt_strategy_image image) {
    const dt_parameters *parameters = dt_model_parameters(strategy->model);
    dt_strategy_gather(strategy);
    restore_weights(strategy, image.weights);
    restore_array(strategy, image.states, dt_model_states(strategy->model), parameters->state_floats);
    strategy->ops->restore(strategy->state, image.m, image.v);
}
