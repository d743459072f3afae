/* SPDX-License-Identifier: BSD-3-Clause */
/* What the communicator promises, on any number of ranks. An argument N makes nodes of N ranks each. */
#include "test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dtrain/comm.h"

static struct {
    dt_comm *comm;
    int rank, size;
    int node_ranks; /* 0: all ranks are on one node */
    bool passed;    /* the last test came to its end on this rank */
} fixture = {.passed = true};

/* A rank that fails leaves the others in the middle of a collective: all ranks end then, once the failure has
 * been printed. */
static void end_all_after_failure(void) {
    if (!fixture.passed)
        dt_comm_abort(fixture.comm, 1);
}

static int begin_test(void **state) {
    (void)state;
    end_all_after_failure();
    fixture.passed = false;
    return 0;
}

static int start(void **state) {
    (void)state;
    dt_status status = dt_comm_create(&fixture.comm);
    if (dt_failed(&status)) {
        print_error("%s\n", status.text);
        return 1;
    }
    fixture.rank = dt_comm_rank(fixture.comm);
    fixture.size = dt_comm_size(fixture.comm);
    return 0;
}

static int finish(void **state) {
    (void)state;
    end_all_after_failure();
    dt_comm_destroy(fixture.comm);
    dt_comm_destroy(NULL);
    return 0;
}

static void test_facts(void **state) {
    (void)state;
    int rank = fixture.rank, size = fixture.size, ranks = fixture.node_ranks ? fixture.node_ranks : size;
    assert_true(rank >= 0 && rank < size);
    assert_int_equal(rank, dt_comm_launcher_rank());
    assert_int_equal(dt_comm_node(fixture.comm), rank / ranks);
    assert_int_equal(dt_comm_nodes(fixture.comm), (size + ranks - 1) / ranks);
    assert_int_equal(dt_comm_node_rank(fixture.comm), rank % ranks);
    int last = size % ranks ? size % ranks : ranks;
    assert_int_equal(dt_comm_node_size(fixture.comm), rank / ranks == (size - 1) / ranks ? last : ranks);
    assert_true(strlen(dt_comm_host(fixture.comm)) > 0);
    assert_true(strlen(dt_comm_library(fixture.comm)) > 0);
    assert_null(strpbrk(dt_comm_library(fixture.comm), "\r\n"));
    fixture.passed = true;
}

/* Counts around MPI's piece of 512 Ki numbers. */
static const int counts[] = {0, 1, 7, 1000, (512 << 10) - 1, 512 << 10, (512 << 10) + 1, 1300000};
enum { COUNTS = sizeof counts / sizeof *counts, MOST_NUMBERS = 1300000 };

static void *room(size_t bytes) {
    void *memory = malloc(bytes);
    assert_non_null(memory);
    return memory;
}

static void test_sums_of_integers(void **state) {
    (void)state;
    int64_t *values = room(MOST_NUMBERS * sizeof *values);
    int64_t size = fixture.size, ranks_sum = size * (size - 1) / 2;
    /* Beyond 2^53: a detour over doubles would lose the last bits. */
    const int64_t large = (int64_t)1 << 58;
    for (int c = 0; c < COUNTS; c++) {
        for (int i = 0; i < counts[c]; i++)
            values[i] = large + fixture.rank + i;
        dt_comm_sum_i64(fixture.comm, values, counts[c]);
        for (int i = 0; i < counts[c]; i++)
            if (values[i] != size * (large + i) + ranks_sum)
                fail_msg("value %d of %d is %lld", i, counts[c], (long long)values[i]);
    }
    free(values);
    fixture.passed = true;
}

