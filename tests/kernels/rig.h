/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel tests share: kernels of every kind, and arrays whose ends are watched. */
#ifndef DTRAIN_TESTS_KERNELS_RIG_H
#define DTRAIN_TESTS_KERNELS_RIG_H

#include "test.h"

#include "dtrain/kernels.h"

/* The unit roundoff of float. */
#define RIG_ROUNDOFF 0x1p-24

/* Kernels and their team. */
typedef struct rig {
    dt_team *team;
    dt_kernels *kernels;
} rig;

/* Of the kernels that rig_open makes; DT_PRECISION_FP32 at first. The reference engine is always float32. */
extern dt_precision rig_precision;

/* Setup and teardown of a test that runs in bfloat16. */
int rig_use_bf16(void **state);
int rig_use_fp32(void **state);

/* The last instruction set with bodies of its own in this precision. */
dt_isa rig_last_isa(void);

/* For one layer at the most: conv or dense may be NULL. */
rig rig_open(dt_isa isa, dt_engine engine, int threads, const dt_convolve_shape *conv,
             const dt_dense_shape *dense, int samples);
void rig_close(rig r);

/* A whole number in [0, limit), the next of a fixed sequence. */
int rig_random(int limit);

/* `count` values in [-1, 1), aligned as the kernels ask for. Behind them lie NaNs, which a kernel that reads
 * too far carries into its results; with AddressSanitizer nothing lies there. Release with free(). */
float *rig_input(size_t count);

/* Room for `count` results, all NaN at first, with canaries behind. */
float *rig_output(size_t count);

/* A copy; release with free(). */
float *rig_copy(const float *values, size_t count);

/* The canaries behind an output are whole and every result was written with a number. */
void rig_check_output(const float *output, size_t count);

/* |actual - expected| <= factor * magnitude + tiny, at each element. */
void rig_check_near(const char *what, size_t count, const float *actual, const float *expected,
                    const float *magnitude, double factor);

/* A copy of `values` without signs; release with free(). */
float *rig_absolute(const float *values, size_t count);

/* The nearest bfloat16, ties to even; below 2^-126 zero. */
float rig_bf16(float value);

/* A float and the bits that it has. */
float rig_from_bits(uint32_t bits);
uint32_t rig_bits_of(float value);

/* One step of a chain over pairs of bfloat16, element 0 being the even one: the odd product first. */
float rig_pair_step(float sum, const float *left, const float *right);

void rig_check_same_bits(const char *what, const float *actual, const float *expected, size_t count);

/* The bound for a sum of `terms` products in float, as a factor of the sum of their absolute values: each
 * rounding errs by at most RIG_ROUNDOFF of a partial sum that this sum bounds, and errors of many roundings
 * add up like a random walk. 4 standard deviations, and a few roundings around the sum. */
double rig_sum_bound(double terms);

/* A share's gradients by weights pass number `pass`; arrays are laid out as the sinks say. */
typedef void (*rig_gradient)(void *context, const dt_leaf_plan *plan, int first_sample, dt_root_sink sink);

/* Cuts a batch over `ranks` shares, lets `run` compute each share's roots of `count` values, and finishes the
 * tree. The result is owned by the caller. */
float *rig_shared_gradient(int batch, int ranks, size_t count, rig_gradient run, void *context);

#endif
