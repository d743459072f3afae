/* SPDX-License-Identifier: BSD-3-Clause */
/* XXH3 behind the project's own name. */
#include "dtrain/hash.h"

#include <stdio.h>
#include <xxhash.h>

#include "dtrain/linked.h"

uint64_t dt_hash(uint64_t seed, const void *data, size_t bytes) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

dt_hasher *dt_hasher_create(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state && XXH3_64bits_reset(state) != XXH_OK) {
        XXH3_freeState(state);
        return NULL;
    }
    return (dt_hasher *)state;
}

void dt_hasher_add(dt_hasher *hasher, const void *data, size_t bytes) {
    (void)XXH3_64bits_update((XXH3_state_t *)hasher, data, bytes);
}

uint64_t dt_hasher_end(dt_hasher *hasher) {
    uint64_t hash = XXH3_64bits_digest((XXH3_state_t *)hasher);
    XXH3_freeState((XXH3_state_t *)hasher);
    return hash;
}

static void write_version(unsigned version, char text[DT_LINKED_TEXT]) {
    snprintf(text, DT_LINKED_TEXT, "%u.%u.%u", version / 10000, version / 100 % 100, version % 100);
}

/* The results of XXH3 are fixed from 0.8.0 on. */
dt_linked dt_linked_xxhash(void) {
    dt_linked library = {.name = "xxHash", .fits = XXH_versionNumber() >= 800};
    write_version(XXH_VERSION_NUMBER, library.headers);
    write_version(XXH_versionNumber(), library.loaded);
    return library;
}
