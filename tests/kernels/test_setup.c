/* SPDX-License-Identifier: BSD-3-Clause */
/* Making kernels: names, caps, refusals, and the probes. */
#include "rig.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dtrain/denormals.h"
#include "dtrain/probe.h"
#include "kernels/bodies.h"
#include "kernels/table.h"

static void test_names(void **state) {
    (void)state;
    assert_string_equal(dt_isa_name(DT_ISA_BASELINE), "baseline");
    assert_string_equal(dt_isa_name(DT_ISA_AVX2), "avx2");
    assert_string_equal(dt_isa_name(DT_ISA_AVX512), "avx512");
    assert_string_equal(dt_isa_name(DT_ISA_AVX512_BF16), "avx512_bf16");
    assert_string_equal(dt_isa_name(DT_ISA_AMX_BF16), "amx_bf16");
    assert_string_equal(dt_precision_name(DT_PRECISION_FP32), "fp32");
    assert_string_equal(dt_precision_name(DT_PRECISION_BF16), "bf16");
    assert_string_equal(dt_engine_name(DT_ENGINE_AUTO), "auto");
    assert_string_equal(dt_engine_name(DT_ENGINE_DIRECT), "direct");
    assert_string_equal(dt_engine_name(DT_ENGINE_BLAS), "blas");
    assert_string_equal(dt_engine_name(DT_ENGINE_REFERENCE), "reference");
}

static void test_isa_is_capped(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
        rig r = rig_open(isa, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
        assert_int_equal(dt_kernels_isa(r.kernels), isa);
        assert_ptr_equal(dt_kernels_team(r.kernels), r.team);
        rig_close(r);
    }
    rig best = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    assert_int_equal(dt_kernels_isa(best.kernels), dt_isa_best());
    rig_close(best);
    dt_kernels_destroy(NULL);
}

static void check_wish(dt_isa wish, const char *environment, dt_isa best, dt_isa expected) {
    dt_isa chosen;
    assert_ok(dt_isa_choose(wish, environment, best, &chosen));
    assert_int_equal(chosen, expected);
}

/* Of CPUs that need not be this one. */
static void test_choice_of_isa(void **state) {
    dt_isa chosen;
    (void)state;
    check_wish(DT_ISA_BEST, NULL, DT_ISA_BASELINE, DT_ISA_BASELINE);
    check_wish(DT_ISA_BEST, "", DT_ISA_AVX512, DT_ISA_AVX512);
    check_wish(DT_ISA_BEST, "auto", DT_ISA_AVX2, DT_ISA_AVX2);
    check_wish(DT_ISA_BEST, "avx2", DT_ISA_AVX512, DT_ISA_AVX2);
    check_wish(DT_ISA_BEST, "baseline", DT_ISA_BASELINE, DT_ISA_BASELINE);
    check_wish(DT_ISA_AVX2, "baseline", DT_ISA_AVX512, DT_ISA_AVX2);
    check_wish(DT_ISA_BASELINE, "nonsense", DT_ISA_AVX512, DT_ISA_BASELINE);
    assert_fails(dt_isa_choose(DT_ISA_AVX512, NULL, DT_ISA_AVX2, &chosen), DT_MACHINE,
                 "avx512 is asked for, but this CPU has only avx2");
    assert_fails(dt_isa_choose(DT_ISA_AVX2, NULL, DT_ISA_BASELINE, &chosen), DT_MACHINE, "only baseline");
    assert_fails(dt_isa_choose(DT_ISA_BEST, "avx512", DT_ISA_AVX2, &chosen), DT_MACHINE,
                 "DTRAIN_ISA: instruction set avx512 is asked for, but this CPU has only avx2");
    assert_fails(dt_isa_choose(DT_ISA_BEST, "AVX2", DT_ISA_AVX512, &chosen), DT_USAGE,
                 "DTRAIN_ISA: 'AVX2' is not allowed: auto, baseline, avx2, avx512, avx512_bf16 or amx_bf16");
    assert_fails(dt_isa_choose(DT_ISA_BEST, "best", DT_ISA_AVX512, &chosen), DT_USAGE, "'best'");
}

