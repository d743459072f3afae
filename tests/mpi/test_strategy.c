/* SPDX-License-Identifier: BSD-3-Clause */
/* What the ranks exchange in a step: the gradient is the sum of leaves.h bit for bit, whatever the number of
 * ranks, the order of events and the size of the pieces; every rank ends with the same weights. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "dtrain/strategy.h"
#include "mpi/group.h"
#include "parallel/strategy_ops.h"

enum { BATCH = 100, MAX_LEAVES = (BATCH + DT_LEAF_SAMPLES - 1) / DT_LEAF_SAMPLES };

static const int batches[] = {1, 7, 10, 64, 100, 23};
enum { BATCHES = sizeof batches / sizeof *batches };

static const dt_adam_config adam = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};

static dt_comm *comm;
static dt_strategy_kind kind;
static bool shares; /* memory among all ranks */

/* A model whose gradients the tests write themselves, and a strategy on it. */
typedef struct fixture {
    dt_team *team;
    dt_kernels *kernels;
    dt_node_memory *memory;
    dt_model *model;
    dt_strategy *strategy;
    const dt_parameters *parameters;
    const dt_exchange *exchange;
    int roots;
    uint32_t salt; /* makes the values of each step its own */
} fixture;

static fixture open_storing(double width, size_t piece_floats, bool store_gradients) {
    fixture f = {.roots = dt_strategy_roots(BATCH, dt_comm_size(comm))};
    dt_network network = dt_network_build((dt_network_config){.width = width});
    assert_ok(dt_team_create(2, &f.team));
    assert_ok(dt_kernels_create(&(dt_kernels_config){.team = f.team, .isa = DT_ISA_BEST}, &f.kernels));
    dt_model_config model = {
        .network = &network, .kernels = f.kernels, .samples = 1, .leaves = 1, .roots = f.roots};
    if (shares)
        f.memory = dt_node_memory_create(comm, &model, dt_strategy_shares_weights(kind));
    assert_int_equal(f.memory != NULL, shares && dt_comm_size(comm) > 1);
    model.weights = dt_node_memory_weights(f.memory);
    model.gradients = dt_node_memory_gradients(f.memory);
    assert_ok(dt_model_create(&model, &f.model));
    f.parameters = dt_model_parameters(f.model);
    dt_strategy_config config = {.kind = kind,
                                 .comm = comm,
                                 .model = f.model,
                                 .memory = f.memory,
                                 .kernels = f.kernels,
                                 .batch = BATCH,
                                 .adam = adam,
                                 .store_gradients = store_gradients};
    assert_ok(dt_strategy_create_pieces(&config, piece_floats, &f.strategy));
    f.exchange = dt_strategy_exchange(f.strategy);
    return f;
}

static fixture open_fixture(double width, size_t piece_floats) {
    return open_storing(width, piece_floats, true);
}

static void close_fixture(fixture *f) {
    dt_strategy_destroy(f->strategy);
    dt_model_destroy(f->model);
    dt_node_memory_release(f->memory);
    dt_kernels_destroy(f->kernels);
    dt_team_destroy(f->team);
}

/* Gradient of one leaf: magnitudes over three decades, so that sums depend on their order. */
static float leaf_value(const fixture *f, int leaf, size_t element) {
    uint32_t bits = ((uint32_t)element + 1u) * 2654435761u ^ ((uint32_t)leaf + f->salt * 131u) * 2246822519u;
    bits = (bits ^ bits >> 15) * 2654435769u;
    bits ^= bits >> 13;
    return (float)((int32_t)(bits >> 8) - (1 << 23)) * (1.0f / (float)(1u << (13 + bits % 11)));
}

/* The definition of leaves.h. */
static float node_value(const fixture *f, int total, int level, int index, size_t element) {
    if (level == 0)
        return leaf_value(f, index, element);
    float left = node_value(f, total, level - 1, 2 * index, element);
    if ((2 * index + 1) << (level - 1) >= total)
        return left;
    return left + node_value(f, total, level - 1, 2 * index + 1, element);
}

