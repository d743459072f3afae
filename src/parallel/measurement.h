/* SPDX-License-Identifier: BSD-3-Clause */
/* The times that plan.h needs, measured on the ranks that are there: passes of a model of the right size on
 * noise, Adam and additions, messages between ranks. Takes about a second at full width. */
#ifndef DTRAIN_PARALLEL_MEASUREMENT_H
#define DTRAIN_PARALLEL_MEASUREMENT_H

#include "dtrain/plan.h"

/* Compute times for the share of one of setup->ranks ranks, which need not exist: all ranks that do measure
 * at the same time, and the slowest counts. Links between the ranks that exist: where there is no pair inside
 * a node, or none across, the other kind's figures stand for it; for a single rank both are 0. Wide dense
 * layers are timed in part and counted whole. Takes at most the memory of a training model and gives it
 * back. Collective. Errors, agreed on: DT_MEMORY. */
dt_status dt_measurement_run(dt_comm *comm, dt_kernels *kernels, const dt_plan_setup *setup,
                             dt_plan_times *times);

#endif
