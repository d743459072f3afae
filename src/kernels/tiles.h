/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: products of matrices of bfloat16 cut into tiles, compiled where DT_HAVE_AMX is
 * defined. Operands are rounded to bfloat16 when they are packed, sums are float32.
 *
 * A left tile is [16 rows][32 values of depth], a right tile [16 pairs of depth][16 columns][2], both in
 * bfloat16, a tile of sums [16 rows][16 columns] in float; each has the room of DT_TILE_FLOATS floats. Depth
 * goes in steps of 32 values, padded with zeros; what one step adds to a sum is in amx_tiles.h. A leaf of 8
 * samples is a shallow step: its left tile is [16 rows][8 samples], its right one [4 pairs][16 columns][2].
 */
#ifndef DTRAIN_KERNELS_TILES_H
#define DTRAIN_KERNELS_TILES_H

#include <stdbool.h>
#include <stddef.h>

enum {
    DT_TILE_SIDE = 16,
    DT_TILE_STEP = 32,
    DT_TILE_FLOATS = 256,
    DT_TILE_LEAF_FLOATS = 64 /* of a leaf's left or right tile */
};

/* A thread's tiles for the products below, in a task: begin, products of one kind, end. */
void dt_tiles_begin(void);
void dt_tiles_begin_leaves(void);
void dt_tiles_end(void);

/* Left tiles [step] from rows[i][k] = source[i * stride + k]; i < rows <= 16, k < depth. */
void dt_tiles_pack_left(size_t rows, size_t depth, const float *source, size_t stride, float *packed);

/* Right tiles [step] from source[k * stride + j], or transposed from source[j * stride + k]; j < columns <=
 * 16, k < depth. */
void dt_tiles_pack_right(size_t columns, size_t depth, const float *source, size_t stride, float *packed);
void dt_tiles_pack_right_transposed(size_t columns, size_t depth, const float *source, size_t stride,
                                    float *packed);

/* A leaf's tiles from source[k * stride + i], k < samples <= 8, i < count <= 16. */
void dt_tiles_pack_left_leaf(size_t count, size_t samples, const float *source, size_t stride, float *packed);
void dt_tiles_pack_right_leaf(size_t count, size_t samples, const float *source, size_t stride,
                              float *packed);

/* c [row tile][column tile] = a * b over `steps`, or with resume as many more steps of the same sums; row
 * tiles of a and column tiles of b are a_stride and b_stride floats apart. */
void dt_tiles_multiply(size_t row_tiles, size_t column_tiles, size_t steps, const float *a, size_t a_stride,
                       const float *b, size_t b_stride, bool resume, float *c);

/* The upper left part of a tile of sums to a matrix, + bias if not NULL, then ReLU if asked. */
void dt_tiles_store(size_t rows, size_t columns, const float *tile, const float *bias, bool relu,
                    float *matrix, size_t stride);

/* A leaf after another, a and b [leaf], through the stack machine of leaves.h; with `rounded` as DT_WIRE_BF16
 * wants it. The roots' tiles come to roots[root * root_stride + row * row_stride + column]. `stack` has room
 * for DT_TILE_SPARES more tiles than the machine's stack grows high. */
enum { DT_TILE_SPARES = 4 };
void dt_tiles_sum_leaves(int leaves, const unsigned char *merges, bool rounded, const float *a,
                         const float *b, float *stack, float *roots, size_t root_stride, size_t row_stride);

#endif
