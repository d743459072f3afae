/* SPDX-License-Identifier: BSD-3-Clause */
/* Rounding for a bf16 wire: every instruction set against the plain twin, and both against the definition. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t counts[] = {1, 3, 7, 8, 15, 16, 17, 33, 1000, 32768, 70001};
enum { COUNTS = sizeof counts / sizeof counts[0] };

static rig open_wire(dt_isa isa, dt_engine engine, int threads) {
    rig r;
    assert_ok(dt_team_create(threads, &r.team));
    dt_kernels_config config = {.team = r.team, .isa = isa, .engine = engine, .wire = DT_WIRE_BF16};
    assert_ok(dt_kernels_create(&config, &r.kernels));
    assert_int_equal(dt_kernels_wire(r.kernels), DT_WIRE_BF16);
    return r;
}

static void for_each_isa(void (*check)(dt_kernels *kernels, dt_kernels *twin)) {
    rig twin = open_wire(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 1);
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
        rig r = open_wire(isa, DT_ENGINE_AUTO, 1 + isa % 2);
        check(r.kernels, twin.kernels);
        rig_close(r);
    }
    rig_close(twin);
}

/* The definition, by distances: the nearer of the two bfloat16 around a value below 2^112, of equally near
 * ones the even one. Numbers below 2^-126 are zeros, as in all arithmetic here. */
static float nearest(float value) {
    uint32_t below = rig_bits_of(value) & 0xffff0000u, above = below + 0x10000u;
    if ((rig_bits_of(value) & 0x7f800000u) == 0)
        return copysignf(0.0f, value);
    double down = fabs((double)value - (double)rig_from_bits(below));
    double up = fabs((double)rig_from_bits(above) - (double)value);
    bool even = (below >> 16) % 2 == 0;
    return rig_from_bits(down < up || (down == up && even) ? below : above);
}

/* Every upper half with lower halves at, around and between the ties, and beside powers of two, where the
 * difference that is rounded crosses one. */
static void check_rounding(dt_kernels *kernels, dt_kernels *twin) {
    static const uint32_t lower[] = {0,      1,      2,      0x7f,   0x80,   0x81,   0xff,   0x100,
                                     0x101,  0x1ff,  0x3fff, 0x4000, 0x4001, 0x7fff, 0x8000, 0x8001,
                                     0xbfff, 0xc000, 0xc001, 0xfeff, 0xff00, 0xff7f, 0xfffe, 0xffff};
    enum { LOWER = sizeof lower / sizeof lower[0], VALUES = LOWER << 16 };
    float *values = malloc(VALUES * sizeof *values), *rounded = malloc(VALUES * sizeof *rounded);
    float *expected = malloc(VALUES * sizeof *expected), *back = malloc(VALUES * sizeof *back);
    uint16_t *halves = malloc(VALUES * sizeof *halves);
    assert_true(values && rounded && expected && back && halves);
    for (uint32_t i = 0; i < VALUES; i++)
        values[i] = rig_from_bits((i / LOWER) << 16 | lower[i % LOWER]);
    memcpy(rounded, values, VALUES * sizeof *values);
    memcpy(expected, values, VALUES * sizeof *values);
    dt_wire_round(kernels, VALUES, rounded);
    dt_wire_round(twin, VALUES, expected);
    dt_wire_pack(kernels, VALUES, values, halves);
    dt_wire_unpack(kernels, VALUES, halves, back);
    for (uint32_t i = 0; i < VALUES; i++) {
        if (fabsf(values[i]) < 0x1p112f) {
            assert_int_equal(rig_bits_of(expected[i]), rig_bits_of(nearest(values[i])));
            assert_int_equal(rig_bits_of(rounded[i]), rig_bits_of(expected[i]));
            assert_int_equal(rig_bits_of(back[i]), rig_bits_of(expected[i]));
        } else {
            assert_true(!isfinite(rounded[i]) || (isfinite(values[i]) && fabsf(rounded[i]) >= 0x1p112f));
            assert_true(isnan(back[i]) ? isnan(rounded[i]) : rig_bits_of(back[i]) == rig_bits_of(rounded[i]));
        }
    }
    free(values);
    free(rounded);
    free(expected);
    free(back);
    free(halves);
}

static void check_addition(dt_kernels *kernels, dt_kernels *twin) {
    for (int i = 0; i < COUNTS; i++) {
        size_t count = counts[i];
        float *values = rig_input(count), *sum = rig_output(count), *expected = rig_output(count);
        for (size_t k = 0; k < count; k++)
            sum[k] = expected[k] = nearest(values[count - 1 - k] * 3.0f);
        dt_add_to(kernels, count, values, sum);
        dt_add_to(twin, count, values, expected);
        rig_check_output(sum, count);
        rig_check_same_bits("rounded addition", sum, expected, count);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(rig_bits_of(sum[k]) & 0xffffu, 0);
        free(values);
        free(sum);
        free(expected);
    }
}

