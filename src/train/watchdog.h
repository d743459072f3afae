/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends a run in which nobody gets on any more: a rank that was stopped, hangs, or is gone under a launcher
 * that does not mind, lets all others wait for ever.
 *
 * Every rank notes what it does in a block of memory that its node shares; a thread on every rank watches the
 * whole node. When no rank of the node has noted anything for the timeout, the lowest of them that still runs
 * says what they wait for and who is missing, and all leave with exit code DT_STALLED. When a rank's process
 * has ended they do so a few seconds later, whatever the timeout. Time in which the whole node was suspended
 * does not count.
 *
 * It stands from the start of the communicator on. In set-up (before dt_watchdog_begin_steps) the
 * communicator tells what a rank does, and a rank that computes on its own gets on: data may be large, and
 * methods be measured. */
#ifndef DTRAIN_TRAIN_WATCHDOG_H
#define DTRAIN_TRAIN_WATCHDOG_H

#include "dtrain/comm.h"
#include "dtrain/model.h"

/* What a rank is doing. */
typedef enum dt_activity {
    DT_ACTIVITY_SETUP,      /* on its own, before the first step */
    DT_ACTIVITY_PEERS,      /* waits for other ranks, before the first step */
    DT_ACTIVITY_COMPUTE,    /* the passes */
    DT_ACTIVITY_STATISTICS, /* from here on: waits for other ranks, or may do so */
    DT_ACTIVITY_TOTALS,
    DT_ACTIVITY_GRADIENTS, /* or for weights */
    DT_ACTIVITY_ACTIVATIONS,
    DT_ACTIVITY_UPDATE,
    DT_ACTIVITY_EVALUATE,
    DT_ACTIVITY_COLLECT, /* the state, for a save */
    DT_ACTIVITY_FILES,   /* reads or writes, or waits for rank 0 to: may take as long as the disk takes, where
                            rank 0 can be seen, and ten timeouts where it cannot */
    DT_ACTIVITIES
} dt_activity;

typedef struct dt_watchdog dt_watchdog;

/* Watches set-up from now on. timeout: seconds; 0, or a run of one rank: nothing is watched. Collective.
 * Errors, agreed on: DT_MEMORY, DT_MACHINE. */
dt_status dt_watchdog_create(dt_comm *comm, int timeout, dt_watchdog **watchdog);

/* What the watchdog's thread calls once before the process leaves, with the step; not while this rank is at
 * files. `context` must outlive the watchdog. Local. */
typedef void (*dt_watchdog_words)(void *context, int64_t step);
void dt_watchdog_set_last_words(dt_watchdog *watchdog, dt_watchdog_words words, void *context);

/* Collective. NULL is fine. */
void dt_watchdog_destroy(dt_watchdog *watchdog);

/* Set-up is over: from now on this rank notes what it does. Local. */
void dt_watchdog_begin_steps(dt_watchdog *watchdog);

/* Notes that this rank got on. Local, main thread; costs next to nothing. */
void dt_watchdog_note(dt_watchdog *watchdog, dt_activity activity, int64_t step);

/* The same exchange, each call of it noted as an activity of the step noted last. `exchange` is borrowed and
 * must outlive the result. */
dt_exchange dt_watchdog_wrap(dt_watchdog *watchdog, const dt_exchange *exchange);

#endif
