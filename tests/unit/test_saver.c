/* SPDX-License-Identifier: BSD-3-Clause */
/* Saving beside the training: what is written, what is not, and what is said of it; old checkpoints that step
 * aside. */
#include "test.h"

#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train/folder.h"
#include "train/saver.h"

static char folder[64];
static dt_network network;
static dt_parameters parameters;
static dt_saver *saver;

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dtrain-saver-XXXXXX");
    network = dt_network_build((dt_network_config){DT_BN_ROWS, DT_BN_ALL, 0.03, 0.5f});
    parameters = dt_parameters_layout(&network);
    if (!mkdtemp(folder))
        return -1;
    dt_saver_config config = {.folder = folder, .network = &network, .parameters = &parameters, .keep = 2};
    assert_ok(dt_saver_create(&config, &saver));
    return 0;
}

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)facts;
    (void)kind;
    (void)place;
    return remove(path);
}

static int teardown(void **state) {
    (void)state;
    dt_saver_destroy(saver);
    saver = NULL;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file of the folder; the text lives until the next call. */
static const char *path_of(const char *name) {
    static char path[DT_CHECKPOINT_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool exists(const char *name) {
    struct stat facts;
    return lstat(path_of(name), &facts) == 0;
}

/* The state after a step, known again by its first weight. */
static void fill(int64_t step) {
    dt_strategy_image image = dt_saver_image(saver);
    dt_parameters_init(&parameters, (uint64_t)step, image.weights, image.states);
    image.weights[parameters.tensors[0].offset] = (float)step;
}

static void start(int64_t step, bool best) {
    dt_checkpoint_position position = {
        .step = step, .best_loss = INFINITY, .learning_rate = 1e-3, .ranks = 1};
    dt_saver_start(saver, &position, strdup("{}"), strdup("[]"), best, 0.25);
}

static dt_saver_report save(int64_t step, bool best) {
    dt_saver_report report;
    fill(step);
    start(step, best);
    dt_saver_wait(saver);
    assert_false(dt_saver_is_busy(saver));
    assert_true(dt_saver_take_report(saver, &report));
    assert_false(dt_saver_take_report(saver, &report));
    return report;
}

static void test_saves_and_says_so(void **state) {
    (void)state;
    dt_saver_report report;
    assert_false(dt_saver_is_busy(saver));
    assert_false(dt_saver_take_report(saver, &report));
    for (int step = 1; step <= 4; step++) {
        report = save(step, step == 2);
        assert_ok(report.status);
        assert_int_equal(report.step, step);
        assert_true(report.best == (step == 2));
        assert_true(report.held_up == 0.25 && report.result.bytes > parameters.floats);
        assert_true(dt_saver_estimate(saver) >= report.result.seconds);
    }
    assert_true(exists("step-00000004.weights.h5") && exists("step-00000003.weights.h5"));
    assert_false(exists("step-00000002.weights.h5") || exists("step-00000001.weights.h5"));
    dt_checkpoint best = {0};
    assert_ok(dt_checkpoint_peek(path_of("best.weights.h5"), &best));
    assert_int_equal(best.position.step, 2);
    free(best.options);
    free(best.history);
}

/* Whatever tensor it is in, and whichever way it is not finite. */
static void test_what_is_not_finite_is_not_written(void **state) {
    (void)state;
    dt_strategy_image image = dt_saver_image(saver);
    const dt_tensor *last = &parameters.tensors[parameters.count - 1];
    const dt_tensor *moving = &parameters.states[parameters.state_count - 1];
    const struct {
        float *place;
        float value;
        const char *words;
    } cases[] = {{&image.weights[last->offset + last->count - 1], NAN, last->name},
                 {&image.m[parameters.tensors[0].offset], -INFINITY, "mean gradient of conv1/kernel"},
                 {&image.v[last->offset], INFINITY, "mean squared gradient of"},
                 {&image.states[moving->offset], -NAN, moving->name}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fill(1);
        float kept = *cases[i].place;
        *cases[i].place = cases[i].value;
        start(1, true);
        dt_saver_wait(saver);
        dt_saver_report report;
        assert_true(dt_saver_take_report(saver, &report));
        assert_fails(report.status, DT_NOT_FINITE, cases[i].words);
        assert_false(exists("step-00000001.weights.h5") || exists("last.weights.h5") ||
                     exists("best.weights.h5"));
        *cases[i].place = kept;
    }
    /* The largest number is one. */
    image.v[last->offset] = 3.4028234e38f;
    assert_ok(save(1, true).status);
}

static void test_a_folder_that_is_gone(void **state) {
    (void)state;
    assert_ok(save(1, false).status);
    assert_int_equal(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    assert_fails(save(2, false).status, DT_FILE, folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_ok(save(3, false).status);
}

/* Nobody waits for the last one. */
static void test_the_end_waits(void **state) {
    (void)state;
    fill(7);
    start(7, false);
    dt_saver_destroy(saver);
    saver = NULL;
    dt_checkpoint found = {0};
    assert_ok(dt_checkpoint_peek(path_of("last.weights.h5"), &found));
    assert_int_equal(found.position.step, 7);
    free(found.options);
    free(found.history);
}

static void test_setting_aside(void **state) {
    (void)state;
    char aside[DT_CHECKPOINT_PATH];
    int moved;
    assert_ok(dt_folder_set_aside(folder, -1, aside, &moved));
    assert_int_equal(moved, 0);
    assert_false(exists("earlier-1"));
    assert_ok(save(10, true).status);
    assert_ok(save(20, false).status);
    /* A run goes on from step 10: its best stays, what came later goes. */
    assert_ok(dt_folder_set_aside(folder, 10, aside, &moved));
    assert_int_equal(moved, 1);
    assert_string_equal(aside, path_of("earlier-1"));
    assert_true(exists("earlier-1/step-00000020.weights.h5") && exists("step-00000010.weights.h5"));
    assert_true(exists("best.weights.h5"));
    /* A run goes on from step 5: the best is of another future. */
    assert_ok(dt_folder_set_aside(folder, 5, aside, &moved));
    assert_int_equal(moved, 2);
    assert_true(exists("earlier-2/best.weights.h5") && exists("last.weights.h5"));
    /* A fresh start. */
    FILE *other = fopen(path_of("step-x.weights.h5"), "w");
    assert_non_null(other);
    fclose(other);
    assert_ok(save(0, true).status);
    assert_ok(dt_folder_set_aside(folder, -1, aside, &moved));
    assert_int_equal(moved, 3);
    assert_true(exists("earlier-3/step-00000000.weights.h5") && exists("step-x.weights.h5"));
    assert_fails(dt_folder_set_aside(path_of("none"), -1, aside, &moved), DT_FILE, "none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_saves_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_finite_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_setting_aside, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
