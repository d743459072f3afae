/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: Winograd's convolution, that by spectra among its families, its cut of an image
 * into tiles, and its inner loops, which are compiled once for each instruction set (vector_winograd.h has
 * the code, winograd_ISA.c instantiate it).
 *
 * An image is cut into tiles of 4 or 3 outputs a side. Each goes through a transform of its rows and columns
 * to one value for each of points x points pairs of interpolation points; there a convolution is a sum over
 * channels of products, for each point a product of matrices [tile][in] and [in][out]. A tile with 3 outputs
 * on a side lacks one point of that side (DROP); the others are the same as those of a tile with 4, and so
 * are the transformed filters.
 *
 * Samples stand in groups of a few that share matrices. A group's transformed values are
 * [point][channel block][position][sample][block]; positions are ordered so that those which have a point are
 * neighbours. Channels that fill no block are zeros.
 *
 * Transformed inputs, gradients and filters are operands: floats or, in the bodies for bfloat16, pairs
 * (vector_operands.h). A block of a tensor then takes half its floats, neighbouring channels being a pair;
 * and so do the filters of two neighbouring rows, which stand in one row of pairs. */
#ifndef DTRAIN_KERNELS_WINOGRAD_H
#define DTRAIN_KERNELS_WINOGRAD_H

#include "dtrain/conv.h"

enum {
    DT_WINOGRAD_SIDE = 32, /* the largest image */
    DT_WINOGRAD_TILES = DT_WINOGRAD_SIDE / 2,
    DT_WINOGRAD_POINTS = 8
};

/* WINOGRAD_m_r: F(m, r), m outputs a side, of a filter with r taps. FOURIER_n_r: an image of up to n - r / 2
 * pixels a side, of a filter with r taps, as one tile whose points are the members of its spectrum
 * (vector_spectrum.h). */
typedef enum dt_winograd_family {
    DT_WINOGRAD_4_3,
    DT_WINOGRAD_4_5,
    DT_WINOGRAD_2_5,
    DT_FOURIER_8_3,
    DT_FOURIER_16_5
} dt_winograd_family;

static inline bool dt_winograd_is_fourier(dt_winograd_family family) {
    return family == DT_FOURIER_8_3 || family == DT_FOURIER_16_5;
}

static inline int dt_winograd_taps(dt_winograd_family family) {
    return family == DT_WINOGRAD_4_3 || family == DT_FOURIER_8_3 ? 3 : 5;
}

static inline int dt_winograd_outputs(dt_winograd_family family) {
    return family == DT_FOURIER_8_3 ? 7 : family == DT_FOURIER_16_5 ? 14 : family == DT_WINOGRAD_2_5 ? 2 : 4;
}

/* Points of a side. */
static inline int dt_winograd_points(dt_winograd_family family) {
    return dt_winograd_outputs(family) +
           (dt_winograd_is_fourier(family) ? dt_winograd_taps(family) / 2 : dt_winograd_taps(family) - 1);
}

/* Points of a tile: all pairs, or four real values of a spectrum and three for each complex one. */
static inline int dt_winograd_tile_points(dt_winograd_family family) {
    int points = dt_winograd_points(family);
    return dt_winograd_is_fourier(family) ? points * points / 2 * 3 - 2 : points * points;
}

/* Points whose filters are transformed together: all, or of a spectrum its two real columns, which come
 * first, and then column after column. */
static inline int dt_winograd_portions(dt_winograd_family family) {
    return dt_winograd_is_fourier(family) ? dt_winograd_points(family) / 2 : 1;
}

/* The first point of a portion; that of the portion behind the last is their number. */
static inline size_t dt_winograd_portion(dt_winograd_family family, int portion) {
    int points = dt_winograd_points(family);
    if (!dt_winograd_is_fourier(family))
        return (size_t)(portion * dt_winograd_tile_points(family));
    return (size_t)(portion == 0 ? 0 : 3 * points * portion - 2);
}

/* Whether there are tiles with one output less, without point DROP. */
static inline bool dt_winograd_nests(dt_winograd_family family) {
    return family == DT_WINOGRAD_4_3 || family == DT_WINOGRAD_4_5;
}

/* Tiles of one side: the first `large` have all outputs, the others one less; the last may overhang the
 * image. */
typedef struct dt_winograd_side {
    int size, outputs, tiles, large;
} dt_winograd_side;

/* The first output of tile `tile`. */
static inline int dt_winograd_start(const dt_winograd_side *side, int tile) {
    return tile <= side->large ? side->outputs * tile : (side->outputs - 1) * tile + side->large;
}

