/* SPDX-License-Identifier: BSD-3-Clause */
/* The seal: a mark behind the end of an HDF5 file, which HDF5 does not read, with a hash of all bytes but the
 * payload of the datasets (which have checksums of their own). It is checked before the library sees the
 * file, since damage to its internal tables can crash the library.
 *
 * Layout, all numbers 64 bits in the machine's order: for each run of payload its first byte and its length,
 * in rising order; then the mark itself: the letters "dtr-seal", the number of runs, the length of the file
 * before the seal, the hash. The hash is dt_hash over the bytes between the runs, each gap in blocks of 64
 * KiB, then over the table of runs and the length. */
#ifndef DTRAIN_IO_SEAL_H
#define DTRAIN_IO_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/status.h"

/* A range of bytes of a file. */
typedef struct dt_extent {
    uint64_t first, bytes;
} dt_extent;

enum { DT_SEAL_EXTENTS = 256 };

/* Bytes in front of the seal come from `read`: fills `buffer` with `bytes` bytes from `first` on; false when
 * it cannot. */
typedef bool (*dt_seal_read)(void *context, uint64_t first, size_t bytes, void *buffer);

typedef struct dt_seal {
    dt_extent extents[DT_SEAL_EXTENTS]; /* the payload; neighbours joined */
    uint64_t count;                     /* at most DT_SEAL_EXTENTS */
    uint64_t length;                    /* of the file in front of the seal */
} dt_seal;

/* Writes the seal's bytes to `bytes`, which has room for dt_seal_bytes of them. False: no memory. */
bool dt_seal_write(const dt_seal *seal, dt_seal_read read, void *context, void *bytes);
size_t dt_seal_bytes(const dt_seal *seal);

/* Checks an open file; DT_OK too when it has no seal. Errors: DT_FILE with the path; DT_MEMORY. */
dt_status dt_seal_check(const char *path, int handle, bool *sealed);

#endif
