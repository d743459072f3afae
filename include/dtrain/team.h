/* SPDX-License-Identifier: BSD-3-Clause */
/* The threads of this process. Work is a number of tasks whose results do not depend on which thread runs
 * them; so no result depends on the number of threads. team.c is the one file that knows OpenMP. */
#ifndef DTRAIN_TEAM_H
#define DTRAIN_TEAM_H

#include "dtrain/status.h"

typedef struct dt_team dt_team;

/* Runs task number `task`; `worker` in [0, dt_team_size) says which thread, for scratch memory of its own. */
typedef void (*dt_task)(void *context, int task, int worker);

/* A team of `threads` >= 1: the calling thread and threads of OpenMP, which may run where the caller may run,
 * and which wait for work in short spins and then asleep, whatever OMP_WAIT_POLICY says. From here on the
 * calling thread, and every thread that runs a task, flushes denormal numbers to 0 (denormals.h). Local.
 * Errors: DT_MEMORY; DT_MACHINE: the threads cannot be started, OpenMP gives fewer, or their stacks are too
 * small. */
dt_status dt_team_create(int threads, dt_team **team);
void dt_team_destroy(dt_team *team);

/* The number of threads. */
int dt_team_size(const dt_team *team);

/* Runs tasks 0 .. tasks-1, each once, in any order, and returns when all are done. Tasks are handed out one
 * by one. Main thread only, not from inside a task. */
void dt_team_run(dt_team *team, int tasks, dt_task run, void *context);

/* Part number `task` of `tasks` nearly equal parts of `count` items: [*begin, *end). Parts begin at multiples
 * of `grain`. */
void dt_team_split(long count, long grain, int task, int tasks, long *begin, long *end);

#endif
