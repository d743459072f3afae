/* SPDX-License-Identifier: BSD-3-Clause */
/* Products of packed matrices, of floats or, where DT_BF16 is defined, of pairs of bfloat16 (see
 * vector_operands.h). The including file defines DT_WIDTH, the tile and the product as vector_bodies.h says,
 * and, if it is not vector_bodies.h, DT_PRODUCTS, the name of a table of these bodies. */
#include "kernels/bodies.h"
#include "kernels/vector_operands.h"
#include "kernels/vector_rounding.h"

enum { TILE_COLUMNS = DT_TILE_VECTORS * DT_WIDTH, TILE = DT_TILE_ROWS * TILE_COLUMNS };

/* Loops over a tile are unrolled completely, which is what keeps it in registers; so `vectors` must be a
 * constant wherever these are inlined. */
typedef vector tile[DT_TILE_ROWS][DT_TILE_VECTORS];

DT_INLINE void tile_chain(tile c, int vectors, size_t steps, const float *a, const float *b) {
    for (size_t k = 0; k < steps; k++, a += DT_TILE_ROWS, b += vectors * DT_WIDTH) {
        vector row[DT_TILE_VECTORS];
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            row[j] = load(b + j * DT_WIDTH);
        DT_UNROLL
        for (int i = 0; i < DT_TILE_ROWS; i++) {
            DT_UNROLL
            for (int j = 0; j < vectors; j++)
                c[i][j] = multiply_add(c[i][j], a[i], row[j]);
        }
    }
}

DT_INLINE void tile_add(tile c, int vectors, const float *from) {
    DT_UNROLL
    for (int i = 0; i < DT_TILE_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            c[i][j] += load(from + i * TILE_COLUMNS + j * DT_WIDTH);
    }
}

/* With DT_WIRE_BF16. */
DT_INLINE void tile_round(tile c, int vectors, bool rounded) {
    if (!rounded)
        return;
    DT_UNROLL
    for (int i = 0; i < DT_TILE_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            c[i][j] = to_wire(c[i][j]);
    }
}

DT_INLINE void tile_load(tile c, int vectors, const float *from) {
    DT_UNROLL
    for (int i = 0; i < DT_TILE_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            c[i][j] = load(from + i * TILE_COLUMNS + j * DT_WIDTH);
    }
}

DT_INLINE void tile_store(tile c, int vectors, float *to) {
    DT_UNROLL
    for (int i = 0; i < DT_TILE_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            store(to + i * TILE_COLUMNS + j * DT_WIDTH, c[i][j]);
    }
}

/* Spread thinly: the lines on their way at a time are few, and products wait for them where they crowd. */
DT_INLINE void fetch_some(dt_fetch *fetch) {
    for (size_t i = 0; i < fetch->lines && fetch->runs > 0; i++) {
        __builtin_prefetch(fetch->run + fetch->at, 0, 2);
        fetch->at += DT_ALIGNMENT_FLOATS;
        if (fetch->at < fetch->floats)
            continue;
        fetch->at = 0;
        fetch->run += fetch->stride;
        fetch->runs--;
    }
}

DT_INLINE void gemm_tile_of(int vectors, size_t depth, const float *a, const float *b, bool resume, float *to,
                            dt_fetch *fetch) {
    tile c = {{{0}}};
    for (size_t k = 0; k < depth; k += DT_FETCH_STEPS) {
        fetch_some(fetch);
        tile_chain(c, vectors, depth - k < DT_FETCH_STEPS ? depth - k : DT_FETCH_STEPS, a + k * DT_TILE_ROWS,
                   b + k * (size_t)vectors * DT_WIDTH);
    }
    if (resume)
        tile_add(c, vectors, to);
    tile_store(c, vectors, to);
}

static void gemm_tile(size_t depth, size_t vectors, const float *a, const float *b, bool resume, float *to,
                      dt_fetch *fetch) {
    if (vectors == 1)
        gemm_tile_of(1, depth, a, b, resume, to, fetch);
    else if (vectors == 2)
        gemm_tile_of(2, depth, a, b, resume, to, fetch);
    else
        gemm_tile_of(DT_TILE_VECTORS, depth, a, b, resume, to, fetch);
}

