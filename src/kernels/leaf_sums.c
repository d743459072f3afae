/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree of leaves.h over whole arrays: each task carries a range of elements through the stack machine, so
 * that the range stays in the cache. */
#include "kernels/leaf_sums.h"

#include <assert.h>
#include <string.h>

/* Floats of a task's range: a leaf's and a few stack slots' fit in a second-level cache. */
enum { RANGE = 4096 };

int dt_leaf_sums_samples(const dt_leaf_plan *plan, int leaf) {
    int left = plan->samples - leaf * DT_LEAF_SAMPLES;
    return left < DT_LEAF_SAMPLES ? left : DT_LEAF_SAMPLES;
}

/* Levels of subtrees in a run of leaves. */
static int levels_of(int leaves) {
    int levels = 1;
    while (1 << levels <= leaves)
        levels++;
    return levels;
}

/* What is on the stack and no root is to become the left part of a node inside the run: at most one for each
 * level below the highest, and the value just pushed. */
int dt_leaf_sums_spares(int leaves) {
    return levels_of(leaves) + 1;
}

/* Maximal subtrees of a run first grow and then shrink: two of each level, and the value just pushed. */
int dt_leaf_sums_depth(int leaves) {
    return 2 * levels_of(leaves) + 1;
}

typedef struct push_call {
    const dt_bodies *bodies;
    const dt_leaf_plan *plan;
    bool rounded;
    int first, leaves, height;
    size_t count, stride;
    const float *values;
    dt_root_sink sink;
    float *spare;
} push_call;

static float *slot(const push_call *call, int height) {
    if (height < call->plan->roots)
        return call->sink.base + (size_t)height * call->sink.stride;
    return call->spare + (size_t)(height - call->plan->roots) * call->stride;
}

static void push_range(void *context, int task, int worker) {
    const push_call *call = context;
    size_t begin = (size_t)task * RANGE, count = call->count - begin < RANGE ? call->count - begin : RANGE;
    int height = call->height;
    (void)worker;
    for (int leaf = 0; leaf < call->leaves; leaf++) {
        const float *top = call->values + (size_t)leaf * call->stride + begin;
        int merges = call->plan->merges[call->first + leaf];
        for (int merge = 0; merge < merges; merge++) {
            float *below = slot(call, --height) + begin;
            (call->rounded ? call->bodies->add_rounded : call->bodies->add_to)(count, top, below);
            top = below;
        }
        if (merges == 0) {
            memcpy(slot(call, height) + begin, top, count * sizeof(float));
            if (call->rounded)
                call->bodies->round_values(count, slot(call, height) + begin);
        }
        height++;
    }
}

void dt_leaf_sums_push(dt_kernels *kernels, const dt_leaf_plan *plan, int first, int leaves, size_t count,
                       size_t stride, const float *values, dt_root_sink sink, float *spare) {
    push_call call = {.bodies = kernels->bodies,
                      .plan = plan,
                      .rounded = kernels->wire == DT_WIRE_BF16,
                      .first = first,
                      .leaves = leaves,
                      .height = first,
                      .count = count,
                      .stride = stride,
                      .values = values,
                      .sink = sink,
                      .spare = spare};
    assert(plan->depth - plan->roots <= dt_leaf_sums_spares(plan->leaves));
    for (int leaf = 0; leaf < first; leaf++)
        call.height -= plan->merges[leaf];
    dt_team_run(kernels->team, (int)((count + RANGE - 1) / RANGE), push_range, &call);
}

void dt_leaf_sums_merge(const dt_kernels *kernels, size_t count, size_t stride, int merges, float *slot) {
    const dt_bodies *bodies = kernels->bodies;
    bool rounded = kernels->wire == DT_WIRE_BF16;
    if (rounded && merges == 0)
        bodies->round_values(count, slot);
    for (; merges > 0; merges--, slot -= stride)
        (rounded ? bodies->add_rounded : bodies->add_to)(count, slot, slot - stride);
}
