/* SPDX-License-Identifier: BSD-3-Clause */
/* What every strategy promises: real training steps, on any number of ranks and threads and whatever the
 * batch, end with the weights, moments, statistics and losses that one rank alone computes, bit for bit; and
 * what one strategy has collected another goes on from. */
#include "test.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "dtrain/hash.h"
#include "dtrain/memory.h"
#include "dtrain/plan.h"
#include "dtrain/strategy.h"
#include "mpi/group.h"
#include "parallel/strategy_ops.h"

enum { BATCH = 100, PIXELS = 784, STEPS = 5 };

/* From more leaves than any run has ranks down to one sample. */
static const int batches[STEPS] = {64, 7, 1, 100, 23};

static const dt_adam_config adam = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};

static dt_comm *comm;
static bool refuses_memory; /* ranks have none to share */

/* What the sides of the present test send. */
static dt_wire wire;

/* The inputs of a step are functions of its number and the sample. */
static float x[BATCH * PIXELS];
static uint8_t labels[BATCH];
static int numbers[BATCH];

static void fill_batch(int step, int first, int samples) {
    for (int i = 0; i < samples; i++) {
        for (int pixel = 0; pixel < PIXELS; pixel++)
            x[i * PIXELS + pixel] = (float)((first + i + 3 * step) * 7919 % 1009 * (pixel + 1) % 1000) / 1e3f;
        labels[i] = (uint8_t)((first + i + step) % 10);
    }
    for (int i = 0; i < BATCH; i++)
        numbers[i] = step * 1000 + i;
}

/* One run: team, kernels, model and, in `strategy`, how the ranks share it. */
typedef struct side {
    dt_team *team;
    dt_kernels *kernels;
    dt_node_memory *memory;
    dt_model *model;
    dt_strategy *strategy;
    int64_t losses[STEPS];
} side;

static dt_network tiny_network(double width, dt_bn_axis axis) {
    return dt_network_build((dt_network_config){.width = width, .bn_axis = axis, .dropout = 0.5f});
}

/* How ranks share a model: in `strategy` as in a run; NULL for one that is alone. */
static void open_model(side *s, const dt_network *network, dt_engine engine, int threads,
                       const dt_strategy_kind *kind) {
    int ranks = kind ? dt_comm_size(comm) : 1;
    assert_ok(dt_team_create(threads, &s->team));
    dt_kernels_config kernels = {.team = s->team, .isa = DT_ISA_BEST, .engine = engine, .wire = wire};
    assert_ok(dt_kernels_create(&kernels, &s->kernels));
    dt_model_config config = {.network = network,
                              .kernels = s->kernels,
                              .samples = BATCH,
                              .leaves = dt_leaves_count(BATCH),
                              .roots = dt_strategy_roots(BATCH, ranks),
                              .seed = 11};
    if (kind) {
        config.split = dt_strategy_split(*kind, comm, BATCH);
        s->memory = dt_node_memory_create(comm, &config, dt_strategy_shares_weights(*kind));
        assert_int_equal(s->memory != NULL, dt_comm_nodes(comm) < ranks && !refuses_memory);
    }
    config.weights = dt_node_memory_weights(s->memory);
    config.gradients = dt_node_memory_gradients(s->memory);
    assert_ok(dt_model_create(&config, &s->model));
    dt_parameters_init(dt_model_parameters(s->model), 5, dt_model_weights(s->model),
                       dt_model_states(s->model));
}

static side open_side(const dt_network *network, dt_strategy_kind kind, dt_engine engine, int threads,
                      size_t piece_floats) {
    side s = {0};
    assert_ok(dt_strategy_check(kind, network, dt_comm_size(comm), dt_strategy_node_ranks(comm)));
    open_model(&s, network, engine, threads, &kind);
    dt_strategy_config config = {.kind = kind,
                                 .comm = comm,
                                 .model = s.model,
                                 .memory = s.memory,
                                 .kernels = s.kernels,
                                 .batch = BATCH,
                                 .adam = adam};
    assert_ok(dt_strategy_create_pieces(&config, piece_floats, &s.strategy));
    return s;
}

