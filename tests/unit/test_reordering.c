/* SPDX-License-Identifier: BSD-3-Clause */
/* A communicator that delays messages and reorders them: all ranks of a step live in this process, messages
 * arrive in an order drawn at random (only those with one sender, receiver and tag keep theirs, as MPI
 * promises), and a test for completion may say "not yet". Sums, Adam and weights must not change by a bit.
 * The functions of comm.h that the exchange uses are defined here and take the place of MPI's. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "dtrain/comm.h"
#include "dtrain/memory.h"
#include "parallel/shards.h"

enum { MOST_RANKS = 7, MOST_MESSAGES = 40000, FLOATS = 3 * 1024 + 64, BATCH = 100 };

struct dt_comm {
    int rank, size;
};

struct dt_transfers {
    dt_comm *comm;
    int open; /* receives that nothing has arrived for, and sends that nobody has received */
};

/* A send or a receive without its counterpart. */
typedef struct half {
    dt_transfers *owner;
    int from, to, tag;
    const void *source; /* a send's */
    void *target;       /* a receive's */
    size_t bytes;
} half;

static half sends[MOST_MESSAGES], receives[MOST_MESSAGES];
static int send_count, receive_count;
static uint32_t drawn = 1;
static long delivered;

static int draw(int limit) {
    drawn = drawn * 1664525u + 1013904223u;
    return (int)((drawn >> 8) % (uint32_t)limit);
}

int dt_comm_rank(const dt_comm *comm) {
    return comm->rank;
}

int dt_comm_size(const dt_comm *comm) {
    return comm->size;
}

dt_status dt_transfers_create(dt_comm *comm, int capacity, dt_transfers **transfers) {
    (void)capacity;
    *transfers = calloc(1, sizeof **transfers);
    assert_non_null(*transfers);
    (*transfers)->comm = comm;
    return dt_ok();
}

void dt_transfers_destroy(dt_transfers *transfers) {
    assert_true(!transfers || transfers->open == 0);
    free(transfers);
}

static void send(dt_transfers *transfers, int rank, int tag, const void *values, size_t bytes) {
    assert_true(send_count < MOST_MESSAGES);
    sends[send_count++] = (half){transfers, transfers->comm->rank, rank, tag, values, NULL, bytes};
    transfers->open++;
}

static void receive(dt_transfers *transfers, int rank, int tag, void *values, size_t bytes) {
    assert_true(receive_count < MOST_MESSAGES);
    receives[receive_count++] = (half){transfers, rank, transfers->comm->rank, tag, NULL, values, bytes};
    transfers->open++;
}

void dt_transfers_send(dt_transfers *transfers, int rank, int tag, const float *values, size_t count) {
    send(transfers, rank, tag, values, count * sizeof *values);
}

void dt_transfers_receive(dt_transfers *transfers, int rank, int tag, float *values, size_t count) {
    receive(transfers, rank, tag, values, count * sizeof *values);
}

void dt_transfers_send_halves(dt_transfers *transfers, int rank, int tag, const uint16_t *halves,
                              size_t count) {
    send(transfers, rank, tag, halves, count * sizeof *halves);
}

void dt_transfers_receive_halves(dt_transfers *transfers, int rank, int tag, uint16_t *halves, size_t count) {
    receive(transfers, rank, tag, halves, count * sizeof *halves);
}

static bool fit(const half *a, const half *b) {
    return a->from == b->from && a->to == b->to && a->tag == b->tag;
}

/* The first of the list that fits, which is the one that MPI would match; -1 for none. */
static int first_fit(const half *list, int count, const half *wanted) {
    for (int i = 0; i < count; i++)
        if (fit(&list[i], wanted))
            return i;
    return -1;
}

static void drop(half *list, int *count, int index) {
    (*count)--;
    memmove(list + index, list + index + 1, (size_t)(*count - index) * sizeof *list);
}

/* Delivers one message, drawn at random; false if none can be. */
static bool deliver(void) {
    for (int attempt = 0, start = send_count ? draw(send_count) : 0; attempt < send_count; attempt++) {
        half sample = sends[(start + attempt) % send_count];
        int send = first_fit(sends, send_count, &sample),
            receive = first_fit(receives, receive_count, &sample);
        if (receive < 0)
            continue;
        assert_true(sends[send].bytes == receives[receive].bytes);
        memcpy(receives[receive].target, sends[send].source, sends[send].bytes);
        sends[send].owner->open--;
        receives[receive].owner->open--;
        drop(sends, &send_count, send);
        drop(receives, &receive_count, receive);
        delivered++;
        return true;
    }
    return false;
}

bool dt_transfers_test(dt_transfers *transfers) {
    if (draw(3) == 0)
        deliver();
    return transfers->open == 0 && draw(4) != 0;
}

