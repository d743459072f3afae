/* SPDX-License-Identifier: BSD-3-Clause */
/* Status, memory, random numbers, hash. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/hash.h"
#include "dtrain/memory.h"
#include "dtrain/path.h"
#include "dtrain/random.h"
#include "dtrain/text.h"

static void test_status_carries_values(void **state) {
    (void)state;
    dt_status status = dt_fail(DT_USAGE, "--batch %d is not allowed", -3);
    assert_true(dt_failed(&status));
    assert_string_equal(status.text, "--batch -3 is not allowed");
    status = dt_ok();
    assert_false(dt_failed(&status));
}

static void test_slab_is_zeroed_and_refused(void **state) {
    (void)state;
    dt_slab slab;
    assert_ok(dt_slab_reserve(100000, "a test", &slab));
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(((char *)slab.base)[i], 0);
    dt_slab_release(&slab);
    dt_slab_release(&slab);
    assert_fails(dt_slab_reserve((size_t)1 << 60, "a giant", &slab), DT_MEMORY, "a giant");
}

static void test_arena_counts_and_deals(void **state) {
    (void)state;
    dt_arena counting = {0};
    assert_null(dt_arena_take(&counting, 1));
    assert_null(dt_arena_take_floats(&counting, 17));
    assert_int_equal(counting.used, 64 + 128);
    char block[256];
    dt_arena dealing = {.base = block};
    assert_ptr_equal(dt_arena_take(&dealing, 1), block);
    assert_ptr_equal(dt_arena_take(&dealing, 1), block + 64);
}

/* Philox4x32-10 on zero counter and key, from the known answer tests of Random123: 6627e8d5 e169c58d bc57ac4c
 * 9b00dbd8. Purpose p enters as p * 0x9E3779B9 in the upper key word, so a seed whose upper half undoes that
 * gives the zero key. */
static void test_random_is_philox(void **state) {
    (void)state;
    uint64_t seed = (uint64_t)(DT_PURPOSE_INIT * 0x9E3779B9u) << 32;
    dt_random4 drawn = dt_random_draw(seed, DT_PURPOSE_INIT, 0, 0, 0, 0);
    assert_int_equal(drawn.word[0], 0x6627e8d5);
    assert_int_equal(drawn.word[1], 0xe169c58d);
    assert_int_equal(drawn.word[2], 0xbc57ac4c);
    assert_int_equal(drawn.word[3], 0x9b00dbd8);
    dt_random4 other = dt_random_draw(seed, DT_PURPOSE_DROPOUT, 0, 0, 0, 0);
    assert_memory_not_equal(&drawn, &other, sizeof drawn);
}

static void test_hash_depends_on_all(void **state) {
    (void)state;
    const char text[] = "batch normalisation";
    uint64_t hash = dt_hash(0, text, sizeof text);
    assert_true(hash == dt_hash(0, text, sizeof text));
    assert_true(hash != dt_hash(1, text, sizeof text));
    assert_true(hash != dt_hash(0, text, sizeof text - 1));
}

/* What a terminal would obey is shown, what it shows is left alone, and nothing is cut within a character. */
static void test_text_is_made_printable(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain, 3 \\ 4", "plain, 3 \\ 4"},
        {"\x1b[2J\ttab\r\n", "\\x1b[2J\\x09tab\\x0d\\x0a"},
        {"\x7f|\xc2\x9b"
         "31m",
         "\\x7f|\\xc2\\x9b31m"},                                      /* DEL; CSI as one code point */
        {"Z\xc3\xbcrich \xe2\x82\xac", "Z\xc3\xbcrich \xe2\x82\xac"}, /* UTF-8 stays */
        {"\xe2\x80\xae"
         "exe.txt",
         "\\xe2\\x80\\xae"
         "exe.txt"},                                           /* turns the text around */
        {"\xc0\xaf\xff\xe2\x82", "\\xc0\\xaf\\xff\\xe2\\x82"}, /* no UTF-8 */
        {"\xed\xa0\x80\xf4\x90\x80\x80", "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80"},
        {"", ""},
    };
    char shown[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(dt_text_printable(shown, sizeof shown, cases[i].text), strlen(cases[i].shown));
        assert_string_equal(shown, cases[i].shown);
    }
    assert_int_equal(dt_text_printable(shown, 4, "ab\xe2\x82\xac"), 2);
    assert_string_equal(shown, "ab");
    assert_int_equal(dt_text_printable(shown, 5, "ab\x1b"), 2);
    assert_int_equal(dt_text_columns("Z\xc3\xbcrich"), 6);
    char *printed = NULL;
    size_t bytes;
    FILE *stream = open_memstream(&printed, &bytes);
    assert_non_null(stream);
    dt_text_print(stream, "%s|%700d", "\x1b", 1); /* longer than any buffer of its own */
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(bytes, 705);
    assert_memory_equal(printed, "\\x1b|  ", 7);
    free(printed);
}

