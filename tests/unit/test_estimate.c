/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics against closed forms, tabulated quantiles and an independent implementation's values. */
#include "test.h"

#include <math.h>

#include "report/estimate.h"

static void assert_close(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance * fmax(fabs(expected), 1e-300)))
        fail_msg("%.17g is not %.17g", found, expected);
}

static void summary_of_values(void **state) {
    (void)state;
    double values[] = {4.0, 1.0, 3.0, 2.0}, odd[] = {7.0, 1.0, 2.0}, one[] = {5.0};
    dt_summary summary = dt_estimate_summary(values, 4);
    assert_int_equal(summary.count, 4);
    assert_close(summary.mean, 2.5, 1e-15);
    assert_close(summary.deviation, sqrt(5.0 / 3.0), 1e-15);
    assert_close(summary.median, 2.5, 1e-15);
    assert_close(summary.low, 1.0, 0.0);
    assert_close(summary.high, 4.0, 0.0);
    assert_close(dt_estimate_summary(odd, 3).median, 2.0, 0.0);
    summary = dt_estimate_summary(one, 1);
    assert_close(summary.median, 5.0, 0.0);
    assert_true(isnan(summary.deviation));
    assert_true(isnan(dt_estimate_summary(one, 0).median));
}

/* I_x(2, 3) is a polynomial, I_x(1/2, 1/2) an arc sine; the others from SciPy 1.17 (betainc). */
static void incomplete_beta(void **state) {
    (void)state;
    for (double x = 0.0; x <= 1.0; x += 0.0625) {
        assert_close(dt_estimate_beta(2, 3, x), x * x * (6 - 8 * x + 3 * x * x), 1e-13);
        assert_close(dt_estimate_beta(0.5, 0.5, x), 2.0 / acos(-1.0) * asin(sqrt(x)), 1e-13);
    }
    assert_close(dt_estimate_beta(50, 0.5, 0.99), 0.3173043978741973, 1e-11);
    assert_close(dt_estimate_beta(1e4, 0.5, 0.9999), 0.1572940177633515, 1e-10);
}

/* One degree of freedom is Cauchy's distribution, two have a closed form too. */
static void student_tails(void **state) {
    (void)state;
    const double degrees[] = {1, 2, 3.5, 10, 100};
    const double quantiles[] = {12.706204736174694, 4.302652729749462, 2.9400886379827282, 2.228138851986274,
                                1.9839715185235518};
    for (double t = 0.0; t < 20.0; t += 0.7) {
        assert_close(dt_estimate_student(t, 1), 1.0 - 2.0 / acos(-1.0) * atan(t), 1e-11);
        assert_close(dt_estimate_student(-t, 2), 1.0 - t / sqrt(2.0 + t * t), 1e-11);
    }
    for (int i = 0; i < 5; i++) {
        assert_close(dt_estimate_student(quantiles[i], degrees[i]), 0.05, 1e-10);
        assert_close(dt_estimate_student_quantile(0.05, degrees[i]), quantiles[i], 1e-9);
    }
}

/* Two samples with different spreads; t, degrees, p and interval from SciPy 1.17 (ttest_ind, equal_var
 * false).
 */
static void welch_test(void **state) {
    (void)state;
    double a[] = {27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4};
    double b[] = {27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 17.3};
    dt_contrast contrast = dt_estimate_welch(dt_estimate_summary(a, 15), dt_estimate_summary(b, 15));
    assert_true(contrast.tested);
    assert_close(contrast.t, 2.1913489261802748, 1e-12);
    assert_close(contrast.degrees, 27.74652560173652, 1e-12);
    assert_close(contrast.p, 0.03698873464217634, 1e-10);
    assert_close(contrast.low, 0.15303461390010709, 1e-8);
    assert_close(contrast.high, 4.566965386099898, 1e-8);
}

/* Nothing can be said of single values, nor of values that are all the same. */
static void welch_without_spread(void **state) {
    (void)state;
    double one[] = {1.0}, two[] = {2.0, 2.1}, same[] = {3.0, 3.0};
    dt_summary first = dt_estimate_summary(one, 1), second = dt_estimate_summary(two, 2);
    dt_summary third = dt_estimate_summary(same, 2);
    assert_false(dt_estimate_welch(first, second).tested);
    assert_false(dt_estimate_welch(second, first).tested);
    assert_close(dt_estimate_welch(first, second).p, 1.0, 0.0);
    assert_false(dt_estimate_welch(third, third).tested);
    assert_true(dt_estimate_welch(second, third).tested); /* one side's spread is enough */
}

/* 0.01, 0.04, 0.03, 0.005 asked together: the ordered ones times 4, 3, 2, 1, never falling. */
static void holm_correction(void **state) {
    (void)state;
    double p[] = {0.01, 0.04, 0.03, 0.005}, large[] = {0.9, 0.8}, none[] = {0.0, 1.0};
    dt_estimate_holm(p, 4);
    assert_close(p[3], 0.02, 1e-15);
    assert_close(p[0], 0.03, 1e-15);
    assert_close(p[2], 0.06, 1e-15);
    assert_close(p[1], 0.06, 1e-15);
    dt_estimate_holm(large, 2);
    assert_close(large[0], 1.0, 0.0);
    assert_close(large[1], 1.0, 0.0);
    dt_estimate_holm(none, 2);
    assert_true(none[0] < 1e-300);
    assert_close(none[1], 1.0, 0.0);
}

/* Amdahl's law gives back the fraction it was given. */
static void serial_fraction(void **state) {
    (void)state;
    for (int n = 2; n <= 64; n *= 2)
        assert_close(dt_estimate_serial_fraction(1.0 / (0.1 + 0.9 / n), n), 0.1, 1e-13);
    assert_close(dt_estimate_serial_fraction(1.5, 2), 1.0 / 3.0, 1e-14);
    assert_true(dt_estimate_serial_fraction(2.5, 2) < 0.0);
    assert_true(isnan(dt_estimate_serial_fraction(1.0, 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_of_values),    cmocka_unit_test(incomplete_beta),
        cmocka_unit_test(student_tails),        cmocka_unit_test(welch_test),
        cmocka_unit_test(welch_without_spread), cmocka_unit_test(holm_correction),
        cmocka_unit_test(serial_fraction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