/* Nobody may wait for what others have yet to do: they would not get to do it. */
void dt_transfers_wait(dt_transfers *transfers) {
    while (transfers->open > 0)
        assert_true(deliver());
}

/* What another rank is to write must be there already, or a message may still have to be moved. */
void dt_comm_pause(dt_comm *comm, dt_idle *idle) {
    (void)comm;
    assert_true(++idle->sleep_ns < 100000);
    deliver();
}

/* A rank of the step. */
typedef struct member {
    dt_comm comm;
    dt_kernels *kernels;
    dt_cut cut;
    dt_sharing sharing;
    float *gradients, *weights;
    dt_shards *shards;
} member;

static float leaf_value(int leaf, size_t element, int salt) {
    uint32_t bits = ((uint32_t)element + 1u) * 2654435761u ^ (uint32_t)(leaf + 131 * salt) * 2246822519u;
    bits = (bits ^ bits >> 15) * 2654435769u;
    return (float)((int32_t)(bits >> 8) - (1 << 23)) * (1.0f / (float)(1u << (13 + bits % 11)));
}

/* What a share's kernels leave in its roots. */
static void write_roots(member *m, int salt) {
    unsigned char merges[BATCH];
    dt_leaf_plan plan = dt_leaves_plan(&m->cut.share, merges, NULL);
    for (size_t i = 0; i < FLOATS; i++) {
        float stack[DT_LEAF_DEPTH];
        int height = 0;
        for (int leaf = 0; leaf < plan.leaves; leaf++) {
            stack[height] = leaf_value(m->cut.share.first_leaf + leaf, i, salt);
            dt_wire_round(m->kernels, 1, &stack[height++]);
            for (int merge = 0; merge < merges[leaf]; merge++, height--)
                dt_add_to(m->kernels, 1, &stack[height - 1], &stack[height - 2]);
        }
        for (int root = 0; root < height; root++)
            m->gradients[(size_t)root * FLOATS + i] = stack[root];
    }
}

/* The memory that ranks of a node share, and of those that share none. */
typedef struct common_memory {
    int node_of[MOST_RANKS];
    float *gradients, *weights[MOST_RANKS];
    size_t stride; /* of a rank's gradients */
    dt_rank_counters counters[MOST_RANKS][DT_SHARED_RANGES * MOST_RANKS];
} common_memory;

/* Gradients of all ranks lie in a row; node_ranks 0: nothing is shared. */
static void open_memory(common_memory *memory, int size, int node_ranks) {
    memory->stride = FLOATS * (size_t)DT_LEAF_DEPTH / 8;
    memory->gradients = aligned_alloc(DT_ALIGNMENT, sizeof(float) * memory->stride * (size_t)size);
    assert_non_null(memory->gradients);
    for (int rank = 0; rank < size; rank++) {
        memory->node_of[rank] = node_ranks ? rank / node_ranks : rank;
        memory->weights[rank] = aligned_alloc(DT_ALIGNMENT, sizeof(float) * FLOATS);
        assert_non_null(memory->weights[rank]);
        for (size_t i = 0; i < FLOATS; i++)
            memory->weights[rank][i] = (float)i * 1e-3f;
    }
}

static void close_memory(common_memory *memory, int size) {
    free(memory->gradients);
    for (int rank = 0; rank < size; rank++)
        free(memory->weights[rank]);
}

static void open_member(member *m, common_memory *memory, dt_kernels *kernels, int rank, dt_cut_parts parts,
                        int node_ranks, size_t piece_floats) {
    int node = memory->node_of[rank], place = node_ranks ? rank % node_ranks : 0, first = rank - place;
    int left = parts.count - first;
    m->comm = (dt_comm){rank, parts.count};
    m->kernels = kernels;
    assert_ok(dt_cut_create_parts(BATCH, parts, rank, &m->cut));
    assert_true((size_t)m->cut.bounds.roots * FLOATS <= memory->stride);
    m->gradients = memory->gradients + (size_t)rank * memory->stride;
    m->weights = memory->weights[first];
    m->sharing = (dt_sharing){.node_of = memory->node_of,
                              .members = left < node_ranks ? left : node_ranks,
                              .place = place,
                              .gradients = memory->gradients + (size_t)first * memory->stride,
                              .gradient_stride = memory->stride,
                              .weights = m->weights,
                              .counters = memory->counters[node]};
    dt_shards_config config = {.comm = &m->comm,
                               .kernels = kernels,
                               .cut = &m->cut,
                               .sharing = node_ranks ? &m->sharing : NULL,
                               .range = {0, FLOATS},
                               .weights = m->weights,
                               .gradients = m->gradients,
                               .stride = FLOATS,
                               .piece_floats = piece_floats};
    assert_ok(dt_shards_create(&config, &m->shards));
}