static void close_side(side *s) {
    dt_strategy_destroy(s->strategy);
    dt_model_destroy(s->model);
    dt_node_memory_release(s->memory);
    dt_kernels_destroy(s->kernels);
    dt_team_destroy(s->team);
}

static int64_t sum_over_ranks(int64_t value) {
    dt_comm_sum_i64(comm, &value, 1);
    return value;
}

static void run_step(side *s, int step) {
    dt_share share = dt_strategy_begin(s->strategy, batches[step]);
    fill_batch(step, share.first_sample, share.samples);
    dt_batch batch = {share, x, labels, numbers + share.first_sample, 1, numbers};
    dt_totals totals;
    dt_model_train(s->model, &batch, dt_strategy_exchange(s->strategy), &totals);
    dt_strategy_finish(s->strategy);
    assert_int_equal(dt_strategy_first_not_finite(s->strategy), -1);
    dt_strategy_update(s->strategy, step + 1);
    s->losses[step] = sum_over_ranks(totals.loss);
}

/* All that training changes, of one run. */
typedef struct state_copy {
    dt_slab memory;
    dt_strategy_image image;
    size_t bytes;
} state_copy;

static state_copy reserve_copy(const dt_parameters *parameters) {
    state_copy copy = {.bytes = (3 * parameters->floats + parameters->state_floats) * sizeof(float)};
    assert_ok(dt_slab_reserve(copy.bytes, "the test", &copy.memory));
    copy.image.weights = copy.memory.base;
    copy.image.m = copy.image.weights + parameters->floats;
    copy.image.v = copy.image.m + parameters->floats;
    copy.image.states = copy.image.v + parameters->floats;
    return copy;
}

/* One process alone, with stored gradients and Adam by hand. states[i] is the state behind step i. */
static void compute_alone(const dt_network *network, dt_engine engine, int64_t losses[STEPS],
                          state_copy states[STEPS]) {
    side s = {0};
    open_model(&s, network, engine, 1, NULL);
    const dt_parameters *parameters = dt_model_parameters(s.model);
    for (int step = 0; step < STEPS; step++) {
        dt_share share = dt_leaves_share(batches[step], 1, 0);
        dt_exchange exchange = dt_exchange_alone(&share.leaves);
        fill_batch(step, 0, share.samples);
        dt_batch batch = {share, x, labels, numbers, 1, NULL};
        dt_totals totals;
        dt_model_train(s.model, &batch, &exchange, &totals);
        losses[step] = totals.loss;
        dt_strategy_image now = states[step].image;
        if (step > 0)
            memcpy(states[step].memory.base, states[step - 1].memory.base, states[step].bytes);
        dt_adam_update(s.kernels, dt_strategy_adam_step(&adam, step + 1), parameters->floats,
                       dt_model_gradients(s.model), dt_model_weights(s.model), now.m, now.v);
        memcpy(now.weights, dt_model_weights(s.model), parameters->floats * sizeof(float));
        memcpy(now.states, dt_model_states(s.model), parameters->state_floats * sizeof(float));
    }
    close_side(&s);
}

/* The reference, from rank 0 to all. */
static void run_alone(const dt_network *network, dt_engine engine, int64_t losses[STEPS],
                      state_copy states[STEPS]) {
    dt_parameters parameters = dt_parameters_layout(network);
    for (int step = 0; step < STEPS; step++)
        states[step] = reserve_copy(&parameters);
    if (dt_comm_rank(comm) == 0)
        compute_alone(network, engine, losses, states);
    dt_comm_broadcast(comm, losses, STEPS * sizeof *losses, 0);
    for (int step = 0; step < STEPS; step++)
        dt_comm_broadcast(comm, states[step].memory.base, states[step].bytes, 0);
}

static void check_tensor(const char *what, const char *name, const float *found, const float *expected,
                         size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&found[i], &expected[i], sizeof(float)) != 0)
            fail_msg("rank %d of %d: %s of %s [%zu] is %a, expected %a", dt_comm_rank(comm),
                     dt_comm_size(comm), what, name, i, (double)found[i], (double)expected[i]);
}

