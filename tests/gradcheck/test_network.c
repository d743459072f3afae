/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole network at a small width: loss and gradients of dt_model_train against a twin in double precision
 * and its central differences, at some entries of every tensor.
 *
 * Differences. The loss is near 2.4, so a quotient with step h = 2^-20 is rounded by 2^-52 * 2.4 / h = 6e-10:
 * of a tensor whose largest gradient is 1e-3, 6e-7; none here is smaller (asserted). Steps that take any of
 * the 10,000 pre-activations across 0 are left out.
 *
 * Tolerance. Up to 13 layers pass values forward and gradients back, each by sums of n <= 200 products.
 * Independent roundings add as squares, so a pass adds a relative error of about sqrt(n) * 2^-24: 26 * 14 *
 * 6e-8 = 2.2e-5 in all. The sum over pixels that makes a kernel's gradient has n <= 8 * 784 products in a
 * leaf: 5e-6 more. Largest entries of tensors in front of a normalisation are differences of larger terms, a
 * few times them: 1e-4 of the largest entry is allowed. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/model.h"
#include "gradcheck/bodies.h"
#include "gradcheck/twin.h"

enum { MOST_SAMPLES = 11, ENTRIES = 6, PIXELS = 784, LOGITS = 10 };

static const double step = 0x1p-20, tolerance = 1e-4, smallest_gradient = 1e-3;

/* Pre-activations nearer to 0 than this, in the mean size of their layer's, could lie on different sides for
 * float and double. */
static const double closest_allowed = 4e-6;

typedef struct network_case {
    const char *label;
    dt_network_config config;
    int samples;
    uint64_t stream; /* of weights and pixels: one that keeps clear of the kinks */
} network_case;

static network_case cases[] = {
    {"rows, all", {DT_BN_ROWS, DT_BN_ALL, 0.04, 0.0f}, 3, 1},
    {"rows, first two", {DT_BN_ROWS, DT_BN_FIRST2, 0.04, 0.0f}, 3, 1},
    {"channels, all", {DT_BN_CHANNELS, DT_BN_ALL, 0.04, 0.0f}, 3, 1},
    {"channels, first two", {DT_BN_CHANNELS, DT_BN_FIRST2, 0.04, 0.0f}, 3, 1},
    {"none", {DT_BN_ROWS, DT_BN_NONE, 0.04, 0.0f}, 3, 1},
    {"rows, all, two leaves", {DT_BN_ROWS, DT_BN_ALL, 0.03, 0.0f}, MOST_SAMPLES, 1},
};

/* A case in numbers; sampled entry k of tensor t stands at index places[t][k] of the tensor. */
typedef struct problem {
    const network_case *what;
    dt_network network;
    dt_parameters parameters;
    float *weights, x[MOST_SAMPLES * PIXELS];
    double *wide_weights, wide_x[MOST_SAMPLES * PIXELS], *activations[2], loss;
    uint8_t labels[MOST_SAMPLES];
    twin_kinks kinks;
    size_t places[DT_MAX_TENSORS][ENTRIES];
    double derivative[DT_MAX_TENSORS][ENTRIES]; /* NAN: crosses a kink */
} problem;

static void *take(size_t bytes) {
    assert_true(bytes > 0);
    void *memory = calloc(bytes, 1);
    assert_non_null(memory);
    return memory;
}

static const double *tensor_of(const problem *held, int layer, dt_tensor_role role) {
    int index = dt_parameters_find(&held->parameters, layer, role);
    return held->wide_weights + held->parameters.tensors[index].offset;
}

static double twin_network_loss(const problem *held, twin_kinks *kinks) {
    const double *x = held->wide_x;
    *kinks = twin_no_kinks;
    for (int layer = 0; layer < held->network.count; layer++) {
        const dt_layer_spec *spec = &held->network.layers[layer];
        bool norm = spec->kind == DT_LAYER_NORM;
        twin_input input = {x, tensor_of(held, layer, norm ? DT_TENSOR_GAMMA : DT_TENSOR_KERNEL),
                            tensor_of(held, layer, norm ? DT_TENSOR_BETA : DT_TENSOR_BIAS), NULL};
        double *y = held->activations[layer % 2];
        twin_forward(spec, held->what->samples, input, y, kinks);
        x = y;
    }
    return twin_loss(held->what->samples, x, held->labels);
}

static double difference(const problem *held, double *value) {
    double middle = *value;
    twin_kinks above, below;
    *value = middle + step;
    double plus = twin_network_loss(held, &above);
    *value = middle - step;
    double minus = twin_network_loss(held, &below);
    *value = middle;
    bool crossed = above.pattern != held->kinks.pattern || below.pattern != held->kinks.pattern;
    return crossed ? NAN : (plus - minus) / (2.0 * step);
}

/* Spread over the tensor, both ends included. */
static void differentiate(problem *held) {
    int skipped = 0;
    for (int t = 0; t < held->parameters.count; t++) {
        const dt_tensor *tensor = &held->parameters.tensors[t];
        for (size_t k = 0; k < ENTRIES; k++) {
            held->places[t][k] = k * (tensor->count - 1) / (ENTRIES - 1);
            double *value = held->wide_weights + tensor->offset + held->places[t][k];
            held->derivative[t][k] = difference(held, value);
            skipped += isnan(held->derivative[t][k]);
        }
    }
    assert_true(skipped <= held->parameters.count * ENTRIES / 5);
}

