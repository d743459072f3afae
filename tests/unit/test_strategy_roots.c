/* SPDX-License-Identifier: BSD-3-Clause */
/* The cut of a batch over the ranks, and the complete front of the gradient slab: pure parts of the exchange.
 */
#include "test.h"

#include <math.h>
#include <string.h>

#include "dtrain/strategy.h"
#include "parallel/cut.h"
#include "parallel/merging.h"
#include "parallel/prefix.h"

enum { MAX_LEAVES = 64, MOST_RANKS = 9, BATCH = 250 };

static int planned_roots(int leaves, int ranks, int rank) {
    unsigned char merges[MAX_LEAVES];
    dt_share share = dt_leaves_share(leaves * DT_LEAF_SAMPLES, ranks, rank);
    return dt_leaves_plan(&share, merges, NULL).roots;
}

static void test_roots_of_a_run_are_those_of_its_plan(void **state) {
    (void)state;
    for (int total = 1; total <= MAX_LEAVES; total++)
        for (int ranks = 1; ranks <= 20; ranks++)
            for (int rank = 0; rank < ranks; rank++) {
                dt_share share = dt_leaves_share(total * DT_LEAF_SAMPLES, ranks, rank);
                assert_int_equal(dt_cut_roots(total, share.first_leaf, share.leaves),
                                 planned_roots(total, ranks, rank));
            }
}

static void test_bounds_are_reached_and_kept(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= 20; ranks++) {
        int most = 0, most_total = 0;
        for (int leaves = 1; leaves <= MAX_LEAVES; leaves++) {
            int total = 0;
            for (int rank = 0; rank < ranks; rank++) {
                int roots = planned_roots(leaves, ranks, rank);
                most = roots > most ? roots : most;
                total += roots;
            }
            most_total = total > most_total ? total : most_total;
            int batch = leaves * DT_LEAF_SAMPLES - 3;
            assert_int_equal(dt_strategy_roots(batch, ranks), most);
            assert_int_equal(dt_cut_find_bounds(batch, (dt_cut_parts){.count = ranks}, ranks - 1).total,
                             most_total);
        }
    }
}

static void test_known_numbers_of_roots(void **state) {
    (void)state;
    assert_int_equal(dt_strategy_roots(64, 1), 1);
    assert_int_equal(dt_strategy_roots(8, 4), 1);
    /* Three leaves over two ranks: leaf 0, leaves 1 and 2, which have different parents. */
    assert_int_equal(dt_strategy_roots(24, 2), 2);
    /* 6 leaves over 2 ranks: {0 1} 2 and 3 {4 5}; 14: {0..3} {4 5} 6 and 7 {8..13}. */
    assert_int_equal(dt_strategy_roots(14 * 8, 2), 3);
    /* The largest batches and numbers of ranks. A share of 8 leaves has at most 1 + 2 + 2 + 1 .. 4 subtrees.
     */
    assert_int_equal(dt_strategy_roots(65536, 1024), 4);
}

static void test_merges_finish_the_tree(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= 12; ranks++) {
        dt_cut cut;
        assert_ok(dt_cut_create(300, ranks, ranks / 2, &cut));
        for (int batch = 1; batch <= 300; batch += 7) {
            dt_cut_set(&cut, batch);
            int values = cut.first_root[ranks], merges = 0;
            for (int value = 0; value < values; value++)
                merges += cut.merges[value];
            assert_int_equal(merges, values - 1);
            int foreign = values - dt_cut_roots_of(&cut, ranks / 2);
            assert_true(foreign <= cut.bounds.foreign + (dt_cut_roots_of(&cut, ranks / 2) == 0));
        }
        dt_cut_release(&cut);
    }
}

static float leaf_value(int leaf) {
    return (float)((leaf * 7919 + 13) % 1009) * (leaf % 3 == 0 ? 1e3f : 1e-2f);
}

/* The definition of leaves.h. */
static float node_value(int total, int level, int index) {
    if (level == 0)
        return leaf_value(index);
    float left = node_value(total, level - 1, 2 * index);
    if ((2 * index + 1) << (level - 1) >= total)
        return left;
    return left + node_value(total, level - 1, 2 * index + 1);
}

static void carry_out(const dt_addition *additions, int count, float *values) {
    for (int i = 0; i < count; i++)
        values[additions[i].to] += values[additions[i].from];
}

