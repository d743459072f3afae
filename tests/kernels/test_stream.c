/* SPDX-License-Identifier: BSD-3-Clause */
/* Pooling, normalisation, ReLU, dropout, Adam, sums: every instruction set against the plain twin. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The sizes of the flat arrays: every tail of every vector, and more than one task. */
static const size_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 1000, 32768, 70001};
enum { COUNTS = sizeof counts / sizeof counts[0] };

/* Runs `check` with the kernels of each instruction set, and the twin to compare with. */
static void for_each_isa(void (*check)(dt_kernels *kernels, dt_kernels *twin)) {
    rig twin = rig_open(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 1, NULL, NULL, 64);
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++)
        for (int threads = 1; threads <= 3; threads++) {
            rig r = rig_open(isa, DT_ENGINE_AUTO, threads, NULL, NULL, 64);
            check(r.kernels, twin.kernels);
            rig_close(r);
        }
    rig_close(twin);
}

/* Pixels and channels of the network at full width, at an eighth, and odd ones. */
static const struct {
    int height, width, channels, samples;
} images[] = {
    {28, 28, 64, 2}, {14, 14, 192, 2}, {7, 7, 384, 3}, {7, 7, 256, 9}, {28, 28, 8, 3}, {14, 14, 24, 8},
    {7, 7, 48, 7},   {3, 3, 32, 64},   {2, 2, 1, 1},   {5, 4, 19, 17}, {3, 6, 130, 9}, {1, 3, 5, 2},
};
enum { IMAGES = sizeof images / sizeof images[0] };

static size_t image_values(int image) {
    return (size_t)images[image].samples * (size_t)images[image].height * (size_t)images[image].width *
           (size_t)images[image].channels;
}

static void check_pool(dt_kernels *kernels, dt_kernels *twin) {
    for (int i = 0; i < IMAGES; i++) {
        dt_pool_shape shape = {images[i].height, images[i].width, images[i].channels};
        int samples = images[i].samples;
        size_t values = image_values(i), pooled = (size_t)samples * (size_t)(shape.height / 2) *
                                                  (size_t)(shape.width / 2) * (size_t)shape.channels;
        float *x = rig_input(values), *dy = rig_input(pooled), *y = rig_output(pooled);
        float *expected_y = rig_output(pooled), *dz = rig_output(values), *expected_dz = rig_output(values);
        dt_pool_forward(kernels, shape, samples, x, y);
        dt_pool_forward(twin, shape, samples, x, expected_y);
        dt_pool_backward_relu(kernels, shape, samples, x, dy, dz);
        dt_pool_backward_relu(twin, shape, samples, x, dy, expected_dz);
        rig_check_output(y, pooled);
        rig_check_output(dz, values);
        /* Additions in the same order and a factor 1/4: exact twins. */
        rig_check_same_bits("pool forward", y, expected_y, pooled);
        for (size_t k = 0; k < values; k++)
            assert_true(dz[k] == expected_dz[k]);
        free(x);
        free(dy);
        free(y);
        free(expected_y);
        free(dz);
        free(expected_dz);
    }
}

static void check_relu(dt_kernels *kernels, dt_kernels *twin) {
    for (int i = 0; i < COUNTS; i++) {
        float *y = rig_input(counts[i]), *dy = rig_input(counts[i]);
        float *dz = rig_output(counts[i]), *expected = rig_output(counts[i]);
        y[0] = 0;
        dt_relu_backward(kernels, counts[i], 2.5f, y, dy, dz);
        dt_relu_backward(twin, counts[i], 2.5f, y, dy, expected);
        rig_check_output(dz, counts[i]);
        rig_check_same_bits("relu", dz, expected, counts[i]);
        dt_relu_backward(kernels, counts[i], 2.5f, y, dy, dy);
        rig_check_same_bits("relu in place", dy, expected, counts[i]);
        free(y);
        free(dy);
        free(dz);
        free(expected);
    }
}

static void check_add(dt_kernels *kernels, dt_kernels *twin) {
    for (int i = 0; i < COUNTS; i++) {
        float *values = rig_input(counts[i]), *sum = rig_output(counts[i]), *expected = rig_output(counts[i]);
        memset(sum, 0, counts[i] * sizeof(float));
        memset(expected, 0, counts[i] * sizeof(float));
        for (int turn = 0; turn < 3; turn++) {
            dt_add_to(kernels, counts[i], values, sum);
            dt_add_to(twin, counts[i], values, expected);
        }
        rig_check_output(sum, counts[i]);
        rig_check_same_bits("add", sum, expected, counts[i]);
        free(values);
        free(sum);
        free(expected);
    }
}