static float expected_value(const fixture *f, int batch, size_t element) {
    int total = dt_leaves_count(batch), level = 0;
    while (1 << level < total)
        level++;
    return node_value(f, total, level, 0, element);
}

static bool is_summed(const fixture *f, int tensor) {
    return f->parameters->tensors[tensor].offset < f->parameters->summed_floats;
}

/* What a kernel leaves in the root arrays at one place. */
static void write_element(const fixture *f, const dt_share *share, const dt_leaf_plan *plan, size_t element) {
    float stack[DT_LEAF_DEPTH];
    int height = 0;
    for (int leaf = 0; leaf < plan->leaves; leaf++) {
        stack[height++] = leaf_value(f, share->first_leaf + leaf, element);
        for (int i = 0; i < plan->merges[leaf]; i++, height--)
            stack[height - 2] += stack[height - 1];
    }
    float *gradients = dt_model_gradients(f->model);
    for (int root = 0; root < height; root++)
        gradients[(size_t)root * dt_model_root_stride(f->model) + element] = stack[root];
}

/* Gradients of gamma and beta stand in root 0 of every rank. */
static void write_tensor(const fixture *f, const dt_share *share, const dt_leaf_plan *plan, int tensor) {
    const dt_tensor *row = &f->parameters->tensors[tensor];
    for (size_t i = row->offset; i < row->offset + row->count; i++)
        if (is_summed(f, tensor))
            write_element(f, share, plan, i);
        else
            dt_model_gradients(f->model)[i] = leaf_value(f, 0, i);
}

/* Nothing that was not written may reach a sum. */
static void poison(const fixture *f) {
    for (int root = 0; root < f->roots; root++)
        for (int tensor = 0; tensor < f->parameters->count; tensor++) {
            const dt_tensor *row = &f->parameters->tensors[tensor];
            float *values =
                dt_model_gradients(f->model) + (size_t)root * dt_model_root_stride(f->model) + row->offset;
            for (size_t i = 0; i < row->count; i++)
                values[i] = NAN;
        }
}

typedef enum sequence { ORDER_TABLE, ORDER_BACKWARD, ORDER_OF_RANK, ORDERS } sequence;

static int tensor_at(const fixture *f, sequence order, int turn) {
    int count = f->parameters->count;
    switch (order) {
    case ORDER_TABLE:
        return turn;
    case ORDER_BACKWARD:
        return count - 1 - turn;
    default:
        return (turn + 5 * dt_comm_rank(comm)) % count;
    }
}

/* One step up to the sum. `bad`, if not NULL, is put in the last value of the tensors `marked` (bits) by
 * every rank that has a root. */
static void run_step(fixture *f, int batch, sequence order, bool progress, const float *bad,
                     uint32_t marked) {
    f->salt++;
    /* Before the begin others may still be adding what lies in this rank's memory. */
    dt_share share = dt_strategy_begin(f->strategy, batch);
    poison(f);
    unsigned char merges[MAX_LEAVES];
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    for (int turn = 0; turn < f->parameters->count; turn++) {
        int tensor = tensor_at(f, order, turn);
        const dt_tensor *row = &f->parameters->tensors[tensor];
        write_tensor(f, &share, &plan, tensor);
        if (bad && marked >> tensor & 1u && (plan.roots > 0 || !is_summed(f, tensor)))
            dt_model_gradients(f->model)[row->offset + row->count - 1] = *bad;
        f->exchange->gradient_ready(f->exchange->context, tensor);
        for (int i = 0; progress && i < 3; i++)
            f->exchange->progress(f->exchange->context);
    }
    dt_strategy_finish(f->strategy);
}

