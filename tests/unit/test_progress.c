/* SPDX-License-Identifier: BSD-3-Clause */
/* What of a line of progress fits, and the present speed. */
#include "test.h"

#include "train/progress.h"

static void expect_line(int columns, const char *expected) {
    static const char *const fields[] = {"epoch 1/10",       "step 450/860",   "loss 0.7932",
                                         "accuracy 77.22 %", "477.3 images/s", "55s left"};
    static const int ranks[] = {1, 5, 4, 0, 2, 3};
    char line[200];
    dt_progress_compose(line, sizeof line, fields, ranks, 6, columns);
    assert_string_equal(line, expected);
}

static void test_fields_that_fit(void **state) {
    (void)state;
    const char *all = "epoch 1/10  step 450/860  loss 0.7932  accuracy 77.22 %  477.3 images/s  55s left";
    expect_line(200, all);
    expect_line((int)strlen(all), all);
    expect_line(79, "epoch 1/10 step 450/860 loss 0.7932 accuracy 77.22 % 477.3 images/s 55s left");
    expect_line(65, "epoch 1/10 step 450/860 loss 0.7932 477.3 images/s 55s left");
    expect_line(50, "step 450/860 loss 0.7932 477.3 images/s 55s left");
    expect_line(39, "step 450/860 loss 0.7932 55s left");
    expect_line(12, "step 450/860");
    expect_line(5, "step 450/860");
}

/* 100 samples a second for a minute, then 10: after the window's ten seconds the first minute is forgotten.
 */
static void test_speed_is_the_present_one(void **state) {
    (void)state;
    dt_speed speed;
    dt_speed_begin(&speed, 1000.0, 500, 5);
    assert_true(dt_speed_samples(&speed) == 0.0 && dt_speed_step(&speed) == 0.0);
    for (int i = 1; i <= 600; i++)
        dt_speed_note(&speed, 1000.0 + 0.125 * i, 500 + 10 * i, 5 + i);
    assert_true(dt_speed_samples(&speed) == 80.0);
    assert_true(dt_speed_step(&speed) == 0.125);
    for (int i = 1; i <= 15; i++)
        dt_speed_note(&speed, 1075.0 + i, 6500 + 10 * i, 605 + i);
    assert_true(dt_speed_samples(&speed) == 10.0);
    assert_true(dt_speed_step(&speed) == 1.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_that_fit),
        cmocka_unit_test(test_speed_is_the_present_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
