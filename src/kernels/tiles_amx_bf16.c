/* SPDX-License-Identifier: BSD-3-Clause */
/* Products of tiles by AMX_BF16. */
#define DT_WIDTH 16
#include "kernels/tiles.h"

#include "kernels/amx_tiles.h"
#include "kernels/vector_rounding.h"

enum { HALF_STEP = 16, LEAF_PAIRS = 4, LEAF_ROW_BYTES = 16 };

void dt_tiles_begin(void) {
    tile_configuration full = tile_configuration_full();
    tile_configure(&full);
}

/* Tiles 0 to 3 are sums, 4 and 5 left ones, 6 and 7 right ones. */
void dt_tiles_begin_leaves(void) {
    tile_configuration leaves = tile_configuration_full();
    leaves.row_bytes[4] = leaves.row_bytes[5] = LEAF_ROW_BYTES;
    leaves.rows[6] = leaves.rows[7] = LEAF_PAIRS;
    tile_configure(&leaves);
}

void dt_tiles_end(void) {
    tile_release();
}

DT_INLINE __mmask16 lanes_below(size_t count) {
    return (__mmask16)(count >= DT_WIDTH ? 0xffffu : (1u << count) - 1);
}

/* Lane i: i * stride. */
DT_INLINE __m512i multiples_of(int stride) {
    return _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                              _mm512_set1_epi32(stride));
}

/* Lane i: even[i] in the lower half, odd[i] in the upper one. */
DT_INLINE __m512i pair_up(__m512 even, __m512 odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/* 32 neighbours, zeros from `count` on. */
DT_INLINE __m512i round_row(size_t count, const float *from) {
    __m512 lower = _mm512_maskz_loadu_ps(lanes_below(count), from), upper = _mm512_setzero_ps();
    if (count > HALF_STEP)
        upper = _mm512_maskz_loadu_ps(lanes_below(count - HALF_STEP), from + HALF_STEP);
    return (__m512i)_mm512_cvtne2ps_pbh(upper, lower);
}

void dt_tiles_pack_left(size_t rows, size_t depth, const float *source, size_t stride, float *packed) {
    for (size_t i = 0; i < DT_TILE_SIDE; i++, source += stride, packed += TILE_PAIRS)
        for (size_t k = 0; k < depth; k += DT_TILE_STEP)
            _mm512_storeu_si512(packed + k / DT_TILE_STEP * DT_TILE_FLOATS,
                                i < rows ? round_row(depth - k, source + k) : _mm512_setzero_si512());
}

/* The pair of rows k and k + 1 of source. */
DT_INLINE __m512i pair_rows(__mmask16 lanes, size_t k, size_t depth, const float *source, size_t stride) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    if (k < depth)
        even = _mm512_maskz_loadu_ps(lanes, source + k * stride);
    if (k + 1 < depth)
        odd = _mm512_maskz_loadu_ps(lanes, source + (k + 1) * stride);
    return pair_up(even, odd);
}

void dt_tiles_pack_right(size_t columns, size_t depth, const float *source, size_t stride, float *packed) {
    size_t whole = depth / DT_TILE_STEP * DT_TILE_STEP, end = whole < depth ? whole + DT_TILE_STEP : whole;
    __mmask16 lanes = lanes_below(columns);
    size_t k = 0;
    for (; k < whole; k += 2, packed += DT_WIDTH)
        _mm512_storeu_si512(packed, pair_up(_mm512_maskz_loadu_ps(lanes, source + k * stride),
                                            _mm512_maskz_loadu_ps(lanes, source + (k + 1) * stride)));
    for (; k < end; k += 2, packed += DT_WIDTH)
        _mm512_storeu_si512(packed, pair_rows(lanes, k, depth, source, stride));
}

void dt_tiles_pack_right_transposed(size_t columns, size_t depth, const float *source, size_t stride,
                                    float *packed) {
    const __m512i column_of_pairs = multiples_of(DT_TILE_SIDE);
    for (size_t k = 0; k < depth; k += DT_TILE_STEP, packed += DT_TILE_FLOATS)
        for (size_t j = 0; j < DT_TILE_SIDE; j++) {
            __m512i pairs = _mm512_setzero_si512();
            if (j < columns)
                pairs = round_row(depth - k, source + j * stride + k);
            _mm512_i32scatter_epi32(packed + j, column_of_pairs, pairs, sizeof(float));
        }
}

void dt_tiles_pack_left_leaf(size_t count, size_t samples, const float *source, size_t stride,
                             float *packed) {
    const __m512i row = multiples_of(LEAF_PAIRS);
    for (size_t pair = 0; pair < LEAF_PAIRS; pair++)
        _mm512_i32scatter_epi32(packed + pair, row,
                                pair_rows(lanes_below(count), 2 * pair, samples, source, stride),
                                sizeof(float));
}

