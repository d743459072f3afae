/* SPDX-License-Identifier: BSD-3-Clause */
/* Cores as the system reports them, and threads on invented nodes. */
#include "test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/topology.h"

enum { MOST_RANKS = 8 };

/* "0-3,8" of a machine of so many cores. */
static dt_cores cores_of(const char *text, int machine) {
    dt_cores cores = {.machine = machine};
    while (*text) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long core = first; core <= last; core++, cores.count++)
            cores.mask[core / 64] |= (uint64_t)1 << (core % 64);
        text = *end == ',' ? end + 1 : end;
    }
    return cores;
}

static void test_text_of_cores(void **state) {
    (void)state;
    static const char *const texts[] = {"0", "0-3", "0-3,8", "1,3,5-6", "63-64", "0,1022-1023", "0-1023"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dt_cores cores = cores_of(texts[i], DT_CORES);
        char text[64];
        dt_topology_cores_text(&cores, text, sizeof text);
        assert_string_equal(text, texts[i]);
    }
    dt_cores cores = cores_of("", 4);
    char text[8];
    dt_topology_cores_text(&cores, text, sizeof text);
    assert_string_equal(text, "none");
    cores = cores_of("10,12,14-15", 16);
    dt_topology_cores_text(&cores, text, sizeof text);
    assert_string_equal(text, "10,12");
}

/* One node: its ranks' cores, and what each rank should get. */
typedef struct node_case {
    const char *cores[MOST_RANKS];
    int machine;
    dt_thread_wish wish;
    int threads[MOST_RANKS];
    bool oversubscribed;
    const char *warning; /* of rank 0: a part of it, "" for none at all */
} node_case;

