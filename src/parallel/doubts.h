/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a measurement can be right: what a machine that was busy with something else gives, is told from
 * what it gives when it is left alone. Pure functions. */
#ifndef DTRAIN_PARALLEL_DOUBTS_H
#define DTRAIN_PARALLEL_DOUBTS_H

#include <stddef.h>

#include "dtrain/plan.h"

/* What no link in order is slower than. */
typedef struct dt_doubts_limit {
    const char *where;                       /* "inside a node" */
    double longest_latency, least_bandwidth; /* seconds, bytes/s */
} dt_doubts_limit;

extern const dt_doubts_limit dt_doubts_within, dt_doubts_across;

/* True, and says why in `why`, for a latency above or a bandwidth below the limit. */
bool dt_doubts_find_link(dt_plan_link link, const dt_doubts_limit *limit, char *why, size_t room);

/* The same for a possible row whose step is no positive time, or whose speed-up is more than 5 % above the
 * number of ranks. */
bool dt_doubts_find_row(const dt_plan_setup *setup, const dt_plan_row *rows, int count, char *why,
                        size_t room);

/* Of two measurements of the same the less disturbed figures: shorter times, lower latencies, higher
 * bandwidths. */
dt_plan_times dt_doubts_merge(const dt_plan_times *a, const dt_plan_times *b);

#endif
