/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines are in the file whole or not at all: with a full disk, after a kill, under a run. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "train/journal.h"

static char folder[] = "/tmp/dtrain-journal-XXXXXX";
static char path[128];

static void write_file(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const char *expected) {
    char text[512] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

/* Opens a file with `before` in it and appends a line. */
static void append_to(const char *before) {
    dt_journal *journal;
    write_file(before);
    assert_ok(dt_journal_open(path, &journal));
    assert_ok(dt_journal_append(journal, "{\"event\":\"x\"}"));
    dt_journal_close(journal);
}

static void test_cut_lines_are_removed(void **state) {
    (void)state;
    append_to("");
    expect_file("{\"event\":\"x\"}\n");
    append_to("{\"event\":\"a\"}\n{\"event\":\"ep");
    expect_file("{\"event\":\"a\"}\n{\"event\":\"x\"}\n");
    append_to("{\"ev");
    expect_file("{\"event\":\"x\"}\n");
    /* A whole line that lacks its break, and words that are not ours, stay. */
    append_to("{\"event\":\"a\"}");
    expect_file("{\"event\":\"a\"}\n{\"event\":\"x\"}\n");
    append_to("a note");
    expect_file("a note\n{\"event\":\"x\"}\n");
}

static void limit_size(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The limit lets a part of the line through, as a full disk does. */
static void test_a_full_disk_leaves_no_part(void **state) {
    (void)state;
    dt_journal *journal;
    write_file("{\"event\":\"a\"}\n");
    assert_ok(dt_journal_open(path, &journal));
    limit_size(20);
    assert_fails(dt_journal_append(journal, "{\"event\":\"b\"}"), DT_FILE, "cannot write: File too large");
    expect_file("{\"event\":\"a\"}\n");
    limit_size(RLIM_INFINITY);
    assert_ok(dt_journal_append(journal, "{\"event\":\"c\"}"));
    expect_file("{\"event\":\"a\"}\n{\"event\":\"c\"}\n");
    assert_false(dt_journal_is_gone(journal));
    assert_int_equal(unlink(path), 0);
    assert_true(dt_journal_is_gone(journal));
    dt_journal_close(journal);
}

static void test_what_is_not_opened(void **state) {
    (void)state;
    dt_journal *journal;
    assert_fails(dt_journal_open("/dev/full", &journal), DT_FILE, "/dev/full: is not a regular file");
    assert_fails(dt_journal_open("/dev/full/x", &journal), DT_FILE, "cannot open this file for writing");
    assert_fails(dt_journal_open(folder, &journal), DT_FILE, "cannot open this file for writing: Is a dir");
    (void)unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_fails(dt_journal_open(path, &journal), DT_FILE, "is a symbolic link: remove it");
    assert_null(journal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_lines_are_removed),
        cmocka_unit_test(test_a_full_disk_leaves_no_part),
        cmocka_unit_test(test_what_is_not_opened),
    };
    signal(SIGXFSZ, SIG_IGN);
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failures;
}