static void check_largest_magnitude(dt_kernels *kernels, dt_kernels *twin) {
    static const float large[] = {1.5f, -2.0f, 3.4e38f, -3.4e38f, INFINITY, -INFINITY};
    assert_true(dt_largest_magnitude(kernels, 0, NULL) == 0.0f);
    for (int i = 0; i < COUNTS; i++) {
        float *values = rig_input(counts[i]);
        assert_true(dt_largest_magnitude(kernels, counts[i], values) ==
                    dt_largest_magnitude(twin, counts[i], values));
        for (size_t k = 0; k < counts[i]; k += counts[i] < 100 ? 1 : 997) {
            float kept = values[k];
            values[k] = large[k % 6];
            assert_true(dt_largest_magnitude(kernels, counts[i], values) == fabsf(large[k % 6]));
            assert_true(dt_largest_magnitude(twin, counts[i], values) == fabsf(large[k % 6]));
            values[counts[i] / 2] = k % 2 ? NAN : -NAN;
            assert_true(isnan(dt_largest_magnitude(kernels, counts[i], values)));
            assert_true(isnan(dt_largest_magnitude(twin, counts[i], values)));
            values[counts[i] / 2] = 0.5f;
            values[k] = kept;
        }
        free(values);
    }
}

static void check_finite(dt_kernels *kernels, dt_kernels *twin) {
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    (void)twin;
    assert_true(dt_all_finite(kernels, 0, NULL));
    for (int i = 0; i < COUNTS; i++) {
        float *values = rig_input(counts[i]);
        values[counts[i] / 2] = 3.4e38f;
        values[0] = 1e-42f;
        assert_true(dt_all_finite(kernels, counts[i], values));
        for (size_t k = 0; k < counts[i]; k += counts[i] < 100 ? 1 : 997) {
            float kept = values[k];
            values[k] = bad[k % 4];
            assert_false(dt_all_finite(kernels, counts[i], values));
            values[k] = kept;
        }
        values[counts[i] - 1] = INFINITY;
        assert_false(dt_all_finite(kernels, counts[i], values));
        free(values);
    }
}

typedef struct adam_state {
    float *weights, *m, *v;
} adam_state;

static adam_state adam_create(size_t count, const float *weights) {
    adam_state a = {rig_output(count), rig_output(count), rig_output(count)};
    memcpy(a.weights, weights, count * sizeof(float));
    memset(a.m, 0, count * sizeof(float));
    memset(a.v, 0, count * sizeof(float));
    return a;
}

static void adam_free(adam_state a) {
    free(a.weights);
    free(a.m);
    free(a.v);
}

/* Three steps. Bounds: m and v are sums of three terms whose absolute values are below 1 a step; a weight
 * moves by rate * m / (sqrt(v) + epsilon), at most about 10 * rate, with a few roundings of relative size. */
static void check_adam(dt_kernels *kernels, dt_kernels *twin) {
    dt_adam_step step = {.rate = 1e-2f, .one_minus_beta1 = 0.1f, .one_minus_beta2 = 1e-3f, .epsilon = 1e-8f};
    for (int i = 0; i < COUNTS; i++) {
        size_t count = counts[i];
        float *weights = rig_input(count), *ones = rig_output(count);
        adam_state actual = adam_create(count, weights), expected = adam_create(count, weights);
        for (size_t k = 0; k < count; k++)
            ones[k] = 1;
        for (int turn = 0; turn < 3; turn++) {
            float *gradient = rig_input(count);
            for (size_t k = 0; k < count; k++)
                gradient[k] += gradient[k] < 0 ? -0.01f : 0.01f;
            dt_adam_update(kernels, step, count, gradient, actual.weights, actual.m, actual.v);
            dt_adam_update(twin, step, count, gradient, expected.weights, expected.m, expected.v);
            free(gradient);
        }
        rig_check_near("m", count, actual.m, expected.m, ones, 6 * RIG_ROUNDOFF);
        rig_check_near("v", count, actual.v, expected.v, ones, 6 * RIG_ROUNDOFF * 1e-2);
        rig_check_near("weights", count, actual.weights, expected.weights, ones, 8 * RIG_ROUNDOFF);
        adam_free(actual);
        adam_free(expected);
        free(weights);
        free(ones);
    }
}

/* The same elements as parts of other arrays: slices of a vector must take the same steps. */
static void test_adam_does_not_depend_on_place(void **state) {
    enum { COUNT = 200 };
    dt_adam_step step = {.rate = 1e-2f, .one_minus_beta1 = 0.1f, .one_minus_beta2 = 1e-3f, .epsilon = 1e-8f};
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
        rig r = rig_open(isa, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
        float *weights = rig_input(COUNT), *gradient = rig_input(COUNT);
        adam_state whole = adam_create(COUNT, weights);
        dt_adam_update(r.kernels, step, COUNT, gradient, whole.weights, whole.m, whole.v);
        for (size_t cut = 1; cut < COUNT; cut += 7) {
            adam_state parts = adam_create(COUNT, weights);
            dt_adam_update(r.kernels, step, cut, gradient, parts.weights, parts.m, parts.v);
            dt_adam_update(r.kernels, step, COUNT - cut, gradient + cut, parts.weights + cut, parts.m + cut,
                           parts.v + cut);
            rig_check_same_bits("weights", parts.weights, whole.weights, COUNT);
            rig_check_same_bits("m", parts.m, whole.m, COUNT);
            rig_check_same_bits("v", parts.v, whole.v, COUNT);
            adam_free(parts);
        }
        adam_free(whole);
        free(weights);
        free(gradient);
        rig_close(r);
    }
}

