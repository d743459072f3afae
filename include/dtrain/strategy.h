/* SPDX-License-Identifier: BSD-3-Clause */
/* How the ranks share the work of a step: who sums which gradients, who holds which part of the optimizer's
 * state, who updates which weights. A strategy plugs into the model as its dt_exchange.
 *
 * Whatever the strategy, the number of ranks and the order in which messages arrive: the sums are those of
 * leaves.h, so the weights after a step have the same bits on every rank and for every number of ranks.
 *
 * One step: dt_strategy_begin, dt_model_train with dt_strategy_exchange, dt_strategy_finish,
 * dt_strategy_update. All collective, main thread only; steps allocate nothing. */
#ifndef DTRAIN_STRATEGY_H
#define DTRAIN_STRATEGY_H

#include "dtrain/comm.h"
#include "dtrain/model.h"
#include "dtrain/node_memory.h"

typedef enum dt_strategy_kind {
    DT_STRATEGY_ALLREDUCE, /* every rank holds everything; gradients in pieces, last layer first, while
                              backward goes on */
    DT_STRATEGY_SHARDED,   /* each rank owns a part of the gradient's sum, of Adam's moments and of his step;
                              the weights travel to all while the next forward pass goes on */
    DT_STRATEGY_HYBRID,    /* the hidden dense layers are split by their units: activations travel, each rank
                              computes and updates its columns; the rest as in sharded */
    DT_STRATEGY_HYBRID_NODE, /* the same with the ranks of each node: activations travel inside nodes; between
                                nodes the columns are summed and shared out as in sharded */
    DT_STRATEGY_AUTO         /* as a wish: the fastest of the others by plan.h */
} dt_strategy_kind;

/* The ranks over which hybrid splits, as a wish. */
typedef enum dt_grid_wish {
    DT_GRID_AUTO, /* the faster one by plan.h */
    DT_GRID_ALL,  /* DT_STRATEGY_HYBRID */
    DT_GRID_NODE  /* DT_STRATEGY_HYBRID_NODE */
} dt_grid_wish;

/* So many strategies there are, numbered from 0. */
enum { DT_STRATEGIES = DT_STRATEGY_AUTO };

/* "allreduce", "sharded", "hybrid", "hybrid-node", "auto". */
const char *dt_strategy_name(dt_strategy_kind kind);

typedef struct dt_strategy dt_strategy;

typedef struct dt_adam_config {
    double lr, beta1, beta2, epsilon;
} dt_adam_config;

typedef struct dt_strategy_config {
    dt_strategy_kind kind;
    dt_comm *comm;          /* borrowed */
    dt_model *model;        /* borrowed */
    dt_node_memory *memory; /* borrowed: what the model's slabs were taken from; NULL: its own */
    dt_kernels *kernels;    /* borrowed */
    int batch;              /* the largest global batch */
    dt_adam_config adam;
    bool store_gradients; /* dt_model_gradients shall have all of them after the finish, on one rank too;
                             there the gradients of dense kernels go into the weights unstored otherwise */
} dt_strategy_config;

/* Whether a strategy can share a network among so many ranks, at most node_ranks of them on a node. Errors:
 * DT_USAGE. */
dt_status dt_strategy_check(dt_strategy_kind kind, const dt_network *network, int ranks, int node_ranks);

/* The ranks of the largest node. Local. */
int dt_strategy_node_ranks(const dt_comm *comm);

/* dt_model_config.split for a strategy. On one rank every strategy is the same. */
dt_split dt_strategy_split(dt_strategy_kind kind, dt_comm *comm, int batch);

/* The most roots that any rank has for any global batch of 1 .. batch samples: dt_model_config.roots. */
int dt_strategy_roots(int batch, int ranks);

/* dt_node_memory_create: whether the ranks of a node may have one copy of the weights. In allreduce each
 * updates its own. */
bool dt_strategy_shares_weights(dt_strategy_kind kind);

/* Takes all memory, Adam's m and v (zero) and the message buffers included. Collective. Errors, agreed on:
 * DT_MEMORY. */
dt_status dt_strategy_create(const dt_strategy_config *config, dt_strategy **strategy);
void dt_strategy_destroy(dt_strategy *strategy);

const dt_exchange *dt_strategy_exchange(const dt_strategy *strategy);

/* Says how many samples the global batch of the coming step has, and returns this rank's share of it. */
dt_share dt_strategy_begin(dt_strategy *strategy, int batch);

/* Waits until the gradient stands, complete, wherever this strategy updates weights. */
void dt_strategy_finish(dt_strategy *strategy);

/* Looks whether the gradient is finite: -1, or the index of the first tensor (in the table's order) that is
 * not; the same answer on all ranks. A gradient that is not stored is judged as dt_model_dense_is_finite
 * does. */
int dt_strategy_first_not_finite(dt_strategy *strategy);

/* Adam's step number `step` (from 1) on the weights. They need not be complete on all ranks before
 * dt_strategy_gather returns; the next training pass waits for what it needs. */
void dt_strategy_update(dt_strategy *strategy, int64_t step);

/* Returns when the model's weights are complete on this rank: before an evaluation, or a look at them.
 * Collective. */
void dt_strategy_gather(dt_strategy *strategy);

/* Compares what several ranks hold, weights (of split layers the columns that other nodes have too), moving
 * statistics, and of Adam's moments those that are not shared out, tensor by tensor; gathers before. `step`
 * is for the message. Collective. Errors, agreed on: DT_MACHINE, naming the rank that differs from most (of
 * two, the one that is not rank 0), its host and the first tensor. */
dt_status dt_strategy_check_replicas(dt_strategy *strategy, int64_t step);

/* The whole state of the network and of Adam, laid out as the table of parameters says: what a strategy
 * shares out among the ranks, complete in one place. */
typedef struct dt_strategy_image {
    float *weights, *m, *v; /* parameters.floats each; the gaps between tensors are zero */
    float *states;          /* parameters.state_floats */
} dt_strategy_image;

/* Between two steps: copies everything to rank 0's image (the others': all NULL). Collective. */
void dt_strategy_collect(dt_strategy *strategy, dt_strategy_image image);

/* Between two steps: gives every rank its part of rank 0's image (the others': all NULL). Collective. */
void dt_strategy_restore(dt_strategy *strategy, dt_strategy_image image);

#endif
