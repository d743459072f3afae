/* SPDX-License-Identifier: BSD-3-Clause */
/* Products of tiles of bfloat16 against what they are defined to be: the same bits. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/leaves.h"
#include "kernels/tiles.h"

#ifdef DT_HAVE_AMX

enum { SIDE = DT_TILE_SIDE, STEP = DT_TILE_STEP };

static void need_tiles(void) {
    if (dt_isa_highest() != DT_ISA_AMX_BF16)
        skip();
}

static size_t pick(size_t low, size_t high) {
    return low + (size_t)rig_random((int)(high - low + 1));
}

/* Value `i` of an array of bfloat16 that lies in an array of float. */
static float packed_value(const float *packed, size_t i) {
    uint16_t half;
    memcpy(&half, (const char *)packed + i * sizeof half, sizeof half);
    return rig_from_bits((uint32_t)half << 16);
}

static float left_value(const float *packed, size_t i, size_t k) {
    return packed_value(packed, (k / STEP * SIDE + i) * STEP + k % STEP);
}

static float right_value(const float *packed, size_t k, size_t j) {
    return packed_value(packed, (k / 2 * SIDE + j) * 2 + k % 2);
}

static void check_value(const char *what, bool there, float value, float packed) {
    rig_check_same_bits(what, &packed, &(float){there ? rig_bf16(value) : 0}, 1);
}

/* Zeros, ties and their neighbours, numbers below the smallest normal one, infinity. */
static const uint32_t edges[] = {0x00000000, 0x80000000, 0x3f808000, 0x3f818000, 0xbf808001,
                                 0x3f817fff, 0x7f7fffff, 0x7f800000, 0x00000001, 0x807fffff};

static void test_packing_rounds_and_pads(void **state) {
    (void)state;
    need_tiles();
    for (int i = 0; i < 200; i++) {
        size_t count = pick(1, SIDE), depth = pick(1, 150), steps = (depth + STEP - 1) / STEP;
        float *values = rig_input(count * depth);
        for (size_t k = 0; k < count * depth; k += pick(1, 5))
            values[k] = rig_from_bits(edges[rig_random(10)]);
        float *left = rig_output(steps * DT_TILE_FLOATS), *right = rig_output(steps * DT_TILE_FLOATS);
        float *across = rig_output(steps * DT_TILE_FLOATS);
        dt_tiles_pack_left(count, depth, values, depth, left);
        dt_tiles_pack_right(count, depth, values, count, right);
        dt_tiles_pack_right_transposed(count, depth, values, depth, across);
        for (size_t k = 0; k < steps * STEP; k++)
            for (size_t j = 0; j < SIDE; j++) {
                bool there = k < depth && j < count;
                check_value("left", there, there ? values[j * depth + k] : 0, left_value(left, j, k));
                check_value("right", there, there ? values[k * count + j] : 0, right_value(right, k, j));
                check_value("across", there, there ? values[j * depth + k] : 0, right_value(across, k, j));
            }
        free(values), free(left), free(right), free(across);
    }
}

static void test_leaves_are_packed(void **state) {
    (void)state;
    need_tiles();
    for (int i = 0; i < 100; i++) {
        size_t count = pick(1, SIDE), samples = pick(1, 8);
        float *values = rig_input(count * samples);
        float *left = rig_output(DT_TILE_LEAF_FLOATS), *right = rig_output(DT_TILE_LEAF_FLOATS);
        dt_tiles_pack_left_leaf(count, samples, values, count, left);
        dt_tiles_pack_right_leaf(count, samples, values, count, right);
        for (size_t k = 0; k < 8; k++)
            for (size_t j = 0; j < SIDE; j++) {
                bool there = k < samples && j < count;
                float value = there ? values[k * count + j] : 0;
                check_value("left leaf", there, value, packed_value(left, j * 8 + k));
                check_value("right leaf", there, value, right_value(right, k, j));
            }
        free(values), free(left), free(right);
    }
}

/* Steps [from, to) on top of `sum`. */
static float defined_sum(float sum, const float *a, const float *b, size_t from, size_t to, size_t i,
                         size_t j) {
    for (size_t step = from; step < to; step++) {
        float part[2] = {0, 0};
        for (size_t k = step * STEP; k < (step + 1) * STEP; k++)
            part[k % 2] = fmaf(left_value(a, i, k), right_value(b, k, j), part[k % 2]);
        sum += part[0] + part[1];
    }
    return sum;
}

static void check_multiply(size_t rows, size_t columns, size_t steps) {
    size_t depth = steps * STEP, cut = pick(1, steps), stride = steps * DT_TILE_FLOATS;
    float *values = rig_input((rows + columns) * SIDE * depth);
    float *a = rig_output(rows * stride), *b = rig_output(columns * stride);
    float *c = rig_output(rows * columns * DT_TILE_FLOATS);
    for (size_t i = 0; i < rows; i++)
        dt_tiles_pack_left(SIDE, depth, values + i * SIDE * depth, depth, a + i * stride);
    for (size_t j = 0; j < columns; j++)
        dt_tiles_pack_right(SIDE, depth, values + (rows + j) * SIDE * depth, SIDE, b + j * stride);
    dt_tiles_begin();
    dt_tiles_multiply(rows, columns, cut, a, stride, b, stride, false, c);
    dt_tiles_multiply(rows, columns, steps - cut, a + cut * DT_TILE_FLOATS, stride, b + cut * DT_TILE_FLOATS,
                      stride, true, c);
    dt_tiles_end();
    rig_check_output(c, rows * columns * DT_TILE_FLOATS);
    for (size_t i = 0; i < rows * SIDE; i++)
        for (size_t j = 0; j < columns * SIDE; j++) {
            const float *left = a + i / SIDE * stride, *right = b + j / SIDE * stride;
            const float *tile = c + (i / SIDE * columns + j / SIDE) * DT_TILE_FLOATS;
            float expected = defined_sum(0, left, right, 0, steps, i % SIDE, j % SIDE);
            rig_check_same_bits("product", tile + i % SIDE * SIDE + j % SIDE, &expected, 1);
        }
    free(values), free(a), free(b), free(c);
}