/* How an image is cut. */
typedef struct dt_winograd_grid {
    dt_winograd_family family;
    int points; /* of one side */
    dt_winograd_side rows, columns;
    int positions;                                      /* tiles of an image */
    int position[DT_WINOGRAD_TILES][DT_WINOGRAD_TILES]; /* of the tile in a row and column, in their order */
} dt_winograd_grid;

/* Where a sample's values for one channel block stand: for `point` and `position`
 * base + point * point_stride + position * position_stride. */
typedef struct dt_winograd_place {
    float *base;
    size_t point_stride, position_stride;
} dt_winograd_place;

/* Pixels of one block of channels: `stride` floats apart, `channels` of them exist (1 up to a block). */
typedef struct dt_winograd_pixels {
    size_t stride;
    int channels;
} dt_winograd_pixels;

typedef struct dt_winograd_bodies {
    int block; /* channels of a block */
    int pair;  /* operands that take the place of a float: 1 or 2 */

    /* c [rows][block] = a b, or with resume c += a b. For each element of c chains over `chain` steps of the
     * depth, a multiple or a divisor of the block and even, are added in their order. a has rows of blocks:
     * operand (row, k) is number row * block + k % block behind a + k / block * a_block. b [depth][block].
     * next: the a of the next call. */
    void (*multiply_tiles)(size_t rows, size_t depth, size_t chain, const float *a, size_t a_block,
                           const float *b, const float *next, bool resume, float *c);

    /* c [rows][block] = a^T b, or with resume c += a^T b. Of a and b [depth][block] stretches of `run` rows,
     * which divide the depth, stand a_run and b_run floats apart. Pairs are made of rows of a stretch.
     * next_a, next_b: those of the next call. */
    void (*multiply_channels)(size_t rows, size_t depth, size_t run, const float *a, size_t a_run,
                              const float *b, size_t b_run, const float *next_a, const float *next_b,
                              bool resume, float *c);

    /* A sample's input to the points. The input's pointers are those of the block's first channel. */
    void (*input)(const dt_winograd_grid *, dt_winograd_pixels, dt_conv_input, dt_winograd_place to);

    /* The points to the convolution's result, then bias, ReLU, pooling. mask [vector][row][lane]: a bit for
     * each column, set where the ReLU lets a gradient pass; NULL if nobody needs it. */
    void (*output)(const dt_winograd_grid *, dt_winograd_pixels, dt_winograd_place from, bool pool,
                   const float *bias, int32_t *mask, float *y);

    /* dy back through pooling and ReLU, its sum over the pixels to bias_sum [block], and on to the points. */
    void (*gradient)(const dt_winograd_grid *, dt_winograd_pixels, bool pool, const int32_t *mask,
                     const float *dy, float *bias_sum, dt_winograd_place to);

    /* The points to the gradient of the input, tiles added where they overlap. */
    void (*input_gradient)(const dt_winograd_grid *, dt_winograd_pixels, dt_winograd_place from, float *dx);

    /* `rows` filters of a block to the points of a portion: tap t of row i at taps + t * tap_stride + i *
     * row_stride, the portion's point p to operand i * block behind `to` + p * point_stride. Channels that do
     * not exist are zeros. */
    void (*filter)(const dt_winograd_grid *, int portion, size_t rows, int channels, const float *taps,
                   size_t tap_stride, size_t row_stride, float *to, size_t point_stride);

    /* A leaf's sum at the points [point][rows][block] to the gradient of `rows` filters of a block, which is
     * pushed on a stack of such gradients [tap][block][block] whose free slot is `slot`: the last `merges`
     * below are added to it, and the result takes the place of the lowest. */
    void (*filter_gradient)(const dt_winograd_grid *, size_t rows, const float *from, size_t point_stride,
                            int merges, float *slot);

    /* Of spectra: a leaf's products, their sums over its samples and filter_gradient in one, from operands
     * [point][sample][block] of `rows` in channels and a block of out channels. NULL in bodies for bfloat16.
     */
    void (*leaf_gradient)(const dt_winograd_grid *, size_t rows, size_t samples, const float *in,
                          size_t in_point, const float *out, size_t out_point, int merges, float *slot);
} dt_winograd_bodies;

extern const dt_winograd_bodies dt_winograd_baseline;
extern const dt_winograd_bodies dt_winograd_avx2;
extern const dt_winograd_bodies dt_winograd_avx512;

/* With operands in bfloat16; without AVX512_BF16 emulated, for AVX-512 by the bodies for AVX2. */
extern const dt_winograd_bodies dt_winograd_bf16_baseline;
extern const dt_winograd_bodies dt_winograd_bf16_avx2;
extern const dt_winograd_bodies dt_winograd_avx512_bf16;

#endif