static void check_gradient(const fixture *f, int batch) {
    const float *gradients = dt_model_gradients(f->model);
    for (int tensor = 0; tensor < f->parameters->count; tensor++) {
        const dt_tensor *row = &f->parameters->tensors[tensor];
        for (size_t i = row->offset; i < row->offset + row->count; i++) {
            float expected = is_summed(f, tensor) ? expected_value(f, batch, i) : leaf_value(f, 0, i);
            if (memcmp(&expected, &gradients[i], sizeof expected) != 0)
                fail_msg("batch %d, %s[%zu]: %a, expected %a", batch, row->name, i - row->offset,
                         (double)gradients[i], (double)expected);
        }
    }
}

static void test_share_is_that_of_the_rank(void **state) {
    (void)state;
    fixture f = open_fixture(0.02, 1024);
    for (int i = 0; i < BATCHES; i++) {
        dt_share expected = dt_leaves_share(batches[i], dt_comm_size(comm), dt_comm_rank(comm));
        run_step(&f, batches[i], ORDER_BACKWARD, true, NULL, 0);
        dt_share share = dt_strategy_begin(f.strategy, batches[i]);
        assert_memory_equal(&share, &expected, sizeof share);
    }
    close_fixture(&f);
}

/* Pieces of 32 floats leave ranks 2 and 3 of 4 without a slice; at 112 the slices of a piece differ. */
static void test_gradient_is_the_canonical_sum(void **state) {
    (void)state;
    static const size_t pieces[] = {32, 112, 1024, DT_PIECE_FLOATS};
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        fixture f = open_fixture(0.02, pieces[p]);
        for (int i = 0; i < BATCHES; i++)
            for (int order = 0; order < ORDERS; order++)
                for (int progress = 0; progress < 2; progress++) {
                    run_step(&f, batches[i], (sequence)order, progress, NULL, 0);
                    check_gradient(&f, batches[i]);
                }
        close_fixture(&f);
    }
}

static void test_pieces_of_ordinary_size(void **state) {
    (void)state;
    fixture f = open_fixture(0.25, DT_PIECE_FLOATS);
    assert_true(f.parameters->summed_floats > DT_PIECE_FLOATS);
    run_step(&f, 100, ORDER_BACKWARD, true, NULL, 0);
    check_gradient(&f, 100);
    close_fixture(&f);
}

/* Every rank's value. */
static void assert_same_on_all_ranks(uint64_t mine) {
    size_t ranks = (size_t)dt_comm_size(comm);
    uint64_t *all = calloc(ranks, sizeof *all);
    assert_non_null(all);
    dt_comm_allgather(comm, &mine, sizeof mine, all);
    for (size_t rank = 0; rank < ranks; rank++)
        assert_int_equal(all[rank], mine);
    free(all);
}

/* A step by hand on whole arrays, from the gradients that leaves.h defines. */
static void update_by_hand(const fixture *f, int batch, int step, float *gradients, float *const state[3]) {
    double rate = 1e-3 * sqrt(1.0 - pow(0.999, step)) / (1.0 - pow(0.9, step));
    dt_adam_step values = {(float)rate, (float)(1.0 - 0.9), (float)(1.0 - 0.999), 1e-8f};
    for (int tensor = 0; tensor < f->parameters->count; tensor++) {
        const dt_tensor *row = &f->parameters->tensors[tensor];
        for (size_t i = row->offset; i < row->offset + row->count; i++)
            gradients[i] = is_summed(f, tensor) ? expected_value(f, batch, i) : leaf_value(f, 0, i);
    }
    dt_adam_update(f->kernels, values, f->parameters->floats, gradients, state[0], state[1], state[2]);
}