static void test_products_are_chains_of_steps(void **state) {
    (void)state;
    need_tiles();
    for (size_t rows = 1; rows <= 5; rows++)
        for (size_t columns = 1; columns <= 5; columns++)
            check_multiply(rows, columns, pick(1, 6));
}

/* One element through the stack machine; returns the height at the end. */
static int defined_leaves(const dt_leaf_plan *plan, bool rounded, const float *a, const float *b, size_t i,
                          size_t j, float *stack) {
    int height = 0;
    for (int leaf = 0; leaf < plan->leaves; leaf++) {
        const float *left = a + leaf * DT_TILE_LEAF_FLOATS, *right = b + leaf * DT_TILE_LEAF_FLOATS;
        float part[2] = {0, 0};
        for (size_t k = 0; k < 8; k++)
            part[k % 2] = fmaf(packed_value(left, i * 8 + k), right_value(right, k, j), part[k % 2]);
        stack[height++] = rounded ? rig_bf16(part[0] + part[1]) : part[0] + part[1];
        for (int merge = 0; merge < plan->merges[leaf]; merge++, height--) {
            float sum = stack[height - 2] + stack[height - 1];
            stack[height - 2] = rounded ? rig_bf16(sum) : sum;
        }
    }
    return height;
}

static void check_leaves(const dt_leaf_plan *plan, bool rounded) {
    enum { ROW = 21 };
    size_t count = (size_t)plan->leaves * DT_TILE_LEAF_FLOATS, roots = (size_t)plan->roots;
    float *a = rig_output(count), *b = rig_output(count), stack[DT_LEAF_DEPTH];
    float *values = rig_input(2 * 8 * SIDE * (size_t)plan->leaves);
    float *room = rig_output((size_t)(plan->depth + DT_TILE_SPARES) * DT_TILE_FLOATS);
    float *sums = rig_output(roots * SIDE * ROW);
    for (size_t leaf = 0; leaf < (size_t)plan->leaves; leaf++) {
        const float *samples = values + leaf * 2 * 8 * SIDE;
        dt_tiles_pack_left_leaf(SIDE, 8, samples, SIDE, a + leaf * DT_TILE_LEAF_FLOATS);
        dt_tiles_pack_right_leaf(SIDE, 8, samples + 8 * SIDE, SIDE, b + leaf * DT_TILE_LEAF_FLOATS);
    }
    dt_tiles_begin_leaves();
    dt_tiles_sum_leaves(plan->leaves, plan->merges, rounded, a, b, room, sums, (size_t)SIDE * ROW, ROW);
    dt_tiles_end();
    for (size_t i = 0; i < SIDE; i++)
        for (size_t j = 0; j < SIDE; j++) {
            assert_int_equal(defined_leaves(plan, rounded, a, b, i, j, stack), plan->roots);
            for (size_t root = 0; root < roots; root++)
                rig_check_same_bits("leaves", sums + (root * SIDE + i) * ROW + j, stack + root, 1);
        }
    free(a), free(b), free(values), free(room), free(sums);
}

/* Shares of all kinds: whole trees, and runs that leave several roots. */
static void test_leaves_go_through_the_tree(void **state) {
    unsigned char merges[64];
    (void)state;
    need_tiles();
    for (int i = 0; i < 120; i++) {
        int ranks = (int)pick(1, 4);
        dt_share share = dt_leaves_share((int)pick(1, 400), ranks, rig_random(ranks));
        dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
        if (plan.leaves > 0)
            check_leaves(&plan, i % 2);
    }
}

static void test_store_adds_the_bias(void **state) {
    (void)state;
    need_tiles();
    for (int i = 0; i < 100; i++) {
        size_t rows = pick(1, SIDE), columns = pick(1, SIDE), stride = columns;
        bool relu = i % 2, with_bias = i % 4 < 2;
        float *tile = rig_input(DT_TILE_FLOATS), *bias = rig_input(columns), *to = rig_output(rows * columns);
        dt_tiles_store(rows, columns, tile, with_bias ? bias : NULL, relu, to, stride);
        rig_check_output(to, rows * columns);
        for (size_t k = 0; k < rows * columns; k++) {
            float value = tile[k / columns * SIDE + k % columns] + (with_bias ? bias[k % columns] : 0);
            assert_true(to[k] == (relu && value < 0 ? 0 : value));
        }
        free(tile), free(bias), free(to);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing_rounds_and_pads),
        cmocka_unit_test(test_leaves_are_packed),
        cmocka_unit_test(test_products_are_chains_of_steps),
        cmocka_unit_test(test_leaves_go_through_the_tree),
        cmocka_unit_test(test_store_adds_the_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_compiler_knows_tiles(void **state) {
    (void)state;
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compiler_knows_tiles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