static void test_sums_of_doubles(void **state) {
    (void)state;
    double *values = room(MOST_NUMBERS * sizeof *values);
    for (int c = 0; c < COUNTS; c++) {
        for (int i = 0; i < counts[c]; i++)
            values[i] = i % fixture.size == fixture.rank ? 1.0 / (i + 3) : 0;
        dt_comm_sum_f64(fixture.comm, values, counts[c]);
        for (int i = 0; i < counts[c]; i++)
            if (values[i] != 1.0 / (i + 3))
                fail_msg("value %d of %d is %g", i, counts[c], values[i]);
    }
    free(values);
    fixture.passed = true;
}

static void test_maxima(void **state) {
    (void)state;
    double *values = room(MOST_NUMBERS * sizeof *values);
    for (int c = 0; c < COUNTS; c++) {
        for (int i = 0; i < counts[c]; i++)
            values[i] = i % fixture.size == fixture.rank ? -i : -i - 1.5;
        dt_comm_max_f64(fixture.comm, values, counts[c]);
        for (int i = 0; i < counts[c]; i++)
            if (values[i] != -i)
                fail_msg("value %d of %d is %g", i, counts[c], values[i]);
    }
    free(values);
    fixture.passed = true;
}

static void test_lowest(void **state) {
    (void)state;
    int size = fixture.size, rank = fixture.rank;
    assert_int_equal(dt_comm_lowest(fixture.comm, -1), -1);
    assert_int_equal(dt_comm_lowest(fixture.comm, rank), 0);
    assert_int_equal(dt_comm_lowest(fixture.comm, rank == size - 1 ? rank : -1), size - 1);
    assert_int_equal(dt_comm_lowest(fixture.comm, 7 + size - rank), 8);
    fixture.passed = true;
}

/* Byte i of a block that rank `rank` fills. */
static unsigned char pattern(size_t i, int rank) {
    return (unsigned char)(i * 31 + i / 251 + (size_t)rank * 97);
}

static void fill(unsigned char *data, size_t bytes, int rank) {
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i, rank);
}

static void check(const unsigned char *data, size_t bytes, int rank) {
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != pattern(i, rank))
            fail_msg("byte %zu of %zu is %d, not %d", i, bytes, data[i], pattern(i, rank));
}

static const size_t sizes[] = {0, 1, 1000, 4 << 20, 5000000, 9000001};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_broadcast(void **state) {
    (void)state;
    for (int s = 0; s < SIZES; s++)
        for (int root = 0; root < fixture.size; root++) {
            unsigned char *data = room(sizes[s] + 1);
            memset(data, 0, sizes[s]);
            data[sizes[s]] = 77;
            if (fixture.rank == root)
                fill(data, sizes[s], root);
            dt_comm_broadcast(fixture.comm, data, sizes[s], root);
            check(data, sizes[s], root);
            assert_int_equal(data[sizes[s]], 77);
            free(data);
        }
    fixture.passed = true;
}

static void test_allgather(void **state) {
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        unsigned char *mine = room(sizes[s] + 1), *all = room(sizes[s] * (size_t)fixture.size + 1);
        fill(mine, sizes[s], fixture.rank);
        all[sizes[s] * (size_t)fixture.size] = 77;
        dt_comm_allgather(fixture.comm, mine, sizes[s], all);
        for (int rank = 0; rank < fixture.size; rank++)
            check(all + sizes[s] * (size_t)rank, sizes[s], rank);
        assert_int_equal(all[sizes[s] * (size_t)fixture.size], 77);
        free(mine);
        free(all);
    }
    fixture.passed = true;
}

/* All ranks have the same status, and with several ranks it names the lowest that failed. */
static void check_agreement(bool fails, int lowest) {
    char own[64], expected[DT_STATUS_TEXT];
    snprintf(own, sizeof own, "file %d is missing", fixture.rank);
    dt_status agreed = dt_comm_agree(fixture.comm, fails ? dt_fail(DT_FILE, "%s", own) : dt_ok());
    if (lowest < 0) {
        assert_ok(agreed);
        return;
    }
    assert_int_equal(agreed.code, DT_FILE);
    char host[256] = "";
    snprintf(host, sizeof host, "%s", dt_comm_host(fixture.comm));
    dt_comm_broadcast(fixture.comm, host, sizeof host, lowest);
    snprintf(expected, sizeof expected, "rank %d on %s: file %d is missing", lowest, host, lowest);
    assert_string_equal(agreed.text, fixture.size == 1 ? own : expected);
}