/* What a slice of rank `owner` comes to: other nodes merge theirs, the owner's node adds what travels. */
static float sum_of_owner(const dt_node_map *map, int batch, int owner) {
    float values[4 * MAX_LEAVES], foreign[4 * MAX_LEAVES];
    int travelling = 0, staged = 0;
    dt_merging merging;
    dt_cut cut;
    for (int rank = 0; rank < map->ranks; rank++) {
        dt_node_map own = *map;
        own.rank = rank;
        assert_ok(dt_cut_create(BATCH, map->ranks, rank, &cut));
        dt_cut_set(&cut, batch);
        assert_ok(dt_merging_create(&cut, &own, BATCH, &merging));
        dt_merging_set(&merging);
        for (int value = 0; value < cut.first_root[map->ranks]; value++)
            values[value] =
                node_value(dt_leaves_count(batch), cut.nodes[value].level, cut.nodes[value].index);
        carry_out(merging.inside, merging.inside_count, values);
        for (int value = 0; value < cut.first_root[map->ranks]; value++)
            if (merging.travels[value] && map->node_of[merging.rank_of[value]] == map->node_of[rank])
                foreign[value] = values[value];
        dt_merging_release(&merging);
        dt_cut_release(&cut);
    }
    dt_node_map own = *map;
    own.rank = owner;
    assert_ok(dt_cut_create(BATCH, map->ranks, owner, &cut));
    dt_cut_set(&cut, batch);
    assert_ok(dt_merging_create(&cut, &own, BATCH, &merging));
    dt_merging_set(&merging);
    for (int value = 0; value < cut.first_root[map->ranks]; value++) {
        bool here = map->node_of[merging.rank_of[value]] == map->node_of[owner];
        values[value] =
            here ? node_value(dt_leaves_count(batch), cut.nodes[value].level, cut.nodes[value].index)
            : merging.travels[value] ? foreign[value]
                                     : NAN;
        travelling += merging.travels[value] && !here;
        staged += merging.staged[value] >= 0;
    }
    assert_true(staged <= travelling && staged >= travelling - 1 && staged <= merging.most_foreign);
    carry_out(merging.final, merging.final_count, values);
    float sum = values[dt_merging_home(&merging)];
    dt_merging_release(&merging);
    dt_cut_release(&cut);
    return sum;
}

/* Nodes of `size` neighbouring ranks, or dealt out in turn. */
static void check_nodes(int ranks, int size, bool in_turn) {
    int node_of[MOST_RANKS], nodes = (ranks + size - 1) / size;
    dt_node_map map;
    for (int rank = 0; rank < ranks; rank++)
        node_of[rank] = in_turn ? rank % nodes : rank / size;
    assert_ok(dt_node_map_create(ranks, 0, node_of, &map));
    assert_int_equal(map.nodes, nodes);
    for (int node = 0; node < nodes; node++)
        for (int owner = 0; owner < ranks; owner++) {
            int holder = dt_node_map_holder(&map, node, owner);
            assert_int_equal(node_of[holder], node);
            assert_true(node_of[owner] != node || holder == owner);
        }
    for (int batch = 1; batch <= BATCH; batch += 19) {
        int level = 0;
        while (1 << level < dt_leaves_count(batch))
            level++;
        float expected = node_value(dt_leaves_count(batch), level, 0);
        for (int owner = 0; owner < ranks; owner++) {
            float found = sum_of_owner(&map, batch, owner);
            assert_memory_equal(&found, &expected, sizeof found);
        }
    }
    dt_node_map_release(&map);
}

static void test_no_mapping_to_nodes_changes_a_sum(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= MOST_RANKS; ranks++)
        for (int size = 1; size <= ranks; size++) {
            check_nodes(ranks, size, false);
            check_nodes(ranks, size, true);
        }
}

static dt_parameters parameters(void) {
    dt_network network = dt_network_build((dt_network_config){.width = 0.05});
    return dt_parameters_layout(&network);
}

static void test_prefix_grows_with_the_backward_pass(void **state) {
    (void)state;
    dt_parameters table = parameters();
    dt_prefix prefix = dt_prefix_build(&table);
    size_t last = 0;
    for (int layer = DT_MAX_LAYERS - 1; layer >= 0; layer--)
        for (int tensor = 0; tensor < table.count; tensor++)
            if (table.tensors[tensor].layer == layer) {
                size_t floats = dt_prefix_add(&prefix, tensor);
                assert_true(floats >= last);
                last = floats;
            }
    assert_int_equal(last, table.summed_floats);
}

static void test_prefix_waits_for_its_first_tensor(void **state) {
    (void)state;
    dt_parameters table = parameters();
    dt_prefix prefix = dt_prefix_build(&table);
    for (int round = 0; round < 2; round++, dt_prefix_clear(&prefix)) {
        for (int place = prefix.count - 1; place > 0; place--)
            assert_int_equal(dt_prefix_add(&prefix, prefix.tensors[place]), 0);
        for (int tensor = 0; tensor < table.count; tensor++)
            if (table.tensors[tensor].offset >= table.summed_floats)
                assert_int_equal(dt_prefix_add(&prefix, tensor), 0);
        assert_int_equal(dt_prefix_add(&prefix, prefix.tensors[0]), table.summed_floats);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_of_a_run_are_those_of_its_plan),
        cmocka_unit_test(test_bounds_are_reached_and_kept),
        cmocka_unit_test(test_known_numbers_of_roots),
        cmocka_unit_test(test_merges_finish_the_tree),
        cmocka_unit_test(test_no_mapping_to_nodes_changes_a_sum),
        cmocka_unit_test(test_prefix_grows_with_the_backward_pass),
        cmocka_unit_test(test_prefix_waits_for_its_first_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
