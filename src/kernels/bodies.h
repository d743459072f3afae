/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: the single-threaded inner loops that are compiled once for each instruction set.
 * vector_bodies.h has the code; isa_*.c instantiate it. Drivers cut the work and call these from their tasks.
 *
 * The matrix bodies work on packed operands: A as tiles [depth][tile_rows], B as panels [depth][columns] of
 * tile_columns or, at the right edge, fewer whole vectors, C as tiles [tile_rows][tile_columns]. Every
 * element of C is one chain of multiply-adds in the order of depth, whatever stands beside it. */
#ifndef DTRAIN_KERNELS_BODIES_H
#define DTRAIN_KERNELS_BODIES_H

#include "dtrain/kernels.h"

/* No instruction set has higher tiles. */
enum { DT_MOST_TILE_ROWS = 8 };

typedef struct dt_bodies {
    int width;        /* floats of a vector */
    int tile_rows;    /* of C that stay in registers */
    int tile_columns; /* a few vectors */

    /* C = A^T B, or with resume C += A^T B, one more stretch of the chains. Only the first `vectors` vectors
     * of columns are computed; B's panel is as wide. */
    void (*gemm_tile)(size_t depth, size_t vectors, const float *a, const float *b, bool resume, float *c);

    /* A leaf's A^T B is pushed on a stack of tiles whose free slot is `slot`; the last `merges` tiles below
     * are added to it, and the result takes the place of the lowest. */
    void (*gemm_leaf)(size_t depth, size_t vectors, const float *a, const float *b, int merges, float *slot);

    /* A tile of A from tile_rows rows: packed[k][i] = rows[i][k]. */
    void (*pack_rows)(size_t depth, const float *const *rows, float *packed);

    /* A tile of A from pixels: packed[y][x][i] = source[y * line + x * step + offsets[i]]. */
    void (*pack_pixels)(size_t height, size_t width, size_t line, size_t step, const size_t *offsets,
                        const float *source, float *packed);

    /* packed[k][j] = source[k][j] for j < count, 0 up to `lanes`. */
    void (*pack_straight)(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                          float *packed);

    /* packed[k][j] = source[j][k] for j < count, 0 up to `lanes`. */
    void (*pack_transposed)(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                            float *packed);

    /* The upper left part of a C tile to a matrix; bias may be NULL. */
    void (*store_tile)(size_t rows, size_t columns, const float *tile, const float *bias, bool relu,
                       float *matrix, size_t stride);

    /* y[row][column] = relu(y + bias[column]) in place. */
    void (*bias_relu)(size_t rows, size_t columns, const float *bias, bool relu, float *y, size_t stride);

    /* sums[column] = the rows' sum in their order. */
    void (*column_sums)(size_t rows, size_t columns, const float *x, size_t stride, float *sums);

    void (*pool_forward_row)(size_t windows, size_t channels, const float *upper, const float *lower,
                             float *y);
    /* Columns behind the last window are left alone. */
    void (*pool_backward_row)(size_t windows, size_t channels, const float *x, const float *dy, float *dz);

    void (*relu_backward)(size_t count, float scale, const float *y, const float *dy, float *dz);

    /* y = scale * x + shift over a run of values that share both. */
    void (*norm_forward_run)(size_t count, const float *x, float scale, float shift, float *y);
    void (*norm_forward_channels)(size_t pixels, size_t channels, const float *x, const float *scale,
                                  const float *shift, float *y);
    void (*norm_backward_run)(size_t count, const float *x, const float *dy, float a, float b, float c,
                              float *dx);
    void (*norm_backward_channels)(size_t pixels, size_t channels, const float *x, const float *dy,
                                   const float *a, const float *b, const float *c, float *dx);

    /* Sums of u and of u * (x - mean) * inverse over `runs` runs of `count` values that are `stride` apart;
     * with x = u, mean 0 and inverse 1 those of u and of its squares. */
    void (*moment_runs)(size_t runs, size_t stride, size_t count, const float *u, const float *x, float mean,
                        float inverse, double *sum, double *product);
    /* The same for each of `count` neighbouring channels over pixels that are `stride` apart; mean and
     * inverse may be NULL for 0 and 1. */
    void (*moment_channels)(size_t pixels, size_t stride, size_t count, const float *u, const float *x,
                            const float *mean, const float *inverse, double *sums, double *products);

    void (*adam_update)(dt_adam_step step, size_t count, const float *gradient, float *weights, float *m,
                        float *v);
    bool (*all_finite)(size_t count, const float *values);
    void (*add_to)(size_t count, const float *values, float *sum);
    void (*triad)(size_t count, const float *b, float s, const float *c, float *a);

    /* `rounds` rounds of DT_FMA_CHAINS independent multiply-adds on vectors; returns a value that depends on
     * all of them. */
    float (*fma_chains)(size_t rounds);
} dt_bodies;

/* Enough to cover 5 cycles of latency on 2 pipes; with the two constants they fit in 16 registers. */
enum { DT_FMA_CHAINS = 12 };

extern const dt_bodies dt_bodies_baseline;
extern const dt_bodies dt_bodies_avx2;
extern const dt_bodies dt_bodies_avx512;

#endif
