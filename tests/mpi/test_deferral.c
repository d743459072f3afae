/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank that keeps the gradients of dense kernels out of memory, beside one that stores them: the same
 * weights, and the same watch over values that are not finite. */
#include "test.h"

#include <math.h>
#include <stdlib.h>

#include "dtrain/strategy.h"

enum { BATCH = 20, PIXELS = 784, STEPS = 3 };

static dt_comm *comm;

typedef struct side {
    dt_team *team;
    dt_kernels *kernels;
    dt_model *model;
    dt_strategy *strategy;
} side;

static side open_side(dt_engine engine, bool store) {
    side s;
    dt_network network = dt_network_build((dt_network_config){.width = 0.1, .dropout = 0.5f});
    assert_ok(dt_team_create(2, &s.team));
    assert_ok(dt_kernels_create(&(dt_kernels_config){.team = s.team, .isa = DT_ISA_BEST, .engine = engine},
                                &s.kernels));
    dt_model_config model = {.network = &network,
                             .kernels = s.kernels,
                             .samples = BATCH,
                             .leaves = dt_leaves_count(BATCH),
                             .roots = 1};
    assert_ok(dt_model_create(&model, &s.model));
    dt_strategy_config strategy = {.comm = comm,
                                   .model = s.model,
                                   .kernels = s.kernels,
                                   .batch = BATCH,
                                   .adam = {1e-3, 0.9, 0.999, 1e-8},
                                   .store_gradients = store};
    assert_ok(dt_strategy_create(&strategy, &s.strategy));
    dt_parameters_init(dt_model_parameters(s.model), 5, dt_model_weights(s.model), dt_model_states(s.model));
    return s;
}

static void close_side(side s) {
    dt_strategy_destroy(s.strategy);
    dt_model_destroy(s.model);
    dt_kernels_destroy(s.kernels);
    dt_team_destroy(s.team);
}

/* A step up to the update. */
static void run_pass(side s, int batch, float first_pixel) {
    float x[BATCH * PIXELS];
    uint8_t labels[BATCH];
    int samples[BATCH];
    dt_totals totals;
    for (int i = 0; i < batch * PIXELS; i++)
        x[i] = (float)(i * 7919 % 1000) / 1000.0f;
    x[0] = first_pixel;
    for (int i = 0; i < batch; i++) {
        labels[i] = (uint8_t)(i % 10);
        samples[i] = i;
    }
    dt_batch inputs = {dt_strategy_begin(s.strategy, batch), x, labels, samples, 1, NULL};
    dt_model_train(s.model, &inputs, dt_strategy_exchange(s.strategy), &totals);
    dt_strategy_finish(s.strategy);
}

static uint64_t hash_of(side s) {
    return dt_parameters_hash(dt_model_parameters(s.model), dt_model_weights(s.model),
                              dt_model_states(s.model));
}

static void test_weights_are_those_of_stored_gradients(void **state) {
    static const int batches[STEPS] = {BATCH, 7, 16};
    (void)state;
    for (dt_engine engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_REFERENCE; engine++) {
        side stored = open_side(engine, true), deferred = open_side(engine, false);
        assert_false(dt_strategy_exchange(stored.strategy)->defers_dense);
        assert_true(dt_strategy_exchange(deferred.strategy)->defers_dense);
        for (int step = 0; step < STEPS; step++) {
            run_pass(stored, batches[step], 0.5f);
            run_pass(deferred, batches[step], 0.5f);
            uint64_t before = hash_of(deferred);
            assert_int_equal(dt_strategy_first_not_finite(stored.strategy), -1);
            assert_int_equal(dt_strategy_first_not_finite(deferred.strategy), -1);
            assert_int_equal(hash_of(deferred), before);
            dt_strategy_update(stored.strategy, step + 1);
            dt_strategy_update(deferred.strategy, step + 1);
            assert_true(hash_of(deferred) != before);
            assert_int_equal(hash_of(deferred), hash_of(stored));
        }
        close_side(stored);
        close_side(deferred);
    }
}

static float *tensor(side s, const char *name, int *index) {
    const dt_parameters *parameters = dt_model_parameters(s.model);
    for (int i = 0; i < parameters->count; i++)
        if (strcmp(parameters->tensors[i].name, name) == 0) {
            *index = i;
            return dt_model_weights(s.model) + parameters->tensors[i].offset;
        }
    fail_msg("no tensor %s", name);
    return NULL;
}

/* With a last kernel of zeros its input may be as large as it likes: nothing else feels it. What its gradient
 * could be, 20 * 3e38 * 0.9 / 20, is below FLT_MAX but above half of it. */
static void test_bound_names_the_kernel(void **state) {
    side s = open_side(DT_ENGINE_AUTO, false);
    int kernel = -1, bias = -1;
    (void)state;
    float *last = tensor(s, "fc3/kernel", &kernel), *hidden = tensor(s, "fc2/bias", &bias);
    memset(last, 0, dt_model_parameters(s.model)->tensors[kernel].count * sizeof(float));
    hidden[0] = 1e37f;
    run_pass(s, BATCH, 0.5f);
    assert_int_equal(dt_strategy_first_not_finite(s.strategy), -1);
    hidden[0] = 1.5e38f; /* doubled by the dropout */
    run_pass(s, BATCH, 0.5f);
    assert_int_equal(dt_strategy_first_not_finite(s.strategy), kernel);
    close_side(s);
}

/* Every gradient is NaN; the first of the table and the dense kernels know it. */
static void test_nan_is_seen(void **state) {
    (void)state;
    for (dt_engine engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_REFERENCE; engine++) {
        side s = open_side(engine, false);
        int kernel = -1;
        (void)tensor(s, "fc1/kernel", &kernel);
        run_pass(s, BATCH, NAN);
        assert_int_equal(dt_strategy_first_not_finite(s.strategy), 0);
        assert_false(dt_model_dense_is_finite(s.model, kernel));
        close_side(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_are_those_of_stored_gradients),
        cmocka_unit_test(test_bound_names_the_kernel),
        cmocka_unit_test(test_nan_is_seen),
    };
    dt_status status = dt_comm_create(&comm);
    if (dt_failed(&status))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dt_comm_destroy(comm);
    return failed;
}