static void check_update(size_t piece_floats, bool store_gradients) {
    fixture f = open_storing(0.02, piece_floats, store_gradients);
    size_t floats = f.parameters->floats;
    dt_parameters_init(f.parameters, 1, dt_model_weights(f.model), dt_model_states(f.model));
    dt_slab own;
    assert_ok(dt_slab_reserve(4 * floats * sizeof(float), "the test", &own));
    float *weights = own.base, *m = weights + floats, *v = m + floats;
    memcpy(weights, dt_model_weights(f.model), floats * sizeof *weights);
    for (int step = 1; step <= 4; step++) {
        run_step(&f, batches[step], ORDER_BACKWARD, true, NULL, 0);
        if (store_gradients)
            check_gradient(&f, batches[step]);
        update_by_hand(&f, batches[step], step, v + floats, (float *const[3]){weights, m, v});
        dt_strategy_update(f.strategy, step);
        dt_strategy_gather(f.strategy);
        assert_memory_equal(dt_model_weights(f.model), weights, floats * sizeof *weights);
        assert_same_on_all_ranks(
            dt_parameters_hash(f.parameters, dt_model_weights(f.model), dt_model_states(f.model)));
    }
    dt_slab_release(&own);
    close_fixture(&f);
}

static void test_update_is_adam_on_the_sum(void **state) {
    static const size_t pieces[] = {112, DT_PIECE_FLOATS};
    (void)state;
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++)
        for (int store = 0; store < 2; store++)
            check_update(pieces[p], store || dt_comm_size(comm) == 1);
}

/* Where gradients are not stored, weights that are asked for one by one are there, the rest on its way. */
static void test_weights_come_when_needed(void **state) {
    (void)state;
    bool store = dt_comm_size(comm) == 1;
    fixture whole = open_storing(0.02, 112, store), single = open_storing(0.02, 112, store);
    for (int step = 1; step <= 3; step++) {
        run_step(&whole, batches[step], ORDER_BACKWARD, true, NULL, 0);
        run_step(&single, batches[step], ORDER_BACKWARD, true, NULL, 0);
        dt_strategy_update(whole.strategy, step);
        dt_strategy_gather(whole.strategy);
        dt_strategy_update(single.strategy, step);
        for (int tensor = 0; tensor < single.parameters->count; tensor++) {
            const dt_tensor *row = &single.parameters->tensors[tensor];
            single.exchange->weights_needed(single.exchange->context, tensor);
            assert_memory_equal(dt_model_weights(single.model) + row->offset,
                                dt_model_weights(whole.model) + row->offset, row->count * sizeof(float));
        }
    }
    close_fixture(&whole);
    close_fixture(&single);
}

/* An image of fixture f's whole state in `memory`; empty on all ranks but 0. */
static dt_strategy_image reserve_image(const fixture *f, dt_slab *memory) {
    dt_strategy_image image = {0};
    *memory = (dt_slab){0};
    if (dt_comm_rank(comm) != 0)
        return image;
    size_t floats = f->parameters->floats;
    assert_ok(
        dt_slab_reserve((3 * floats + f->parameters->state_floats) * sizeof(float), "the test", memory));
    image.weights = memory->base;
    image.m = image.weights + floats;
    image.v = image.m + floats;
    image.states = image.v + floats;
    return image;
}

static void run_update(fixture *f, int step) {
    f->salt = (uint32_t)step;
    run_step(f, batches[step % BATCHES], ORDER_BACKWARD, true, NULL, 0);
    dt_strategy_update(f->strategy, step);
    for (int tensor = 0; tensor < f->parameters->count; tensor++)
        f->exchange->weights_needed(f->exchange->context, tensor);
}

