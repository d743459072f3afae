/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread's tiles: 8 registers of up to 16 rows of 64 bytes. A thread configures them before it uses them
 * and releases them when it is done, within one task: nobody else knows that they are in use, and a thread
 * with tiles in use has 8 KB more to save whenever it is interrupted. Included by *_amx_bf16.c only.
 *
 * TILE_MULTIPLY(c, a, b), with a of M rows of 2K bfloat16, b of K rows of 2N, c of M rows of N float32, adds
 * to each element of c (Intel SDM, TDPBF16PS)
 *
 *     (chain over k of a[2k] b[k][2n]) + (chain over k of a[2k + 1] b[k][2n + 1])
 *
 * where chains are of fused multiply-adds that begin at 0, everything is rounded to the nearest, and numbers
 * below 2^-126 are 0, whatever the thread's floating-point state. So an element's bits depend on its row of a
 * and its column of b alone, and on how many steps one instruction has. */
#ifndef DTRAIN_KERNELS_AMX_TILES_H
#define DTRAIN_KERNELS_AMX_TILES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TILE_ROWS = 16,
    TILE_BYTES = 64, /* of a row */
    TILE_PAIRS = 16, /* of bfloat16 in a row */
    TILE_COUNT = 8
};

/* The operand of LDTILECFG. */
typedef struct tile_configuration {
    uint8_t palette, start_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_configuration;

_Static_assert(sizeof(tile_configuration) == 64, "as the instruction reads it");

/* The compiler's tile intrinsics do not say which memory they read: what was stored must be there. */
static inline __attribute__((always_inline)) void tile_fence(void) {
    __asm__ volatile("" ::: "memory");
}

/* All tiles of full size. */
static inline tile_configuration tile_configuration_full(void) {
    tile_configuration configuration = {.palette = 1};
    for (int i = 0; i < TILE_COUNT; i++) {
        configuration.rows[i] = TILE_ROWS;
        configuration.row_bytes[i] = TILE_BYTES;
    }
    return configuration;
}

/* Zeros all tiles. */
static inline void tile_configure(const tile_configuration *configuration) {
    tile_fence();
    _tile_loadconfig(configuration);
}

static inline void tile_release(void) {
    _tile_release();
}

/* Tiles are named by constants; strides are in bytes. */
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, from, stride)                 \
    do {                                              \
        tile_fence();                                 \
        _tile_loadd(tile, from, (long long)(stride)); \
    } while (0)
#define TILE_STORE(tile, to, stride)                 \
    do {                                             \
        _tile_stored(tile, to, (long long)(stride)); \
        tile_fence();                                \
    } while (0)
#define TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)

#endif
