/* SPDX-License-Identifier: BSD-3-Clause */
/* What a strategy implements. strategy.c has what they share: the cut of the batch, the statistics of batch
 * normalisation, the choice of the kind. */
#ifndef DTRAIN_PARALLEL_STRATEGY_OPS_H
#define DTRAIN_PARALLEL_STRATEGY_OPS_H

#include "dtrain/strategy.h"
#include "parallel/cut.h"
#include "parallel/node_memory.h"

typedef struct dt_strategy_ops {
    /* `cut` stands for the life of the strategy and is set anew before each begin. Collective for the hybrid
     * strategies, which agree on errors; local for the others. */
    dt_status (*create)(const dt_strategy_config *config, const dt_cut *cut, size_t piece_floats,
                        void **state);
    void (*destroy)(void *state); /* takes NULL */
    void (*begin)(void *state);
    void (*weights_needed)(void *state, int tensor); /* NULL: always complete */
    void (*gradient_ready)(void *state, int tensor);
    void (*progress)(void *state);
    void (*reshape)(void *state, dt_reshape shape, const float *source, float *target); /* split models */
    void (*finish)(void *state);
    int (*first_not_finite)(void *state);
    void (*update)(void *state, int64_t step);
    void (*gather)(void *state); /* NULL: always complete */
    /* A hash of the moments of a tensor, continued from `hash`, if every rank has all of them. */
    uint64_t (*hash_moments)(void *state, int tensor, uint64_t hash);
    /* Columns that some ranks hold and others do not: how many there are (NULL: none), and of one of them the
     * hash, 0 where it is not held, and the tensor that it belongs to. After a gather. Local. */
    int (*shared_columns)(void *state);
    uint64_t (*hash_column)(void *state, int number, int *tensor);
    /* Moments as in strategy.h's image. Weights and moving statistics are whole then on every rank. */
    void (*collect)(void *state, float *m, float *v);
    void (*restore)(void *state, const float *m, const float *v);
} dt_strategy_ops;

extern const dt_strategy_ops dt_allreduce_ops, dt_sharded_ops, dt_hybrid_ops;

/* Adam's step number `step` (from 1). */
dt_adam_step dt_strategy_adam_step(const dt_adam_config *adam, int64_t step);

/* Whether the exchange defers the gradients of dense kernels: on one rank nobody else needs them. */
static inline bool dt_strategy_defers_dense(const dt_strategy_config *config) {
    return dt_comm_size(config->comm) == 1 && !config->store_gradients;
}

/* Gradients travel in pieces of 1 MB. Smaller ones pay for more messages, larger ones start later and leave
 * more to wait for behind the last layer; a piece's slices and their staging stay in the cache while they are
 * summed. Over TCP the kernel takes messages of this size whole (comm_mpi.c), and they go on while the ranks
 * compute. */
enum { DT_PIECE_FLOATS = 1 << 18 };

/* dt_strategy_create with pieces of another size, a multiple of DT_ALIGNMENT_FLOATS. */
dt_status dt_strategy_create_pieces(const dt_strategy_config *config, size_t piece_floats,
                                    dt_strategy **strategy);

#endif
