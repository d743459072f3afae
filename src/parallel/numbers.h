/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: arithmetic on numbers of ranks, rows and roots. */
#ifndef DTRAIN_PARALLEL_NUMBERS_H
#define DTRAIN_PARALLEL_NUMBERS_H

static inline int smaller(int a, int b) {
    return a < b ? a : b;
}

static inline int larger(int a, int b) {
    return a > b ? a : b;
}

#endif