static void test_environment_caps(void **state) {
    (void)state;
    assert_int_equal(setenv("DTRAIN_ISA", "baseline", 1), 0);
    rig capped = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    rig asked = rig_open(dt_isa_best(), DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    assert_int_equal(dt_kernels_isa(capped.kernels), DT_ISA_BASELINE);
    assert_int_equal(dt_kernels_isa(asked.kernels), dt_isa_best());
    rig_close(capped);
    rig_close(asked);
    assert_int_equal(unsetenv("DTRAIN_ISA"), 0);
}

/* Products of denormals with numbers that would make them large again, on every thread: tasks are handed out
 * one by one, and there are many. */
static void test_denormals_are_flushed(void **state) {
    const dt_dense_shape shape = {40, 50};
    const size_t inputs = 64 * 40, outputs = 64 * 50, weights = 40 * 50;
    (void)state;
    for (int engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_REFERENCE; engine++)
        for (int isa = DT_ISA_BASELINE; isa <= (int)dt_isa_best(); isa++)
            for (int threads = 1; threads <= 5; threads += 2) {
                rig r = rig_open((dt_isa)isa, (dt_engine)engine, threads, NULL, &shape, 64);
                float *x = rig_input(inputs), *w = rig_input(weights), *bias = rig_input(50);
                float *y = rig_output(outputs), *sum = rig_output(outputs);
                for (size_t i = 0; i < inputs; i++)
                    x[i] = i % 2 ? FLT_MIN / 4 : -FLT_MIN / 64;
                for (size_t i = 0; i < weights; i++)
                    w[i] = 1e30f;
                memset(bias, 0, 50 * sizeof *bias);
                dt_dense_forward(r.kernels, shape, 64, x, w, bias, false, y);
                for (size_t i = 0; i < outputs; i++)
                    sum[i] = FLT_MIN * 1.5f;
                for (size_t i = 0; i < outputs; i++)
                    assert_true(y[i] == 0);
                for (size_t i = 0; i < outputs; i++)
                    y[i] = -FLT_MIN;
                dt_add_to(r.kernels, outputs, y, sum);
                for (size_t i = 0; i < outputs; i++)
                    assert_true(sum[i] == 0 && memcmp(&sum[i], &(float){0}, sizeof sum[i]) == 0);
                free(x), free(w), free(bias), free(y), free(sum);
                rig_close(r);
            }
}

static void test_precision_chooses_the_isa(void **state) {
    (void)state;
    rig one = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    assert_int_equal(dt_kernels_precision(one.kernels), DT_PRECISION_FP32);
    rig_close(one);
    rig_use_bf16(NULL);
    rig two = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    rig capped = rig_open(DT_ISA_BASELINE, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    assert_int_equal(dt_kernels_precision(two.kernels), DT_PRECISION_BF16);
    assert_int_equal(dt_kernels_isa(two.kernels), dt_isa_highest());
    assert_int_equal(dt_kernels_isa(capped.kernels), DT_ISA_BASELINE);
    rig_close(two);
    rig_close(capped);
    rig_use_fp32(NULL);
}

static void test_bf16_is_for_engine_auto(void **state) {
    dt_team *team;
    (void)state;
    assert_ok(dt_team_create(1, &team));
    for (dt_engine engine = DT_ENGINE_DIRECT; engine <= DT_ENGINE_REFERENCE; engine++) {
        dt_kernels_config config = {.team = team, .isa = DT_ISA_BEST, .engine = engine};
        dt_kernels *kernels;
        config.precision = DT_PRECISION_BF16;
        assert_fails(dt_kernels_create(&config, &kernels), DT_USAGE, dt_engine_name(engine));
        assert_null(kernels);
    }
    dt_team_destroy(team);
}

/* On a CPU with everything there is nothing to refuse. */
static void test_missing_isa_is_refused(void **state) {
    dt_team *team;
    (void)state;
    assert_ok(dt_team_create(1, &team));
    for (int isa = (int)dt_isa_highest() + 1; isa < DT_ISA_BEST; isa++) {
        dt_kernels_config config = {.team = team, .isa = (dt_isa)isa};
        dt_kernels *kernels;
        assert_fails(dt_kernels_create(&config, &kernels), DT_MACHINE, dt_isa_name((dt_isa)isa));
        assert_null(kernels);
    }
    dt_team_destroy(team);
}

/* More than any address space has. What was there before is not lost by asking. */
static void test_memory_is_refused(void **state) {
    dt_convolve_shape shape = {1 << 15, 1 << 15, 64, 64, 11};
    (void)state;
    rig r = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    assert_fails(dt_convolve_reserve(r.kernels, shape, 1 << 20), DT_MEMORY, "scratch");
    assert_ok(dt_convolve_reserve(r.kernels, (dt_convolve_shape){4, 4, 2, 2, 3}, 8));
    rig_close(r);
}

static double processor_seconds(void) {
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What this file's loop makes of the same chains on one thread, in time that the thread had. */
static double own_gflops(const dt_bodies *bodies) {
    enum { ROUNDS = 1000000, RUNS = 10 };
    volatile float sink;
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        double since = processor_seconds();
        sink = bodies->fma_chains(ROUNDS);
        double rate = 2e-9 * DT_FMA_CHAINS * bodies->width * ROUNDS / (processor_seconds() - since);
        best = rate > best ? rate : best;
    }
    (void)sink;
    return best;
}

/* The probe counts no operation twice. Other work on the machine makes it slow, but never fast. */
static void test_probes_measure(void **state) {
    double bandwidth;
    (void)state;
    rig one = rig_open(DT_ISA_BASELINE, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    rig best = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 2, NULL, NULL, 1);
    double baseline = dt_probe_fma_gflops(one.kernels) / own_gflops(one.kernels->bodies);
    double fastest = dt_probe_fma_gflops(best.kernels) / (2 * own_gflops(best.kernels->bodies));
    assert_true(baseline > 0.002 && baseline < 1.7);
    assert_true(fastest > 0.002 && fastest < 1.7);
    assert_ok(dt_probe_bandwidth(best.kernels, &bandwidth));
    assert_true(bandwidth > 0.1 && bandwidth < 1500);
    assert_non_null(strstr(dt_probe_blas(), "OpenBLAS"));
    rig_close(one);
    rig_close(best);
}

/* The tests of this folder go through the sets that the CPU has; the others say so here. */
static void test_isa_is_here(void **state) {
    if (*(const dt_isa *)*state > dt_isa_highest())
        skip();
}

int main(void) {
    static dt_isa sets[] = {DT_ISA_AVX2, DT_ISA_AVX512, DT_ISA_AVX512_BF16, DT_ISA_AMX_BF16};
    unsetenv("DTRAIN_ISA");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_isa_is_capped),
        cmocka_unit_test(test_choice_of_isa),
        cmocka_unit_test(test_environment_caps),
        cmocka_unit_test(test_denormals_are_flushed),
        cmocka_unit_test(test_precision_chooses_the_isa),
        cmocka_unit_test(test_bf16_is_for_engine_auto),
        cmocka_unit_test(test_missing_isa_is_refused),
        cmocka_unit_test(test_memory_is_refused),
        cmocka_unit_test(test_probes_measure),
        {"test_isa_is_here: avx2", test_isa_is_here, NULL, NULL, &sets[0]},
        {"test_isa_is_here: avx512", test_isa_is_here, NULL, NULL, &sets[1]},
        {"test_isa_is_here: avx512_bf16", test_isa_is_here, NULL, NULL, &sets[2]},
        {"test_isa_is_here: amx_bf16", test_isa_is_here, NULL, NULL, &sets[3]},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
