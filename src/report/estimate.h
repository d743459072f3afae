/* SPDX-License-Identifier: BSD-3-Clause */
/* What repeated measurements say: middle, spread, whether two sets of them differ, and the serial fraction
 * behind a speed-up. Pure functions. */
#ifndef DTRAIN_REPORT_ESTIMATE_H
#define DTRAIN_REPORT_ESTIMATE_H

#include <stdbool.h>

/* Of no values: count 0 and NaN. Of one: deviation NaN. Of equal ones: their value, deviation 0. */
typedef struct dt_summary {
    int count;              /* of finite values: the others are left out */
    double mean, deviation; /* of the sample: the sum of squares over count - 1 */
    double median, low, high;
} dt_summary;

/* Allocates nothing; sorts the finite of `values` to the front. No sum within overflows or underflows: mean
 * and deviation are finite for finite values, but for a deviation above the largest double, which is
 * infinite. */
dt_summary dt_estimate_summary(double *values, int count);

/* Regularised incomplete beta function I_x(a, b), a and b above 0, x in [0, 1]: the continued fraction of
 * DLMF 8.17.22, evaluated after Lentz. */
double dt_estimate_beta(double a, double b, double x);

/* Probability that a Student variable with `degrees` of freedom lies outside [-t, t]:
 * I_{n/(n+t^2)}(n/2, 1/2) (DLMF 8.17.5 with Abramowitz & Stegun 26.7.1). */
double dt_estimate_student(double t, double degrees);

/* The t of which dt_estimate_student(t, degrees) is `p`, by bisection; p in (0, 1). */
double dt_estimate_student_quantile(double p, double degrees);

/* Two means compared. */
typedef struct dt_contrast {
    bool tested;       /* false: fewer than two values on a side, no spread in either, or a spread or a mean
                          that is not finite; p is 1 then */
    double difference; /* mean of b less mean of a */
    double low, high;  /* 95 % confidence interval of it; NaN if not tested */
    double t, degrees, p;
} dt_contrast;

/* Welch's t-test for means of samples whose spreads may differ (B. L. Welch, Biometrika 34, 1947, p. 28);
 * degrees of freedom after Welch and Satterthwaite (Biometrics Bulletin 2, 1946, p. 110). */
dt_contrast dt_estimate_welch(dt_summary a, dt_summary b);

/* Holm's step-down correction of `count` p-values for having been asked together, in place (S. Holm,
 * Scandinavian Journal of Statistics 6, 1979, p. 65): the result is significant at a level when it is below
 * it. NaN counts, and is given back, as 1. */
void dt_estimate_holm(double *p, int count);

/* The experimentally determined serial fraction (A. H. Karp and H. P. Flatt, Communications of the ACM 33,
 * 1990, p. 539): (1/speedup - 1/n) / (1 - 1/n). n above 1 workers, else NaN. Below 0: faster than linear. */
double dt_estimate_serial_fraction(double speedup, double n);

#endif
