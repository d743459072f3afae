/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits that figures of a machine in order are far from. */
#include "parallel/doubts.h"

#include <math.h>
#include <stdio.h>

/* A message in shared memory takes about a microsecond, on cores that ranks share some hundred. */
const dt_doubts_limit dt_doubts_within = {"inside a node", 1e-3, 10e6};
/* 100 Mbit/s that many ranks share, over a long way. */
const dt_doubts_limit dt_doubts_across = {"between nodes", 20e-3, 100e3};

static const double tolerated_speedup = 1.05;

bool dt_doubts_find_link(dt_plan_link link, const dt_doubts_limit *limit, char *why, size_t room) {
    if (!(link.latency <= limit->longest_latency)) {
        snprintf(why, room, "a message %s takes %.1f ms", limit->where, 1e3 * link.latency);
        return true;
    }
    if (!(link.bandwidth >= limit->least_bandwidth)) {
        snprintf(why, room, "a rank sends %.3g MB/s %s", 1e-6 * link.bandwidth, limit->where);
        return true;
    }
    return false;
}

bool dt_doubts_find_row(const dt_plan_setup *setup, const dt_plan_row *rows, int count, char *why,
                        size_t room) {
    for (int i = 0; i < count; i++) {
        const dt_plan_row *row = &rows[i];
        if (!row->possible)
            continue;
        if (!(row->step > 0.0) || !isfinite(row->step)) {
            snprintf(why, room, "a step of %s takes %g s", dt_strategy_name(row->kind), row->step);
            return true;
        }
        if (!(row->speedup <= tolerated_speedup * setup->ranks)) {
            snprintf(why, room, "%s on %d ranks is %.2f times as fast as one rank",
                     dt_strategy_name(row->kind), setup->ranks, row->speedup);
            return true;
        }
    }
    return false;
}

static dt_plan_link merge_links(dt_plan_link a, dt_plan_link b) {
    return (dt_plan_link){fmin(a.latency, b.latency), fmax(a.bandwidth, b.bandwidth)};
}

dt_plan_times dt_doubts_merge(const dt_plan_times *a, const dt_plan_times *b) {
    return (dt_plan_times){.conv_forward = fmin(a->conv_forward, b->conv_forward),
                           .conv_backward = fmin(a->conv_backward, b->conv_backward),
                           .dense_forward = fmin(a->dense_forward, b->dense_forward),
                           .dense_backward = fmin(a->dense_backward, b->dense_backward),
                           .split_forward = fmin(a->split_forward, b->split_forward),
                           .split_backward = fmin(a->split_backward, b->split_backward),
                           .split_update = fmin(a->split_update, b->split_update),
                           .adam = fmin(a->adam, b->adam),
                           .add = fmin(a->add, b->add),
                           .within = merge_links(a->within, b->within),
                           .across = merge_links(a->across, b->across)};
}