/* Weights on every rank, everything on rank 0. */
static void check_state(side *s, const state_copy *expected) {
    const dt_parameters *parameters = dt_model_parameters(s->model);
    state_copy found = reserve_copy(parameters);
    dt_strategy_gather(s->strategy);
    dt_strategy_image none = {0}, image = dt_comm_rank(comm) == 0 ? found.image : none;
    dt_strategy_collect(s->strategy, image);
    for (int i = 0; i < parameters->count; i++) {
        const dt_tensor *row = &parameters->tensors[i];
        size_t at = row->offset;
        check_tensor("weights", row->name, dt_model_weights(s->model) + at, expected->image.weights + at,
                     row->count);
        if (!image.m)
            continue;
        check_tensor("image", row->name, image.weights + at, expected->image.weights + at, row->count);
        check_tensor("m", row->name, image.m + at, expected->image.m + at, row->count);
        check_tensor("v", row->name, image.v + at, expected->image.v + at, row->count);
    }
    check_tensor("states", "normalisation", dt_model_states(s->model), expected->image.states,
                 parameters->state_floats);
    dt_slab_release(&found.memory);
}

static void release_copies(state_copy states[STEPS]) {
    for (int step = 0; step < STEPS; step++)
        dt_slab_release(&states[step].memory);
}

/* Where neighbours fill the nodes and share their memory, a step with pieces of the ordinary size sends what
 * the plan says, to the byte. */
static bool neighbours_share_nodes(void) {
    int node_ranks = dt_strategy_node_ranks(comm);
    for (int rank = 0; rank < dt_comm_size(comm); rank++)
        if (dt_comm_node_of(comm, rank) != rank / node_ranks)
            return false;
    return true;
}

static void run_counted_step(side *s, dt_strategy_kind kind, int step) {
    dt_traffic before = dt_comm_traffic(comm);
    run_step(s, step);
    dt_strategy_gather(s->strategy);
    double sent = (double)(dt_comm_traffic(comm).sent - before.sent);
    double expected = dt_plan_bytes(kind, dt_model_network(s->model), batches[step], dt_comm_size(comm),
                                    dt_strategy_node_ranks(comm), dt_comm_rank(comm), wire);
    if (sent != expected)
        fail_msg("%s, batch %d, rank %d of %d: %.0f bytes sent, %.0f planned", dt_strategy_name(kind),
                 batches[step], dt_comm_rank(comm), dt_comm_size(comm), sent, expected);
}

static void check_strategy(const dt_network *network, dt_strategy_kind kind, dt_engine engine, int threads,
                           size_t piece_floats, const int64_t losses[STEPS], const state_copy *states) {
    side s = open_side(network, kind, engine, threads, piece_floats);
    for (int step = 0; step < STEPS; step++) {
        if (piece_floats == DT_PIECE_FLOATS && neighbours_share_nodes() && !refuses_memory)
            run_counted_step(&s, kind, step);
        else
            run_step(&s, step);
        assert_int_equal(s.losses[step], losses[step]);
        /* Not behind every step: the next one must also get its weights without being asked to gather. */
        if (step % 2 == 0)
            check_state(&s, &states[step]);
    }
    close_side(&s);
}

static void test_bits_of_one_rank(void **state) {
    static const size_t pieces[] = {4096, DT_PIECE_FLOATS};
    (void)state;
    for (int axis = DT_BN_ROWS; axis <= DT_BN_CHANNELS; axis++) {
        dt_network network = tiny_network(axis == DT_BN_ROWS ? 0.04 : 0.031, (dt_bn_axis)axis);
        int64_t losses[STEPS];
        state_copy states[STEPS];
        run_alone(&network, DT_ENGINE_AUTO, losses, states);
        for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind < DT_STRATEGY_AUTO; kind++)
            check_strategy(&network, kind, DT_ENGINE_AUTO, 1 + axis, pieces[axis], losses, states);
        release_copies(states);
    }
}