void dt_tiles_pack_right_leaf(size_t count, size_t samples, const float *source, size_t stride,
                              float *packed) {
    for (size_t pair = 0; pair < LEAF_PAIRS; pair++)
        _mm512_storeu_si512(packed + pair * DT_WIDTH,
                            pair_rows(lanes_below(count), 2 * pair, samples, source, stride));
}

/* Two row tiles by two column tiles in registers, fewer at the edges. Sums [row][column] are tiles 0 to 3. */
DT_INLINE void multiply_block(bool two_rows, bool two_columns, size_t steps, const float *a, size_t a_stride,
                              const float *b, size_t b_stride, bool resume, float *upper, float *lower) {
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    if (resume) {
        TILE_LOAD(0, upper, TILE_BYTES);
        if (two_columns)
            TILE_LOAD(1, upper + DT_TILE_FLOATS, TILE_BYTES);
        if (two_rows)
            TILE_LOAD(2, lower, TILE_BYTES);
        if (two_rows && two_columns)
            TILE_LOAD(3, lower + DT_TILE_FLOATS, TILE_BYTES);
    }
    for (; steps > 0; steps--, a += DT_TILE_FLOATS, b += DT_TILE_FLOATS) {
        TILE_LOAD(4, a, TILE_BYTES);
        TILE_LOAD(6, b, TILE_BYTES);
        TILE_MULTIPLY(0, 4, 6);
        if (two_columns) {
            TILE_LOAD(7, b + b_stride, TILE_BYTES);
            TILE_MULTIPLY(1, 4, 7);
        }
        if (two_rows) {
            TILE_LOAD(5, a + a_stride, TILE_BYTES);
            TILE_MULTIPLY(2, 5, 6);
        }
        if (two_rows && two_columns)
            TILE_MULTIPLY(3, 5, 7);
    }
    TILE_STORE(0, upper, TILE_BYTES);
    if (two_columns)
        TILE_STORE(1, upper + DT_TILE_FLOATS, TILE_BYTES);
    if (two_rows)
        TILE_STORE(2, lower, TILE_BYTES);
    if (two_rows && two_columns)
        TILE_STORE(3, lower + DT_TILE_FLOATS, TILE_BYTES);
}

void dt_tiles_multiply(size_t row_tiles, size_t column_tiles, size_t steps, const float *a, size_t a_stride,
                       const float *b, size_t b_stride, bool resume, float *c) {
    size_t line = column_tiles * DT_TILE_FLOATS;
    for (size_t j = 0; j < column_tiles; j += 2)
        for (size_t i = 0; i < row_tiles; i += 2) {
            const float *left = a + i * a_stride, *right = b + j * b_stride;
            float *upper = c + i * line + j * DT_TILE_FLOATS, *lower = upper + line;
            bool two_rows = i + 1 < row_tiles, two_columns = j + 1 < column_tiles;
            if (two_rows && two_columns)
                multiply_block(true, true, steps, left, a_stride, right, b_stride, resume, upper, lower);
            else if (two_rows)
                multiply_block(true, false, steps, left, a_stride, right, b_stride, resume, upper, lower);
            else if (two_columns)
                multiply_block(false, true, steps, left, a_stride, right, b_stride, resume, upper, upper);
            else
                multiply_block(false, false, steps, left, a_stride, right, b_stride, resume, upper, upper);
        }
}

void dt_tiles_store(size_t rows, size_t columns, const float *tile, const float *bias, bool relu,
                    float *matrix, size_t stride) {
    __mmask16 lanes = lanes_below(columns);
    vector added = bias ? (vector)_mm512_maskz_loadu_ps(lanes, bias) : (vector){0};
    for (size_t i = 0; i < rows; i++) {
        vector value = load(tile + i * DT_TILE_SIDE);
        if (bias)
            value += added;
        if (relu)
            value = relu_of(value);
        _mm512_mask_storeu_ps(matrix + i * stride, lanes, (__m512)value);
    }
}

/* A leaf's product, or the sum of two: a product is added to the sums of the first as float32, which is what
 * the tree over leaves does. */
