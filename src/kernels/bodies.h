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
#include "dtrain/memory.h"

/* No instruction set has higher tiles. */
enum { DT_MOST_TILE_ROWS = 8, DT_MOST_PRODUCT_ROWS = 6 };

/* The random numbers of a row of dropout: Philox' key, the counter's words in front of the draw's number, and
 * what they decide. */
typedef struct dt_dropout_stream {
    uint32_t first_unit; /* of the layer, in front of those of the row */
    uint32_t key[2];
    uint32_t counter[3];
    int32_t threshold;
    float scale;
} dt_dropout_stream;

/* Memory to fetch into the second-level cache while products are computed: `runs` runs of `floats` values,
 * `stride` apart, line by line, `lines` of them at a time; `at` values of the first run have been fetched. */
typedef struct dt_fetch {
    const float *run;
    size_t at, floats, stride, runs, lines;
} dt_fetch;

/* Steps of gemm_tile between two times. */
enum { DT_FETCH_STEPS = 8 };

/* Products of packed matrices. A step of a chain is one row of the packed operands: a value of each column
 * or, in the bodies for bfloat16, two rows rounded and paired (vector_operands.h), the last one with zeros
 * where the depth is odd. */
typedef struct dt_products {
    int pair; /* values of a step: 1 or 2 */

    /* C = A^T B, or with resume C += A^T B, one more stretch of the chains. Only the first `vectors` vectors
     * of columns are computed; B's panel is as wide. */
    void (*gemm_tile)(size_t steps, size_t vectors, const float *a, const float *b, bool resume, float *c,
                      dt_fetch *fetch);

    /* A leaf's A^T B is pushed on a stack of tiles whose free slot is `slot`; the last `merges` tiles below
     * are added to it, and the result takes the place of the lowest. */
    void (*gemm_leaf)(size_t steps, size_t vectors, const float *a, const float *b, int merges, float *slot);

    /* The same for two leaves that are the first to be added: `merges` are those after that. Adds
     * in registers where it can; NULL where that is no gain: with 16 registers operands are in the way (AVX2:
     * 38 ms for the gradient of 4096 x 4096 over 64 rows, 30 leaf by leaf). */
    void (*gemm_pair)(size_t left_steps, size_t right_steps, size_t vectors, const float *a, const float *b,
                      int merges, float *slot);

    /* The same with DT_WIRE_BF16: leaves and sums are rounded. */
    void (*gemm_leaf_rounded)(size_t steps, size_t vectors, const float *a, const float *b, int merges,
                              float *slot);
    void (*gemm_pair_rounded)(size_t left_steps, size_t right_steps, size_t vectors, const float *a,
                              const float *b, int merges, float *slot);

    /* packed[k][j] = source[k][j] for j < count, 0 up to `lanes`. */
    void (*pack_straight)(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                          float *packed);

    /* packed[k][j] = source[j][k] for j < count, 0 up to `lanes`. */
    void (*pack_transposed)(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                            float *packed);

    /* c[i][j] = the chain over k < depth of rows[i][k] * b[k][j], i < product_rows; b and c are `vectors` <=
     * product_vectors vectors wide. */
    void (*row_products)(size_t depth, size_t vectors, const float *const *rows, const float *b, float *c);

    /* As fma_chains of dt_bodies, in pairs; NULL in the bodies for float. */
    float (*pair_chains)(size_t rounds);
} dt_products;

