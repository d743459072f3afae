/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: the inner loops of convolutions on tile registers (AMX), which multiply 16 rows of
 * 32 bfloat16 by 32 x 16 and add to 16 x 16 floats. conv_tiles.c cuts the work.
 *
 * Operands are halves (bfloat16) in tiles of 1 KB. One side of a product is [16 rows][32 of the depth], the
 * other [16 pairs of the depth][16 columns][2]. A tile's row is a sample (a pixel's products) or an output
 * channel (a filter's gradient), so that no operand is copied for the sake of a tap, and taps outside the
 * image are left out. */
#ifndef DTRAIN_KERNELS_CONV_TILES_H
#define DTRAIN_KERNELS_CONV_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtrain/leaves.h"

enum {
    DT_CONV_TILE_SIDE = 16,           /* rows, columns, pairs */
    DT_CONV_TILE_HALVES = 512,        /* of an operand's tile */
    DT_CONV_TILE_BLOCK = 32,          /* channels, and samples, that are worked on together */
    DT_CONV_TILE_BLOCK_HALVES = 1024, /* [32 samples][32 channels], or two tiles of pairs */
    DT_CONV_TILE_LEAF_HALVES = DT_LEAF_SAMPLES * DT_CONV_TILE_BLOCK, /* [samples of a leaf][32 channels] */
    DT_CONV_TILE_PAIRS = DT_LEAF_SAMPLES / 2,                        /* of samples of a leaf */
    DT_CONV_TILE_COLUMNS = 4,                     /* of pixels with a leaf's samples: a tile's depth */
    DT_CONV_TILE_PIXEL = DT_CONV_TILE_PAIRS * 32, /* halves of a leaf's samples in 16 channels at one pixel */
    DT_CONV_TILE_TAPS = 3,                        /* of one call of `gradient` */
    DT_CONV_TILE_FRAME =
        2 * DT_CONV_TILE_SIDE * DT_CONV_TILE_SIDE /* floats of a tap's gradient: [2][16 out][16 in] */
};

/* How a pixel's 32 channels are read: scale[i] * x + shift[i], or with `same` by scale[0] and shift[0]. */
typedef struct dt_conv_tile_scale {
    const float *scale, *shift;
    bool same;
} dt_conv_tile_scale;

typedef struct dt_conv_tile_bodies {
    /* Before and after a thread's products; the first `rows` <= 32 rows of a block count. */
    void (*begin)(size_t rows);
    void (*end)(void);
    /* The same for weigh_lines. */
    void (*begin_taps)(size_t kernel);

    /* c[row][column] = the chain over `lines` times `run` blocks of the depth, lines being a_line and b_line
     * apart; a [line][run][32 rows][32], b [line][run][2][16][16][2], c [32][32]. */
    void (*multiply)(size_t rows, size_t lines, size_t run, const uint16_t *a, size_t a_line,
                     const uint16_t *b, size_t b_line, float *c);

    /* c[tap][2][16 out][16 in] = the chain over `lines` times `run` tiles of 4 pixels, b being a pixel
     * further with each tap; 1 to DT_CONV_TILE_TAPS taps. begin(32) goes before. */
    void (*gradient)(size_t taps, size_t lines, size_t run, const uint16_t *a, size_t a_line,
                     const uint16_t *b, size_t b_line, float *c);

    /* For one input channel. */

    /* As multiply where a is a record of `run` times 32 halves for each row: a [32 rows][run][32]. */
    void (*multiply_records)(size_t rows, size_t run, const uint16_t *a, const uint16_t *b, float *c);

    /* Gradients of one or two neighbouring columns of a filter, `taps`, for 32 out channels:
     * c[i][tap][out] = the chain over samples, lines and columns of a[sample][line + i][column + tap] *
     * b[sample][line][column][out], for rows i of the kernel. a's samples and lines are a_sample and a_line
     * apart, b is [sample][line][run][2][16 pairs of columns][16][2], c's rows are c_line apart. */
    void (*weigh_lines)(size_t taps, size_t samples, size_t a_sample, size_t lines, size_t a_line, size_t run,
                        const uint16_t *a, const uint16_t *b, size_t c_line, float *c);

    /* to = scale * x + shift, rounded. */
    void (*round_run)(size_t count, const float *x, float scale, float shift, uint16_t *to);

    /* From each sample, `stride` apart, `kernel` rows of `kernel` <= 16 halves, `line` apart: one behind the
     * other in records of `record` halves, the rest of which is left alone. */
    void (*take_patches)(size_t samples, size_t stride, size_t kernel, size_t line, const uint16_t *from,
                         size_t record, uint16_t *to);

    /* One sample's 32 channels at `columns` <= 32 pixels `stride` apart as pairs: to [2][16 pairs][16][2];
     * zeros behind the columns. */
    void (*pair_columns)(size_t columns, size_t stride, const uint16_t *from, uint16_t *to);

    /* For many. One pixel's `channels` <= 32 of `samples` <= 32 samples `stride` floats apart, rounded: to
     * [sample][32], zeros behind the channels, and behind the samples up to a whole leaf. */
    void (*round_pixel)(size_t samples, size_t stride, size_t channels, const float *x,
                        dt_conv_tile_scale scale, uint16_t *to);

    /* A leaf's rows [8][32] as pairs: the lower and the upper 16 channels [4 pairs][16][2]. */
    void (*pair_samples)(const uint16_t *from, uint16_t *lower, uint16_t *upper);

    /* The same of `columns` <= 4 neighbouring pixels `stride` apart, and turned: to [2][16 channels][4
     * pixels][8 samples]; zeros behind the columns. */
    void (*turn_samples)(size_t columns, size_t stride, const uint16_t *from, uint16_t *to);

    /* Filters of up to 32 depths (rows) and columns, `stride` floats apart: to [2][16 pairs][16][2], zeros
     * around. */
    void (*pack_filters)(size_t rows, size_t columns, size_t stride, const float *from, uint16_t *to);
    /* The same where rows are the columns of the product and columns the depth. */
    void (*turn_filters)(size_t rows, size_t columns, size_t stride, const float *from, uint16_t *to);

    /* y = relu(sums + bias), samples of y `stride` apart; signs [sample][2] says which of 16 are above 0, and
     * may be NULL. */
    void (*finish)(size_t samples, size_t channels, const float *sums, const float *bias, size_t stride,
                   float *y, uint16_t *signs);
    /* The mean of four such pixels; sums [4][32][32], signs [sample][2][4]. */
    void (*finish_window)(size_t samples, size_t channels, const float *sums, const float *bias,
                          size_t stride, float *y, uint16_t *signs);
    /* to = sums. */
    void (*store)(size_t samples, size_t channels, const float *sums, size_t stride, float *to);

    /* Back through finish and finish_window for up to a leaf's samples: the gradient of the sums, rounded, to
     * [8][32] of each pixel (zeros behind the samples), and added to bias [8][32] as it is. */
    void (*gate)(size_t samples, size_t channels, const float *dy, size_t stride, const uint16_t *signs,
                 float *bias, uint16_t *to);
    void (*gate_window)(size_t samples, size_t channels, const float *dy, size_t stride,
                        const uint16_t *signs, float *bias, uint16_t *const to[4]);
} dt_conv_tile_bodies;

extern const dt_conv_tile_bodies dt_conv_tiles_amx_bf16;

#endif