/* Initial weights, with biases, gammas and betas moved off the values that would hide an error. */
static void make_weights(problem *made) {
    float *states = take(sizeof(float) * (made->parameters.state_floats + 1));
    made->weights = take(sizeof(float) * made->parameters.floats);
    made->wide_weights = take(sizeof(double) * made->parameters.floats);
    dt_parameters_init(&made->parameters, made->what->stream, made->weights, states);
    for (int t = 0; t < made->parameters.count; t++) {
        const dt_tensor *tensor = &made->parameters.tensors[t];
        double centre = tensor->role == DT_TENSOR_GAMMA ? 1.0 : 0.0;
        if (tensor->role != DT_TENSOR_KERNEL)
            twin_fill(made->what->stream + 100 + (uint64_t)t, centre - 0.2, centre + 0.2, tensor->count,
                      made->weights + tensor->offset);
    }
    twin_widen(made->parameters.floats, made->weights, made->wide_weights);
    free(states);
}

static problem *make_problem(const network_case *what) {
    problem *made = take(sizeof *made);
    made->what = what;
    made->network = dt_network_build(what->config);
    made->parameters = dt_parameters_layout(&made->network);
    make_weights(made);
    size_t pixels = (size_t)what->samples * PIXELS, widest = 0;
    twin_fill(what->stream, 0.0, 1.0, pixels, made->x);
    twin_widen(pixels, made->x, made->wide_x);
    for (int n = 0; n < what->samples; n++)
        made->labels[n] = (uint8_t)(7 * n % LOGITS);
    for (int layer = 0; layer < made->network.count; layer++) {
        size_t floats = dt_volume_floats(made->network.layers[layer].out);
        widest = floats > widest ? floats : widest;
    }
    for (int i = 0; i < 2; i++)
        made->activations[i] = take(sizeof(double) * widest * (size_t)what->samples);
    made->loss = twin_network_loss(made, &made->kinks);
    return made;
}

static void release_problem(problem *held) {
    free(held->weights);
    free(held->wide_weights);
    free(held->activations[0]);
    free(held->activations[1]);
    free(held);
}

static void check_tensor(const problem *held, const char *body, int index, const float *gradient) {
    const dt_tensor *tensor = &held->parameters.tensors[index];
    double largest = 0.0;
    for (size_t i = 0; i < tensor->count; i++)
        largest = fmax(largest, fabs((double)gradient[tensor->offset + i]));
    if (!(largest >= smallest_gradient))
        fail_msg("%s, %s: the largest gradient of %s is only %g", body, held->what->label, tensor->name,
                 largest);
    for (int k = 0; k < ENTRIES; k++) {
        double found = (double)gradient[tensor->offset + held->places[index][k]],
               expected = held->derivative[index][k];
        if (!isnan(expected) && !(fabs(found - expected) <= tolerance * largest))
            fail_msg("%s, %s: gradient of %s [%zu] is %.9g and should be %.9g +- %.2g", body,
                     held->what->label, tensor->name, held->places[index][k], found, expected,
                     tolerance * largest);
    }
}

static void check_body(void *context, dt_kernels *kernels, const char *body) {
    const problem *held = context;
    dt_batch batch = {.share = dt_leaves_share(held->what->samples, 1, 0), .x = held->x};
    const int samples[MOST_SAMPLES] = {0};
    int leaves = batch.share.leaves;
    batch.labels = held->labels;
    batch.samples = samples;
    dt_exchange exchange = dt_exchange_alone(&leaves);
    dt_model_config config = {.network = &held->network,
                              .kernels = kernels,
                              .samples = held->what->samples,
                              .leaves = leaves,
                              .roots = 1};
    dt_model *model;
    dt_totals totals;
    assert_ok(dt_model_create(&config, &model));
    memcpy(dt_model_weights(model), held->weights, sizeof(float) * held->parameters.floats);
    dt_model_train(model, &batch, &exchange, &totals);
    if (!(fabs(dt_totals_loss(totals) - held->loss) <= tolerance * held->loss))
        fail_msg("%s, %s: the loss is %.9g and should be %.9g", body, held->what->label,
                 dt_totals_loss(totals), held->loss);
    for (int t = 0; t < held->parameters.count; t++)
        check_tensor(held, body, t, dt_model_gradients(model));
    dt_model_destroy(model);
}

static void check_case(void **state) {
    problem *held = make_problem(*state);
    if (!(held->kinks.closest > closest_allowed))
        fail_msg("%s: a pre-activation is too near to 0: %g", held->what->label, held->kinks.closest);
    differentiate(held);
    bodies_run(check_body, held);
    release_problem(held);
}

int main(void) {
    enum { CASES = sizeof cases / sizeof cases[0] };
    struct CMUnitTest tests[CASES];
    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){cases[i].label, check_case, NULL, NULL, &cases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
