/* SPDX-License-Identifier: BSD-3-Clause */
/* A 64-bit hash of bytes (XXH3) for fingerprints of data sets and weights. Not for secrets. Local, thread
 * safe. */
#ifndef DTRAIN_HASH_H
#define DTRAIN_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The hash of `bytes` bytes continued from `seed`: chain calls by passing the last result; begin with 0. */
uint64_t dt_hash(uint64_t seed, const void *data, size_t bytes);

/* dt_hash(0, ..) of bytes that come in pieces, however they are cut. NULL: no memory. */
typedef struct dt_hasher dt_hasher;
dt_hasher *dt_hasher_create(void);
void dt_hasher_add(dt_hasher *hasher, const void *data, size_t bytes);

/* The hash of all bytes; releases the hasher. */
uint64_t dt_hasher_end(dt_hasher *hasher);

#endif