static void test_agreement(void **state) {
    (void)state;
    int rank = fixture.rank, last = fixture.size - 1;
    check_agreement(false, -1);
    for (int failing = 0; failing <= last; failing++)
        check_agreement(rank == failing, failing);
    check_agreement(rank == last || rank == last / 2, last / 2);
    check_agreement(true, 0);
    check_agreement(false, -1);
    fixture.passed = true;
}

static void test_agreement_on_a_long_text(void **state) {
    (void)state;
    char text[DT_STATUS_TEXT];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dt_status agreed = dt_comm_agree(fixture.comm, dt_fail(DT_DATA, "%s", text));
    assert_int_equal(agreed.code, DT_DATA);
    assert_int_equal(strlen(agreed.text), DT_STATUS_TEXT - 1);
    fixture.passed = true;
}

static void test_barrier(void **state) {
    (void)state;
    dt_comm_window *window;
    assert_ok(dt_comm_window_create(fixture.comm, sizeof(_Atomic int), &window));
    _Atomic int *arrived = dt_comm_window_data(window);
    for (int round = 1; round <= 20; round++) {
        ++*arrived;
        dt_comm_barrier(fixture.comm);
        assert_int_equal(*arrived, round * dt_comm_node_size(fixture.comm));
        dt_comm_barrier(fixture.comm);
    }
    dt_comm_window_release(window);
    fixture.passed = true;
}

static void test_window_is_published(void **state) {
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        dt_comm_window *window;
        assert_ok(dt_comm_window_create(fixture.comm, sizes[s], &window));
        unsigned char *data = dt_comm_window_data(window);
        assert_non_null(data);
        assert_int_equal((uintptr_t)data % 64, 0);
        for (size_t i = 0; i < sizes[s]; i++)
            assert_int_equal(data[i], 0);
        /* Nobody writes before all have seen the zeros. */
        dt_comm_barrier(fixture.comm);
        for (int round = 0; round < 3; round++) {
            if (fixture.rank == 0)
                fill(data, sizes[s], round);
            dt_comm_window_publish(fixture.comm, window);
            check(data, sizes[s], round);
            dt_comm_barrier(fixture.comm);
        }
        dt_comm_window_release(window);
    }
    dt_comm_window_release(NULL);
    fixture.passed = true;
}

static void test_windows_are_apart(void **state) {
    (void)state;
    dt_comm_window *windows[3];
    for (int i = 0; i < 3; i++)
        assert_ok(dt_comm_window_create(fixture.comm, 10000, &windows[i]));
    for (int i = 0; i < 3; i++) {
        if (fixture.rank == 0)
            fill(dt_comm_window_data(windows[i]), 10000, i);
        dt_comm_window_publish(fixture.comm, windows[i]);
    }
    for (int i = 2; i >= 0; i--) {
        check(dt_comm_window_data(windows[i]), 10000, i);
        dt_comm_window_release(windows[i]);
    }
    fixture.passed = true;
}