/* The plain twins keep the promise too; they are slow, so on one number of ranks alone. */
static void check_reference_engine(void) {
    dt_network network = tiny_network(0.032, DT_BN_ROWS);
    int64_t losses[STEPS];
    state_copy states[STEPS];
    run_alone(&network, DT_ENGINE_REFERENCE, losses, states);
    for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind < DT_STRATEGY_AUTO; kind++)
        check_strategy(&network, kind, DT_ENGINE_REFERENCE, 1, 4096, losses, states);
    release_copies(states);
}

static void test_reference_engine(void **state) {
    (void)state;
    if (dt_comm_size(comm) != 3)
        skip();
    check_reference_engine();
}

/* A run that stops under one strategy and goes on under another. */
static void test_restore_under_another_strategy(void **state) {
    (void)state;
    dt_network network = tiny_network(0.04, DT_BN_ROWS);
    int64_t losses[STEPS];
    state_copy states[STEPS];
    run_alone(&network, DT_ENGINE_AUTO, losses, states);
    for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind < DT_STRATEGY_AUTO; kind++)
        for (int start = 1 + 2 * (kind % 2 == 0); start < STEPS; start += 3) {
            side s = open_side(&network, kind, DT_ENGINE_AUTO, 1, 4096);
            dt_strategy_image none = {0};
            if (start == 3)
                run_step(&s, 0); /* a state that is thrown away */
            dt_strategy_restore(s.strategy, dt_comm_rank(comm) == 0 ? states[start - 1].image : none);
            for (int step = start; step < STEPS; step++) {
                run_step(&s, step);
                assert_int_equal(s.losses[step], losses[step]);
            }
            check_state(&s, &states[STEPS - 1]);
            close_side(&s);
        }
    release_copies(states);
}

/* Gradients, updates and activations as bfloat16: other bits, but these too on any cut; and half the bytes.
 */
static void test_bits_of_one_rank_over_a_bf16_wire(void **state) {
    wire = DT_WIRE_BF16;
    test_bits_of_one_rank(state);
    if (dt_comm_size(comm) == 3)
        check_reference_engine();
    test_restore_under_another_strategy(state);
    wire = DT_WIRE_FP32;
}

/* Rounding is seen, and small: the gradient of a step is near, as is what five steps learn. Sums that cancel
 * are what is furthest away. */
static void test_bf16_wire_is_near(void **state) {
    (void)state;
    if (dt_comm_size(comm) != 1)
        skip();
    dt_network network = tiny_network(0.04, DT_BN_ROWS);
    int64_t losses[2][STEPS];
    state_copy states[2][STEPS];
    for (int which = 0; which < 2; which++) {
        wire = which == 0 ? DT_WIRE_FP32 : DT_WIRE_BF16;
        run_alone(&network, DT_ENGINE_AUTO, losses[which], states[which]);
    }
    wire = DT_WIRE_FP32;
    const float *exact = states[0][0].image.m, *rounded = states[1][0].image.m;
    size_t floats = dt_parameters_layout(&network).floats;
    double difference = 0, size = 0;
    for (size_t i = 0; i < floats; i++) {
        difference += ((double)exact[i] - (double)rounded[i]) * ((double)exact[i] - (double)rounded[i]);
        size += (double)exact[i] * (double)exact[i];
    }
    assert_true(difference > 0.0);
    assert_true(sqrt(difference / size) < 0.1);
    for (int step = 0; step < STEPS; step++)
        assert_true(fabs((double)losses[1][step] / (double)losses[0][step] - 1.0) < 0.02);
    for (int which = 0; which < 2; which++)
        release_copies(states[which]);
}