DT_INLINE void gemm_leaf_of(int vectors, bool rounded, size_t depth, const float *a, const float *b,
                            int merges, float *slot) {
    tile c = {{{0}}};
    tile_chain(c, vectors, depth, a, b);
    tile_round(c, vectors, rounded);
    for (; merges > 0; merges--) {
        slot -= TILE;
        tile_add(c, vectors, slot);
        tile_round(c, vectors, rounded);
    }
    tile_store(c, vectors, slot);
}

DT_INLINE void gemm_leaf_wide(size_t vectors, bool rounded, size_t depth, const float *a, const float *b,
                              int merges, float *slot) {
    if (vectors == 1)
        gemm_leaf_of(1, rounded, depth, a, b, merges, slot);
    else if (vectors == 2)
        gemm_leaf_of(2, rounded, depth, a, b, merges, slot);
    else
        gemm_leaf_of(DT_TILE_VECTORS, rounded, depth, a, b, merges, slot);
}

static void gemm_leaf(size_t depth, size_t vectors, const float *a, const float *b, int merges, float *slot) {
    gemm_leaf_wide(vectors, false, depth, a, b, merges, slot);
}

static void gemm_leaf_rounded(size_t depth, size_t vectors, const float *a, const float *b, int merges,
                              float *slot) {
    gemm_leaf_wide(vectors, true, depth, a, b, merges, slot);
}

/* Half of the rows of a tile, for two leaves at a time: their sum needs no memory in between. */
enum { HALF_ROWS = DT_TILE_ROWS / 2 };
typedef vector half_tile[HALF_ROWS][DT_TILE_VECTORS];

DT_INLINE void half_step(half_tile c, int vectors, const float *a, const float *b) {
    vector row[DT_TILE_VECTORS];
    DT_UNROLL
    for (int j = 0; j < vectors; j++)
        row[j] = load(b + j * DT_WIDTH);
    DT_UNROLL
    for (int i = 0; i < HALF_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            c[i][j] = multiply_add(c[i][j], a[i], row[j]);
    }
}

/* The leaves' chains go side by side; the right leaf may be the shorter one. */
DT_INLINE void gemm_half_pair(int vectors, bool rounded, size_t left_depth, size_t right_depth,
                              const float *a, const float *b, int merges, float *slot) {
    half_tile left = {{{0}}}, right = {{{0}}};
    const float *right_a = a + left_depth * DT_TILE_ROWS,
                *right_b = b + left_depth * (size_t)vectors * DT_WIDTH;
    size_t k = 0;
    for (; k < right_depth; k++) {
        half_step(left, vectors, a + k * DT_TILE_ROWS, b + k * (size_t)vectors * DT_WIDTH);
        half_step(right, vectors, right_a + k * DT_TILE_ROWS, right_b + k * (size_t)vectors * DT_WIDTH);
    }
    for (; k < left_depth; k++)
        half_step(left, vectors, a + k * DT_TILE_ROWS, b + k * (size_t)vectors * DT_WIDTH);
    DT_UNROLL
    for (int i = 0; i < HALF_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            left[i][j] =
                rounded ? to_wire(to_wire(left[i][j]) + to_wire(right[i][j])) : left[i][j] + right[i][j];
    }
    for (; merges > 0; merges--) {
        slot -= TILE;
        DT_UNROLL
        for (int i = 0; i < HALF_ROWS; i++) {
            DT_UNROLL
            for (int j = 0; j < vectors; j++) {
                left[i][j] += load(slot + i * TILE_COLUMNS + j * DT_WIDTH);
                left[i][j] = rounded ? to_wire(left[i][j]) : left[i][j];
            }
        }
    }
    DT_UNROLL
    for (int i = 0; i < HALF_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            store(slot + i * TILE_COLUMNS + j * DT_WIDTH, left[i][j]);
    }
}

