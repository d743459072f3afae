/* SPDX-License-Identifier: BSD-3-Clause */
/* The choice of a strategy by measuring, and the table that tells of it. */
#ifndef DTRAIN_TRAIN_PLANNING_H
#define DTRAIN_TRAIN_PLANNING_H

#include "dtrain/plan.h"
#include "dtrain/train.h"

/* What was predicted, and why it was chosen. */
typedef struct dt_planning {
    dt_plan_setup setup;
    dt_plan_times times;
    int count; /* of rows; 0: nothing was measured */
    dt_plan_row rows[DT_STRATEGIES];
    double seconds;  /* that measuring took */
    int attempts;    /* at measuring */
    char doubt[160]; /* what cannot be right in it, however often it is measured; empty: nothing */
} dt_planning;

/* Measures and predicts for a setup the strategies that options->strategy and options->grid leave. Figures
 * that cannot be right (parallel/doubts.h) are measured again, three times in all, and the less disturbed
 * ones count. options->link_gbits and options->link_us, where above 0, replace what was measured between
 * nodes. Collective. Errors, agreed on: DT_MEMORY. */
dt_status dt_planning_measure(dt_comm *comm, dt_kernels *kernels, dt_plan_setup setup,
                              const dt_options *options, dt_planning *planning);

/* The table, one strategy a line, with the fastest marked, and what is doubtful in it. */
void dt_planning_print(const dt_planning *planning);

/* Seconds of a step that were predicted for a strategy; NaN: none were. */
double dt_planning_step(const dt_planning *planning, dt_strategy_kind kind);

/* The strategy of a run: the option's; for DT_STRATEGY_AUTO on several ranks, and for hybrid with
 * DT_GRID_AUTO on several nodes of several ranks, the fastest that is predicted; the table is printed then.
 * Collective. */
dt_status dt_planning_resolve(dt_comm *comm, dt_kernels *kernels, const dt_options *options,
                              const dt_network *network, dt_planning *planning, dt_strategy_kind *kind);

#endif
