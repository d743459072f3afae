/* SPDX-License-Identifier: BSD-3-Clause */
/* The inner loops on pairs of bfloat16, with every instruction set, against plain C: the same bits. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bodies.h"
#include "kernels/winograd.h"

/* One instruction set's bodies. */
typedef struct set {
    const dt_bodies *bodies;
    const dt_products *products;
    const dt_winograd_bodies *winograd;
} set;

static set set_of(dt_isa isa) {
    static const set sets[] = {
        [DT_ISA_BASELINE] = {&dt_bodies_baseline, &dt_products_bf16_baseline, &dt_winograd_bf16_baseline},
#ifdef __x86_64__
        [DT_ISA_AVX2] = {&dt_bodies_avx2, &dt_products_bf16_avx2, &dt_winograd_bf16_avx2},
        [DT_ISA_AVX512] = {&dt_bodies_avx512, &dt_products_bf16_avx512, &dt_winograd_bf16_avx2},
        [DT_ISA_AVX512_BF16] = {&dt_bodies_avx512, &dt_products_avx512_bf16, &dt_winograd_avx512_bf16},
        [DT_ISA_AMX_BF16] = {&dt_bodies_avx512, &dt_products_avx512_bf16, &dt_winograd_avx512_bf16},
#endif
    };
    return sets[isa];
}

static size_t pick(size_t low, size_t high) {
    return low + (size_t)rig_random((int)(high - low + 1));
}

/* A packed pair's halves, as float. */
static float half_of(float pair, int odd) {
    return rig_from_bits(odd ? rig_bits_of(pair) & 0xffff0000u : rig_bits_of(pair) << 16);
}

static float pair_of(float even, float odd) {
    return rig_from_bits(rig_bits_of(rig_bf16(even)) >> 16 | rig_bits_of(rig_bf16(odd)));
}

/* Pairs of random numbers in [-1, 1). */
static float *random_pairs(size_t count) {
    float *even = rig_input(count), *odd = rig_input(count), *pairs = rig_output(count);
    for (size_t i = 0; i < count; i++)
        pairs[i] = pair_of(even[i], odd[i]);
    free(even);
    free(odd);
    return pairs;
}

static float multiply_add(float sum, float left, float right) {
    return rig_pair_step(sum, (float[]){half_of(left, 0), half_of(left, 1)},
                         (float[]){half_of(right, 0), half_of(right, 1)});
}

/* Zeros, ties, neighbours of ties, the largest value, infinity, NaNs, and what is below 2^-126. */
static const uint32_t edges[] = {0x00000000, 0x80000000, 0x3f808000, 0x3f818000, 0xbf808001, 0x3f817fff,
                                 0x7f7fffff, 0xff7f8000, 0x7f7f7fff, 0x7f800000, 0xff800000, 0x7fc00000,
                                 0x7f800001, 0xffffffff, 0x00000001, 0x807fffff, 0x00800000, 0x00008000};
enum { EDGES = sizeof edges / sizeof edges[0] };

static void check_half(float value, float packed, int odd) {
    float found = half_of(packed, odd);
    if (isnan(value))
        assert_true(isnan(found));
    else
        assert_int_equal(rig_bits_of(found), rig_bits_of(rig_bf16(value)));
}

/* Both ways of packing: rows above one another, and neighbours in a row. */
static void check_packing(const dt_products *products, size_t depth, size_t lanes, size_t count,
                          const float *values) {
    size_t steps = (depth + 1) / 2;
    float *straight = rig_output(steps * lanes), *transposed = rig_output(steps * lanes);
    products->pack_straight(depth, lanes, count, values, count, straight);
    products->pack_transposed(depth, lanes, count, values, depth, transposed);
    for (size_t k = 0; k < 2 * steps; k++)
        for (size_t j = 0; j < lanes; j++) {
            bool there = k < depth && j < count;
            check_half(there ? values[k * count + j] : 0, straight[k / 2 * lanes + j], k % 2);
            check_half(there ? values[j * depth + k] : 0, transposed[k / 2 * lanes + j], k % 2);
        }
    free(straight);
    free(transposed);
}

static void test_packing_rounds_to_nearest_even(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_highest(); isa++) {
        set s = set_of(isa);
        for (int i = 0; i < 60; i++) {
            size_t lanes = (size_t)s.bodies->tile_rows, depth = i ? pick(1, 90) : 700;
            if (i % 2)
                lanes = (size_t)s.bodies->width * pick(1, 3);
            size_t count = pick(1, lanes);
            float *values = rig_input(depth * count);
            for (size_t k = 0; k < depth * count; k += pick(1, 4))
                values[k] = rig_from_bits(edges[rig_random(EDGES)] ^ (uint32_t)rig_random(2) << 31);
            check_packing(s.products, depth, lanes, count, values);
            free(values);
        }
    }
}

