/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics against closed forms, tabulated quantiles and an independent implementation's values. */
#include "test.h"

#include <float.h>
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
    double odd[] = {NAN, 0.01, INFINITY, -1.0};
    dt_estimate_holm(odd, 4);
    assert_close(odd[1], 0.04, 1e-15);
    for (int i = 0; i < 4; i++)
        assert_true(i == 1 || odd[i] == 1.0);
}

/* A factor on all values is one on mean, deviation and difference, and changes no probability: 1, 2, 3
 * against 4, 5, 6 from SciPy 1.17 (ttest_ind, equal_var false). */
static void values_of_any_size(void **state) {
    (void)state;
    const double factors[] = {1.0, 1e200, 2e307, 1e-200, -1e300};
    for (int i = 0; i < 5; i++) {
        double f = factors[i], a[] = {f, 3 * f, 2 * f}, b[] = {6 * f, 4 * f, 5 * f};
        dt_summary first = dt_estimate_summary(a, 3), second = dt_estimate_summary(b, 3);
        assert_close(first.mean, 2 * f, 1e-15);
        assert_close(first.deviation, fabs(f), 1e-15);
        assert_close(second.median, 5 * f, 1e-15);
        dt_contrast contrast = dt_estimate_welch(first, second);
        assert_true(contrast.tested);
        assert_close(contrast.t, copysign(3.6742346141747673, f), 1e-14);
        assert_close(contrast.degrees, 4.0, 1e-14);
        assert_close(contrast.p, 0.021311641128756727, 1e-11);
        assert_true(contrast.low <= contrast.difference && contrast.difference <= contrast.high);
    }
    double widest[] = {DBL_MAX, -DBL_MAX}, high[] = {DBL_MAX, DBL_MAX}, low[] = {-DBL_MAX, 1 - DBL_MAX};
    dt_summary wide = dt_estimate_summary(widest, 2);
    assert_close(wide.mean, 0.0, 0.0);
    assert_close(wide.median, 0.0, 0.0);
    assert_true(isinf(wide.deviation));
    assert_false(dt_estimate_welch(wide, wide).tested);
    assert_close(dt_estimate_welch(wide, wide).p, 1.0, 0.0);
    assert_false(dt_estimate_welch(dt_estimate_summary(low, 2), dt_estimate_summary(high, 2)).tested);
}

/* A rounded sum of equal values is no spread, and what is not finite is no value. */
static void equal_values_and_gaps(void **state) {
    (void)state;
    double same[] = {0.1, 0.1, 0.1}, other[] = {0.2, 0.2, 0.2}, gaps[] = {NAN, 2.0, INFINITY, 1.0, -INFINITY};
    dt_summary first = dt_estimate_summary(same, 3), second = dt_estimate_summary(other, 3);
    assert_close(first.mean, 0.1, 0.0);
    assert_close(first.deviation, 0.0, 0.0);
    assert_false(dt_estimate_welch(first, second).tested);
    dt_summary summary = dt_estimate_summary(gaps, 5);
    assert_int_equal(summary.count, 2);
    assert_close(summary.mean, 1.5, 0.0);
    assert_close(summary.high, 2.0, 0.0);
}

/* With very many values Student's distribution is the normal one. */
static void many_degrees(void **state) {
    (void)state;
    assert_close(dt_estimate_student(1.96, 2e6), erfc(1.96 / sqrt(2.0)), 1e-5);
    assert_close(dt_estimate_student(1e200, 10), 0.0, 0.0);
    assert_close(dt_estimate_student(INFINITY, 10), 0.0, 0.0);
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
        cmocka_unit_test(summary_of_values),     cmocka_unit_test(incomplete_beta),
        cmocka_unit_test(student_tails),         cmocka_unit_test(welch_test),
        cmocka_unit_test(welch_without_spread),  cmocka_unit_test(holm_correction),
        cmocka_unit_test(serial_fraction),       cmocka_unit_test(values_of_any_size),
        cmocka_unit_test(equal_values_and_gaps), cmocka_unit_test(many_degrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