static const node_case cases[] = {
    /* One rank. */
    {{"0-7"}, 8, {0, 0}, {8}, false, ""},
    {{"0-7"}, 8, {0, 4}, {4}, false, ""},
    {{"0-7"}, 8, {3, 4}, {3}, false, ""},
    {{"0-7"}, 8, {16, 4}, {16}, true, "--threads 16 is more than the 8 cores of this rank"},
    {{"0-7"},
     8,
     {0, 16},
     {8},
     false,
     "OMP_NUM_THREADS=16 is ignored, because this rank's share of the node's 8 cores is 8: insist by "
     "--threads 16"},
    {{"0"}, 1, {0, 0}, {1}, false, ""},
    /* Nobody is bound. */
    {{"0-3", "0-3"}, 4, {0, 0}, {2, 2}, false, ""},
    {{"0-3", "0-3", "0-3"}, 4, {0, 0}, {2, 1, 1}, false, ""},
    {{"0-7", "0-7", "0-7"}, 8, {0, 0}, {3, 3, 2}, false, ""},
    {{"0-7", "0-7", "0-7"}, 8, {0, 2}, {2, 2, 2}, false, ""},
    {{"0-1", "0-1", "0-1", "0-1"},
     2,
     {0, 0},
     {1, 1, 1, 1},
     true,
     "4 ranks of this node, with 4 threads in all, share 2 cores (0-1) and will take turns: use at most 2 "
     "ranks"},
    {{"0-3", "0-3"},
     4,
     {4, 0},
     {4, 4},
     true,
     "2 ranks of this node, with 8 threads in all, share 4 cores (0-3) and will take turns: use --threads 2"},
    {{"0-1", "0-1", "0-1"}, 2, {2, 0}, {2, 2, 2}, true, "use --threads 1 and at most 2 ranks on these cores"},
    {{"0-7", "0-7"}, 8, {0, 8}, {4, 4}, false, "OMP_NUM_THREADS=8 is ignored"},
    /* Each rank has cores of its own. */
    {{"0-1", "2-3"}, 4, {0, 0}, {2, 2}, false, ""},
    {{"0-1", "2-3"}, 4, {0, 3}, {2, 2}, false, "OMP_NUM_THREADS=3"},
    {{"0-7", "8-15", "0-7", "8-15"}, 16, {0, 0}, {4, 4, 4, 4}, false, ""},
    {{"0", "1"}, 2, {0, 0}, {1, 1}, false, ""},
    /* Pinned to one core while others are idle. */
    {{"0"},
     8,
     {0, 0},
     {1},
     false,
     "this rank is bound to 1 of the node's 8 cores, and no rank uses 7 of them: use `mpirun --bind-to "
     "none`, or `mpirun --map-by slot:PE=8 --bind-to core`"},
    {{"0", "1"}, 8, {0, 0}, {1, 1}, false, "slot:PE=4 --bind-to core`"},
    {{"0", "1"}, 8, {0, 1}, {1, 1}, false, ""},
    {{"0", "1"}, 8, {1, 0}, {1, 1}, false, ""},
    {{"0", "1"},
     8,
     {4, 0},
     {4, 4},
     true,
     "--threads 4 is more than the 1 core of this rank, its threads will take turns: use --threads 1, or "
     "`mpirun --map-by slot:PE=4 --bind-to core`\nthis rank is bound to 1 of"},
    {{"0", "1"},
     8,
     {0, 4},
     {1, 1},
     false,
     "share of the node's 8 cores is 1: insist by --threads 4, or `mpirun --map-by slot:PE=4 --bind-to "
     "core`"},
    {{"0", "1", "2"}, 4, {0, 0}, {1, 1, 1}, false, "no rank uses 1 of them: use `mpirun --bind-to none`"},
    /* Bound to the same core, or to overlapping sets. */
    {{"0", "0"},
     8,
     {0, 0},
     {1, 1},
     true,
     "2 ranks of this node, with 2 threads in all, share 1 core (0) while no rank uses 7 of the node's 8 "
     "cores: use `mpirun --bind-to none`, or `mpirun --map-by slot:PE=4"},
    {{"0-1", "1-2"}, 3, {0, 0}, {2, 1}, false, "overlap on part of their cores (0-1 and 1-2)"},
    {{"0-1", "0-4"}, 5, {0, 0}, {1, 4}, false, "overlap on part of their cores (0-1 and 0-4)"},
    {{"0", "0", "0-3"},
     4,
     {0, 0},
     {1, 1, 3},
     true,
     "3 ranks of this node, with 5 threads in all, share 4 cores (0-3): use `mpirun --bind-to none`"},
    /* A crowd elsewhere on the node, and spare cores that belong to another group. */
    {{"2-7", "0", "0"},
     8,
     {0, 0},
     {6, 1, 1},
     true,
     "2 ranks of this node, with 2 threads in all, share 1 core (0)"},
    {{"0-3", "0-3", "0-3", "4", "4"}, 5, {0, 0}, {2, 1, 1, 1, 1}, true, "share 1 core (4)"},
    /* High numbers. */
    {{"0-511", "512-1023"}, 1024, {0, 0}, {512, 512}, false, ""},
};

static void check_case(const node_case *node) {
    dt_cores ranks[MOST_RANKS];
    int count = 0;
    for (; count < MOST_RANKS && node->cores[count]; count++)
        ranks[count] = cores_of(node->cores[count], node->machine);
    for (int me = 0; me < count; me++) {
        dt_placement placement = dt_topology_place(ranks, count, me, node->wish,
                                                   (dt_launch_facts){.launcher = DT_LAUNCHER_OPEN_MPI});
        assert_int_equal(placement.threads, node->threads[me]);
        assert_int_equal(placement.oversubscribed, node->oversubscribed);
        if (me > 0)
            continue;
        if (!strstr(placement.warnings, node->warning))
            fail_msg("'%s' is not in '%s'", node->warning, placement.warnings);
        if (!*node->warning)
            assert_string_equal(placement.warnings, "");
    }
}

static void test_threads_on_nodes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("case %zu: %s ...\n", i, cases[i].cores[0]);
        check_case(&cases[i]);
    }
}