/* Every rank's part is its own to write, and all of the node are there to read, one behind the other. */
static void test_window_of_parts(void **state) {
    (void)state;
    static const size_t wanted[] = {1, 2 << 20, (4 << 20) + 1};
    int place = dt_comm_node_rank(fixture.comm), members = dt_comm_node_size(fixture.comm);
    for (int i = 0; i < 3; i++) {
        dt_comm_window *window;
        assert_ok(dt_comm_window_create_parts(fixture.comm, wanted[i], &window));
        size_t part = dt_comm_window_part(window);
        assert_true(part >= wanted[i] && part < wanted[i] + (2 << 20) && part % (2 << 20) == 0);
        unsigned char *data = dt_comm_window_data(window);
        for (size_t at = 0; at < part; at += 4096)
            assert_int_equal(data[(size_t)place * part + at], 0);
        fill(data + (size_t)place * part, wanted[i], place);
        dt_comm_node_barrier(fixture.comm);
        for (int other = 0; other < members; other++)
            check(data + (size_t)other * part, wanted[i], other);
        dt_comm_node_barrier(fixture.comm);
        dt_comm_window_release(window);
    }
    fixture.passed = true;
}

/* A turn goes round the ranks of a node through memory alone; waiting for it moves a message along, too large
 * to have arrived by itself. */
static void test_pauses_move_messages(void **state) {
    (void)state;
    enum { FLOATS = 1 << 20 };
    int next = (fixture.rank + 1) % fixture.size, previous = (fixture.rank + fixture.size - 1) % fixture.size;
    int place = dt_comm_node_rank(fixture.comm), members = dt_comm_node_size(fixture.comm);
    float *arrays = calloc(2 * FLOATS, sizeof *arrays);
    dt_comm_window *window;
    dt_transfers *transfers;
    assert_non_null(arrays);
    assert_ok(dt_comm_window_create(fixture.comm, sizeof(atomic_int), &window));
    assert_ok(dt_transfers_create(fixture.comm, 2, &transfers));
    atomic_int *turn = dt_comm_window_data(window);
    arrays[FLOATS - 1] = (float)fixture.rank;
    dt_transfers_receive(transfers, previous, 5, arrays + FLOATS, FLOATS);
    dt_transfers_send(transfers, next, 5, arrays, FLOATS);
    for (int round = 0; round < 20; round++) {
        dt_idle idle = {0};
        while (atomic_load(turn) != round * members + place)
            dt_comm_pause(fixture.comm, &idle);
        atomic_fetch_add(turn, 1);
    }
    dt_transfers_wait(transfers);
    assert_true(arrays[2 * FLOATS - 1] == (float)previous);
    dt_transfers_destroy(transfers);
    dt_comm_barrier(fixture.comm);
    dt_comm_window_release(window);
    free(arrays);
    fixture.passed = true;
}

static void test_window_too_large(void **state) {
    (void)state;
    dt_comm_window *window = (dt_comm_window *)&fixture;
    assert_fails(dt_comm_window_create(fixture.comm, (size_t)1 << 60, &window), DT_MEMORY,
                 "1152921504606.8 MB that the ranks of a node share (mmap): Cannot allocate memory");
    assert_null(window);
    window = (dt_comm_window *)&fixture;
    assert_fails(dt_comm_window_create_parts(fixture.comm, (size_t)1 << 58, &window), DT_MEMORY,
                 "that the ranks of a node share (mmap): Cannot allocate memory");
    assert_null(window);
    fixture.passed = true;
}

/* Every rank sends `tags` messages to every rank, itself included, and receives as many. Message lengths
 * differ; one is empty. */
enum { TAGS = 3, LONGEST = 200000 };

static size_t message_length(int from, int to, int tag) {
    return tag == 1 ? 0 : (size_t)(LONGEST - 1000 * from - 10 * to - tag);
}

static float message_value(int from, int to, int tag, size_t i) {
    return (float)(from * 100 + to * 10 + tag) + (float)(i % 4096) / 4096.0f;
}

static void post_all(dt_transfers *transfers, float *incoming, float *outgoing) {
    int me = fixture.rank;
    for (int step = 0; step < fixture.size; step++)
        for (int tag = 0; tag < TAGS; tag++) {
            int to = (me + step) % fixture.size, from = (me - step + fixture.size) % fixture.size;
            size_t slot = (size_t)(step * TAGS + tag) * LONGEST, count = message_length(me, to, tag);
            for (size_t i = 0; i < count; i++)
                outgoing[slot + i] = message_value(me, to, tag, i);
            dt_transfers_receive(transfers, from, tag * 16383, incoming + slot,
                                 message_length(from, me, tag));
            dt_transfers_send(transfers, to, tag * 16383, outgoing + slot, count);
        }
}

