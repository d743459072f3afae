/* SPDX-License-Identifier: BSD-3-Clause */
/* What a step would cost under each strategy: a model of its times, fed with times that were measured. Pure
 * functions.
 *
 * compute: forward and backward pass of the rank with the largest share, and the merging of foreign roots.
 * exposed: communication that nothing hides. A rank sends its bytes at the links' measured speed; what
 * travels between nodes goes on while convolutions are computed. Inside a node gradients are added where they
 * lie (compute) and weights are there already; in allreduce the sums are copied, and nothing hides that, nor
 * activations that are sent there. Activations of split layers, statistics and the last piece of
 * the gradient are always waited for. optimizer: Adam, in hybrid over all ranks with the weight gradients
 * that are fused with it. */
#ifndef DTRAIN_PLAN_H
#define DTRAIN_PLAN_H

#include "dtrain/strategy.h"

/* A message takes latency + bytes / bandwidth. */
typedef struct dt_plan_link {
    double latency;   /* seconds, one way */
    double bandwidth; /* bytes/s that each rank sends while all do */
} dt_plan_link;

typedef struct dt_plan_setup {
    const dt_network *network;
    int batch;
    int ranks;
    int node_ranks; /* ranks of a node */
    dt_wire wire;
} dt_plan_setup;

/* Seconds, measured for the setup's share of a rank. */
typedef struct dt_plan_times {
    double conv_forward, conv_backward;   /* with normalisation, loss and data */
    double dense_forward, dense_backward; /* own samples, all units */
    double split_forward, split_backward; /* all samples, the units of one rank; with the last layer */
    double split_update;                  /* weight gradients and Adam of those units */
    double adam;                          /* of a parameter */
    double add;                           /* of one value to another */
    dt_plan_link within, across;          /* a node */
} dt_plan_times;

typedef struct dt_plan_row {
    dt_strategy_kind kind;
    bool possible;                            /* else nothing below is set */
    double compute, exposed, optimizer, step; /* seconds */
    double speedup;                           /* over one rank with the whole batch */
    double bytes;                             /* sent by a rank in a step */
} dt_plan_row;

/* Bytes that transfers of rank `rank` send in a step: exact where neighbouring ranks fill the nodes and share
 * their memory, `node_ranks` each, the last one what is left. */
double dt_plan_bytes(dt_strategy_kind kind, const dt_network *network, int batch, int ranks, int node_ranks,
                     int rank, dt_wire wire);

/* Whether there are several nodes, and one with several ranks: else hybrid by node would be the equal of
 * another strategy, and no plan has it. */
bool dt_plan_is_grid(const dt_plan_setup *setup);

/* A step of one rank with the whole batch, as far as the times of a share tell. */
double dt_plan_one_rank(const dt_plan_setup *setup, const dt_plan_times *times);

dt_plan_row dt_plan_predict(dt_strategy_kind kind, const dt_plan_setup *setup, const dt_plan_times *times);

/* The possible strategy with the shortest step; the first on a tie. */
dt_strategy_kind dt_plan_choose(const dt_plan_row *rows, int count);

#endif