/* Against the definition in kernels.h, drawn here unit by unit. */
static void check_dropout(dt_kernels *kernels, dt_kernels *twin) {
    static const float rates[] = {0.0f, 0.3f, 0.5f, 0.999f};
    static const int units[] = {1, 7, 8, 13, 513};
    int samples[5];
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 5; k++) {
            size_t count = 5 * (size_t)units[k], place = 0;
            float *x = rig_input(count), *y = rig_output(count), *twin_y = rig_output(count);
            dt_dropout_key key = {(uint64_t)rig_random(1000) * 0x123456789u, 1, 3, rates[i], 0};
            memcpy(y, x, count * sizeof(float));
            memcpy(twin_y, x, count * sizeof(float));
            for (int row = 0; row < 5; row++)
                samples[row] = rig_random(60000);
            dt_dropout_forward(kernels, key, 5, units[k], samples, y);
            dt_dropout_forward(twin, key, 5, units[k], samples, twin_y);
            for (int row = 0; row < 5; row++)
                for (uint32_t unit = 0; unit < (uint32_t)units[k]; unit++, place++) {
                    dt_random4 drawn =
                        dt_random_draw(key.seed, DT_PURPOSE_DROPOUT, 1, 3, (uint32_t)samples[row], unit / 8);
                    uint32_t word = drawn.word[unit % 8 / 2], bits = unit % 2 ? word >> 16 : word & 0xFFFF;
                    bool kept = bits >= (uint32_t)lroundf(rates[i] * 65536.0f);
                    float expected = kept ? x[place] * (1.0f / (1.0f - rates[i])) : 0.0f;
                    assert_true(y[place] == expected);
                }
            rig_check_output(y, count);
            rig_check_same_bits("dropout twin", twin_y, y, count);
            free(x);
            free(y);
            free(twin_y);
        }
}

static void check_partials(const char *what, size_t count, const double *actual, const double *expected,
                           const double *magnitude, double terms) {
    /* Sums of doubles in another order: terms * 2^-53 of the sum of absolute values, each way. */
    for (size_t i = 0; i < count; i++)
        if (!(fabs(actual[i] - expected[i]) <= 2 * (terms + 4) * 0x1p-53 * magnitude[i]))
            fail_msg("%s: partial %zu of %zu: %.17g, not %.17g", what, i, count, actual[i], expected[i]);
}

/* The partial sums of an activation, by the kernels, by the twin, and of absolute values. */
static void check_norm_sums(dt_kernels *kernels, dt_kernels *twin, dt_norm_shape shape, int samples,
                            size_t values) {
    unsigned char merges[16];
    dt_share share = dt_leaves_share(samples, 1, 0);
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    size_t groups = (size_t)dt_norm_groups(shape), count = 2 * groups * (size_t)plan.leaves;
    double *actual = malloc(count * sizeof(double)), *expected = malloc(count * sizeof(double));
    double *magnitude = malloc(count * sizeof(double));
    float *x = rig_input(values), *dy = rig_input(values), *mean = rig_input(groups),
          *inverse = rig_input(groups);
    float *absolute_x = rig_absolute(x, values), *absolute_dy = rig_absolute(dy, values);
    float *minus_mean = rig_absolute(mean, groups), *absolute_inverse = rig_absolute(inverse, groups);
    assert_true(actual && expected && magnitude);
    for (size_t i = 0; i < groups; i++)
        minus_mean[i] = -minus_mean[i];
    dt_norm_statistics(kernels, shape, &plan, x, actual);
    dt_norm_statistics(twin, shape, &plan, x, expected);
    dt_norm_statistics(twin, shape, &plan, absolute_x, magnitude);
    check_partials("statistics", count, actual, expected, magnitude, (double)values);
    dt_norm_backward_statistics(kernels, shape, &plan, x, dy, mean, inverse, actual);
    dt_norm_backward_statistics(twin, shape, &plan, x, dy, mean, inverse, expected);
    dt_norm_backward_statistics(twin, shape, &plan, absolute_x, absolute_dy, minus_mean, absolute_inverse,
                                magnitude);
    check_partials("backward statistics", count, actual, expected, magnitude, (double)values);
    free(actual);
    free(expected);
    free(magnitude);
    free(x);
    free(dy);
    free(mean);
    free(inverse);
    free(absolute_x);
    free(absolute_dy);
    free(minus_mean);
    free(absolute_inverse);
}

