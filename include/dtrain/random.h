/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers as a pure function of what they are for: Philox4x32-10 (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC11), keyed by (seed, purpose). No state: any rank or thread draws the same
 * number for the same (seed, purpose, counter). Local, thread safe. */
#ifndef DTRAIN_RANDOM_H
#define DTRAIN_RANDOM_H

#include <stdint.h>

/* What the numbers are drawn for. Each has a stream of its own. Never renumber: runs would change. */
typedef enum dt_purpose {
    DT_PURPOSE_INIT = 1,    /* counter: tensor, element / 4 */
    DT_PURPOSE_SHUFFLE = 2, /* counter: epoch, position / 4 */
    DT_PURPOSE_DROPOUT = 3, /* counter: layer, epoch, sample, unit / 8 */
    DT_PURPOSE_DIGITS = 4   /* counter: sample, draw / 4 */
} dt_purpose;

typedef struct dt_random4 {
    uint32_t word[4];
} dt_random4;

/* Four words for a counter of four words. */
dt_random4 dt_random_draw(uint64_t seed, dt_purpose purpose, uint32_t c0, uint32_t c1, uint32_t c2,
                          uint32_t c3);

/* A word as a float in [0, 1), a multiple of 2^-24. */
static inline float dt_random_unit(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