#define LEAF_SUM(sums, left, right, a, b, two, to)                      \
    do {                                                                \
        TILE_ZERO(sums);                                                \
        TILE_LOAD(left, a, LEAF_ROW_BYTES);                             \
        TILE_LOAD(right, b, TILE_BYTES);                                \
        TILE_MULTIPLY(sums, left, right);                               \
        if (two) {                                                      \
            TILE_LOAD(left, (a) + DT_TILE_LEAF_FLOATS, LEAF_ROW_BYTES); \
            TILE_LOAD(right, (b) + DT_TILE_LEAF_FLOATS, TILE_BYTES);    \
            TILE_MULTIPLY(sums, left, right);                           \
        }                                                               \
        TILE_STORE(sums, to, TILE_BYTES);                               \
    } while (0)

DT_INLINE void sum_leaf(int slot, const float *a, const float *b, bool two, float *to) {
    if (slot == 0)
        LEAF_SUM(0, 4, 6, a, b, two, to);
    else if (slot == 1)
        LEAF_SUM(1, 5, 7, a, b, two, to);
    else if (slot == 2)
        LEAF_SUM(2, 4, 6, a, b, two, to);
    else
        LEAF_SUM(3, 5, 7, a, b, two, to);
}

/* to = value (+ next) + the `merges` tiles below `top`, the highest first. */
DT_INLINE void merge_tiles(bool rounded, const float *value, const float *next, int merges, const float *top,
                           float *to, size_t stride) {
    for (size_t i = 0; i < DT_TILE_FLOATS; i += DT_TILE_SIDE, to += stride) {
        vector sum = load(value + i);
        sum = rounded ? to_wire(sum) : sum;
        if (next) {
            vector right = load(next + i);
            sum += rounded ? to_wire(right) : right;
            sum = rounded ? to_wire(sum) : sum;
        }
        for (int merge = 1; merge <= merges; merge++) {
            sum += load(top - merge * DT_TILE_FLOATS + i);
            sum = rounded ? to_wire(sum) : sum;
        }
        store(to, sum);
    }
}

/* Sums of one or two leaves that wait for the stack. */
typedef struct waiting {
    int count, merges[DT_TILE_SPARES];
    float *tiles; /* [DT_TILE_SPARES] */
} waiting;

/* As many leaves from `leaf` on as there are slots for; returns how many. */
DT_INLINE int sum_next_leaves(int leaf, int leaves, const unsigned char *merges, bool rounded, const float *a,
                              const float *b, waiting *w) {
    int first = leaf;
    w->count = 0;
    DT_UNROLL
    for (int slot = 0; slot < DT_TILE_SPARES; slot++) {
        if (leaf >= leaves)
            break;
        bool two = !rounded && leaf + 1 < leaves && merges[leaf] == 0 && merges[leaf + 1] > 0;
        size_t at = (size_t)leaf * DT_TILE_LEAF_FLOATS;
        sum_leaf(slot, a + at, b + at, two, w->tiles + slot * DT_TILE_FLOATS);
        w->merges[slot] = two ? merges[leaf + 1] - 1 : merges[leaf];
        leaf += two ? 2 : 1;
        w->count++;
    }
    return leaf - first;
}

DT_INLINE void sum_leaves(int leaves, const unsigned char *merges, bool rounded, const float *a,
                          const float *b, float *stack, float *roots, size_t root_stride, size_t row_stride) {
    waiting w = {.tiles = stack};
    float *top = stack + DT_TILE_SPARES * DT_TILE_FLOATS, *bottom = top;
    for (int leaf = 0; leaf < leaves;) {
        leaf += sum_next_leaves(leaf, leaves, merges, rounded, a, b, &w);
        for (int i = 0; i < w.count; i++) {
            const float *value = w.tiles + i * DT_TILE_FLOATS, *next = NULL;
            int more = w.merges[i];
            if (more == 0 && i + 1 < w.count && w.merges[i + 1] > 0) {
                next = value + DT_TILE_FLOATS;
                more = w.merges[++i] - 1;
            }
            bool last = leaf == leaves && i + 1 == w.count && top - more * DT_TILE_FLOATS == bottom;
            float *slot = top - more * DT_TILE_FLOATS;
            merge_tiles(rounded, value, next, more, top, last ? roots : slot,
                        last ? row_stride : DT_TILE_SIDE);
            if (last)
                return;
            top = slot + DT_TILE_FLOATS;
        }
    }
    for (const float *root = bottom; root < top; root += DT_TILE_FLOATS, roots += root_stride)
        merge_tiles(false, root, NULL, 0, NULL, roots, row_stride);
}

void dt_tiles_sum_leaves(int leaves, const unsigned char *merges, bool rounded, const float *a,
                         const float *b, float *stack, float *roots, size_t root_stride, size_t row_stride) {
    if (rounded)
        sum_leaves(leaves, merges, true, a, b, stack, roots, root_stride, row_stride);
    else
        sum_leaves(leaves, merges, false, a, b, stack, roots, root_stride, row_stride);
}
