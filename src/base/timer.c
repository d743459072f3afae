/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock and the phases' names. */
#include "dtrain/timer.h"

#include <time.h>

double dt_timer_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *dt_phase_name(dt_phase phase) {
    static const char *const names[DT_PHASES] = {
        [DT_PHASE_DATA] = "data",
        [DT_PHASE_CONV_FORWARD] = "conv_forward",
        [DT_PHASE_CONV_BACKWARD] = "conv_backward",
        [DT_PHASE_DENSE_FORWARD] = "dense_forward",
        [DT_PHASE_DENSE_BACKWARD] = "dense_backward",
        [DT_PHASE_NORM] = "norm",
        [DT_PHASE_LOSS] = "cross_entropy",
        [DT_PHASE_STATISTICS] = "statistics",
        [DT_PHASE_GRADIENTS] = "gradients",
        [DT_PHASE_ACTIVATIONS] = "activations",
        [DT_PHASE_OPTIMIZER] = "optimizer",
        [DT_PHASE_EVALUATION] = "evaluation",
    };
    return names[phase];
}

double dt_phases_add(dt_phases *phases, dt_phase phase, double since) {
    double now = dt_timer_now();
    phases->seconds[phase] += now - since;
    return now;
}
