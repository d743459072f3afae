/* SPDX-License-Identifier: BSD-3-Clause */
/* Plans: bytes at full width within what the strategies promise, and predictions that move as they must. */
#include "test.h"

#include <math.h>

#include "dtrain/plan.h"
#include "parallel/doubts.h"

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

static double most_bytes_on(dt_strategy_kind kind, int batch, int ranks, int node_ranks) {
    dt_network network = full_network();
    double most = 0.0;
    for (int rank = 0; rank < ranks; rank++)
        most = fmax(most, dt_plan_bytes(kind, &network, batch, ranks, node_ranks, rank, DT_WIRE_FP32));
    return most;
}

static double most_bytes(dt_strategy_kind kind, int batch, int ranks) {
    return most_bytes_on(kind, batch, ranks, 1);
}

static double all_bytes(dt_strategy_kind kind, int batch, int ranks, int node_ranks) {
    dt_network network = full_network();
    double all = 0.0;
    for (int rank = 0; rank < ranks; rank++)
        all += dt_plan_bytes(kind, &network, batch, ranks, node_ranks, rank, DT_WIRE_FP32);
    return all;
}

/* Between two nodes a gradient crosses once for each of them, and a sum or weight as well, however many ranks
 * there are: what nodes of one rank send. Inside a node nothing is sent but activations. */
static void test_nodes_send_what_must_travel(void **state) {
    (void)state;
    for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind <= DT_STRATEGY_SHARDED; kind++)
        for (int node_ranks = 2; node_ranks <= 8; node_ranks *= 2) {
            double two_nodes = all_bytes(kind, 64, 2 * node_ranks, node_ranks);
            if (node_ranks <= 4)
                assert_true(two_nodes == all_bytes(kind, 64, 2, 1));
            assert_true(two_nodes < all_bytes(kind, 64, 2 * node_ranks, 1));
            assert_true(all_bytes(kind, 64, node_ranks, node_ranks) == 0.0);
        }
    double activations = all_bytes(DT_STRATEGY_HYBRID, 64, 4, 4);
    assert_true(activations > 0.0 && activations < all_bytes(DT_STRATEGY_HYBRID, 64, 4, 2));
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
    assert_true(dt_plan_bytes(DT_STRATEGY_HYBRID, &network, 64, 1, 1, 0, DT_WIRE_FP32) == 0.0);
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
    dt_plan_setup setup = {.network = &network, .batch = 64, .ranks = 2, .node_ranks = 1};
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
        if (kind == DT_STRATEGY_HYBRID_NODE)
            continue;
        assert_true(row->possible && row->step > 0.0);
        assert_true(fabs(row->step - row->compute - row->exposed - row->optimizer) < 1e-12);
        assert_true(fabs(row->speedup * row->step - dt_plan_one_rank(&setup, &slow)) < 1e-12);
    }
}

static void test_optimizer_is_divided(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {.network = &network, .batch = 64, .ranks = 4, .node_ranks = 4};
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
                dt_plan_setup setup = {
                    .network = &network, .batch = 64, .ranks = ranks, .node_ranks = node_ranks};
                dt_plan_times slow = plain_times(1e9, 1e8), fast = plain_times(2e9, 2e8);
                assert_true(dt_plan_predict(kind, &setup, &slow).step >=
                            dt_plan_predict(kind, &setup, &fast).step);
            }
}

static void test_what_cannot_be_is_not_chosen(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {.network = &network, .batch = 1024, .ranks = 65, .node_ranks = 65};
    dt_plan_times times = plain_times(1e8, 1e8);
    dt_plan_row rows[DT_STRATEGIES];
    for (int kind = 0; kind < DT_STRATEGIES; kind++)
        rows[kind] = dt_plan_predict((dt_strategy_kind)kind, &setup, &times);
    assert_false(rows[DT_STRATEGY_HYBRID].possible);
    assert_int_not_equal(dt_plan_choose(rows, DT_STRATEGIES), DT_STRATEGY_HYBRID);
    assert_int_equal(dt_split_most_ranks(&network), 64);
}

static dt_plan_row predict(dt_strategy_kind kind, const dt_network *network, dt_plan_setup setup,
                           double across, double latency) {
    dt_plan_times times = plain_times(1e10, across);
    setup.network = network;
    times.across.latency = latency;
    return dt_plan_predict(kind, &setup, &times);
}

/* Two nodes of two ranks: where links are fast, gradients that hide behind convolutions are cheaper than
 * activations that hide behind nothing, which grow with the batch; where they are slow, it is the gradients'
 * size that counts. */
