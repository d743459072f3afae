/* SPDX-License-Identifier: BSD-3-Clause */
/* Plans: bytes at full width within what the strategies promise, and predictions that move as they must. */
#include "test.h"

#include <math.h>

#include "dtrain/plan.h"

static dt_network full_network(void) {
    return dt_network_build((dt_network_config){.width = 1.0, .dropout = 0.5f});
}

/* Times of the order of one core's. */
static dt_plan_times plain_times(double within, double across) {
    return (dt_plan_times){.conv_forward = 0.050,
                           .conv_backward = 0.080,
                           .dense_forward = 0.020,
                           .dense_backward = 0.040,
                           .split_forward = 0.012,
                           .split_backward = 0.012,
                           .split_update = 0.030,
                           .adam = 1e-9,
                           .add = 2e-10,
                           .within = {1e-6, within},
                           .across = {20e-6, across}};
}

static double most_bytes(dt_strategy_kind kind, int batch, int ranks) {
    dt_network network = full_network();
    double most = 0.0;
    for (int rank = 0; rank < ranks; rank++)
        most = fmax(most, dt_plan_bytes(kind, &network, batch, ranks, rank));
    return most;
}

static void test_bytes_at_full_width(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_parameters parameters = dt_parameters_layout(&network);
    double all = 4.0 * (double)parameters.summed_floats;
    assert_true(most_bytes(DT_STRATEGY_HYBRID, 64, 4) <= 32e6);
    for (int ranks = 2; ranks <= 8; ranks *= 2)
        for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind <= DT_STRATEGY_SHARDED; kind++) {
            double ideal = 2.0 * (ranks - 1) / ranks * all;
            /* The slices of the last piece may differ by a grain. */
            assert_true(fabs(most_bytes(kind, 64, ranks) - ideal) <= 64.0 * ranks * ranks);
        }
    assert_true(dt_plan_bytes(DT_STRATEGY_HYBRID, &network, 64, 1, 0) == 0.0);
}

/* What all ranks send together does not depend on how it is counted: roots that are not their owner's, sums
 * to all others. */
static void test_bytes_of_uneven_cuts(void **state) {
    (void)state;
    double even = most_bytes(DT_STRATEGY_ALLREDUCE, 64, 4);
    assert_true(most_bytes(DT_STRATEGY_ALLREDUCE, 64, 3) > 2.0 / 3.0 * even);
    assert_true(most_bytes(DT_STRATEGY_ALLREDUCE, 8, 4) < even * 1.5);
}

static void test_slow_links_call_for_hybrid(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {&network, 64, 2, 1};
    dt_plan_times slow = plain_times(1e10, 0.12e9);
    dt_plan_row rows[DT_STRATEGIES];
    for (int kind = 0; kind < DT_STRATEGIES; kind++)
        rows[kind] = dt_plan_predict((dt_strategy_kind)kind, &setup, &slow);
    assert_int_equal(dt_plan_choose(rows, DT_STRATEGIES), DT_STRATEGY_HYBRID);
    assert_true(rows[DT_STRATEGY_ALLREDUCE].exposed > rows[DT_STRATEGY_SHARDED].exposed);
    /* 117.6 MB at 0.12 GB/s behind 80 ms. */
    assert_true(fabs(rows[DT_STRATEGY_ALLREDUCE].exposed - (117.6e6 / 0.12e9 - 0.08)) < 0.02);
    for (int kind = 0; kind < DT_STRATEGIES; kind++) {
        const dt_plan_row *row = &rows[kind];
        assert_true(row->possible && row->step > 0.0);
        assert_true(fabs(row->step - row->compute - row->exposed - row->optimizer) < 1e-12);
        assert_true(fabs(row->speedup * row->step - dt_plan_one_rank(&setup, &slow)) < 1e-12);
    }
}

static void test_optimizer_is_divided(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {&network, 64, 4, 4};
    dt_plan_times times = plain_times(1e10, 1e9);
    dt_plan_row whole = dt_plan_predict(DT_STRATEGY_ALLREDUCE, &setup, &times);
    dt_plan_row shared = dt_plan_predict(DT_STRATEGY_SHARDED, &setup, &times);
    assert_true(fabs(whole.optimizer / shared.optimizer - 4.0) < 1e-9);
    assert_true(whole.bytes == shared.bytes);
}

static void test_faster_links_never_slow_a_step(void **state) {
    (void)state;
    dt_network network = full_network();
    for (int ranks = 2; ranks <= 8; ranks++)
        for (int node_ranks = 1; node_ranks <= ranks; node_ranks++)
            for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind <= DT_STRATEGY_HYBRID; kind++) {
                dt_plan_setup setup = {&network, 64, ranks, node_ranks};
                dt_plan_times slow = plain_times(1e9, 1e8), fast = plain_times(2e9, 2e8);
                assert_true(dt_plan_predict(kind, &setup, &slow).step >=
                            dt_plan_predict(kind, &setup, &fast).step);
            }
}

static void test_what_cannot_be_is_not_chosen(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {&network, 1024, 65, 65};
    dt_plan_times times = plain_times(1e8, 1e8);
    dt_plan_row rows[DT_STRATEGIES];
    for (int kind = 0; kind < DT_STRATEGIES; kind++)
        rows[kind] = dt_plan_predict((dt_strategy_kind)kind, &setup, &times);
    assert_false(rows[DT_STRATEGY_HYBRID].possible);
    assert_int_not_equal(dt_plan_choose(rows, DT_STRATEGIES), DT_STRATEGY_HYBRID);
    assert_int_equal(dt_split_most_ranks(&network), 64);
}

static void test_one_rank(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {&network, 64, 1, 1};
    dt_plan_times times = plain_times(1e10, 1e9);
    dt_plan_row row = dt_plan_predict(DT_STRATEGY_ALLREDUCE, &setup, &times);
    assert_true(row.speedup == 1.0 && row.exposed == 0.0 && row.bytes == 0.0);
    assert_true(fabs(row.step - dt_plan_one_rank(&setup, &times)) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_at_full_width),
        cmocka_unit_test(test_bytes_of_uneven_cuts),
        cmocka_unit_test(test_slow_links_call_for_hybrid),
        cmocka_unit_test(test_optimizer_is_divided),
        cmocka_unit_test(test_faster_links_never_slow_a_step),
        cmocka_unit_test(test_what_cannot_be_is_not_chosen),
        cmocka_unit_test(test_one_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
