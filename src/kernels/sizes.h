/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: arithmetic on sizes. */
#ifndef DTRAIN_KERNELS_SIZES_H
#define DTRAIN_KERNELS_SIZES_H

#include <stddef.h>

static inline size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* How many parts of `part` it takes for `count`. */
static inline size_t parts_of(size_t count, size_t part) {
    return (count + part - 1) / part;
}

#endif