/* Another run that starts from the image of the first goes on with its bits, and hands out the same image. */
static void test_restored_state_goes_on_as_the_collected_one(void **state) {
    (void)state;
    bool store = dt_comm_size(comm) == 1;
    fixture first = open_storing(0.02, 1024, store), second = open_storing(0.02, 32, store);
    dt_slab memory, again;
    dt_strategy_image image = reserve_image(&first, &memory), copy = reserve_image(&first, &again);
    dt_parameters_init(first.parameters, 1, dt_model_weights(first.model), dt_model_states(first.model));
    dt_model_states(first.model)[0] = 17.0f;
    for (int step = 1; step <= 3; step++)
        run_update(&first, step);
    dt_strategy_collect(first.strategy, image);
    dt_strategy_restore(second.strategy, image);
    dt_strategy_collect(second.strategy, copy);
    assert_memory_equal(memory.base ? memory.base : "", again.base ? again.base : "", memory.bytes);
    for (int step = 4; step <= 6; step++) {
        run_update(&first, step);
        run_update(&second, step);
    }
    dt_strategy_gather(first.strategy);
    dt_strategy_gather(second.strategy);
    uint64_t hash =
        dt_parameters_hash(first.parameters, dt_model_weights(first.model), dt_model_states(first.model));
    assert_int_equal(
        dt_parameters_hash(second.parameters, dt_model_weights(second.model), dt_model_states(second.model)),
        hash);
    assert_same_on_all_ranks(hash);
    dt_slab_release(&memory);
    dt_slab_release(&again);
    close_fixture(&first);
    close_fixture(&second);
}

/* Partial sums whose total depends on the order; column 1 is nothing but -0. */
static double partial_value(int leaf, int column) {
    if (column == 1)
        return -0.0;
    return sin(3.0 * leaf + column) * (leaf % 3 == 0 ? 1e9 : 1.0) / (1.0 + column);
}

static void test_statistics_are_those_of_one_rank(void **state) {
    (void)state;
    fixture f = open_fixture(0.02, 1024);
    enum { WIDEST = 28 }; /* two sums for each of the 14 rows behind the first convolution */
    static const int widths[] = {WIDEST, 6, 1};
    double all[MAX_LEAVES * WIDEST], expected[WIDEST], sums[WIDEST];
    for (int i = 0; i < BATCHES * 3; i++) {
        int width = widths[i % 3];
        dt_share share = dt_strategy_begin(f.strategy, batches[i / 3]);
        for (int leaf = 0; leaf < share.total_leaves; leaf++)
            for (int column = 0; column < width; column++)
                all[leaf * width + column] = partial_value(leaf, column);
        dt_exchange alone = dt_exchange_alone(&share.total_leaves);
        alone.combine(alone.context, all, width, expected);
        f.exchange->combine(f.exchange->context, all + share.first_leaf * width, width, sums);
        assert_memory_equal(sums, expected, (size_t)width * sizeof *sums);
    }
    close_fixture(&f);
}

static void test_first_tensor_that_is_not_finite_is_found(void **state) {
    (void)state;
    fixture f = open_storing(0.02, 1024, dt_comm_size(comm) == 1);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int tensor = 0; tensor < f.parameters->count; tensor++) {
        run_step(&f, batches[tensor % BATCHES], ORDER_BACKWARD, true, &bad[tensor % 3], 1u << tensor);
        assert_int_equal(dt_strategy_first_not_finite(f.strategy), tensor);
        run_step(&f, batches[tensor % BATCHES], ORDER_BACKWARD, true, &bad[0], UINT32_MAX << tensor);
        assert_int_equal(dt_strategy_first_not_finite(f.strategy), tensor);
    }
    run_step(&f, 64, ORDER_BACKWARD, true, NULL, 0);
    assert_int_equal(dt_strategy_first_not_finite(f.strategy), -1);
    close_fixture(&f);
}

/* Bytes sent in a whole step by this rank, and by all together. */
static void count_sent(fixture *f, int batch, int64_t *mine, int64_t *all) {
    static int64_t step;
    dt_traffic before = dt_comm_traffic(comm);
    run_step(f, batch, ORDER_BACKWARD, true, NULL, 0);
    dt_strategy_update(f->strategy, ++step);
    dt_strategy_gather(f->strategy);
    dt_traffic after = dt_comm_traffic(comm);
    int64_t sums[2] = {(int64_t)(after.sent - before.sent), (int64_t)(after.received - before.received)};
    *mine = sums[0];
    dt_comm_sum_i64(comm, sums, 2);
    assert_int_equal(sums[0], sums[1]);
    *all = sums[0];
}