static void test_too_many_ranks_for_the_columns(void **state) {
    (void)state;
    dt_network network = tiny_network(0.04, DT_BN_ROWS);
    int most = dt_split_most_ranks(&network);
    assert_int_equal(most, dt_blocks_count(163));
    assert_ok(dt_strategy_check(DT_STRATEGY_HYBRID, &network, most, most));
    assert_ok(dt_strategy_check(DT_STRATEGY_SHARDED, &network, most + 1, most + 1));
    assert_fails(dt_strategy_check(DT_STRATEGY_HYBRID, &network, most + 1, 1), DT_USAGE,
                 "too few for 12 ranks");
    assert_ok(dt_strategy_check(DT_STRATEGY_HYBRID_NODE, &network, 4 * most, most));
    assert_fails(dt_strategy_check(DT_STRATEGY_HYBRID_NODE, &network, 4 * most, most + 1), DT_USAGE,
                 "at most 11 ranks a node");
}

/* The last rank's bit; all ranks of its node may see it. */
static void flip_bit(float *value) {
    uint32_t bits;
    if (dt_comm_rank(comm) == dt_comm_size(comm) - 1) {
        memcpy(&bits, value, sizeof bits);
        bits ^= 1u << 3;
        memcpy(value, &bits, sizeof bits);
    }
    dt_comm_barrier(comm);
}

static int first_rank_of(int node) {
    int rank = 0;
    while (dt_comm_node_of(comm, rank) != node)
        rank++;
    return rank;
}

/* Who is named when the last rank's copy is another, -1 if there is none to compare with. The copy of a node
 * is that of its first rank; of two nodes rank 0's is the right one. */
static int named_rank(bool shared) {
    int last = dt_comm_size(comm) - 1, nodes = dt_comm_nodes(comm), node = dt_comm_node_of(comm, last);
    if (!shared || refuses_memory || nodes == last + 1)
        return last > 0 ? last : -1;
    if (nodes == 1)
        return -1;
    return first_rank_of(node == 0 && nodes == 2 ? 1 : node);
}

/* One bit of one weight or moving statistic of the last rank. */
static void check_flip(side *s, float *value, const char *name, bool shared) {
    char expected[64];
    snprintf(expected, sizeof expected, "rank %d on ", named_rank(shared));
    assert_ok(dt_strategy_check_replicas(s->strategy, 3));
    flip_bit(value);
    if (named_rank(shared) >= 0) {
        dt_status status = dt_strategy_check_replicas(s->strategy, 3);
        assert_int_equal(status.code, DT_MACHINE);
        assert_non_null(strstr(status.text, expected));
        assert_non_null(strstr(status.text, name));
        assert_non_null(strstr(status.text, "step 3"));
    }
    flip_bit(value);
    assert_ok(dt_strategy_check_replicas(s->strategy, 3));
}

/* The last column of the last rank: other nodes have it too, and of its node this rank alone. */
static void check_flipped_column(side *s, dt_strategy_kind kind) {
    const dt_split_layout *layout = dt_model_split_layout(s->model);
    if (kind != DT_STRATEGY_HYBRID_NODE || dt_comm_nodes(comm) == 1)
        return;
    const dt_split_tensor *kernel = &layout->tensors[2];
    size_t values = (size_t)kernel->rows * (size_t)kernel->units.samples;
    check_flip(s, dt_model_split_weights(s->model) + kernel->offset + values - 1, "fc1/kernel", false);
}

static void test_a_flipped_bit_is_found(void **state) {
    (void)state;
    dt_network network = tiny_network(0.04, DT_BN_ROWS);
    for (dt_strategy_kind kind = DT_STRATEGY_ALLREDUCE; kind < DT_STRATEGY_AUTO; kind++) {
        side s = open_side(&network, kind, DT_ENGINE_AUTO, 1, 4096);
        const dt_parameters *parameters = dt_model_parameters(s.model);
        run_step(&s, 0);
        dt_strategy_gather(s.strategy);
        for (int i = 0; i < parameters->count; i += 3) {
            const dt_tensor *row = &parameters->tensors[i];
            check_flip(&s, dt_model_weights(s.model) + row->offset + row->count - 1, row->name,
                       dt_strategy_shares_weights(kind));
        }
        check_flip(&s, dt_model_states(s.model) + parameters->states[2].offset, parameters->states[2].name,
                   false);
        check_flipped_column(&s, kind);
        close_side(&s);
    }
}

