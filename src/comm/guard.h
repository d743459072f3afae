/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends a process whose first talk with the other ranks gets nowhere: from the end of MPI's start until a
 * better watch stands. A thread looks at what the main thread notes; when nothing was noted for the timeout
 * it says which ranks are silent, and ends the process with exit code DT_STALLED. Private to comm. */
#ifndef DTRAIN_COMM_GUARD_H
#define DTRAIN_COMM_GUARD_H

#include "dtrain/status.h"

typedef struct dt_guard dt_guard;

/* Watches this rank for `timeout` seconds between notes; 0, or one rank: none, *guard is NULL. `host` is
 * borrowed. Local. Errors: DT_MEMORY, DT_MACHINE. */
dt_status dt_guard_create(int timeout, int rank, int size, const char *host, dt_guard **guard);

/* NULL is fine for all of these. Main thread. */
void dt_guard_destroy(dt_guard *guard);

enum { DT_GUARD_HOST = 64 };

/* A first message: who speaks. */
typedef struct dt_guard_greeting {
    int process;
    char host[DT_GUARD_HOST];
} dt_guard_greeting;

/* The rank's first message has come. */
void dt_guard_hear(dt_guard *guard, int rank, const dt_guard_greeting *greeting);

/* This rank got on, and does this now (borrowed). */
void dt_guard_note(dt_guard *guard, const char *activity);

#endif