/* What a warning advises, by how the ranks were started: all of its text after the statement. */
typedef struct advice_case {
    const char *cores[MOST_RANKS]; /* of a machine with eight */
    dt_thread_wish wish;
    dt_launch_facts launch;
    const char *advice;
} advice_case;

#define PINNED "this rank is bound to 1 of the node's 8 cores, and no rank uses 6 of them"
#define CROWD                                                                                             \
    "2 ranks of this node, with 2 threads in all, share 1 core (0) while no rank uses 7 of the node's 8 " \
    "cores"
#define OVERLAP "ranks of this node overlap on part of their cores (0-3 and 2-7)"
#define WISH                                                                                      \
    "OMP_NUM_THREADS=4 is ignored, because this rank's share of the node's 8 cores is 2: insist " \
    "by --threads 4"

static const advice_case advices[] = {
    {{"0", "1"},
     {0, 0},
     {DT_LAUNCHER_OPEN_MPI, false, 0},
     PINNED ": use `mpirun --bind-to none`, or `mpirun --map-by slot:PE=4 --bind-to core`"},
    {{"0", "1"}, {0, 0}, {DT_LAUNCHER_OPEN_MPI, false, 4}, PINNED ": use `mpirun --bind-to none`"},
    {{"0", "1"}, {0, 0}, {DT_LAUNCHER_OPEN_MPI, true, 0}, PINNED},
    {{"0", "1"},
     {0, 0},
     {DT_LAUNCHER_HYDRA, false, 0},
     PINNED ": use `mpiexec -bind-to none`, or `mpiexec -bind-to core:4`"},
    {{"0", "1"}, {0, 0}, {DT_LAUNCHER_HYDRA, true, 0}, PINNED},
    {{"0", "1"},
     {0, 0},
     {DT_LAUNCHER_SRUN, false, 1},
     PINNED ": use `srun --cpu-bind=none`, or `srun --cpus-per-task=4 --cpu-bind=cores`"},
    {{"0", "1"},
     {0, 0},
     {DT_LAUNCHER_SRUN, false, 4}, /* sbatch's number */
     PINNED ": use `srun --cpu-bind=none`, or `srun --cpus-per-task=4 --cpu-bind=cores`"},
    {{"0", "1"},
     {0, 0},
     {DT_LAUNCHER_SRUN, true, 0},
     PINNED ": use `srun --cpus-per-task=4 --cpu-bind=cores`"},
    {{"0", "1"}, {0, 0}, {DT_LAUNCHER_NONE, false, 0}, PINNED},
    {{"0", "0"},
     {0, 0},
     {DT_LAUNCHER_SRUN, true, 2},
     CROWD ": use `srun --cpus-per-task=4 --cpu-bind=cores`"},
    {{"0", "0"},
     {0, 0},
     {DT_LAUNCHER_OPEN_MPI, true, 0},
     CROWD "; they will take turns: use at most 1 rank on these cores"},
    {{"0", "0"},
     {0, 0},
     {DT_LAUNCHER_NONE, false, 0},
     CROWD "; they will take turns: use at most 1 rank on these cores"},
    {{"0-3", "2-7"}, {0, 0}, {DT_LAUNCHER_OPEN_MPI, true, 0}, OVERLAP},
    {{"0-3", "2-7"}, {0, 0}, {DT_LAUNCHER_NONE, false, 0}, OVERLAP},
    {{"0-3", "2-7"}, {0, 0}, {DT_LAUNCHER_SRUN, true, 4}, OVERLAP},
    {{"0-3", "2-7"}, {0, 0}, {DT_LAUNCHER_SRUN, false, 4}, OVERLAP ": use `srun --cpu-bind=none`"},
    {{"0-1", "2-3"}, {0, 4}, {DT_LAUNCHER_NONE, false, 0}, WISH},
    {{"0-1", "2-3"},
     {0, 4},
     {DT_LAUNCHER_OPEN_MPI, false, 2},
     WISH ", or `mpirun --map-by slot:PE=4 --bind-to core`"},
    {{"0-1", "2-3"}, {0, 4}, {DT_LAUNCHER_OPEN_MPI, true, 0}, WISH},
    {{"0-1", "2-3"},
     {0, 4},
     {DT_LAUNCHER_SRUN, false, 2},
     WISH ", or `srun --cpus-per-task=4 --cpu-bind=cores`"},
    {{"0-1", "2-3"}, {0, 4}, {DT_LAUNCHER_SRUN, false, 4}, WISH},
};

