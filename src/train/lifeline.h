/* SPDX-License-Identifier: BSD-3-Clause */
/* A mark in memory that processes share, by which others see that the process that holds it has ended,
 * however it did: a robust mutex (POSIX.1-2017, pthread_mutexattr_setrobust), which the kernel marks when its
 * owner dies. Needs no process numbers, so that it also works between containers. */
#ifndef DTRAIN_TRAIN_LIFELINE_H
#define DTRAIN_TRAIN_LIFELINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dtrain/status.h"

typedef struct dt_lifeline {
    pthread_mutex_t mutex;
    atomic_bool cut; /* somebody has seen it */
} dt_lifeline;

/* Sets the line up and holds it. The calling thread must live as long as the process, or until it lets go.
 * Nobody else may look before this has returned. Errors: DT_MACHINE. */
dt_status dt_lifeline_hold(dt_lifeline *line);

/* By the thread that holds it. From here on the line is never cut. */
void dt_lifeline_let_go(dt_lifeline *line);

/* Whether the holder ended without letting go. While somebody else takes the first look at a cut line, it
 * still seems whole. Any thread of any process but the one that holds it. */
bool dt_lifeline_is_cut(dt_lifeline *line);

#endif