/* With one root a rank: each rank sends (N-1)/N of the bytes as roots and as much again as sums, all together
 * exactly 2 (N-1) times the bytes. Slices are multiples of 16 floats, so a rank's part of a piece may be off
 * by one such grain, N times. */
static void test_traffic_of_powers_of_two(void **state) {
    (void)state;
    int64_t ranks = dt_comm_size(comm), mine, all;
    if ((ranks & (ranks - 1)) != 0 || shares)
        skip();
    fixture f = open_storing(0.02, 1024, ranks == 1);
    int64_t bytes = (int64_t)(f.parameters->summed_floats * sizeof(float));
    int64_t pieces = (int64_t)(f.parameters->summed_floats + 1023) / 1024;
    count_sent(&f, 64, &mine, &all);
    assert_int_equal(all, 2 * (ranks - 1) * bytes);
    assert_true(llabs(mine - 2 * (ranks - 1) * bytes / ranks) <= pieces * DT_ALIGNMENT * ranks);
    close_fixture(&f);
}

/* Whatever the roots: each but the owner's own travels once over every slice, and the sum N-1 times. */
static void test_traffic_of_any_cut(void **state) {
    (void)state;
    int64_t ranks = dt_comm_size(comm), mine, all;
    if (shares)
        skip();
    fixture f = open_storing(0.02, 16 * (size_t)ranks, ranks == 1);
    int64_t floats = (int64_t)f.parameters->summed_floats / (16 * ranks) * (16 * ranks);
    int64_t rest = (int64_t)f.parameters->summed_floats - floats;
    for (int i = 0; i < BATCHES; i++) {
        int64_t roots = 0;
        for (int rank = 0; rank < ranks; rank++) {
            dt_share share = dt_leaves_share(batches[i], (int)ranks, rank);
            unsigned char merges[MAX_LEAVES];
            roots += dt_leaves_plan(&share, merges, NULL).roots;
        }
        count_sent(&f, batches[i], &mine, &all);
        /* Whole pieces have slices of one grain; how the last one is cut decides who owns it, so it may
         * travel as often as there are roots, or be spared once for each root of one rank. */
        int64_t whole = 4 * (roots * floats / ranks * (ranks - 1) + (ranks - 1) * floats);
        int64_t most = 4 * rest * (roots + ranks - 1), least = 4 * rest * (ranks - 1);
        assert_true(all >= whole + least && all <= whole + most);
        assert_true(ranks > 1 || all == 0);
    }
    close_fixture(&f);
}

/* test_strategy STRATEGY [shared] */
int main(int argument_count, char **arguments) {
    if (argument_count < 2)
        return 1;
    shares = argument_count > 2;
    while (kind < DT_STRATEGY_SHARDED && strcmp(dt_strategy_name(kind), arguments[1]) != 0)
        kind++;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share_is_that_of_the_rank),
        cmocka_unit_test(test_gradient_is_the_canonical_sum),
        cmocka_unit_test(test_pieces_of_ordinary_size),
        cmocka_unit_test(test_update_is_adam_on_the_sum),
        cmocka_unit_test(test_weights_come_when_needed),
        cmocka_unit_test(test_restored_state_goes_on_as_the_collected_one),
        cmocka_unit_test(test_statistics_are_those_of_one_rank),
        cmocka_unit_test(test_first_tensor_that_is_not_finite_is_found),
        cmocka_unit_test(test_traffic_of_powers_of_two),
        cmocka_unit_test(test_traffic_of_any_cut),
    };
    if (!group_begins(&comm))
        return 1;
    return group_ends(comm, cmocka_run_group_tests(tests, NULL, NULL));
}