/* Bytes of memory that the processes of all ranks take, each page shared out among those that map it. */
static int64_t resident_bytes(void) {
    long long kilobytes = -1;
    char line[256];
    dt_comm_barrier(comm);
    FILE *stream = fopen("/proc/self/smaps_rollup", "r");
    assert_non_null(stream);
    while (fgets(line, sizeof line, stream) && sscanf(line, "Pss: %lld kB", &kilobytes) != 1)
        continue;
    fclose(stream);
    dt_comm_barrier(comm);
    assert_true(kilobytes > 0);
    return sum_over_ranks(1024 * (int64_t)kilobytes);
}

static int64_t resident_growth(const dt_network *network, dt_strategy_kind kind) {
    int64_t before = resident_bytes();
    side s = open_side(network, kind, DT_ENGINE_AUTO, 1, DT_PIECE_FLOATS);
    int64_t growth = resident_bytes() - before;
    close_side(&s);
    return growth;
}

/* allreduce's ranks have weights and moments of their own. sharded saves all moments but one set, and on a
 * node all weights but one copy. */
static void test_a_node_has_one_copy_of_the_weights(void **state) {
    (void)state;
    dt_network network = tiny_network(0.6, DT_BN_ROWS);
    dt_parameters parameters = dt_parameters_layout(&network);
    int64_t bytes = (int64_t)(parameters.floats * sizeof(float)), ranks = dt_comm_size(comm);
    int64_t copies = refuses_memory ? ranks : dt_comm_nodes(comm);
    if (ranks == 1)
        skip();
    int64_t whole = resident_growth(&network, DT_STRATEGY_ALLREDUCE);
    int64_t saved = whole - resident_growth(&network, DT_STRATEGY_SHARDED);
    int64_t expected = (ranks - copies) * bytes + 2 * (ranks - 1) * bytes;
    /* Some slabs of each rank are rounded up to whole huge pages. */
    if (llabs(saved - expected) > (ranks * 6) << 20)
        fail_msg("%lld MB saved, %lld MB expected; a copy of the weights has %lld MB", (long long)saved >> 20,
                 (long long)expected >> 20, (long long)bytes >> 20);
}

/* Files of any size are refused, and what the ranks of a node share is a file in memory. */
static bool refuse_memory(void) {
    return signal(SIGXFSZ, SIG_IGN) != SIG_ERR &&
           setrlimit(RLIMIT_FSIZE, &(struct rlimit){1024, RLIM_INFINITY}) == 0;
}

/* "N": nodes of N ranks. "N scattered": and ranks whose numbers do not follow the nodes. "refused": a system
 * that gives the ranks no memory to share. */
int main(int count, char **arguments) {
    refuses_memory = count > 1 && strcmp(arguments[1], "refused") == 0;
    if (count > 1 && !refuses_memory)
        setenv("DTRAIN_NODE_RANKS", arguments[1], 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_one_rank),
        cmocka_unit_test(test_reference_engine),
        cmocka_unit_test(test_restore_under_another_strategy),
        cmocka_unit_test(test_bits_of_one_rank_over_a_bf16_wire),
        cmocka_unit_test(test_bf16_wire_is_near),
        cmocka_unit_test(test_a_flipped_bit_is_found),
        cmocka_unit_test(test_too_many_ranks_for_the_columns),
        cmocka_unit_test(test_a_node_has_one_copy_of_the_weights),
    };
    if (!group_begins(&comm) || (refuses_memory && !refuse_memory()))
        return 1;
    dt_comm *whole = comm;
    if (count > 2) {
        int rank = dt_comm_rank(whole), size = dt_comm_size(whole);
        dt_status status = dt_comm_split(whole, 0, rank == 0 ? 0 : size - rank, &comm);
        if (dt_failed(&status))
            return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (comm != whole && !failed)
        dt_comm_destroy(comm);
    return group_ends(whole, failed);
}
