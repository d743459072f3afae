/* SPDX-License-Identifier: BSD-3-Clause */
/* Slabs: large zeroed blocks that are taken before step 0 and given back after the last step, and arenas that
 * deal out pieces of a slab. Local; an arena is used by one thread at a time. */
#ifndef DTRAIN_MEMORY_H
#define DTRAIN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/status.h"

/* Every piece starts on such a boundary: a cache line, which is also the widest vector. */
enum { DT_ALIGNMENT = 64, DT_ALIGNMENT_FLOATS = DT_ALIGNMENT / 4 };

/* The next multiple of DT_ALIGNMENT_FLOATS that is at least count. */
size_t dt_align_floats(size_t count);

/* A zeroed block. Values of this type are owners: release with dt_slab_release, never copy. */
typedef struct dt_slab {
    void *base;
    size_t bytes;
} dt_slab;

/* Maps and touches `bytes` (0 gives an empty slab), on huge pages where the system grants them. `purpose`
 * stands in the message when memory is not to be had: "no memory for PURPOSE (N MB)". Touched here, so that a
 * machine without the memory says so before step 0 and steps meet no page fault. */
dt_status dt_slab_reserve(size_t bytes, const char *purpose, dt_slab *slab);

/* Gives the block back; an empty or released slab is fine. */
void dt_slab_release(dt_slab *slab);

/* Deals out aligned pieces of a block it does not own. With base NULL it only counts: `used` then says how
 * large the slab must be for the same sequence of takes. */
typedef struct dt_arena {
    char *base;
    size_t used;
} dt_arena;

/* The next piece of `bytes`, aligned to DT_ALIGNMENT; NULL while counting. */
void *dt_arena_take(dt_arena *arena, size_t bytes);

/* The next piece of `count` floats. */
float *dt_arena_take_floats(dt_arena *arena, size_t count);

/* The next piece of `count` bfloat16. */
uint16_t *dt_arena_take_halves(dt_arena *arena, size_t count);

#endif