/* c[i][j] by definition, from pairs a [step][rows], b [step][columns]. */
static float *defined_product(size_t steps, size_t rows, size_t columns, const float *a, const float *b,
                              const float *from) {
    float *c = rig_output(rows * columns);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float sum = from ? from[i * columns + j] : 0;
            for (size_t k = 0; k < steps; k++)
                sum = multiply_add(sum, a[k * rows + i], b[k * columns + j]);
            c[i * columns + j] = sum;
        }
    return c;
}

/* Rows of a tile are tile_columns apart, of which `lanes` count. */
static void check_tile(const char *what, const set *s, size_t lanes, const float *tile,
                       const float *expected) {
    size_t columns = (size_t)s->bodies->tile_columns;
    for (size_t i = 0; i < (size_t)s->bodies->tile_rows; i++)
        rig_check_same_bits(what, tile + i * columns, expected + i * lanes, lanes);
}

/* The stack machine has a leaf below, on which one or two leaves are added. */
static void check_tiles(const set *s, size_t left, size_t right, size_t vectors) {
    size_t rows = (size_t)s->bodies->tile_rows, tile = rows * (size_t)s->bodies->tile_columns;
    size_t lanes = vectors * (size_t)s->bodies->width;
    float *a = random_pairs((left + right) * rows), *b = random_pairs((left + right) * lanes);
    float *stack = rig_input(2 * tile), *below = rig_copy(stack, tile);
    float *one = defined_product(left, rows, lanes, a, b, NULL);
    float *two = defined_product(right, rows, lanes, a + left * rows, b + left * lanes, NULL);
    s->products->gemm_tile(left, vectors, a, b, false, stack + tile, &(dt_fetch){0});
    check_tile("tile", s, lanes, stack + tile, one);
    s->products->gemm_tile(right, vectors, a + left * rows, b + left * lanes, true, stack + tile,
                           &(dt_fetch){0});
    for (size_t i = 0; i < rows * lanes; i++)
        two[i] = one[i] + two[i];
    check_tile("resumed tile", s, lanes, stack + tile, two);
    s->products->gemm_leaf(left, vectors, a, b, 1, stack + tile);
    for (size_t i = 0; i < rows * lanes; i++) {
        size_t place = i / lanes * (size_t)s->bodies->tile_columns + i % lanes;
        one[i] = below[place] + one[i];
        two[i] = below[place] + two[i];
    }
    check_tile("leaf", s, lanes, stack, one);
    if (s->products->gemm_pair) {
        memcpy(stack, below, tile * sizeof *stack);
        s->products->gemm_pair(left, right, vectors, a, b, 1, stack + tile);
        check_tile("pair", s, lanes, stack, two);
    }
    float *all[] = {a, b, stack, below, one, two};
    for (int i = 0; i < 6; i++)
        free(all[i]);
}

static void test_tiles_are_chains_of_pairs(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_highest(); isa++) {
        set s = set_of(isa);
        for (int i = 0; i < 60; i++) {
            size_t left = pick(1, 70);
            check_tiles(&s, left, pick(1, left), pick(1, (size_t)(s.bodies->tile_columns / s.bodies->width)));
        }
    }
}

/* Depths beyond one stretch of conversion too. */
static void test_row_products_are_chains_of_pairs(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_highest(); isa++) {
        set s = set_of(isa);
        size_t rows = (size_t)s.bodies->product_rows;
        for (int i = 0; i < 30; i++) {
            size_t depth = pick(1, i % 3 ? 60 : 1500), steps = (depth + 1) / 2;
            size_t vectors = pick(1, (size_t)s.bodies->product_vectors),
                   lanes = vectors * (size_t)s.bodies->width;
            float *values = rig_input(rows * depth), *a = rig_output(steps * rows);
            float *b = random_pairs(steps * lanes), *c = rig_output(rows * lanes);
            const float *row[DT_MOST_PRODUCT_ROWS];
            for (size_t r = 0; r < rows; r++) {
                row[r] = values + r * depth;
                for (size_t k = 0; k < depth; k += 2)
                    a[k / 2 * rows + r] = pair_of(row[r][k], k + 1 < depth ? row[r][k + 1] : 0);
            }
            s.products->row_products(depth, vectors, row, b, c);
            rig_check_output(c, rows * lanes);
            float *expected = defined_product(steps, rows, lanes, a, b, NULL);
            rig_check_same_bits("row products", c, expected, rows * lanes);
            float *all[] = {values, a, b, c, expected};
            for (int j = 0; j < 5; j++)
                free(all[j]);
        }
    }
}