static void test_grid_that_fits_the_links(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {.batch = 256, .ranks = 4, .node_ranks = 2};
    dt_plan_row all = predict(DT_STRATEGY_HYBRID, &network, setup, 0.6e9, 20e-6);
    dt_plan_row node = predict(DT_STRATEGY_HYBRID_NODE, &network, setup, 0.6e9, 20e-6);
    assert_true(all.possible && node.possible);
    assert_true(node.exposed < all.exposed && node.step < all.step);
    assert_true(fabs(node.step - node.compute - node.exposed - node.optimizer) < 1e-12);
    dt_plan_row rows[] = {all, node};
    assert_int_equal(dt_plan_choose(rows, 2), DT_STRATEGY_HYBRID_NODE);
    setup.batch = 64;
    rows[0] = predict(DT_STRATEGY_HYBRID, &network, setup, 0.06e9, 20e-6);
    rows[1] = predict(DT_STRATEGY_HYBRID_NODE, &network, setup, 0.06e9, 20e-6);
    assert_int_equal(dt_plan_choose(rows, 2), DT_STRATEGY_HYBRID);
    assert_true(rows[1].exposed - node.exposed > 0.5);
    /* Messages that take long, however fast the bytes are. */
    rows[0] = predict(DT_STRATEGY_HYBRID, &network, setup, 1.2e9, 2e-3);
    rows[1] = predict(DT_STRATEGY_HYBRID_NODE, &network, setup, 1.2e9, 2e-3);
    assert_int_equal(dt_plan_choose(rows, 2), DT_STRATEGY_HYBRID_NODE);
}

/* With links of no cost, the products alone: read between the times for one rank and for all. */
static void test_grid_computes_between_its_ends(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_times times = plain_times(1e15, 1e15);
    times.within.latency = times.across.latency = times.add = 0.0;
    dt_plan_setup setup = {.network = &network, .batch = 64, .ranks = 8, .node_ranks = 2};
    double two = dt_plan_predict(DT_STRATEGY_HYBRID_NODE, &setup, &times).compute;
    setup.node_ranks = 4;
    double four = dt_plan_predict(DT_STRATEGY_HYBRID_NODE, &setup, &times).compute;
    double whole = dt_plan_predict(DT_STRATEGY_SHARDED, &setup, &times).compute;
    dt_parameters parameters = dt_parameters_layout(&network);
    size_t begin, end;
    dt_split_span(&network, &parameters, &begin, &end);
    double gradients = times.split_update - times.adam * (double)(end - begin) / 8;
    double shared = dt_plan_predict(DT_STRATEGY_HYBRID, &setup, &times).compute + gradients;
    assert_true(shared < four && four < two && two < whole);
}

/* Two nodes of two: half of the split gradients to the other node, as a weight's sum and as a weight; what
 * all ranks share besides, a quarter in each direction; activations of half of the batch. */
static void test_bytes_of_a_grid(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_parameters parameters = dt_parameters_layout(&network);
    size_t begin, end;
    dt_split_span(&network, &parameters, &begin, &end);
    double columns = 4.0 * (double)(end - begin) / 2,
           rest = 4.0 * (double)(parameters.summed_floats - (end - begin));
    double bytes = most_bytes_on(DT_STRATEGY_HYBRID_NODE, 64, 4, 2);
    double activations = most_bytes_on(DT_STRATEGY_HYBRID, 32, 2, 2);
    assert_true(fabs(bytes - columns - 0.5 * rest - activations) < 4096.0);
    /* Three ranks and one: the columns are cut as the three cut them, and the fourth holds all of them. */
    double sum = 0.0;
    for (int rank = 0; rank < 3; rank++)
        sum += dt_plan_bytes(DT_STRATEGY_HYBRID_NODE, &network, 32, 4, 3, rank, DT_WIRE_FP32);
    assert_true(dt_plan_bytes(DT_STRATEGY_HYBRID_NODE, &network, 32, 4, 3, 3, DT_WIRE_FP32) >
                0.9 * 2.0 * columns);
    assert_true(sum > 2.0 * columns);
}

static void test_grids_that_are_none(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_times times = plain_times(1e10, 1e9);
    static const int cases[][2] = {{4, 1}, {4, 4}, {2, 8}, {130, 65}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_plan_setup setup = {
            .network = &network, .batch = 64, .ranks = cases[i][0], .node_ranks = cases[i][1]};
        assert_false(dt_plan_predict(DT_STRATEGY_HYBRID_NODE, &setup, &times).possible);
    }
    dt_plan_setup wide = {.network = &network, .batch = 64, .ranks = 130, .node_ranks = 64};
    assert_true(dt_plan_predict(DT_STRATEGY_HYBRID_NODE, &wide, &times).possible);
    assert_false(dt_plan_predict(DT_STRATEGY_HYBRID, &wide, &times).possible);
}

