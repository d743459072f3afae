/* SPDX-License-Identifier: BSD-3-Clause */
/* Philox behind the project's own names. */
#include "dtrain/random.h"

#include <Random123/philox.h>

dt_random4 dt_random_draw(uint64_t seed, dt_purpose purpose, uint32_t c0, uint32_t c1, uint32_t c2,
                          uint32_t c3) {
    /* The purpose is mixed into the upper key word: multiples of an odd constant keep (seed, purpose) pairs
     * apart. */
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32) ^ ((uint32_t)purpose * 0x9E3779B9u)}};
    philox4x32_ctr_t counter = {{c0, c1, c2, c3}};
    philox4x32_ctr_t drawn = philox4x32(counter, key);
    return (dt_random4){{drawn.v[0], drawn.v[1], drawn.v[2], drawn.v[3]}};
}
