/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to train and cli: the methods of the convolutions, agreed on by all ranks. */
#ifndef DTRAIN_TRAIN_CHOICE_H
#define DTRAIN_TRAIN_CHOICE_H

#include "dtrain/comm.h"
#include "dtrain/methods.h"

/* Times all methods on all ranks at once, as in training; the slowest rank's times count, so all ranks have
 * the same. Collective. Errors, agreed on: DT_MEMORY. */
dt_status dt_choice_measure(dt_comm *comm, const dt_network *network, dt_kernels *kernels, int samples,
                            dt_methods_times *times);

/* What --methods says: "auto", "tuned" (measured; engine auto alone) or a list. Never leaves a DT_CONV_AUTO.
 * Says what was tuned. Collective; errors, agreed on: DT_USAGE, DT_MEMORY. */
dt_status dt_choice_make(dt_comm *comm, const char *text, const dt_network *network, dt_kernels *kernels,
                         int samples, dt_methods *methods);

#endif
