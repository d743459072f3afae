/* SPDX-License-Identifier: BSD-3-Clause */
/* What the ranks of a node see of each other in shared memory: slabs of gradients, one copy of the weights,
 * and counters that say how far each of them is. A counter is written by its rank alone and never falls; what
 * a rank wrote before it raised a counter is seen by whoever sees it raised. Main thread only. */
#ifndef DTRAIN_PARALLEL_SHARING_H
#define DTRAIN_PARALLEL_SHARING_H

#include <stdatomic.h>

#include "dtrain/comm.h"
#include "dtrain/memory.h"

typedef enum dt_counter {
    DT_COUNTER_GRADIENTS, /* pieces complete in the rank's roots */
    DT_COUNTER_SUMS,      /* pieces whose sum stands in the rank's root 0 where it holds a slice */
    DT_COUNTER_FINISHED,  /* whole sums */
    DT_COUNTER_WEIGHTS,   /* pieces of which the rank has put its slices into the node's weights */
    DT_COUNTERS
} dt_counter;

/* A cache line of a rank; lock-free atomics work between processes. */
typedef struct dt_rank_counters {
    _Alignas(DT_ALIGNMENT) atomic_ullong of[DT_COUNTERS];
} dt_rank_counters;
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters in shared memory must not need locks");

enum { DT_SHARED_RANGES = 2 }; /* as many ranges are shared out at the same time */

typedef struct dt_sharing {
    const int *node_of;         /* [ranks] the ranks with this rank's number share its memory */
    int members, place;         /* ranks of this node; this rank's place among them */
    float *gradients;           /* the slab of place 0's root 0 */
    size_t gradient_stride;     /* floats from one place's slabs to the next place's */
    float *weights;             /* the node's slab; NULL: each rank has its own */
    dt_rank_counters *counters; /* [DT_SHARED_RANGES][members] */
} dt_sharing;

/* Below, `sharing` may be NULL: the rank is alone on its node, nothing is written and nothing waited for. */

static inline dt_rank_counters *dt_sharing_counters(const dt_sharing *sharing, int range, int place) {
    return &sharing->counters[range * sharing->members + place];
}

/* This rank's counter. */
static inline unsigned long long dt_sharing_read(const dt_sharing *sharing, int range, dt_counter counter) {
    return sharing ? atomic_load(&dt_sharing_counters(sharing, range, sharing->place)->of[counter]) : 0;
}

static inline void dt_sharing_raise(const dt_sharing *sharing, int range, dt_counter counter,
                                    unsigned long long value) {
    if (sharing)
        atomic_store(&dt_sharing_counters(sharing, range, sharing->place)->of[counter], value);
}

/* Whether the counters of all ranks of the node have come so far. */
static inline bool dt_sharing_reached(const dt_sharing *sharing, int range, dt_counter counter,
                                      unsigned long long value) {
    for (int place = 0; sharing && place < sharing->members; place++)
        if (atomic_load(&dt_sharing_counters(sharing, range, place)->of[counter]) < value)
            return false;
    return true;
}

static inline int dt_sharing_members(const dt_sharing *sharing) {
    return sharing ? sharing->members : 1;
}

/* Whether this rank writes what all ranks of its node would write alike. */
static inline bool dt_sharing_leads(const dt_sharing *sharing) {
    return !sharing || !sharing->weights || sharing->place == 0;
}

#endif
