/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread team: what it runs, how it waits, and what keeps it from being started. */
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dtrain/denormals.h"
#include "dtrain/team.h"
#include "dtrain/thread.h"
#include "dtrain/timer.h"

static void mark(void *context, int task, int worker) {
    assert_true(worker >= 0 && worker < 4);
    ((int *)context)[task]++;
}

static void test_team_runs_each_task_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        dt_team *team;
        int count[100] = {0};
        assert_ok(dt_team_create(threads, &team));
        assert_int_equal(dt_team_size(team), threads);
        dt_team_run(team, 100, mark, count);
        dt_team_run(team, 0, mark, count);
        for (int i = 0; i < 100; i++)
            assert_int_equal(count[i], 1);
        dt_team_destroy(team);
    }
}

static void note_flushed(void *context, int task, int worker) {
    (void)worker;
    ((bool *)context)[task] = dt_denormals_flushed();
}

/* Before the first team a thread keeps them; teams of growing size bring threads of their own. */
static void test_team_flushes_denormals(void **state) {
    (void)state;
    assert_false(dt_denormals_flushed());
    for (int threads = 1; threads <= 6; threads++) {
        dt_team *team;
        bool flushed[200] = {false};
        assert_ok(dt_team_create(threads, &team));
        assert_true(dt_denormals_flushed());
        dt_team_run(team, 200, note_flushed, flushed);
        for (int i = 0; i < 200; i++)
            assert_true(flushed[i]);
        dt_team_destroy(team);
    }
}

static void test_team_split_covers(void **state) {
    (void)state;
    for (long count = 0; count < 70; count++)
        for (int tasks = 1; tasks < 9; tasks++) {
            long reached = 0;
            for (int task = 0; task < tasks; task++) {
                long begin, end;
                dt_team_split(count, 16, task, tasks, &begin, &end);
                assert_int_equal(begin, reached);
                assert_true(begin == count || begin % 16 == 0);
                reached = end;
            }
            assert_int_equal(reached, count);
        }
}

static void do_little(void *context, int task, int worker) {
    (void)worker;
    ((volatile int *)context)[task] = task;
}

static double processor_time(void) {
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Between calls a millisecond apart the threads sleep, where OpenMP's own would spin all the time. */
static void test_waiting_threads_sleep(void **state) {
    (void)state;
    dt_team *team;
    int room[64];
    assert_ok(dt_team_create(3, &team));
    double start = dt_timer_now(), used = processor_time();
    for (int call = 0; call < 200; call++) {
        dt_team_run(team, 64, do_little, room);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    used = processor_time() - used;
    double share = used / (dt_timer_now() - start);
    if (share > 0.6)
        fail_msg("the threads used %.2f of a core while there was next to nothing to do", share);
    dt_team_destroy(team);
}

static void count_one(void *context, int task, int worker) {
    (void)worker;
    ((int *)context)[task]++;
}

/* Threads that wake up late meet the next call, or the one after it. */
static void test_calls_that_follow_at_once(void **state) {
    (void)state;
    dt_team *team;
    int count[8] = {0};
    enum { CALLS = 20000 };
    assert_ok(dt_team_create(4, &team));
    for (int call = 0; call < CALLS; call++)
        dt_team_run(team, 2 + call % 7, count_one, count);
    for (int i = 0; i < 8; i++) {
        int expected = 0;
        for (int call = 0; call < CALLS; call++)
            expected += i < 2 + call % 7;
        assert_int_equal(count[i], expected);
    }
    dt_team_destroy(team);
}

static void test_threads_that_can_be_started(void **state) {
    (void)state;
    assert_true(dt_thread_stack() > 0);
    assert_int_equal(dt_thread_try(5, 0), 0);
    assert_int_equal(dt_thread_try(0, 0), 0);
    assert_int_not_equal(dt_thread_try(1, (size_t)1 << 55), 0);
}

enum { CANNOT_START = 98 };

/* In a process of its own, with the variable set before OpenMP reads it: the message of a team of `threads`.
 */
static void expect_refused(const char *variable, const char *value, const char *threads, const char *part) {
    int ends[2], result;
    char text[DT_STATUS_TEXT] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        setenv(variable, value, 1);
        execl("/proc/self/exe", "test_team", threads, (char *)NULL);
        _exit(errno == ENOEXEC ? CANNOT_START : 99);
    }
    close(ends[1]);
    for (size_t used = 0; used < sizeof text - 1;) {
        ssize_t got = read(ends[0], text + used, sizeof text - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, &result, 0), child);
    if (WIFEXITED(result) && WEXITSTATUS(result) == CANNOT_START) {
        print_message("skipped: the system starts no programs of this kind (under an emulator)\n");
        skip();
    }
    if (!WIFEXITED(result) || WEXITSTATUS(result) != DT_MACHINE || !strstr(text, part))
        fail_msg("%s=%s: status %d, '%s'", variable, value, result, text);
}

static void test_teams_that_cannot_be(void **state) {
    (void)state;
    expect_refused("OMP_THREAD_LIMIT", "2", "5", "OMP_THREAD_LIMIT");
    expect_refused("OMP_STACKSIZE", "64K", "5", "set OMP_STACKSIZE=1024K");
    expect_refused("OMP_STACKSIZE", "900000G", "5", "a team of 5 threads cannot be started");
}

static int create_team(int threads) {
    dt_team *team;
    dt_status status = dt_team_create(threads, &team);
    printf("%s\n", status.text);
    dt_team_destroy(team);
    return (int)status.code;
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_team_flushes_denormals),    cmocka_unit_test(test_team_runs_each_task_once),
        cmocka_unit_test(test_team_split_covers),         cmocka_unit_test(test_waiting_threads_sleep),
        cmocka_unit_test(test_calls_that_follow_at_once), cmocka_unit_test(test_threads_that_can_be_started),
        cmocka_unit_test(test_teams_that_cannot_be),
    };
    if (count > 1)
        return create_team(atoi(arguments[1]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