static void test_one_rank(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {.network = &network, .batch = 64, .ranks = 1, .node_ranks = 1};
    dt_plan_times times = plain_times(1e10, 1e9);
    dt_plan_row row = dt_plan_predict(DT_STRATEGY_ALLREDUCE, &setup, &times);
    assert_true(row.speedup == 1.0 && row.exposed == 0.0 && row.bytes == 0.0);
    assert_true(fabs(row.step - dt_plan_one_rank(&setup, &times)) < 1e-12);
}

/* Made-up measurements, each with one figure that cannot be right, and the words for it. */
static void test_doubtful_measurements(void **state) {
    (void)state;
    dt_network network = full_network();
    dt_plan_setup setup = {.network = &network, .batch = 64, .ranks = 2, .node_ranks = 2};
    char why[160] = "";
    static const struct {
        dt_plan_link link;
        const dt_doubts_limit *limit;
        const char *why;
    } links[] = {
        {{12e-3, 1e10}, &dt_doubts_within, "a message inside a node takes 12.0 ms"},
        {{1e-6, 4e6}, &dt_doubts_within, "a rank sends 4 MB/s inside a node"},
        {{0.25, 1e8}, &dt_doubts_across, "a message between nodes takes 250.0 ms"},
        {{1e-4, 0.0}, &dt_doubts_across, "a rank sends 0 MB/s between nodes"},
        {{NAN, 1e8}, &dt_doubts_across, "a message between nodes takes nan ms"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        assert_true(dt_doubts_find_link(links[i].link, links[i].limit, why, sizeof why));
        assert_string_equal(why, links[i].why);
    }
    assert_false(dt_doubts_find_link((dt_plan_link){0.4e-6, 23e9}, &dt_doubts_within, why, sizeof why));
    assert_false(dt_doubts_find_link((dt_plan_link){3e-4, 12e6}, &dt_doubts_across, why, sizeof why));
    dt_plan_times times = plain_times(1e10, 1e9);
    dt_plan_row row = dt_plan_predict(DT_STRATEGY_SHARDED, &setup, &times);
    assert_false(dt_doubts_find_row(&setup, &row, 1, why, sizeof why));
    /* Split layers were disturbed, and one rank is predicted from them. */
    times.split_forward = 0.5;
    row = dt_plan_predict(DT_STRATEGY_SHARDED, &setup, &times);
    assert_true(row.speedup > 2.0);
    assert_true(dt_doubts_find_row(&setup, &row, 1, why, sizeof why));
    assert_non_null(strstr(why, "sharded on 2 ranks is "));
    row.speedup = 1.0;
    row.step = 0.0;
    assert_true(dt_doubts_find_row(&setup, &row, 1, why, sizeof why));
    row.possible = false;
    assert_false(dt_doubts_find_row(&setup, &row, 1, why, sizeof why));
}

/* A second measurement mends what was disturbed in the first, figure by figure. */
static void test_less_disturbed_figures_count(void **state) {
    (void)state;
    dt_plan_times a = plain_times(1e10, 1e8), b = plain_times(1e9, 1e9), merged;
    a.split_forward = 0.5;
    a.within.latency = 12e-3;
    b.conv_backward = 3.0;
    b.adam = 1.0;
    merged = dt_doubts_merge(&a, &b);
    dt_plan_times right = plain_times(1e10, 1e9);
    assert_memory_equal(&merged, &right, sizeof merged);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_at_full_width),
        cmocka_unit_test(test_nodes_send_what_must_travel),
        cmocka_unit_test(test_bytes_of_uneven_cuts),
        cmocka_unit_test(test_slow_links_call_for_hybrid),
        cmocka_unit_test(test_optimizer_is_divided),
        cmocka_unit_test(test_faster_links_never_slow_a_step),
        cmocka_unit_test(test_what_cannot_be_is_not_chosen),
        cmocka_unit_test(test_grid_that_fits_the_links),
        cmocka_unit_test(test_grid_computes_between_its_ends),
        cmocka_unit_test(test_bytes_of_a_grid),
        cmocka_unit_test(test_grids_that_are_none),
        cmocka_unit_test(test_one_rank),
        cmocka_unit_test(test_doubtful_measurements),
        cmocka_unit_test(test_less_disturbed_figures_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
