/* SPDX-License-Identifier: BSD-3-Clause */
/* How the placement table is folded and printed, on invented machines. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dtrain/log.h"
#include "dtrain/placement.h"

enum { MAX_RANKS = 512, ROOM = 65536 };

static dt_place places[MAX_RANKS];

/* One rank on cores first .. first + count - 1. */
static void put(int rank, int node, int first, int count, int threads, const char *warnings) {
    dt_place *place = &places[rank];
    *place = (dt_place){
        .node = node, .machine = node, .core_count = count, .machine_cores = 8, .threads = threads};
    snprintf(place->host, sizeof place->host, "node%d", node + 1);
    snprintf(place->cpu, sizeof place->cpu, "Model A");
    snprintf(place->warnings, sizeof place->warnings, "%s", warnings);
    place->set.count = count;
    for (int core = first; core < first + count; core++)
        place->set.mask[core / 64] |= (uint64_t)1 << (core % 64);
}

/* What dt_placement_print writes to one of the standard streams. */
static const char *print_to(FILE *stream, int ranks) {
    static char text[ROOM];
    dt_placement_table table = {.ranks = ranks, .places = places};
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stream);
    int saved = dup(fileno(stream));
    assert_true(saved >= 0 && dup2(fileno(file), fileno(stream)) >= 0);
    dt_placement_print(&table);
    fflush(stream);
    assert_true(dup2(saved, fileno(stream)) >= 0);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void test_one_rank(void **state) {
    (void)state;
    put(0, 0, 0, 8, 8, "");
    assert_string_equal(print_to(stdout, 1), "rank 0  node1  cores 0-7  8 threads\n");
    put(0, 0, 3, 1, 1, "");
    assert_string_equal(print_to(stdout, 1), "rank 0  node1  core 3  1 thread\n");
    assert_string_equal(print_to(stderr, 1), "");
}

static void test_ranks_on_the_same_cores(void **state) {
    (void)state;
    for (int rank = 0; rank < 4; rank++)
        put(rank, 0, 0, 2, 1, "");
    assert_string_equal(print_to(stdout, 4), "ranks 0-3  node1  cores 0-1 (shared by 4)  1 thread each\n");
}

static void test_ranks_on_cores_of_their_own(void **state) {
    (void)state;
    for (int rank = 0; rank < 4; rank++)
        put(rank, 0, 2 * rank, 2, 2, "");
    assert_string_equal(print_to(stdout, 4), "ranks 0-3  node1  cores 0-7 (2 each)  2 threads each\n");
}

static void test_different_ranks_stand_apart(void **state) {
    (void)state;
    put(0, 0, 0, 4, 4, "");
    put(1, 0, 4, 2, 2, "");
    put(2, 0, 6, 2, 1, "");
    assert_string_equal(print_to(stdout, 3), "rank 0  node1  cores 0-3  4 threads\n"
                                             "rank 1  node1  cores 4-5  2 threads\n"
                                             "rank 2  node1  cores 6-7  1 thread\n");
}

/* Same number of sharers and cores, but not the same cores: no "cores 0-2 (shared by 2)". */
static void test_partial_overlap_stands_apart(void **state) {
    (void)state;
    put(0, 0, 0, 2, 1, "");
    put(1, 0, 1, 2, 1, "");
    assert_string_equal(print_to(stdout, 2), "rank 0  node1  cores 0-1 (shared by 2)  1 thread\n"
                                             "rank 1  node1  cores 1-2 (shared by 2)  1 thread\n");
}

static void test_like_hosts_are_folded(void **state) {
    (void)state;
    for (int rank = 0; rank < 512; rank++)
        put(rank, rank / 4, 2 * (rank % 4), 2, 2, "");
    assert_string_equal(print_to(stdout, 512),
                        "ranks 0-511  node1 .. node128 (128 hosts)  cores 0-7 (2 each)  2 threads each\n");
}

static void test_hosts_in_turn(void **state) {
    (void)state;
    for (int rank = 0; rank < 6; rank++)
        put(rank, rank % 2, 0, 8, rank % 2 ? 1 : 2, "");
    assert_string_equal(print_to(stdout, 6), "ranks 0,2,4  node1  cores 0-7 (shared by 3)  2 threads each\n"
                                             "ranks 1,3,5  node2  cores 0-7 (shared by 3)  1 thread each\n");
}

static void test_long_lists_are_cut(void **state) {
    (void)state;
    for (int rank = 0; rank < 400; rank++)
        put(rank, rank % 2, 0, 8, 1 + rank % 2, "");
    const char *text = print_to(stdout, 400);
    assert_non_null(strstr(text, "ranks 0,2,4,6,"));
    assert_non_null(strstr(text, ",..  node1"));
    assert_true(strlen(text) < 600);
}

static void test_the_quota_is_named(void **state) {
    (void)state;
    put(0, 0, 0, 8, 2, "");
    places[0].quota = 1.5;
    assert_string_equal(print_to(stdout, 1),
                        "rank 0  node1  cores 0-7  2 threads, by the CPU quota of 1.5 cores\n");
}

/* MPI takes one machine for two nodes. */
static void test_nodes_of_one_machine_share_its_cores(void **state) {
    (void)state;
    put(0, 0, 0, 2, 1, "");
    put(1, 1, 0, 2, 1, "");
    places[1].machine = 0;
    const char *text = print_to(stdout, 2);
    assert_non_null(strstr(text, "cores 0-1 (shared by 2)"));
}

static void test_each_warning_is_said_once(void **state) {
    (void)state;
    put(0, 0, 0, 1, 1, "all of us\nfirst two");
    put(1, 0, 1, 1, 1, "first two\nall of us");
    put(2, 0, 2, 1, 1, "all of us\n");
    assert_string_equal(print_to(stderr, 3), "dtrain: warning: all of us\n"
                                             "dtrain: warning: ranks 0-1: first two\n");
}

static void test_a_part_of_a_warning_is_another_one(void **state) {
    (void)state;
    put(0, 0, 0, 1, 1, "cores 0-1");
    put(1, 0, 1, 1, 1, "cores 0-17");
    put(2, 0, 2, 1, 1, "");
    assert_string_equal(print_to(stderr, 3), "dtrain: warning: rank 0: cores 0-1\n"
                                             "dtrain: warning: rank 1: cores 0-17\n");
}

static void test_mixed_processors(void **state) {
    (void)state;
    for (int rank = 0; rank < 4; rank++)
        put(rank, rank / 2, 2 * (rank % 2), 2, 2, "");
    strcpy(places[2].cpu, "Model B");
    strcpy(places[3].cpu, "Model B");
    const char *text = print_to(stderr, 4);
    assert_non_null(strstr(text, "Model A (ranks 0-1), Model B (ranks 2-3)"));
    assert_null(strchr(strchr(text, '\n') + 1, '\n'));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rank),
        cmocka_unit_test(test_ranks_on_the_same_cores),
        cmocka_unit_test(test_ranks_on_cores_of_their_own),
        cmocka_unit_test(test_different_ranks_stand_apart),
        cmocka_unit_test(test_partial_overlap_stands_apart),
        cmocka_unit_test(test_like_hosts_are_folded),
        cmocka_unit_test(test_hosts_in_turn),
        cmocka_unit_test(test_long_lists_are_cut),
        cmocka_unit_test(test_the_quota_is_named),
        cmocka_unit_test(test_nodes_of_one_machine_share_its_cores),
        cmocka_unit_test(test_each_warning_is_said_once),
        cmocka_unit_test(test_a_part_of_a_warning_is_another_one),
        cmocka_unit_test(test_mixed_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
