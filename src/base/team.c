/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread team on OpenMP. */
#include "dtrain/team.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>

#include "dtrain/denormals.h"

struct dt_team {
    int threads;
};

dt_status dt_team_create(int threads, dt_team **team) {
    assert(threads >= 1);
    *team = malloc(sizeof **team);
    if (!*team)
        return dt_fail(DT_MEMORY, "no memory for a team of %d threads", threads);
    (*team)->threads = threads;
    dt_denormals_flush();
    return dt_ok();
}

void dt_team_destroy(dt_team *team) {
    free(team);
}

int dt_team_size(const dt_team *team) {
    return team->threads;
}

void dt_team_run(const dt_team *team, int tasks, dt_task run, void *context) {
    if (team->threads == 1 || tasks == 1) {
        for (int task = 0; task < tasks; task++)
            run(context, task, 0);
        return;
    }
#pragma omp parallel num_threads(team->threads)
    {
        /* Which threads come is the library's affair, and to ask each time costs nothing beside waking it. */
        dt_denormals_flush();
#pragma omp for schedule(dynamic, 1) nowait
        for (int task = 0; task < tasks; task++)
            run(context, task, omp_get_thread_num());
    }
}

void dt_team_split(long count, long grain, int task, int tasks, long *begin, long *end) {
    long grains = (count + grain - 1) / grain;
    *begin = grains * task / tasks * grain;
    *end = grains * (task + 1) / tasks * grain;
    if (*begin > count)
        *begin = count;
    if (*end > count)
        *end = count;
}
