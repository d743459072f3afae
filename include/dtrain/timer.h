/* SPDX-License-Identifier: BSD-3-Clause */
/* Seconds, and where they went. Local; a dt_phases is used by one thread. */
#ifndef DTRAIN_TIMER_H
#define DTRAIN_TIMER_H

/* Monotonic seconds since an arbitrary moment. */
double dt_timer_now(void);

/* The phases that a run's time is split into. A new one needs a name in timer.c. */
typedef enum dt_phase {
    DT_PHASE_DATA, /* batches: pixels to floats */
    DT_PHASE_CONV_FORWARD,
    DT_PHASE_CONV_BACKWARD,
    DT_PHASE_DENSE_FORWARD,
    DT_PHASE_DENSE_BACKWARD,
    DT_PHASE_NORM, /* batch normalisation, both ways, without its sums over ranks */
    DT_PHASE_LOSS,
    DT_PHASE_STATISTICS,  /* sums of statistics and losses over ranks */
    DT_PHASE_GRADIENTS,   /* gradient traffic that the backward pass did not hide */
    DT_PHASE_ACTIVATIONS, /* activations of split layers between ranks, and their gradients */
    DT_PHASE_OPTIMIZER,   /* the check for finite gradients and Adam */
    DT_PHASE_EVALUATION,
    DT_PHASES
} dt_phase;

typedef struct dt_phases {
    double seconds[DT_PHASES];
} dt_phases;

/* Short lower-case name of a phase, as in metrics.jsonl. */
const char *dt_phase_name(dt_phase phase);

/* Adds the time since `since` (from dt_timer_now) to a phase and returns the present moment, so that
 * consecutive phases chain: t = dt_phases_add(p, A, t); t = dt_phases_add(p, B, t). */
double dt_phases_add(dt_phases *phases, dt_phase phase, double since);

#endif
