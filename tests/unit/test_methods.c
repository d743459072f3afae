/* SPDX-License-Identifier: BSD-3-Clause */
/* Methods of the convolutions: names, the fixed choice, the election. */
#include "test.h"

#include "dtrain/methods.h"

static void test_lists_are_read_and_written(void **state) {
    dt_methods methods;
    char text[DT_METHODS_TEXT];
    (void)state;
    assert_ok(dt_methods_read("auto", &methods));
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        assert_int_equal(methods.of[i], DT_CONV_AUTO);
    static const char *const lists[] = {
        "direct,winograd-large,passes,winograd,fourier", "tiles,tiles,fourier,tiles,tiles",
        "winograd-large,winograd-large,winograd-large,winograd-large,winograd-large"};
    for (int i = 0; i < 3; i++) {
        assert_ok(dt_methods_read(lists[i], &methods));
        assert_string_equal(dt_methods_write(methods, text), lists[i]);
    }
}

static void test_wrong_lists_are_refused(void **state) {
    dt_methods methods;
    (void)state;
    assert_fails(dt_methods_read("", &methods), DT_USAGE, "'' is not allowed");
    assert_fails(dt_methods_read("direct", &methods), DT_USAGE, "'direct' is not allowed");
    assert_fails(dt_methods_read("direct,direct,direct,direct,direct,", &methods), DT_USAGE, "not allowed");
    assert_fails(dt_methods_read("direct,direct,direct,direct,direct,direct", &methods), DT_USAGE,
                 "not allowed");
    assert_fails(dt_methods_read("direct,,passes,passes,passes", &methods), DT_USAGE, "'' is not allowed");
    assert_fails(dt_methods_read("direct,wino,passes,passes,passes", &methods), DT_USAGE,
                 "'wino' is not allowed");
    assert_fails(dt_methods_read("auto,auto,auto,auto,auto", &methods), DT_USAGE, "'auto' is not allowed");
}

static void test_choice_is_fixed(void **state) {
    static const struct {
        dt_engine engine;
        const char *list;
    } expected[] = {{DT_ENGINE_AUTO, "direct,fourier,fourier,fourier,fourier"},
                    {DT_ENGINE_DIRECT, "direct,passes,passes,passes,passes"},
                    {DT_ENGINE_BLAS, "passes,passes,passes,passes,passes"},
                    {DT_ENGINE_REFERENCE, "passes,passes,passes,passes,passes"}};
    dt_network network = dt_network_build((dt_network_config){.width = 0.125});
    dt_team *team;
    char text[DT_METHODS_TEXT];
    (void)state;
    assert_ok(dt_team_create(1, &team));
    for (int i = 0; i < 4; i++)
        for (int isa = DT_ISA_BASELINE; isa <= (int)dt_isa_best(); isa++) {
            dt_kernels *kernels;
            assert_ok(dt_kernels_create(
                &(dt_kernels_config){.team = team, .isa = (dt_isa)isa, .engine = expected[i].engine},
                &kernels));
            assert_string_equal(dt_methods_write(dt_methods_fixed(&network, kernels), text),
                                expected[i].list);
            dt_kernels_destroy(kernels);
        }
    dt_team_destroy(team);
    assert_null(dt_methods_layer(&network, DT_METHODS_CONVOLUTIONS));
}

/* Shortest step wins; the first convolution's counts no input gradient, and winograd-large never wins. */
static void test_fastest_is_elected(void **state) {
    dt_methods_times times = {0};
    char text[DT_METHODS_TEXT];
    (void)state;
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++) {
        times.of[i][DT_CONV_PASSES] = (dt_conv_times){true, 2, 2, 4};
        times.of[i][DT_CONV_WINOGRAD_LARGE] = (dt_conv_times){true, 0.1, 0.1, 0.1};
    }
    times.of[0][DT_CONV_DIRECT] = (dt_conv_times){true, 1, 1, 100};
    times.of[1][DT_CONV_WINOGRAD] = (dt_conv_times){true, 3, 1, 2};
    times.of[2][DT_CONV_WINOGRAD] = (dt_conv_times){true, 1, 1, 5.5};
    times.of[3][DT_CONV_FOURIER] = (dt_conv_times){true, 1, 1, 2};
    assert_string_equal(dt_methods_write(dt_methods_fastest(&times), text),
                        "direct,winograd,passes,fourier,passes");
    assert_true(dt_methods_step(&times, 0, DT_CONV_DIRECT) == 2);
    assert_true(dt_methods_step(&times, 1, DT_CONV_WINOGRAD) == 5);
}

static void test_every_method_is_timed(void **state) {
    dt_network network = dt_network_build((dt_network_config){.width = 0.05});
    dt_methods_times times;
    dt_team *team;
    dt_kernels *kernels;
    (void)state;
    assert_ok(dt_team_create(2, &team));
    assert_ok(dt_kernels_create(&(dt_kernels_config){.team = team, .isa = DT_ISA_BEST}, &kernels));
    assert_ok(dt_methods_measure(&network, kernels, 9, 2, &times));
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        for (dt_conv_method method = DT_CONV_PASSES; method < DT_CONV_METHODS; method++) {
            bool possible = method == DT_CONV_PASSES || (method == DT_CONV_DIRECT && i == 0) ||
                            ((method == DT_CONV_WINOGRAD || method == DT_CONV_FOURIER) && i > 0) ||
                            (method == DT_CONV_WINOGRAD_LARGE && i == 1);
            const dt_conv_times *t = &times.of[i][method];
            assert_int_equal(t->possible, possible);
            assert_int_equal(t->forward > 0 && t->weights > 0 && t->backward > 0, possible);
        }
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_read_and_written),
        cmocka_unit_test(test_wrong_lists_are_refused),
        cmocka_unit_test(test_choice_is_fixed),
        cmocka_unit_test(test_fastest_is_elected),
        cmocka_unit_test(test_every_method_is_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
