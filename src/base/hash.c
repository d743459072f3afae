/* SPDX-License-Identifier: BSD-3-Clause */
/* XXH3 behind the project's own name. */
#include "dtrain/hash.h"

#include <xxhash.h>

uint64_t dt_hash(uint64_t seed, const void *data, size_t bytes) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}
