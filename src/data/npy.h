/* SPDX-License-Identifier: BSD-3-Clause */
/* The header of numpy's array format, versions 1 to 3, and its numbers. Local. */
#ifndef DTRAIN_DATA_NPY_H
#define DTRAIN_DATA_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "data/stream.h"
#include "dtrain/status.h"

enum { DT_NPY_DIMENSIONS = 4 };

/* A little-endian number: 'u' and 'i' of 1, 2, 4 or 8 bytes, 'f' of 4 or 8, 'b' of 1. */
typedef struct dt_npy_type {
    char kind;
    int bytes;
} dt_npy_type;

typedef struct dt_npy_header {
    char type_text[24]; /* as in the file: "<f4" */
    dt_npy_type type;
    int dimensions;
    uint64_t shape[DT_NPY_DIMENSIONS];
    char shape_text[64]; /* for messages: "(60000, 28, 28)" */
} dt_npy_header;

/* Reads the header from the front of a stream; the array follows. Errors, DT_DATA: not npy, header damaged,
 * more than DT_NPY_DIMENSIONS dimensions, dtype not supported (objects, big-endian, structures, complex...),
 * Fortran order. */
dt_status dt_npy_read_header(dt_stream *stream, const char *subject, dt_npy_header *header);

/* The number at `bytes`. 64-bit integers lose digits beyond 2^53. */
double dt_npy_number(dt_npy_type type, const unsigned char *bytes);

#endif