static void check_all(const float *incoming) {
    int me = fixture.rank;
    for (int step = 0; step < fixture.size; step++)
        for (int tag = 0; tag < TAGS; tag++) {
            int from = (me - step + fixture.size) % fixture.size;
            const float *message = incoming + (size_t)(step * TAGS + tag) * LONGEST;
            size_t count = message_length(from, me, tag);
            for (size_t i = 0; i < count; i++)
                if (message[i] != message_value(from, me, tag, i))
                    fail_msg("value %zu of %d from %d is %g", i, tag, from, (double)message[i]);
            assert_true(message[count] == -1);
        }
}

static uint64_t traffic_of_round(bool sending) {
    uint64_t floats = 0;
    for (int peer = 0; peer < fixture.size; peer++)
        for (int tag = 0; tag < TAGS; tag++)
            floats +=
                sending ? message_length(fixture.rank, peer, tag) : message_length(peer, fixture.rank, tag);
    return 4 * floats;
}

static void test_transfers(void **state) {
    (void)state;
    size_t messages = (size_t)fixture.size * TAGS;
    float *incoming = room((messages * LONGEST + 1) * sizeof *incoming);
    float *outgoing = room(messages * LONGEST * sizeof *outgoing);
    dt_transfers *transfers;
    assert_ok(dt_transfers_create(fixture.comm, 2 * (int)messages, &transfers));
    for (int round = 0; round < 4; round++) {
        dt_traffic before = dt_comm_traffic(fixture.comm);
        for (size_t i = 0; i <= messages * LONGEST; i++)
            incoming[i] = -1;
        post_all(transfers, incoming, outgoing);
        if (round % 2)
            dt_transfers_wait(transfers);
        else
            while (!dt_transfers_test(transfers))
                ;
        check_all(incoming);
        dt_traffic after = dt_comm_traffic(fixture.comm);
        assert_true(after.sent - before.sent == traffic_of_round(true));
        assert_true(after.received - before.received == traffic_of_round(false));
        /* A slow rank's messages must not land in the next round's arrays. */
        dt_comm_barrier(fixture.comm);
    }
    dt_transfers_destroy(transfers);
    free(incoming);
    free(outgoing);
    fixture.passed = true;
}

static void test_empty_transfers(void **state) {
    (void)state;
    dt_transfers *transfers;
    assert_ok(dt_transfers_create(fixture.comm, 0, &transfers));
    assert_true(dt_transfers_test(transfers));
    dt_transfers_wait(transfers);
    dt_transfers_destroy(transfers);
    dt_transfers_destroy(NULL);
    fixture.passed = true;
}

/* Two sets at once, and collectives in between: nothing is mixed up. */
static void test_transfers_beside_collectives(void **state) {
    (void)state;
    int next = (fixture.rank + 1) % fixture.size, previous = (fixture.rank - 1 + fixture.size) % fixture.size;
    dt_transfers *sets[2];
    float sent[2], received[2] = {-1, -1};
    for (int i = 0; i < 2; i++) {
        assert_ok(dt_transfers_create(fixture.comm, 2, &sets[i]));
        sent[i] = (float)(10 * fixture.rank + i);
        dt_transfers_receive(sets[i], previous, 7 + i, &received[i], 1);
    }
    int64_t one = 1;
    dt_comm_sum_i64(fixture.comm, &one, 1);
    assert_int_equal(one, fixture.size);
    if (fixture.size > 1)
        assert_false(dt_transfers_test(sets[1]));
    /* Nobody sends before all have seen that nothing has arrived. */
    dt_comm_barrier(fixture.comm);
    for (int i = 1; i >= 0; i--)
        dt_transfers_send(sets[i], next, 7 + i, &sent[i], 1);
    for (int i = 0; i < 2; i++) {
        dt_transfers_wait(sets[i]);
        assert_true(received[i] == (float)(10 * previous + i));
        dt_transfers_destroy(sets[i]);
    }
    fixture.passed = true;
}