static void check_norm_values(dt_kernels *kernels, dt_kernels *twin, dt_norm_shape shape, int samples,
                              size_t values) {
    size_t groups = (size_t)dt_norm_groups(shape);
    float *x = rig_input(values), *dy = rig_input(values), *scale = rig_input(groups),
          *shift = rig_input(groups);
    float *offset = rig_input(groups), *actual = rig_output(values), *expected = rig_output(values);
    float *ones = rig_output(values);
    for (size_t i = 0; i < values; i++)
        ones[i] = 1;
    /* Every term is below 1 in absolute value: two roundings forward, four backward, each below 2 or 3 units.
     */
    dt_norm_forward(kernels, shape, samples, x, scale, shift, actual);
    dt_norm_forward(twin, shape, samples, x, scale, shift, expected);
    rig_check_near("norm forward", values, actual, expected, ones, 6 * RIG_ROUNDOFF);
    dt_norm_backward(kernels, shape, samples, x, dy, scale, shift, offset, actual);
    dt_norm_backward(twin, shape, samples, x, dy, scale, shift, offset, expected);
    rig_check_near("norm backward", values, actual, expected, ones, 12 * RIG_ROUNDOFF);
    dt_norm_backward(kernels, shape, samples, x, dy, scale, shift, offset, dy);
    rig_check_same_bits("norm backward in place", dy, actual, values);
    free(x);
    free(dy);
    free(scale);
    free(shift);
    free(offset);
    free(actual);
    free(expected);
    free(ones);
}

static void check_norm(dt_kernels *kernels, dt_kernels *twin) {
    for (int i = 0; i < IMAGES; i++)
        for (int by_rows = 0; by_rows < 2; by_rows++) {
            dt_norm_shape shape = {images[i].height, images[i].width, images[i].channels, by_rows};
            check_norm_sums(kernels, twin, shape, images[i].samples, image_values(i));
            check_norm_values(kernels, twin, shape, images[i].samples, image_values(i));
        }
}

/* Leaf partials must be the same wherever the leaf stands, and for any number of threads. */
static void test_partials_do_not_depend_on_place(void **state) {
    enum { SAMPLES = 20, GROUPS = 19 };
    dt_norm_shape shape = {5, 4, GROUPS, false};
    size_t image = 5 * 4 * GROUPS;
    float *x = rig_input(SAMPLES * image);
    unsigned char merges[8];
    (void)state;
    for (int by_rows = 0; by_rows < 2; by_rows++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
            double whole[3 * 2 * GROUPS], part[3 * 2 * GROUPS];
            shape.by_rows = by_rows;
            size_t leaf_bytes = 2 * sizeof(double) * (size_t)dt_norm_groups(shape);
            dt_share share = dt_leaves_share(SAMPLES, 1, 0);
            dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
            rig one = rig_open(isa, DT_ENGINE_AUTO, 1, NULL, NULL, SAMPLES);
            dt_norm_statistics(one.kernels, shape, &plan, x, whole);
            rig_close(one);
            rig three = rig_open(isa, DT_ENGINE_AUTO, 3, NULL, NULL, SAMPLES);
            for (int rank = 0; rank < 3; rank++) {
                share = dt_leaves_share(SAMPLES, 3, rank);
                plan = dt_leaves_plan(&share, merges, NULL);
                dt_norm_statistics(three.kernels, shape, &plan, x + (size_t)share.first_sample * image, part);
                assert_memory_equal(part, (char *)whole + (size_t)share.first_leaf * leaf_bytes,
                                    leaf_bytes * (size_t)share.leaves);
            }
            rig_close(three);
        }
    free(x);
}

static void test_pool(void **state) {
    (void)state;
    for_each_isa(check_pool);
}

static void test_relu(void **state) {
    (void)state;
    for_each_isa(check_relu);
}

static void test_add(void **state) {
    (void)state;
    for_each_isa(check_add);
}

static void test_largest_magnitude(void **state) {
    (void)state;
    for_each_isa(check_largest_magnitude);
}

static void test_finite(void **state) {
    (void)state;
    for_each_isa(check_finite);
}

static void test_adam(void **state) {
    (void)state;
    for_each_isa(check_adam);
}

static void test_dropout(void **state) {
    (void)state;
    for_each_isa(check_dropout);
}

static void test_norm(void **state) {
    (void)state;
    for_each_isa(check_norm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_finite),
        cmocka_unit_test(test_largest_magnitude),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_adam_does_not_depend_on_place),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_partials_do_not_depend_on_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