DT_INLINE void gemm_pair_of(int vectors, bool rounded, size_t left_depth, size_t right_depth, const float *a,
                            const float *b, int merges, float *slot) {
    gemm_half_pair(vectors, rounded, left_depth, right_depth, a, b, merges, slot);
    gemm_half_pair(vectors, rounded, left_depth, right_depth, a + HALF_ROWS, b, merges,
                   slot + HALF_ROWS * TILE_COLUMNS);
}

DT_INLINE void gemm_pair_wide(size_t vectors, bool rounded, size_t left_depth, size_t right_depth,
                              const float *a, const float *b, int merges, float *slot) {
    if (vectors == 1)
        gemm_pair_of(1, rounded, left_depth, right_depth, a, b, merges, slot);
    else if (vectors == 2)
        gemm_pair_of(2, rounded, left_depth, right_depth, a, b, merges, slot);
    else
        gemm_pair_of(DT_TILE_VECTORS, rounded, left_depth, right_depth, a, b, merges, slot);
}

static void gemm_pair(size_t left_depth, size_t right_depth, size_t vectors, const float *a, const float *b,
                      int merges, float *slot) {
    gemm_pair_wide(vectors, false, left_depth, right_depth, a, b, merges, slot);
}

static void gemm_pair_rounded(size_t left_depth, size_t right_depth, size_t vectors, const float *a,
                              const float *b, int merges, float *slot) {
    gemm_pair_wide(vectors, true, left_depth, right_depth, a, b, merges, slot);
}

_Static_assert(DT_TILE_VECTORS == 2 || DT_TILE_VECTORS == 3, "gemm_tile and gemm_leaf know these");
_Static_assert(DT_TILE_ROWS % 4 == 0, "tiles are packed in blocks of 4 rows");

/* Transposes go through 4x4 blocks: wider ones would save loads and stores, but the cache lines of four
 * source rows are as many as one set of a cache likes to hold when rows are a power of two apart. */
typedef float quad __attribute__((vector_size(16)));
typedef float quad_in_memory __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t quad_index __attribute__((vector_size(16)));

#ifdef __clang__
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (quad_index){i, j, k, l})
#endif

DT_INLINE void transpose_quad(const float *const *rows, size_t k, float *packed, size_t lanes) {
    quad row0 = *(const quad_in_memory *)(rows[0] + k), row1 = *(const quad_in_memory *)(rows[1] + k);
    quad row2 = *(const quad_in_memory *)(rows[2] + k), row3 = *(const quad_in_memory *)(rows[3] + k);
    quad low01 = SHUFFLE(row0, row1, 0, 4, 1, 5), low23 = SHUFFLE(row2, row3, 0, 4, 1, 5);
    quad high01 = SHUFFLE(row0, row1, 2, 6, 3, 7), high23 = SHUFFLE(row2, row3, 2, 6, 3, 7);
    packed += k * lanes;
    *(quad_in_memory *)packed = SHUFFLE(low01, low23, 0, 1, 4, 5);
    *(quad_in_memory *)(packed + lanes) = SHUFFLE(low01, low23, 2, 3, 6, 7);
    *(quad_in_memory *)(packed + 2 * lanes) = SHUFFLE(high01, high23, 0, 1, 4, 5);
    *(quad_in_memory *)(packed + 3 * lanes) = SHUFFLE(high01, high23, 2, 3, 6, 7);
}

/* packed[k][i] = rows[i][k] for four rows. */
DT_INLINE void transpose_rows(size_t depth, const float *const *rows, float *packed, size_t lanes) {
    size_t k = 0;
    for (; k + 4 <= depth; k += 4)
        transpose_quad(rows, k, packed, lanes);
    for (; k < depth; k++)
        for (size_t i = 0; i < 4; i++)
            packed[k * lanes + i] = rows[i][k];
}

DT_INLINE void transpose(size_t rows, size_t columns, const float *from, size_t from_stride, float *to,
                         size_t to_stride) {
    size_t whole = rows / 4 * 4;
    for (size_t i = 0; i < whole; i += 4) {
        const float *row = from + i * from_stride;
        transpose_rows(
            columns,
            (const float *const[]){row, row + from_stride, row + 2 * from_stride, row + 3 * from_stride},
            to + i, to_stride);
    }
    for (size_t i = whole; i < rows; i++)
        for (size_t k = 0; k < columns; k++)
            to[k * to_stride + i] = from[i * from_stride + k];
}