typedef struct dt_bodies {
    int width;        /* floats of a vector */
    int tile_rows;    /* of C that stay in registers */
    int tile_columns; /* a few vectors */
    int product_rows; /* of row_products */
    int product_vectors;
    int strip; /* the most neighbours of one call of correlate */

    dt_products products; /* of floats */

    /* A tile of A from tile_rows rows: packed[k][i] = rows[i][k]. */
    void (*pack_rows)(size_t depth, const float *const *rows, float *packed);

    /* A tile of A from pixels: packed[y][x][i] = source[y * line + x * step + offsets[i]]. */
    void (*pack_pixels)(size_t height, size_t width, size_t line, size_t step, const size_t *offsets,
                        const float *source, float *packed);

    /* to[k][i] = from[i][k], rows of `to` being to_stride apart. */
    void (*transpose)(size_t rows, size_t columns, const float *from, size_t from_stride, float *to,
                      size_t to_stride);

    /* The upper left part of a C tile to a matrix; bias may be NULL. */
    void (*store_tile)(size_t rows, size_t columns, const float *tile, const float *bias, bool relu,
                       float *matrix, size_t stride);

    /* y[row][column] = relu(y + bias[column]) in place. */
    void (*bias_relu)(size_t rows, size_t columns, const float *bias, bool relu, float *y, size_t stride);

    /* sums[column] = the rows' sum in their order. */
    void (*column_sums)(size_t rows, size_t columns, const float *x, size_t stride, float *sums);

    /* sums[i][lane] = the chain over row < rows, t < length of x[row * x_line + t + i] * b[row * b_line + t *
     * lanes + lane], for i < count <= strip; lanes are one or two vectors. With resume the chain goes on
     * where it was. */
    void (*correlate)(size_t count, size_t vectors, size_t rows, size_t length, const float *x, size_t x_line,
                      const float *b, size_t b_line, bool resume, float *sums);

    /* y[pixel][column] = relu(sums[pixel][lane] + bias[lane]), columns <= lanes; pixels are y_step apart. */
    void (*relu_sums)(size_t pixels, size_t lanes, size_t columns, const float *sums, const float *bias,
                      float *y, size_t y_step);
    /* The same for two rows, then the mean of each window. A code has bit 0 to 3 where the window's upper
     * left, upper right, lower left, lower right value is above 0; codes may be NULL. */
    void (*pool_sums)(size_t windows, size_t lanes, size_t columns, const float *upper, const float *lower,
                      const float *bias, float *y, size_t y_step, unsigned char *codes, size_t code_step);
    /* Back through that: dy / 4 where the code has the bit, 0 elsewhere, for two rows [pixel][lane]. */
    void (*unpool_codes)(size_t windows, size_t lanes, size_t columns, const float *dy, size_t dy_step,
                         const unsigned char *codes, size_t code_step, float *upper, float *lower);
    /* dz[pixel][lane] = (y > 0) * dy, 0 in padded lanes; pixels of y and dy are `step` apart. */
    void (*gate_pixels)(size_t pixels, size_t lanes, size_t columns, const float *y, const float *dy,
                        size_t step, float *dz);

    void (*pool_forward_row)(size_t windows, size_t channels, const float *upper, const float *lower,
                             float *y);
    /* Columns behind the last window are left alone. */
    void (*pool_backward_row)(size_t windows, size_t channels, const float *x, const float *dy, float *dz);

    /* y = y * scale where the unit's 16 bits are at least the threshold, else 0. */
    void (*dropout_row)(const dt_dropout_stream *stream, size_t units, float *y);

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
    /* The same for the upper left part of a C tile and matrices. */
    void (*adam_tile)(dt_adam_step step, size_t rows, size_t columns, const float *tile, size_t stride,
                      float *weights, float *m, float *v);
    bool (*all_finite)(size_t count, const float *values);
    /* The largest bit pattern of a value without its sign: NaNs stand above infinity. */
    int32_t (*largest_magnitude)(size_t count, const float *values);
    void (*add_to)(size_t count, const float *values, float *sum);

    /* DT_WIRE_BF16. values = rounded(values); sum = rounded(sum + rounded(values)); Adam's step with its
     * update rounded; and the passages of kernels.h. */
    void (*round_values)(size_t count, float *values);
    void (*add_rounded)(size_t count, const float *values, float *sum);
    void (*adam_update_rounded)(dt_adam_step step, size_t count, const float *gradient, float *weights,
                                float *m, float *v);
    void (*pack_halves)(size_t count, const float *values, uint16_t *halves);
    void (*unpack_halves)(size_t count, const uint16_t *halves, float *values);
    void (*adam_update_packed)(dt_adam_step step, size_t count, const float *gradient, float *weights,
                               float *m, float *v, uint16_t *halves);
    void (*apply_update)(size_t count, const uint16_t *halves, float *weights);

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

/* Of pairs of bfloat16, for the same tiles as the instruction set's bodies; without AVX512_BF16 emulated. */
extern const dt_products dt_products_bf16_baseline;
extern const dt_products dt_products_bf16_avx2;
extern const dt_products dt_products_bf16_avx512;
extern const dt_products dt_products_avx512_bf16;

#endif
