/* SPDX-License-Identifier: BSD-3-Clause */
/* Grids of ranks on nodes of all shapes: every column and every sample has its one holder in each group. The
 * facts of comm.h that a grid is made from come from a table here. */
#include "test.h"

#include "parallel/grid.h"

enum { MOST_RANKS = 9, MOST_BATCH = 200 };

struct dt_comm {
    int rank, size, nodes;
    int node_of[MOST_RANKS];
};

int dt_comm_rank(const dt_comm *comm) {
    return comm->rank;
}

int dt_comm_size(const dt_comm *comm) {
    return comm->size;
}

int dt_comm_nodes(const dt_comm *comm) {
    return comm->nodes;
}

int dt_comm_node_of(const dt_comm *comm, int rank) {
    return comm->node_of[rank];
}

int dt_comm_node(const dt_comm *comm) {
    return comm->node_of[comm->rank];
}

static int mates(const dt_comm *comm, int below) {
    int count = 0;
    for (int rank = 0; rank < below; rank++)
        count += comm->node_of[rank] == comm->node_of[comm->rank];
    return count;
}

int dt_comm_node_size(const dt_comm *comm) {
    return mates(comm, comm->size);
}

int dt_comm_node_rank(const dt_comm *comm) {
    return mates(comm, comm->rank);
}

static const dt_comm shapes[] = {
    {0, 4, 2, {0, 0, 1, 1}},
    {0, 4, 2, {0, 0, 0, 1}},
    {0, 4, 4, {0, 1, 2, 3}},
    {0, 4, 1, {0, 0, 0, 0}},
    {0, 6, 3, {0, 1, 2, 0, 1, 2}},
    {0, 7, 3, {0, 0, 1, 1, 2, 2, 2}},
    {0, 8, 2, {0, 1, 1, 0, 1, 1, 1, 0}},
    {0, 9, 3, {0, 1, 1, 2, 2, 2, 2, 1, 0}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* The columns of a rank are those of its segments, one behind the other. */
static void check_columns(const dt_grid *grid, const dt_network *network) {
    dt_parameters parameters = dt_parameters_layout(network);
    int first = grid->starts[grid->group], ranks = grid->starts[grid->group + 1] - first;
    dt_split_layout own = dt_split_layout_of(network, &parameters, ranks, grid->position - first);
    int next[DT_MAX_SPLIT_TENSORS];
    for (int i = 0; i < own.count; i++)
        next[i] = own.tensors[i].units.first_sample;
    for (int segment = grid->first_segment; segment < grid->end_segment; segment++) {
        dt_split_layout part =
            dt_split_layout_between(network, &parameters, grid->bounds[segment], grid->bounds[segment + 1]);
        assert_int_equal(part.count, own.count);
        for (int i = 0; i < part.count; i++) {
            assert_int_equal(part.tensors[i].tensor, own.tensors[i].tensor);
            assert_int_equal(part.tensors[i].units.first_sample, next[i]);
            next[i] += part.tensors[i].units.samples;
        }
    }
    for (int i = 0; i < own.count; i++)
        assert_int_equal(next[i], own.tensors[i].units.first_sample + own.tensors[i].units.samples);
}

/* A group has the samples of its ranks, no more at a time than it was said to have, in no more roots. */
static void check_samples(const dt_comm *comm, const dt_grid *grid) {
    dt_split split = dt_grid_split(comm, MOST_BATCH);
    assert_int_equal(split.ranks, grid->starts[grid->group + 1] - grid->starts[grid->group]);
    assert_int_equal(split.first + split.rank, grid->position);
    assert_true((split.roots > 0) == (grid->groups > 1));
    for (int batch = 1; batch <= MOST_BATCH; batch++) {
        dt_share group = dt_split_samples(&split, batch);
        dt_share part = dt_cut_share_of(dt_grid_parts(grid), batch, grid->group);
        assert_memory_equal(&group, &part, sizeof part);
        int next = group.first_sample, leaves = 0;
        for (int rank = 0; rank < split.ranks; rank++) {
            dt_share share = dt_leaves_share(batch, split.of, split.first + rank);
            assert_int_equal(share.first_sample, next);
            next += share.samples;
            leaves += share.leaves;
        }
        assert_int_equal(next, group.first_sample + group.samples);
        assert_int_equal(leaves, group.leaves);
        assert_true(group.samples <= dt_split_most_samples(&split));
        int roots = dt_cut_roots(group.total_leaves, group.first_leaf, group.leaves);
        assert_true(split.roots == 0 || roots <= split.roots);
    }
}

static void test_every_column_and_sample_has_its_holders(void **state) {
    (void)state;
    dt_network network = dt_network_build((dt_network_config){.width = 0.06});
    for (int shape = 0; shape < SHAPES; shape++) {
        int holders[MOST_RANKS][2 * MOST_RANKS] = {{0}}, positions = 0, largest = 0, segments = 0;
        for (int rank = 0; rank < shapes[shape].size; rank++) {
            dt_comm comm = shapes[shape];
            dt_grid grid;
            comm.rank = rank;
            assert_ok(dt_grid_create(&comm, true, &grid));
            assert_int_equal(grid.groups, comm.nodes);
            assert_int_equal(grid.group, comm.node_of[rank]);
            assert_int_equal(grid.position, dt_grid_position(&comm));
            assert_true(grid.starts[grid.group] <= grid.position &&
                        grid.position < grid.starts[grid.group + 1]);
            for (int segment = grid.first_segment; segment < grid.end_segment; segment++)
                holders[grid.group][segment]++;
            positions |= 1 << grid.position;
            segments = grid.segments;
            largest = dt_comm_node_size(&comm) > largest ? dt_comm_node_size(&comm) : largest;
            assert_true(dt_grid_largest_node(&comm) >= largest);
            check_columns(&grid, &network);
            check_samples(&comm, &grid);
            dt_grid_release(&grid);
        }
        assert_int_equal(positions, (1 << shapes[shape].size) - 1);
        assert_int_equal(dt_grid_largest_node(&shapes[shape]), largest);
        for (int group = 0; group < shapes[shape].nodes; group++)
            for (int segment = 0; segment < segments; segment++)
                assert_int_equal(holders[group][segment], 1);
    }
}

/* Cut by halves and by thirds: four segments; by halves and by quarters: the quarters. */
static void test_segments(void **state) {
    (void)state;
    dt_comm thirds = {0, 5, 2, {0, 0, 1, 1, 1}}, quarters = {4, 6, 2, {0, 0, 1, 1, 1, 1}};
    dt_grid grid;
    assert_ok(dt_grid_create(&thirds, true, &grid));
    assert_int_equal(grid.segments, 4);
    assert_int_equal(grid.first_segment, 0);
    assert_int_equal(grid.end_segment, 2);
    dt_grid_release(&grid);
    assert_ok(dt_grid_create(&quarters, true, &grid));
    assert_int_equal(grid.segments, 4);
    assert_int_equal(grid.first_segment, 2);
    assert_int_equal(grid.end_segment, 3);
    dt_grid_release(&grid);
}

/* All ranks as one group, wherever they are. */
static void test_one_group(void **state) {
    (void)state;
    dt_comm comm = {3, 6, 3, {0, 1, 2, 0, 1, 2}};
    dt_grid grid;
    assert_ok(dt_grid_create(&comm, false, &grid));
    assert_int_equal(grid.groups, 1);
    assert_int_equal(grid.position, 3);
    assert_int_equal(grid.starts[1], 6);
    assert_int_equal(grid.segments, 6);
    dt_grid_release(&grid);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_column_and_sample_has_its_holders),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_one_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