/* A few rows times up to four vectors of a packed B, or with resume one more stretch of their chains: what
 * comes out is small, so a few rows are enough. */
DT_INLINE void row_chains_of(int vectors, size_t steps, const float *const *rows, const float *b, bool resume,
                             float *to) {
    vector c[DT_PRODUCT_ROWS][DT_PRODUCT_VECTORS] = {{{0}}};
    if (resume) {
        DT_UNROLL
        for (int i = 0; i < DT_PRODUCT_ROWS; i++) {
            DT_UNROLL
            for (int j = 0; j < vectors; j++)
                c[i][j] = load(to + (i * vectors + j) * DT_WIDTH);
        }
    }
    for (size_t k = 0; k < steps; k++, b += vectors * DT_WIDTH) {
        vector lanes[DT_PRODUCT_VECTORS];
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            lanes[j] = load(b + j * DT_WIDTH);
        DT_UNROLL
        for (int i = 0; i < DT_PRODUCT_ROWS; i++) {
            float a = rows[i][k];
            DT_UNROLL
            for (int j = 0; j < vectors; j++)
                c[i][j] = multiply_add(c[i][j], a, lanes[j]);
        }
    }
    DT_UNROLL
    for (int i = 0; i < DT_PRODUCT_ROWS; i++) {
        DT_UNROLL
        for (int j = 0; j < vectors; j++)
            store(to + (i * vectors + j) * DT_WIDTH, c[i][j]);
    }
}

DT_INLINE void row_chains(size_t steps, size_t vectors, const float *const *rows, const float *b, bool resume,
                          float *to) {
    if (vectors == 1)
        row_chains_of(1, steps, rows, b, resume, to);
    else if (vectors == 2)
        row_chains_of(2, steps, rows, b, resume, to);
#if DT_PRODUCT_VECTORS > 2
    else if (vectors == 3)
        row_chains_of(3, steps, rows, b, resume, to);
#endif
#if DT_PRODUCT_VECTORS > 3
    else if (vectors == 4)
        row_chains_of(4, steps, rows, b, resume, to);
#endif
}

#ifndef DT_BF16

#define PAIR_CHAINS NULL

static void pack_straight(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                          float *packed) {
    for (size_t k = 0; k < depth; k++, source += stride, packed += lanes) {
        size_t j = 0;
        for (; j + DT_WIDTH <= count; j += DT_WIDTH)
            store(packed + j, load(source + j));
        for (; j < count; j++)
            packed[j] = source[j];
        for (; j < lanes; j++)
            packed[j] = 0;
    }
}

static void pack_transposed(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                            float *packed) {
    transpose(count, depth, source, stride, packed, lanes);
    for (size_t j = count; j < lanes; j++)
        for (size_t k = 0; k < depth; k++)
            packed[k * lanes + j] = 0;
}

static void row_products(size_t depth, size_t vectors, const float *const *rows, const float *b, float *to) {
    row_chains(depth, vectors, rows, b, false, to);
}

#else

#define PAIR_CHAINS pair_chains

/* A step's lanes: rows `from` and, if it exists, `next`. */
DT_INLINE void pack_step(size_t lanes, size_t count, const float *from, const float *next, float *packed) {
    for (size_t j = 0; j < lanes; j += DT_WIDTH) {
        vector even = {0}, odd = {0};
        if (j < count)
            even = load_lanes(from + j, count - j);
        if (j < count && next)
            odd = load_lanes(next + j, count - j);
        store_lanes(packed + j, lanes - j, pair_up(even, odd));
    }
}

static void pack_straight(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                          float *packed) {
    for (size_t k = 0; k < depth; k += PAIR, source += PAIR * stride, packed += lanes)
        pack_step(lanes, count, source, k + 1 < depth ? source + stride : NULL, packed);
}

/* Rows become pairs a stretch of this many steps at a time. */
enum { STRETCH = 128, LINE = 16 };