static void test_advice_fits_the_launcher(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        dt_cores ranks[MOST_RANKS];
        int count = 0;
        for (; count < MOST_RANKS && advices[i].cores[count]; count++)
            ranks[count] = cores_of(advices[i].cores[count], 8);
        print_message("advice %zu\n", i);
        for (int me = 0; me < count; me++) {
            dt_placement placement = dt_topology_place(ranks, count, me, advices[i].wish, advices[i].launch);
            assert_string_equal(placement.warnings, advices[i].advice);
        }
    }
}

/* Unbound ranks: nobody is left without a thread, nobody has two more than another, no core is left over. */
static void test_unbound_ranks_use_all_cores(void **state) {
    (void)state;
    for (int machine = 1; machine <= 12; machine++)
        for (int count = 1; count <= MOST_RANKS; count++) {
            dt_cores ranks[MOST_RANKS];
            char text[16];
            snprintf(text, sizeof text, "0-%d", machine - 1);
            int total = 0;
            for (int rank = 0; rank < count; rank++)
                ranks[rank] = cores_of(text, machine);
            for (int rank = 0; rank < count; rank++) {
                int threads = dt_topology_fair_threads(ranks, count, rank);
                assert_true(threads >= 1 && threads >= machine / count && threads <= machine / count + 1);
                total += threads;
            }
            assert_int_equal(total, count > machine ? count : machine);
        }
}

/* Any masks: nobody gets more threads than cores, and the total exceeds the cores only by ranks whose share
 * is less than one core. */
static void test_shares_never_exceed_cores(void **state) {
    (void)state;
    unsigned random = 1;
    for (int trial = 0; trial < 3000; trial++) {
        dt_cores ranks[MOST_RANKS] = {{0}};
        int users[10] = {0}, total = 0, used = 0, poor = 0;
        int count = 1 + trial % MOST_RANKS;
        for (int rank = 0; rank < count; rank++) {
            random = random * 1103515245u + 12345u;
            uint64_t mask = (random >> 16 & 1023) ? random >> 16 & 1023 : 1;
            ranks[rank].mask[0] = mask;
            ranks[rank].count = __builtin_popcountll(mask);
            for (int core = 0; core < 10; core++)
                users[core] += (int)(mask >> core & 1);
        }
        for (int core = 0; core < 10; core++)
            used += users[core] > 0;
        for (int rank = 0; rank < count; rank++) {
            int threads = dt_topology_fair_threads(ranks, count, rank);
            assert_true(threads >= 1 && threads <= ranks[rank].count);
            total += threads;
            double share = 0;
            for (int core = 0; core < 10; core++)
                share += ranks[rank].mask[0] >> core & 1 ? 1.0 / users[core] : 0;
            poor += share < 1 - 1e-6;
        }
        assert_true(total <= used + poor);
    }
}

typedef struct quota_case {
    int ranks;
    double cores;
    bool apart; /* each rank has a quota of its own */
    int option, threads;
    bool named, polite;
} quota_case;

