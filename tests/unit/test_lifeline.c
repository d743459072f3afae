/* SPDX-License-Identifier: BSD-3-Clause */
/* Lifelines: held, let go, cut by an exit and by a kill, seen by several processes. */
#include "test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "train/lifeline.h"

static dt_lifeline *line;

static int setup(void **state) {
    (void)state;
    line = mmap(NULL, sizeof *line, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return line == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    return munmap(line, sizeof *line);
}

/* What a holder does once it holds. */
typedef enum ending { WAITS, EXITS, LETS_GO } ending;

/* A process that holds the line, and ends in its way when a byte comes, or is killed. */
static pid_t start_holder(ending way, int to_holder[2]) {
    int held[2];
    char byte = 0;
    assert_int_equal(pipe(held), 0);
    assert_int_equal(pipe(to_holder), 0);
    pid_t holder = fork();
    assert_true(holder >= 0);
    if (holder == 0) {
        dt_status status = dt_lifeline_hold(line);
        if (dt_failed(&status) || write(held[1], &byte, 1) != 1 || read(to_holder[0], &byte, 1) != 1)
            _exit(1);
        if (way == LETS_GO)
            dt_lifeline_let_go(line);
        _exit(0);
    }
    assert_int_equal(read(held[0], &byte, 1), 1);
    close(held[0]);
    close(held[1]);
    return holder;
}

static void end_holder(pid_t holder, ending way, const int to_holder[2]) {
    int code;
    if (way == WAITS)
        assert_int_equal(kill(holder, SIGKILL), 0);
    else
        assert_int_equal(write(to_holder[1], "", 1), 1);
    assert_int_equal(waitpid(holder, &code, 0), holder);
    assert_true(way == WAITS ? WIFSIGNALED(code) : WIFEXITED(code) && WEXITSTATUS(code) == 0);
    close(to_holder[0]);
    close(to_holder[1]);
}

/* What another process than this one sees. */
static bool other_sees_a_cut(void) {
    int code;
    pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0)
        _exit(dt_lifeline_is_cut(line) ? 3 : 4);
    assert_int_equal(waitpid(other, &code, 0), other);
    assert_true(WIFEXITED(code));
    return WEXITSTATUS(code) == 3;
}

static void check(ending way, bool cut) {
    int to_holder[2];
    pid_t holder = start_holder(way, to_holder);
    assert_false(dt_lifeline_is_cut(line));
    assert_false(other_sees_a_cut());
    end_holder(holder, way, to_holder);
    for (int look = 0; look < 2; look++) {
        assert_int_equal(dt_lifeline_is_cut(line), cut);
        assert_int_equal(other_sees_a_cut(), cut);
    }
}

/* An emulator of another CPU's programs (QEMU's user mode) may have no robust mutexes. */
static void need_robust_mutexes(void) {
    void *head;
    size_t length;
    if (syscall(SYS_get_robust_list, 0, &head, &length) == 0)
        return;
    print_message("skipped: no robust mutexes here\n");
    skip();
}

static void sees_a_kill(void **state) {
    (void)state;
    need_robust_mutexes();
    check(WAITS, true);
}

static void sees_an_exit(void **state) {
    (void)state;
    need_robust_mutexes();
    check(EXITS, true);
}

static void sees_none_after_letting_go(void **state) {
    (void)state;
    check(LETS_GO, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sees_a_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(sees_an_exit, setup, teardown),
        cmocka_unit_test_setup_teardown(sees_none_after_letting_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