static void test_nodes_of_all_ranks(void **state) {
    (void)state;
    int ranks = fixture.node_ranks ? fixture.node_ranks : fixture.size;
    for (int rank = 0; rank < fixture.size; rank++)
        assert_int_equal(dt_comm_node_of(fixture.comm, rank), rank / ranks);
    fixture.passed = true;
}

/* Even ranks, backwards, and odd ones; messages of the same tag in the whole and in the part do not meet. */
static void test_parts(void **state) {
    (void)state;
    dt_comm *part;
    bool odd = fixture.rank % 2;
    int size = odd ? fixture.size / 2 : (fixture.size + 1) / 2, place = fixture.rank / 2;
    assert_ok(dt_comm_split(fixture.comm, odd, odd ? 0 : -fixture.rank, &part));
    assert_int_equal(dt_comm_size(part), size);
    assert_int_equal(dt_comm_rank(part), odd ? place : size - 1 - place);
    bool together = dt_comm_node_of(part, 0) == dt_comm_node(part);
    assert_true(together ==
                (dt_comm_node_of(fixture.comm, odd ? 1 : 2 * (size - 1)) == dt_comm_node(fixture.comm)));
    int64_t sum = fixture.rank, expected = odd ? (int64_t)size * size : (int64_t)size * (size - 1);
    dt_comm_sum_i64(part, &sum, 1);
    assert_int_equal(sum, expected);
    dt_comm *ranges[2] = {fixture.comm, part};
    dt_transfers *sets[2];
    float sent[2], received[2];
    dt_traffic before = dt_comm_traffic(fixture.comm);
    for (int i = 1; i >= 0; i--) {
        int ranks = dt_comm_size(ranges[i]), next = (dt_comm_rank(ranges[i]) + 1) % ranks;
        sent[i] = (float)(100 * i + dt_comm_rank(ranges[i]));
        assert_ok(dt_transfers_create(ranges[i], 2, &sets[i]));
        dt_transfers_receive(sets[i], (next + 2 * ranks - 2) % ranks, 3, &received[i], 1);
    }
    for (int i = 0; i < 2; i++)
        dt_transfers_send(sets[i], (dt_comm_rank(ranges[i]) + 1) % dt_comm_size(ranges[i]), 3, &sent[i], 1);
    for (int i = 0; i < 2; i++) {
        int ranks = dt_comm_size(ranges[i]), previous = (dt_comm_rank(ranges[i]) + ranks - 1) % ranks;
        dt_transfers_wait(sets[i]);
        dt_transfers_destroy(sets[i]);
        assert_true(received[i] == (float)(100 * i + previous));
    }
    assert_int_equal(dt_comm_traffic(fixture.comm).sent - before.sent, 2 * sizeof(float));
    dt_comm_destroy(part);
    fixture.passed = true;
}

/* What a rank stands by for is exposed, whatever travels meanwhile; what travels while it does something else
 * is hidden. */