/* Ranks on the same eight cores, below a quota. */
static void test_quotas_bound_threads(void **state) {
    (void)state;
    static const quota_case rows[] = {
        {1, 0, false, 0, 8, false, false},  {1, 1.5, false, 0, 2, true, true},
        {1, 0.2, false, 0, 1, true, true},  {1, 3, false, 0, 3, true, false},
        {1, 64, false, 0, 8, false, false}, {2, 1.5, false, 0, 1, true, true},
        {2, 6, false, 0, 3, true, false},   {2, 3, true, 0, 3, true, false},
        {4, 6, false, 0, 2, false, true},   {1, 1.5, false, 4, 4, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dt_cores ranks[4];
        for (int rank = 0; rank < rows[i].ranks; rank++) {
            ranks[rank] = cores_of("0-7", 8);
            ranks[rank].quota = (dt_quota){rows[i].cores, rows[i].apart ? (uint64_t)rank + 7 : 7};
        }
        dt_thread_wish wish = {.threads_option = rows[i].option};
        dt_placement placement = dt_topology_place(ranks, rows[i].ranks, rows[i].ranks - 1, wish,
                                                   (dt_launch_facts){.launcher = DT_LAUNCHER_NONE});
        assert_int_equal(placement.threads, rows[i].threads);
        assert_int_equal(placement.oversubscribed, rows[i].polite);
        assert_int_equal(placement.quota > 0, rows[i].named);
        const char *warning = strstr(placement.warnings, "the CPU quota of 1.5 cores");
        assert_int_equal(warning != NULL, rows[i].option > 0);
    }
}

static void test_reads_this_machine(void **state) {
    (void)state;
    dt_cores cores;
    assert_ok(dt_topology_read(&cores));
    cpu_set_t processors;
    assert_int_equal(sched_getaffinity(0, sizeof processors, &processors), 0);
    assert_true(cores.count >= 1 && cores.count <= CPU_COUNT(&processors));
    assert_true(cores.machine >= cores.count);
    assert_true(strlen(cores.cpu) > 0);
    int bits = 0;
    for (int word = 0; word < DT_CORE_WORDS; word++)
        bits += __builtin_popcountll(cores.mask[word]);
    assert_int_equal(bits, cores.count);
}

static size_t lowest_processor(const cpu_set_t *processors) {
    size_t lowest = 0;
    while (!CPU_ISSET(lowest, processors))
        lowest++;
    return lowest;
}

/* hwloc is told of a machine with two hardware threads a core, and that it is this one. */
static void test_hardware_threads_are_one_core(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    size_t processor = lowest_processor(&before);
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    assert_int_equal(setenv("HWLOC_SYNTHETIC", "pack:2 core:256 pu:2", 1), 0);
    assert_int_equal(setenv("HWLOC_THISSYSTEM", "1", 1), 0);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    dt_cores cores;
    dt_status status = dt_topology_read(&cores);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_THISSYSTEM");
    assert_ok(status);
    assert_int_equal(cores.machine, 512);
    assert_int_equal(cores.count, 1);
    assert_true(cores.mask[processor / 2 / 64] >> (processor / 2 % 64) & 1);
}

/* A topology that has none of the processors that the kernel grants. */
static void test_falls_back_to_affinity(void **state) {
    (void)state;
    cpu_set_t processors;
    assert_int_equal(sched_getaffinity(0, sizeof processors, &processors), 0);
    assert_int_equal(setenv("HWLOC_SYNTHETIC", "core:1 pu:1(indexes=1000)", 1), 0);
    assert_int_equal(setenv("HWLOC_THISSYSTEM", "1", 1), 0);
    dt_cores cores;
    dt_status status = dt_topology_read(&cores);
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_THISSYSTEM");
    assert_ok(status);
    assert_int_equal(cores.count, CPU_COUNT(&processors));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_of_cores),
        cmocka_unit_test(test_threads_on_nodes),
        cmocka_unit_test(test_advice_fits_the_launcher),
        cmocka_unit_test(test_unbound_ranks_use_all_cores),
        cmocka_unit_test(test_shares_never_exceed_cores),
        cmocka_unit_test(test_quotas_bound_threads),
        cmocka_unit_test(test_reads_this_machine),
        cmocka_unit_test(test_hardware_threads_are_one_core),
        cmocka_unit_test(test_falls_back_to_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
