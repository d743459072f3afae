/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of units: every unit once, at most so many, whoever shares them. */
#include "test.h"

#include "dtrain/blocks.h"

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(dt_blocks_size(4096), 64);
    assert_int_equal(dt_blocks_count(4096), 64);
    assert_int_equal(dt_blocks_size(10), 16);
    assert_int_equal(dt_blocks_count(10), 1);
    for (int units = 1; units < 5000; units++) {
        int size = dt_blocks_size(units), count = dt_blocks_count(units);
        assert_int_equal(size % DT_BLOCK_GRAIN, 0);
        assert_true(count <= DT_MOST_BLOCKS && (count - 1) * size < units && count * size >= units);
        assert_true(size == DT_BLOCK_GRAIN || units > DT_MOST_BLOCKS * (size - DT_BLOCK_GRAIN));
    }
}

static void test_shares_cover_the_units(void **state) {
    (void)state;
    for (int units = 1; units < 1200; units += 7)
        for (int ranks = 1; ranks <= 9; ranks++) {
            int next = 0, block = 0;
            for (int rank = 0; rank < ranks; rank++) {
                dt_share share = dt_blocks_share(units, ranks, rank);
                assert_int_equal(share.batch, units);
                assert_int_equal(share.total_leaves, dt_blocks_count(units));
                assert_int_equal(share.first_leaf, block);
                assert_int_equal(share.first_sample, next);
                assert_true(share.first_sample % DT_BLOCK_GRAIN == 0 || share.samples == 0);
                block += share.leaves;
                next += share.samples;
            }
            assert_int_equal(next, units);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_shares_cover_the_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