/* Tiles [channel block][row][pair of channels] times filters [pair][channel]. */
static void check_multiply_tiles(const dt_winograd_bodies *w, size_t rows, size_t channels) {
    size_t block = (size_t)w->block, floats = block / 2, blocks = (channels + block - 1) / block;
    size_t steps = (channels + 1) / 2, a_block = rows * floats + 16;
    float *values = random_pairs(blocks * a_block), *filters = random_pairs(steps * block);
    float *a = rig_output(steps * rows), *c = rig_output(rows * block);
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < steps; k++)
            a[k * rows + row] = values[k / floats * a_block + row * floats + k % floats];
    w->multiply_tiles(rows, channels, channels, values, a_block, filters, values, false, c);
    rig_check_output(c, rows * block);
    float *expected = defined_product(steps, rows, block, a, filters, NULL);
    rig_check_same_bits("multiply_tiles", c, expected, rows * block);
    float *all[] = {values, filters, a, c, expected};
    for (int i = 0; i < 5; i++)
        free(all[i]);
}

static void test_tiles_times_filters(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_highest(); isa++)
        for (int i = 0; i < 40; i++)
            check_multiply_tiles(set_of(isa).winograd, pick(1, 33), pick(1, i % 2 ? 20 : 130));
}

static float operand(const float *pairs, size_t i) {
    return half_of(pairs[i / 2], (int)(i % 2));
}

/* Stretches of `run` rows of a and b; pairs are made of the rows of a stretch, at most 64 at a time, whose
 * number is even in all but the last. */
static float *defined_channels(const dt_winograd_bodies *w, size_t rows, size_t depth, size_t run,
                               const float *a, const float *b, size_t stride, const float *from) {
    size_t block = (size_t)w->block;
    float *c = rig_output(rows * block);
    for (size_t i = 0; i < rows * block; i++) {
        float sum = from ? from[i] : 0;
        for (size_t first = 0; first < depth; first += run)
            for (size_t k = 0; k < run; k += 2) {
                const float *left = a + first / run * stride + k * block / 2;
                const float *right = b + first / run * stride + k * block / 2;
                float x[2] = {operand(left, i / block), 0}, y[2] = {operand(right, i % block), 0};
                if (k + 1 < run) {
                    x[1] = operand(left, block + i / block);
                    y[1] = operand(right, block + i % block);
                }
                sum = rig_pair_step(sum, x, y);
            }
        c[i] = sum;
    }
    return c;
}

static void check_multiply_channels(const dt_winograd_bodies *w, size_t rows, size_t run, size_t stretches) {
    size_t block = (size_t)w->block, stride = run * block / 2 + 32;
    float *a = random_pairs(stretches * stride), *b = random_pairs(stretches * stride);
    float *c = rig_output(rows * block);
    w->multiply_channels(rows, stretches * run, run, a, stride, b, stride, a, b, false, c);
    rig_check_output(c, rows * block);
    float *expected = defined_channels(w, rows, stretches * run, run, a, b, stride, NULL);
    rig_check_same_bits("multiply_channels", c, expected, rows * block);
    w->multiply_channels(rows, stretches * run, run, b, stride, a, stride, a, b, true, c);
    float *resumed = defined_channels(w, rows, stretches * run, run, b, a, stride, expected);
    rig_check_same_bits("resumed multiply_channels", c, resumed, rows * block);
    float *all[] = {a, b, c, expected, resumed};
    for (int i = 0; i < 5; i++)
        free(all[i]);
}

static void test_channels_times_channels(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_highest(); isa++) {
        const dt_winograd_bodies *w = set_of(isa).winograd;
        for (int i = 0; i < 40; i++)
            check_multiply_channels(w, pick(1, (size_t)w->block), pick(1, i % 4 ? 33 : 150), pick(1, 4));
        check_multiply_channels(w, (size_t)w->block, 1, 1);
    }
}

/* Points of which a tile has none give a sum of nothing. */
static void test_no_rows_make_zero(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_highest(); isa++) {
        const dt_winograd_bodies *w = set_of(isa).winograd;
        size_t count = (size_t)(w->block * w->block);
        float *a = random_pairs((size_t)w->block), *c = rig_output(count);
        w->multiply_channels((size_t)w->block, 0, 0, a, 0, a, 0, a, a, false, c);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rig_bits_of(c[i]), 0);
        free(a);
        free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing_rounds_to_nearest_even),
        cmocka_unit_test(test_tiles_are_chains_of_pairs),
        cmocka_unit_test(test_row_products_are_chains_of_pairs),
        cmocka_unit_test(test_tiles_times_filters),
        cmocka_unit_test(test_channels_times_channels),
        cmocka_unit_test(test_no_rows_make_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