/* What a rank gets as 16 bits leads from its weights to those of the owner. */
static void check_updates(dt_kernels *kernels, dt_kernels *twin) {
    const dt_adam_step step = {1e-3f, 0.1f, 1e-3f, 1e-8f};
    for (int i = 0; i < COUNTS; i++) {
        size_t count = counts[i];
        float *weights = rig_input(count), *other = rig_copy(weights, count), *m = rig_input(count);
        float *before = rig_copy(weights, count), *v = rig_absolute(m, count), *gradient = rig_input(count);
        uint16_t *halves = malloc(count * sizeof *halves), *expected = malloc(count * sizeof *expected);
        assert_true(halves && expected);
        float *plain = rig_copy(weights, count), *plain_m = rig_copy(m, count), *plain_v = rig_copy(v, count);
        dt_adam_update(kernels, step, count, gradient, plain, plain_m, plain_v);
        dt_wire_adam_update(kernels, step, count, gradient, weights, m, v, halves);
        rig_check_same_bits("weights", weights, plain, count);
        rig_check_same_bits("moments", m, plain_m, count);
        rig_check_same_bits("squares", v, plain_v, count);
        dt_wire_apply_update(kernels, count, halves, other);
        rig_check_same_bits("update", other, weights, count);
        /* The twin from the same moments, which a step without new ones leaves alone. */
        dt_wire_adam_update(twin, (dt_adam_step){step.rate, 0, 0, step.epsilon}, count, gradient, plain,
                            plain_m, plain_v, expected);
        assert_memory_equal(halves, expected, count * sizeof *halves);
        for (size_t k = 0; k < count; k++) {
            float exact = step.rate * m[k] / (sqrtf(v[k]) + step.epsilon);
            assert_int_equal(rig_bits_of(before[k] - nearest(exact)), rig_bits_of(weights[k]));
        }
        free(weights);
        free(other);
        free(m);
        free(before);
        free(v);
        free(gradient);
        free(plain);
        free(plain_m);
        free(plain_v);
        free(halves);
        free(expected);
    }
}

/* Sums of 5 leaves, and of the units of 3 blocks: rounded, and as near to the twin's as roundings allow. */
static void check_dense_sums(dt_kernels *kernels, dt_kernels *twin) {
    enum { SAMPLES = 37, IN = 67, OUT = 2113 };
    const dt_dense_shape shape = {IN, OUT};
    unsigned char merges[8];
    dt_share share = dt_leaves_share(SAMPLES, 1, 0);
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    assert_ok(dt_dense_reserve(kernels, shape, SAMPLES));
    assert_ok(dt_dense_reserve(twin, shape, SAMPLES));
    float *x = rig_input(SAMPLES * IN), *dz = rig_input(SAMPLES * OUT), *weights = rig_input(IN * OUT);
    float *results[2], *inputs[2];
    for (int which = 0; which < 2; which++) {
        dt_kernels *side = which == 0 ? kernels : twin;
        float bias[OUT];
        results[which] = rig_output(IN * OUT);
        inputs[which] = rig_output(SAMPLES * IN);
        dt_dense_backward_weights(side, shape, &plan, x, dz, (dt_root_sink){results[which], 0},
                                  (dt_root_sink){bias, 0});
        dt_dense_backward_data(side, shape, SAMPLES, dz, weights, inputs[which]);
        for (size_t i = 0; i < OUT; i++)
            assert_int_equal(rig_bits_of(bias[i]) & 0xffffu, 0);
        for (size_t i = 0; i < IN * OUT; i++)
            assert_int_equal(rig_bits_of(results[which][i]) & 0xffffu, 0);
        for (size_t i = 0; i < SAMPLES * IN; i++)
            assert_int_equal(rig_bits_of(inputs[which][i]) & 0xffffu, 0);
    }
    /* Two sides may fall on either side of a tie in each of a few nodes, none of which exceeds these sums. */
    for (size_t i = 0; i < IN * OUT; i++)
        assert_true(fabsf(results[0][i] - results[1][i]) <= 6.0f * SAMPLES / 256.0f);
    double difference = 0, size = 0;
    for (size_t i = 0; i < SAMPLES * IN; i++) {
        difference += fabs((double)inputs[0][i] - (double)inputs[1][i]);
        size += fabs((double)inputs[1][i]);
    }
    assert_true(difference < 0.01 * size);
    for (int which = 0; which < 2; which++) {
        free(results[which]);
        free(inputs[which]);
    }
    free(x);
    free(dz);
    free(weights);
}

/* Without it nothing is rounded. */
static void test_fp32_is_left_alone(void **state) {
    (void)state;
    rig r = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    float values[] = {1.0f / 3.0f, 0x1.000002p0f};
    dt_wire_round(r.kernels, 2, values);
    assert_true(values[0] == 1.0f / 3.0f && values[1] == 0x1.000002p0f);
    assert_int_equal(dt_kernels_wire(r.kernels), DT_WIRE_FP32);
    rig_close(r);
}

#define FOR_EACH_ISA(check)                  \
    static void test_##check(void **state) { \
        (void)state;                         \
        for_each_isa(check_##check);         \
    }

FOR_EACH_ISA(rounding)
FOR_EACH_ISA(addition)
FOR_EACH_ISA(updates)
FOR_EACH_ISA(dense_sums)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_addition),
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_dense_sums),
        cmocka_unit_test(test_fp32_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
