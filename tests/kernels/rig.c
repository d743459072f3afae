/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernels of every kind, and arrays whose ends are watched. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"

#if defined(__SANITIZE_ADDRESS__)
enum { GUARD = 0 };
#else
enum { GUARD = 2 * DT_ALIGNMENT_FLOATS };
#endif

static const float canary = -12345.678f;

dt_precision rig_precision = DT_PRECISION_FP32;

int rig_use_bf16(void **state) {
    (void)state;
    rig_precision = DT_PRECISION_BF16;
    return 0;
}

int rig_use_fp32(void **state) {
    (void)state;
    rig_precision = DT_PRECISION_FP32;
    return 0;
}

dt_isa rig_last_isa(void) {
    return rig_precision == DT_PRECISION_BF16 ? dt_isa_highest() : dt_isa_best();
}

rig rig_open(dt_isa isa, dt_engine engine, int threads, const dt_convolve_shape *conv,
             const dt_dense_shape *dense, int samples) {
    rig r;
    assert_ok(dt_team_create(threads, &r.team));
    dt_kernels_config config = {.team = r.team, .isa = isa, .engine = engine, .precision = rig_precision};
    if (engine == DT_ENGINE_REFERENCE)
        config.precision = DT_PRECISION_FP32;
    assert_ok(dt_kernels_create(&config, &r.kernels));
    if (conv)
        assert_ok(dt_convolve_reserve(r.kernels, *conv, samples));
    if (dense)
        assert_ok(dt_dense_reserve(r.kernels, *dense, samples));
    return r;
}

void rig_close(rig r) {
    dt_kernels_destroy(r.kernels);
    dt_team_destroy(r.team);
}

static uint32_t random_word(void) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

int rig_random(int limit) {
    return (int)((uint64_t)random_word() * (uint64_t)limit >> 32);
}

static float *allocate(size_t count) {
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, DT_ALIGNMENT, (count + GUARD) * sizeof(float) + 1), 0);
    return memory;
}

float *rig_input(size_t count) {
    float *values = allocate(count);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(random_word() >> 8) * 0x1p-23f - 1.0f;
    for (size_t i = count; i < count + GUARD; i++)
        values[i] = NAN;
    return values;
}

float *rig_output(size_t count) {
    float *values = allocate(count);
    for (size_t i = 0; i < count; i++)
        values[i] = NAN;
    for (size_t i = count; i < count + GUARD; i++)
        values[i] = canary;
    return values;
}

float *rig_copy(const float *values, size_t count) {
    float *copy = rig_output(count);
    memcpy(copy, values, count * sizeof(float));
    return copy;
}

void rig_check_output(const float *output, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(output[i]))
            fail_msg("result %zu of %zu is %g", i, count, (double)output[i]);
    for (size_t i = count; i < count + GUARD; i++)
        if (memcmp(&output[i], &canary, sizeof canary) != 0)
            fail_msg("%zu results, but element %zu was written", count, i);
}

void rig_check_near(const char *what, size_t count, const float *actual, const float *expected,
                    const float *magnitude, double factor) {
    rig_check_output(actual, count);
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)actual[i] - (double)expected[i]);
        double bound = factor * (double)magnitude[i] + 1e-30;
        if (!(error <= bound))
            fail_msg("%s: element %zu of %zu: %.9g, not %.9g: error %.2g above %.2g", what, i, count,
                     (double)actual[i], (double)expected[i], error, bound);
    }
}

float *rig_absolute(const float *values, size_t count) {
    float *absolute = rig_output(count);
    for (size_t i = 0; i < count; i++)
        absolute[i] = fabsf(values[i]);
    return absolute;
}

float rig_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t rig_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* All finite values: the lowest 16 bits are cut off after half of the last remaining one, less a little where
 * that one is even, has been added. */
float rig_bf16(float value) {
    uint32_t bits = rig_bits_of(value);
    if (fabsf(value) < 0x1p-126f)
        bits &= 0x80000000u;
    else
        bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    return rig_from_bits(bits);
}

float rig_pair_step(float sum, const float *left, const float *right) {
    return fmaf(left[0], right[0], fmaf(left[1], right[1], sum));
}

void rig_check_same_bits(const char *what, const float *actual, const float *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&actual[i], &expected[i], sizeof(float)) != 0)
            fail_msg("%s: element %zu of %zu: %.9g, not %.9g", what, i, count, (double)actual[i],
                     (double)expected[i]);
}

double rig_sum_bound(double terms) {
    return (4 * sqrt(terms) + 4) * RIG_ROUNDOFF;
}

static int count_roots(int batch, int ranks, unsigned char *merges) {
    int roots = 0;
    for (int rank = 0; rank < ranks; rank++) {
        dt_share share = dt_leaves_share(batch, ranks, rank);
        roots += dt_leaves_plan(&share, merges, NULL).roots;
    }
    return roots;
}

float *rig_shared_gradient(int batch, int ranks, size_t count, rig_gradient run, void *context) {
    enum { MOST_ROOTS = 64 };
    dt_subtree nodes[MOST_ROOTS];
    unsigned char *merges = malloc((size_t)dt_leaves_count(batch) + MOST_ROOTS);
    assert_non_null(merges);
    int all_roots = count_roots(batch, ranks, merges), found = 0, height = 0;
    float *roots = rig_output((size_t)all_roots * count), *stack[MOST_ROOTS];
    assert_true(all_roots >= 1 && all_roots <= MOST_ROOTS);
    for (int rank = 0; rank < ranks; rank++) {
        dt_share share = dt_leaves_share(batch, ranks, rank);
        dt_leaf_plan plan = dt_leaves_plan(&share, merges, nodes + found);
        run(context, &plan, share.first_sample, (dt_root_sink){roots + (size_t)found * count, count});
        found += plan.roots;
    }
    rig_check_output(roots, (size_t)found * count);
    assert_int_equal(dt_leaves_reduce(dt_leaves_count(batch), nodes, found, merges, NULL), 1);
    for (int i = 0; i < found; i++) {
        stack[height++] = roots + (size_t)i * count;
        for (int merge = 0; merge < merges[i]; merge++, height--)
            for (size_t k = 0; k < count; k++)
                stack[height - 2][k] += stack[height - 1][k];
    }
    free(merges);
    return roots;
}