static void test_hidden_and_exposed(void **state) {
    (void)state;
    const struct timespec pause = {0, 100000000};
    bool late = fixture.rank == fixture.size - 1;
    int next = (fixture.rank + 1) % fixture.size, previous = (fixture.rank + fixture.size - 1) % fixture.size;
    float sent = 1.0F, received;
    int64_t sum = 1;
    dt_transfers *transfers;
    assert_ok(dt_transfers_create(fixture.comm, 2, &transfers));
    for (int hidden = 0; hidden < 2 && fixture.size > 1; hidden++) {
        dt_comm_barrier(fixture.comm);
        dt_traffic before = dt_comm_traffic(fixture.comm);
        dt_transfers_receive(transfers, previous, 3, &received, 1);
        dt_transfers_send(transfers, next, 3, &sent, 1);
        if (late || hidden)
            nanosleep(&pause, NULL);
        dt_comm_sum_i64(fixture.comm, &sum, 1);
        dt_transfers_wait(transfers);
        dt_traffic after = dt_comm_traffic(fixture.comm);
        double seconds = after.seconds - before.seconds, waited = after.waited - before.waited;
        assert_true(seconds >= 0.09 && waited >= 0.0 && waited <= seconds);
        if (hidden)
            assert_true(waited < 0.5 * seconds);
        else if (!late)
            assert_true(waited > 0.8 * seconds);
    }
    dt_comm_barrier(fixture.comm);
    dt_traffic all = dt_comm_traffic(fixture.comm);
    assert_true(fixture.size > 1 || all.waited == 0.0);
    dt_transfers_destroy(transfers);
    fixture.passed = true;
}

static void test_no_part(void **state) {
    (void)state;
    dt_comm *part;
    assert_ok(dt_comm_split(fixture.comm, fixture.rank == 0 ? -1 : 5, 0, &part));
    assert_true((part == NULL) == (fixture.rank == 0));
    if (part)
        assert_int_equal(dt_comm_size(part), fixture.size - 1);
    dt_comm_destroy(part);
    fixture.passed = true;
}

static void test_manners_may_differ(void **state) {
    (void)state;
    dt_comm_set_polite(fixture.comm, fixture.rank % 2);
    int64_t value = 1;
    for (int i = 0; i < 50; i++) {
        dt_comm_barrier(fixture.comm);
        dt_comm_sum_i64(fixture.comm, &value, 1);
        value /= fixture.size;
        assert_int_equal(value, 1);
    }
    fixture.passed = true;
}

static int be_polite(void **state) {
    dt_comm_set_polite(fixture.comm, true);
    return begin_test(state);
}

#define PLAIN(test) cmocka_unit_test_setup(test, begin_test)
#define POLITE(test) \
    { #test " politely", test, be_polite, NULL, NULL }

int main(int count, char **arguments) {
    if (count > 1) {
        fixture.node_ranks = atoi(arguments[1]);
        setenv("DTRAIN_NODE_RANKS", arguments[1], 1);
    }
    const struct CMUnitTest tests[] = {
        PLAIN(test_facts),
        PLAIN(test_sums_of_integers),
        PLAIN(test_sums_of_doubles),
        PLAIN(test_maxima),
        PLAIN(test_lowest),
        PLAIN(test_broadcast),
        PLAIN(test_allgather),
        PLAIN(test_agreement),
        PLAIN(test_agreement_on_a_long_text),
        PLAIN(test_barrier),
        PLAIN(test_window_is_published),
        PLAIN(test_windows_are_apart),
        PLAIN(test_window_too_large),
        PLAIN(test_window_of_parts),
        PLAIN(test_pauses_move_messages),
        PLAIN(test_transfers),
        PLAIN(test_empty_transfers),
        PLAIN(test_transfers_beside_collectives),
        PLAIN(test_nodes_of_all_ranks),
        PLAIN(test_parts),
        PLAIN(test_no_part),
        PLAIN(test_hidden_and_exposed),
        PLAIN(test_manners_may_differ),
        POLITE(test_sums_of_integers),
        POLITE(test_maxima),
        POLITE(test_lowest),
        POLITE(test_broadcast),
        POLITE(test_allgather),
        POLITE(test_agreement),
        POLITE(test_barrier),
        POLITE(test_window_is_published),
        POLITE(test_pauses_move_messages),
        POLITE(test_transfers),
        POLITE(test_transfers_beside_collectives),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