static void close_member(member *m) {
    dt_shards_destroy(m->shards);
    dt_cut_release(&m->cut);
}

/* Until nothing moves any more, ranks in an order of chance. */
static void settle(member *members, int size) {
    long before;
    do {
        before = delivered;
        for (int i = 0; i < 40 * size; i++)
            dt_shards_progress(members[draw(size)].shards);
        deliver();
    } while (delivered > before || send_count > 0);
}

/* One step of all ranks; gradients become complete in portions, on each rank at its own pace. */
static void run_step(member *members, int size, int batch, int step) {
    const dt_adam_step adam = {1e-3f, 0.1f, 1e-3f, 1e-8f};
    size_t complete[MOST_RANKS] = {0};
    for (int rank = 0; rank < size; rank++) {
        dt_cut_set(&members[rank].cut, batch);
        write_roots(&members[rank], step);
        dt_shards_begin(members[rank].shards);
    }
    for (int unfinished = size; unfinished > 0;) {
        int rank = draw(size);
        if (complete[rank] == FLOATS)
            continue;
        complete[rank] += 16 * (size_t)(1 + draw(60));
        complete[rank] = complete[rank] < FLOATS ? complete[rank] : FLOATS;
        unfinished -= complete[rank] == FLOATS;
        dt_shards_extend(members[rank].shards, complete[rank]);
        dt_shards_progress(members[rank].shards);
    }
    settle(members, size);
    for (int rank = 0; rank < size; rank++)
        dt_shards_finish(members[rank].shards);
    for (int rank = 0; rank < size; rank++)
        dt_shards_update(members[rank].shards, adam);
    settle(members, size);
    for (int rank = 0; rank < size; rank++)
        dt_shards_wait(members[rank].shards, (dt_range){0, FLOATS});
}

/* Ranks that each have a share, and holders of the same columns in groups of ranks, one, two or more each. */
static const struct {
    int count;
    int starts[MOST_RANKS + 1]; /* all 0: without */
} shapes[] = {{2, {0}}, {3, {0}},       {4, {0}},       {5, {0}},          {6, {0}},
              {7, {0}}, {2, {0, 3, 4}}, {2, {0, 1, 5}}, {3, {0, 2, 4, 5}}, {4, {0, 4, 5, 12, 14}}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static float expected[3][FLOATS]; /* weights after each step: those of the first case */
static bool is_first;

static void check_case(dt_kernels *kernels, dt_cut_parts parts, int node_ranks, size_t piece_floats) {
    static const int batches[] = {64, 7, 100};
    int size = parts.count;
    member members[MOST_RANKS] = {0};
    common_memory *shared = aligned_alloc(_Alignof(common_memory), sizeof *shared);
    assert_non_null(shared);
    memset(shared, 0, sizeof *shared);
    open_memory(shared, size, node_ranks);
    for (int rank = 0; rank < size; rank++)
        open_member(&members[rank], shared, kernels, rank, parts, node_ranks, piece_floats);
    for (int step = 0; step < 3; step++) {
        run_step(members, size, batches[step], step);
        if (is_first)
            memcpy(expected[step], members[0].weights, sizeof expected[step]);
        for (int rank = 0; rank < size; rank++)
            assert_memory_equal(members[rank].weights, expected[step], sizeof expected[step]);
    }
    is_first = false;
    for (int rank = 0; rank < size; rank++)
        close_member(&members[rank]);
    close_memory(shared, size);
    free(shared);
}

/* Nor does it matter which ranks share memory. */
static void check_orders(dt_wire wire) {
    static const size_t pieces[] = {64, 272, 4096};
    dt_team *team;
    dt_kernels *kernels;
    assert_ok(dt_team_create(1, &team));
    assert_ok(
        dt_kernels_create(&(dt_kernels_config){.team = team, .isa = DT_ISA_BEST, .wire = wire}, &kernels));
    is_first = true;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int p = 0; p < 3; p++)
            for (int node_ranks = 0; node_ranks <= 3; node_ranks++) {
                const int *starts = shapes[shape].starts[1] ? shapes[shape].starts : NULL;
                check_case(kernels, (dt_cut_parts){shapes[shape].count, starts}, node_ranks, pieces[p]);
            }
    check_case(kernels, (dt_cut_parts){.count = MOST_RANKS}, MOST_RANKS, pieces[1]);
    assert_true(delivered > 10000);
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
}

static void test_no_order_changes_a_bit(void **state) {
    (void)state;
    check_orders(DT_WIRE_FP32);
}

static void test_no_order_changes_a_bit_of_bf16(void **state) {
    (void)state;
    check_orders(DT_WIRE_BF16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_order_changes_a_bit),
        cmocka_unit_test(test_no_order_changes_a_bit_of_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
