/* SPDX-License-Identifier: BSD-3-Clause */
/* Slabs and arenas. */
#include "dtrain/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, SMALL_PAGE = 4096 };

size_t dt_align_floats(size_t count) {
    return (count + DT_ALIGNMENT_FLOATS - 1) / DT_ALIGNMENT_FLOATS * DT_ALIGNMENT_FLOATS;
}

dt_status dt_slab_reserve(size_t bytes, const char *purpose, dt_slab *slab) {
    *slab = (dt_slab){0};
    if (bytes == 0)
        return dt_ok();
    size_t rounded = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *base = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return dt_fail(DT_MEMORY, "no memory for %s (%.1f MB): %s", purpose, (double)bytes / 1e6,
                       strerror(errno));
    /* Huge pages are a wish: a kernel without them answers EINVAL and the slab works on small ones. */
    (void)madvise(base, rounded, MADV_HUGEPAGE);
    /* The system hands out zeroed pages when they are first written to. */
    for (size_t at = 0; at < bytes; at += SMALL_PAGE)
        ((volatile char *)base)[at] = 0;
    *slab = (dt_slab){base, rounded};
    return dt_ok();
}

void dt_slab_release(dt_slab *slab) {
    if (slab->base)
        munmap(slab->base, slab->bytes);
    *slab = (dt_slab){0};
}

void *dt_arena_take(dt_arena *arena, size_t bytes) {
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += (bytes + DT_ALIGNMENT - 1) / DT_ALIGNMENT * DT_ALIGNMENT;
    return piece;
}

float *dt_arena_take_floats(dt_arena *arena, size_t count) {
    return dt_arena_take(arena, count * sizeof(float));
}

uint16_t *dt_arena_take_halves(dt_arena *arena, size_t count) {
    return dt_arena_take(arena, count * sizeof(uint16_t));
}