static void expect_break(const char *text, int columns, const char *expected) {
    char copy[200];
    snprintf(copy, sizeof copy, "%s", text);
    dt_text_break(copy, columns);
    assert_string_equal(copy, expected);
}

static void test_lines_break_at_words(void **state) {
    (void)state;
    expect_break("one two three", 13, "one two three");
    expect_break("one two three", 12, "one two\nthree");
    expect_break("one two three", 7, "one two\nthree");
    expect_break("one two three", 6, "one\ntwo\nthree");
    expect_break("averylongword and two", 6, "averylongword\nand\ntwo");
    expect_break("    indented line", 12, "    indented\nline");
    expect_break("\xc3\xa4\xc3\xb6\xc3\xbc \xc3\x9f", 5, "\xc3\xa4\xc3\xb6\xc3\xbc \xc3\x9f");
    expect_break("name      12   345", 9, "name\n12   345");
    expect_break("name      12   345", 12, "name      12\n345");
    expect_break("one two   ", 7, "one two   ");
    expect_break("", 5, "");
    char text[] = "\xc3\xa4 bc";
    dt_text_cut(text, 3);
    assert_string_equal(text, "\xc3\xa4 b");
    dt_text_cut(text, 0);
    assert_string_equal(text, "");
}

/* A path that does not fit is refused with the limit, and no part of it is left to be used. */
static void test_path_is_whole_or_refused(void **state) {
    (void)state;
    static char path[DT_PATH_ROOM], folder[DT_PATH_ROOM + 8];
    memset(folder, 'd', sizeof folder - 1);
    folder[DT_PATH_ROOM - 5] = '\0';
    dt_status status = dt_path_write(DT_DATA, path, "%s/%s", folder, "abc");
    assert_int_equal(status.code, DT_OK);
    assert_int_equal(strlen(path), DT_PATH_ROOM - 1);
    assert_string_equal(path + DT_PATH_ROOM - 5, "/abc");
    status = dt_path_write(DT_DATA, path, "%s/%s", folder, "abcd");
    assert_int_equal(status.code, DT_DATA);
    assert_string_equal(path, "");
    assert_non_null(strstr(status.text, "a path has 4096 bytes, more than 4095: give a shorter name: ddd"));
    assert_non_null(strstr(status.text, "ddd[...]ddd"));
    assert_string_equal(status.text + strlen(status.text) - 6, "d/abcd");
}

/* What a message says behind a long name, or two of them, is not pushed out by it. */
static void test_long_names_leave_the_remedy(void **state) {
    (void)state;
    static char name[4000], spaces[4000];
    for (size_t i = 0; i + 1 < sizeof name; i++) {
        memcpy(name + i, i % 2 ? "\xbc" : "\xc3", 1);
        spaces[i] = i % 2 ? 'x' : ' ';
    }
    dt_status status = dt_fail(DT_FILE, "%s: is another file than %s: give the first one", name, name);
    assert_true(strlen(status.text) < DT_STATUS_TEXT);
    assert_non_null(strstr(status.text, "\xbc[...]\xc3"));
    assert_non_null(strstr(status.text, ": is another file than "));
    assert_non_null(strstr(status.text, ": give the first one"));
    status = dt_fail(DT_FILE, "begin%send", spaces);
    assert_int_equal(strlen(status.text), DT_STATUS_TEXT - 1);
    assert_memory_equal(status.text, "begin", 5);
    assert_string_equal(status.text + DT_STATUS_TEXT - 4, "end");
    status = dt_fail(DT_FILE, "%.1535s", spaces);
    assert_int_equal(strlen(status.text), DT_STATUS_TEXT - 1);
    assert_null(strstr(status.text, "[...]"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_carries_values),       cmocka_unit_test(test_slab_is_zeroed_and_refused),
        cmocka_unit_test(test_arena_counts_and_deals),      cmocka_unit_test(test_random_is_philox),
        cmocka_unit_test(test_hash_depends_on_all),         cmocka_unit_test(test_text_is_made_printable),
        cmocka_unit_test(test_lines_break_at_words),        cmocka_unit_test(test_path_is_whole_or_refused),
        cmocka_unit_test(test_long_names_leave_the_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