/* Neighbours of a row as pairs, in whole vectors; the last ones are padded with zeros. */
DT_INLINE void pair_row(size_t depth, const float *row, float *pairs) {
    size_t k = 0;
    for (; k + DT_WIDTH <= depth; k += DT_WIDTH)
        store_operands(pairs + k / PAIR, load(row + k));
    if (k < depth)
        store_operands(pairs + k / PAIR, load_part(row + k, depth - k));
}

/* Four columns of a stretch, of which `count` have a row. */
DT_INLINE void pack_columns(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                            float *packed) {
    float pairs[4][STRETCH + DT_WIDTH] = {{0}};
    const float *const rows[4] = {pairs[0], pairs[1], pairs[2], pairs[3]};
    for (size_t i = 0; i < count; i++)
        pair_row(depth, source + i * stride, pairs[i]);
    transpose_rows((depth + 1) / PAIR, rows, packed, lanes);
}

static void pack_transposed(size_t depth, size_t lanes, size_t count, const float *source, size_t stride,
                            float *packed) {
    for (size_t k = 0; k < depth; k += PAIR * STRETCH)
        for (size_t j = 0; j < lanes; j += 4) {
            size_t steps = depth - k < PAIR * STRETCH ? depth - k : PAIR * STRETCH;
            size_t columns = count <= j ? 0 : count - j < 4 ? count - j : 4;
            pack_columns(steps, lanes, columns, source + j * stride + k, stride,
                         packed + k / PAIR * lanes + j);
        }
}

/* The rows' next stretch. */
DT_INLINE void fetch_lines(const float *const *rows, size_t from, size_t depth) {
    size_t end = depth < from + PAIR * STRETCH ? depth : from + PAIR * STRETCH;
    for (size_t i = 0; i < DT_PRODUCT_ROWS; i++)
        for (size_t k = from; k < end; k += LINE)
            __builtin_prefetch(rows[i] + k);
}

static void row_products(size_t depth, size_t vectors, const float *const *rows, const float *b, float *to) {
    float pairs[DT_PRODUCT_ROWS][STRETCH + DT_WIDTH];
    const float *paired[DT_PRODUCT_ROWS];
    for (size_t i = 0; i < DT_PRODUCT_ROWS; i++)
        paired[i] = pairs[i];
    for (size_t k = 0; k < depth; k += PAIR * STRETCH) {
        size_t stretch = depth - k < PAIR * STRETCH ? depth - k : PAIR * STRETCH;
        for (size_t i = 0; i < DT_PRODUCT_ROWS; i++)
            pair_row(stretch, rows[i] + k, pairs[i]);
        fetch_lines(rows, k + PAIR * STRETCH, depth);
        row_chains((stretch + 1) / PAIR, vectors, paired, b + k / PAIR * vectors * DT_WIDTH, k > 0, to);
    }
}

static float pair_chains(size_t rounds) {
    vector chains[DT_FMA_CHAINS], right = pair_up(splat(0.5f), splat(0.25f));
    float left = right[0], sum = 0;
    for (int i = 0; i < DT_FMA_CHAINS; i++)
        chains[i] = splat((float)i);
    for (size_t round = 0; round < rounds; round++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < DT_FMA_CHAINS; i++) chains[i] =
            multiply_add(chains[i], left, right);
    }
    for (int i = 0; i < DT_FMA_CHAINS; i++)
        for (int lane = 0; lane < DT_WIDTH; lane++)
            sum += chains[i][lane];
    return sum;
}

#endif

/* The table of these bodies. */
#define PRODUCTS                                                                                      \
    {                                                                                                 \
        .pair = PAIR, .gemm_tile = gemm_tile, .gemm_leaf = gemm_leaf,                                 \
        .gemm_pair = DT_PAIRS ? gemm_pair : NULL, .gemm_leaf_rounded = gemm_leaf_rounded,             \
        .gemm_pair_rounded = DT_PAIRS ? gemm_pair_rounded : NULL, .pack_straight = pack_straight,     \
        .pack_transposed = pack_transposed, .row_products = row_products, .pair_chains = PAIR_CHAINS, \
    }

#ifdef DT_PRODUCTS
const dt_products DT_PRODUCTS = PRODUCTS;
#endif
