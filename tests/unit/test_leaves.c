/* SPDX-License-Identifier: BSD-3-Clause */
/* The canonical sum: the same bits however a batch is cut into shares. */
#include "test.h"

#include <string.h>

#include "dtrain/leaves.h"

enum { MAX_LEAVES = 200 };

/* Leaf values whose sum depends strongly on the order. */
static float leaf_value(int leaf) {
    return (float)(leaf % 7 - 3) * 1.0e3f + 1.0f / (float)(3 + leaf);
}

/* The definition, read aloud: a node is left + right, or left alone. */
static float node_value(int total, int level, int index) {
    if (level == 0)
        return leaf_value(index);
    float left = node_value(total, level - 1, 2 * index);
    if ((long)(2 * index + 1) << (level - 1) >= total)
        return left;
    return left + node_value(total, level - 1, 2 * index + 1);
}

static float tree_value(int total) {
    int level = 0;
    while (1 << level < total)
        level++;
    return node_value(total, level, 0);
}

static int stack_run(const float *values, int count, const unsigned char *merges, float *stack) {
    int height = 0;
    for (int i = 0; i < count; i++) {
        stack[height++] = values[i];
        for (int merge = 0; merge < merges[i]; merge++, height--)
            stack[height - 2] += stack[height - 1];
    }
    return height;
}

/* Cuts the batch over the ranks, reduces each share to its roots, then all roots to the total. */
static float cut_value(int batch, int ranks) {
    float roots[MAX_LEAVES], stack[DT_LEAF_DEPTH];
    dt_subtree nodes[MAX_LEAVES];
    unsigned char merges[MAX_LEAVES];
    int count = 0;
    for (int rank = 0; rank < ranks; rank++) {
        dt_share share = dt_leaves_share(batch, ranks, rank);
        float values[MAX_LEAVES];
        for (int leaf = 0; leaf < share.leaves; leaf++)
            values[leaf] = leaf_value(share.first_leaf + leaf);
        dt_leaf_plan plan = dt_leaves_plan(&share, merges, nodes + count);
        assert_int_equal(stack_run(values, plan.leaves, plan.merges, stack), plan.roots);
        assert_true(plan.depth <= DT_LEAF_DEPTH);
        memcpy(roots + count, stack, sizeof(float) * (size_t)plan.roots);
        count += plan.roots;
    }
    assert_int_equal(dt_leaves_reduce(dt_leaves_count(batch), nodes, count, merges, NULL), 1);
    assert_int_equal(stack_run(roots, count, merges, stack), 1);
    return stack[0];
}

static void test_sum_does_not_depend_on_cut(void **state) {
    (void)state;
    for (int batch = 1; batch <= 8 * 33; batch += batch < 70 ? 1 : 13) {
        float expected = tree_value(dt_leaves_count(batch));
        for (int ranks = 1; ranks <= 12; ranks++)
            assert_memory_equal(&expected, &(float){cut_value(batch, ranks)}, sizeof expected);
    }
}

static void test_shares_partition_the_batch(void **state) {
    (void)state;
    for (int batch = 1; batch <= 200; batch++)
        for (int ranks = 1; ranks <= 40; ranks++) {
            int samples = 0, leaves = 0;
            for (int rank = 0; rank < ranks; rank++) {
                dt_share share = dt_leaves_share(batch, ranks, rank);
                assert_int_equal(share.first_sample, samples);
                assert_int_equal(share.first_leaf, leaves);
                int inside = 0;
                for (int leaf = 0; leaf < share.leaves; leaf++)
                    inside += dt_leaves_samples(&share, leaf);
                assert_int_equal(inside, share.samples);
                samples += share.samples;
                leaves += share.leaves;
            }
            assert_int_equal(samples, batch);
            assert_int_equal(leaves, dt_leaves_count(batch));
        }
}

static void test_powers_of_two_have_one_root(void **state) {
    (void)state;
    unsigned char merges[64];
    for (int ranks = 1; ranks <= 8; ranks *= 2)
        for (int rank = 0; rank < ranks; rank++) {
            dt_share share = dt_leaves_share(64, ranks, rank);
            assert_int_equal(dt_leaves_plan(&share, merges, NULL).roots, 1);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_does_not_depend_on_cut),
        cmocka_unit_test(test_shares_partition_the_batch),
        cmocka_unit_test(test_powers_of_two_have_one_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
