/* SPDX-License-Identifier: BSD-3-Clause */
/* Making kernels: names, caps, refusals, and the probes. */
#include "rig.h"

#include <string.h>

#include "dtrain/probe.h"

static void test_names(void **state) {
    (void)state;
    assert_string_equal(dt_isa_name(DT_ISA_BASELINE), "baseline");
    assert_string_equal(dt_isa_name(DT_ISA_AVX2), "avx2");
    assert_string_equal(dt_isa_name(DT_ISA_AVX512), "avx512");
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

/* On a CPU with everything there is nothing to refuse. */
static void test_missing_isa_is_refused(void **state) {
    dt_team *team;
    (void)state;
    assert_ok(dt_team_create(1, &team));
    for (int isa = (int)dt_isa_best() + 1; isa < DT_ISA_BEST; isa++) {
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

static void test_probes_measure(void **state) {
    double bandwidth;
    (void)state;
    rig one = rig_open(DT_ISA_BASELINE, DT_ENGINE_AUTO, 1, NULL, NULL, 1);
    rig best = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 2, NULL, NULL, 1);
    assert_true(dt_probe_fma_gflops(one.kernels) > 0.1);
    assert_true(dt_probe_fma_gflops(best.kernels) < 1e6);
    assert_ok(dt_probe_bandwidth(best.kernels, &bandwidth));
    assert_true(bandwidth > 0.01 && bandwidth < 1e5);
    assert_non_null(strstr(dt_probe_blas(), "OpenBLAS"));
    rig_close(one);
    rig_close(best);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_isa_is_capped),
        cmocka_unit_test(test_missing_isa_is_refused),
        cmocka_unit_test(test_memory_is_refused),
        cmocka_unit_test(test_probes_measure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
