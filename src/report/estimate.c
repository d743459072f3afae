/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics of few repeats. */
#include "report/estimate.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int move_finite_to_front(double *values, int count) {
    int finite = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(values[i]))
            values[finite++] = values[i];
    return finite;
}

/* The exponent by which values of at most this size come near 1. Scaling by a power of two changes no digit.
 */
static int exponent_of(double largest) {
    int exponent;
    (void)frexp(largest, &exponent);
    return largest > 0.0 ? exponent : 0;
}

/* Mean of `count` values, a rounded sum of equal ones among them: never outside of low .. high. */
static double mean_of(const double *values, int count, double low, double high) {
    int exponent = exponent_of(fmax(fabs(low), fabs(high)));
    double sum = 0.0;
    for (int i = 0; i < count; i++)
        sum += ldexp(values[i], -exponent);
    return fmin(fmax(ldexp(sum / count, exponent), low), high);
}

static double deviation_of(const double *values, int count, double mean) {
    double largest = 0.0, squares = 0.0;
    for (int i = 0; i < count; i++)
        largest = fmax(largest, fabs(0.5 * values[i] - 0.5 * mean));
    /* One more: the halves above. */
    int exponent = exponent_of(largest) + 1;
    for (int i = 0; i < count; i++) {
        double difference = ldexp(values[i], -exponent) - ldexp(mean, -exponent);
        squares += difference * difference;
    }
    return ldexp(sqrt(squares / (count - 1)), exponent);
}

dt_summary dt_estimate_summary(double *values, int count) {
    count = move_finite_to_front(values, count);
    dt_summary summary = {count, NAN, NAN, NAN, NAN, NAN};
    if (count < 1)
        return summary;
    qsort(values, (size_t)count, sizeof *values, compare);
    summary.low = values[0];
    summary.high = values[count - 1];
    summary.median = 0.5 * values[(count - 1) / 2] + 0.5 * values[count / 2];
    summary.mean = mean_of(values, count, summary.low, summary.high);
    if (count > 1)
        summary.deviation = deviation_of(values, count, summary.mean);
    return summary;
}

/* Lentz' step: c and d of the fraction after the partial numerator `term`; returns their product. */
static double lentz_step(double term, double *c, double *d) {
    *d = 1.0 + term * *d;
    *c = 1.0 + term / *c;
    if (fabs(*d) < DBL_MIN)
        *d = DBL_MIN;
    if (fabs(*c) < DBL_MIN)
        *c = DBL_MIN;
    *d = 1.0 / *d;
    return *c * *d;
}

/* The fraction converges for x < (a + 1) / (a + b + 2) in some multiple of sqrt(max(a, b)) terms. */
static double beta_fraction(double a, double b, double x) {
    double c = 1.0, d = 0.0, value = 1.0;
    for (int m = 0; m < 100000; m++) {
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        value *= lentz_step(odd, &c, &d);
        double even = (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2));
        double factor = lentz_step(even, &c, &d);
        value *= factor;
        if (fabs(factor - 1.0) < 4 * DBL_EPSILON)
            break;
    }
    return value;
}

double dt_estimate_beta(double a, double b, double x) {
    assert(a > 0.0 && b > 0.0 && x >= 0.0 && x <= 1.0);
    if (x <= 0.0 || x >= 1.0)
        return x;
    if (x > (a + 1.0) / (a + b + 2.0))
        return 1.0 - dt_estimate_beta(b, a, 1.0 - x);
    double front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x);
    return exp(front) / (a * beta_fraction(a, b, x));
}

double dt_estimate_student(double t, double degrees) {
    return dt_estimate_beta(0.5 * degrees, 0.5, degrees / (degrees + t * t));
}

double dt_estimate_student_quantile(double p, double degrees) {
    assert(p > 0.0 && p < 1.0);
    double low = 0.0, high = 1.0;
    while (dt_estimate_student(high, degrees) > p && high < 1e300)
        high *= 2.0;
    for (int i = 0; i < 200 && high - low > 1e-12 * high; i++) {
        double middle = 0.5 * (low + high);
        if (dt_estimate_student(middle, degrees) > p)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

/* Variances are taken in units of the larger deviation: the square of one alone may overflow or vanish. */
dt_contrast dt_estimate_welch(dt_summary a, dt_summary b) {
    dt_contrast contrast = {.difference = b.mean - a.mean, .low = NAN, .high = NAN, .t = NAN, .p = 1.0};
    double unit = fmax(a.deviation, b.deviation);
    if (a.count < 2 || b.count < 2 || !(unit > 0.0) || !isfinite(unit) || !isfinite(contrast.difference))
        return contrast;
    double first = a.deviation / unit * (a.deviation / unit) / a.count;
    double second = b.deviation / unit * (b.deviation / unit) / b.count;
    double variance = first + second, error = sqrt(variance) * unit;
    if (!(error > 0.0))
        return contrast;
    contrast.tested = true;
    contrast.degrees =
        variance * variance / (first * first / (a.count - 1) + second * second / (b.count - 1));
    contrast.t = contrast.difference / error;
    contrast.p = dt_estimate_student(contrast.t, contrast.degrees);
    double reach = dt_estimate_student_quantile(0.05, contrast.degrees) * error;
    contrast.low = contrast.difference - reach;
    contrast.high = contrast.difference + reach;
    return contrast;
}

void dt_estimate_holm(double *p, int count) {
    double least = 0.0;
    for (int i = 0; i < count; i++)
        if (!(p[i] >= 0.0 && p[i] <= 1.0))
            p[i] = 1.0;
    for (int rank = 0; rank < count; rank++) {
        /* The smallest of those not yet corrected, which are marked by not being negative. */
        int next = -1;
        for (int i = 0; i < count; i++)
            if (p[i] >= 0.0 && (next < 0 || p[i] < p[next]))
                next = i;
        assert(next >= 0);
        double corrected = fmin(1.0, (count - rank) * p[next]);
        least = fmax(least, corrected);
        p[next] = -fmax(least, DBL_MIN);
    }
    for (int i = 0; i < count; i++)
        p[i] = -p[i];
}

double dt_estimate_serial_fraction(double speedup, double n) {
    return n > 1.0 ? (1.0 / speedup - 1.0 / n) / (1.0 - 1.0 / n) : NAN;
}
