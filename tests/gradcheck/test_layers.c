/* SPDX-License-Identifier: BSD-3-Clause */
/* Each kind of layer, alone: its forward pass against a twin in double precision, its backward pass against
 * central differences of the twin. The quantity that is differentiated is a random linear functional of the
 * layer's output.
 *
 * Differences. With step h = 2^-16 and values near 1 the rounding of a difference quotient is below 2^-53 *
 * 10 / h = 7e-11. Convolution, ReLU, pooling and dense layers are linear in each single value between kinks,
 * so nothing else is wrong with them; normalisation has third derivatives below 100 here (spread of the
 * values 0.3 to 0.6), hence an error below 100 h^2 / 6 = 4e-9. Both are less than one float rounding, 2^-24 =
 * 6e-8. Values whose step crosses a kink are left out.
 *
 * Tolerance. A sum of n products in floats is rounded n times, each time by at most 2^-24 of the partial
 * sum, and partial sums of terms with random signs are about as large as the largest entry of the tensor at
 * most. So (n + 8) * 2^-24 * largest entry; the 8 covers what is done once to each value (bias, scale,
 * coefficients of the normalisation, the differences' own error). */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradcheck/bodies.h"
#include "gradcheck/twin.h"
#include "model/layer.h"
#include "model/loss.h"

static const double step = 0x1p-16, rounding = 0x1p-24;

/* Samples of the batch: a whole leaf and a short one. Entries differentiated of a tensor at most. No
 * pre-activation may be so near to 0 that float and double could see it on different sides. */
enum { SAMPLES = 11, MOST_LEAVES = 2, MOST_ENTRIES = 150, ALL_LOGITS = SAMPLES * DT_LOGITS };
static const double closest_allowed = 1e-6;

typedef struct layer_case {
    const char *label;
    dt_layer_spec spec;
} layer_case;

#define CONV(side, pooled, h, w, in_c, out_c, out_h, out_w)                                  \
    {                                                                                        \
        .kind = DT_LAYER_CONV, .in = {(h), (w), (in_c)}, .out = {(out_h), (out_w), (out_c)}, \
        .kernel = (side), .pool = (pooled)                                                   \
    }
#define NORM(rows, h, w, c) \
    { .kind = DT_LAYER_NORM, .in = {(h), (w), (c)}, .out = {(h), (w), (c)}, .by_rows = (rows) }
#define DENSE(inputs, units, hidden, rate)                                                        \
    {                                                                                             \
        .kind = DT_LAYER_DENSE, .in = {1, 1, (inputs)}, .out = {1, 1, (units)}, .relu = (hidden), \
        .dropout = (rate)                                                                         \
    }

/* Odd extents, channels below and above a vector's width, kernels larger than the image. */
static layer_case cases[] = {
    {"convolution 3x3", CONV(3, false, 5, 6, 3, 4, 5, 6)},
    {"convolution 3x3, many channels", CONV(3, false, 4, 5, 19, 35, 4, 5)},
    {"convolution 3x3, pooled", CONV(3, true, 7, 5, 5, 18, 3, 2)},
    {"convolution 5x5, pooled", CONV(5, true, 6, 7, 2, 3, 3, 3)},
    {"convolution 11x11, pooled", CONV(11, true, 8, 8, 1, 5, 4, 4)},
    {"convolution 5x5 on a 3x3 image", CONV(5, false, 3, 3, 4, 2, 3, 3)},
    {"normalisation by rows", NORM(true, 5, 3, 7)},
    {"normalisation by rows, many channels", NORM(true, 3, 3, 37)},
    {"normalisation by channels", NORM(false, 4, 3, 5)},
    {"normalisation by channels, many", NORM(false, 3, 2, 37)},
    {"dense", DENSE(7, 10, false, 0.0f)},
    {"dense, hidden", DENSE(13, 9, true, 0.0f)},
    {"dense, hidden, with dropout", DENSE(13, 21, true, 0.4f)},
    {"dense, hidden, wide, with dropout", DENSE(70, 131, true, 0.5f)},
};

/* The tensors of a layer that have a gradient. */
enum { INPUT, MAIN, SECOND, TENSORS };
static const char *const tensor_names[] = {"input", "kernel or gamma", "bias or beta"};

/* A case in numbers. Floats and their copies in double; `derivative` is NAN where no difference was taken. */
typedef struct problem {
    const layer_case *what;
    size_t counts[TENSORS], outputs;
    float *values[TENSORS], *functional;
    double *wide[TENSORS], *output, *derivative[TENSORS], *mask;
    twin_kinks kinks;
} problem;

static const int sample_numbers[SAMPLES] = {5, 0, 123, 9, 77, 4000, 3, 8, 54999, 21, 2};
static const uint64_t dropout_seed = 42;
static const uint32_t dropout_layer = 6, dropout_epoch = 3;

static void *take(size_t bytes) {
    void *memory = calloc(bytes, 1);
    assert_non_null(memory);
    return memory;
}

static void evaluate_twin(const problem *held, double *output, twin_kinks *kinks) {
    twin_input input = {held->wide[INPUT], held->wide[MAIN], held->wide[SECOND], held->mask};
    *kinks = twin_no_kinks;
    twin_forward(&held->what->spec, SAMPLES, input, output, kinks);
}

/* The central difference for one value; NAN when it crosses a kink. plus, minus: room for outputs. */
static double difference(const problem *held, double *value, double *plus, double *minus) {
    double middle = *value, sum = 0.0;
    twin_kinks above, below;
    *value = middle + step;
    evaluate_twin(held, plus, &above);
    *value = middle - step;
    evaluate_twin(held, minus, &below);
    *value = middle;
    if (above.pattern != held->kinks.pattern || below.pattern != held->kinks.pattern)
        return NAN;
    for (size_t i = 0; i < held->outputs; i++)
        sum += (double)held->functional[i] * (plus[i] - minus[i]);
    return sum / (2.0 * step);
}

static void differentiate(problem *held) {
    double *plus = take(sizeof(double) * held->outputs), *minus = take(sizeof(double) * held->outputs);
    for (int tensor = 0; tensor < TENSORS; tensor++) {
        size_t count = held->counts[tensor];
        size_t stride = 1 + (count - 1) / MOST_ENTRIES, skipped = 0;
        for (size_t i = 0; i < count; i++) {
            bool chosen = i % stride == 0;
            double found = chosen ? difference(held, &held->wide[tensor][i], plus, minus) : NAN;
            held->derivative[tensor][i] = found;
            skipped += chosen && isnan(found);
        }
        assert_true(skipped <= count / stride / 20);
    }
    free(plus);
    free(minus);
}

/* Values with a mean, as normalisation meets them behind a ReLU, and of both signs. Kernels get smaller with
 * their fan-in, so that outputs stay near 1. */
static problem make_problem(const layer_case *what) {
    const dt_layer_spec *spec = &what->spec;
    problem made = {.what = what, .outputs = SAMPLES * dt_volume_floats(spec->out)};
    bool norm = spec->kind == DT_LAYER_NORM;
    int taps = spec->kind == DT_LAYER_CONV ? spec->kernel * spec->kernel : 1;
    double reach = norm ? 0.5 : sqrt(3.0 / (taps * spec->in.channels));
    const double low[TENSORS] = {-0.7, norm ? 0.5 : -reach, -0.3};
    const double high[TENSORS] = {1.3, norm ? 1.5 : reach, 0.3};
    made.counts[INPUT] = SAMPLES * dt_volume_floats(spec->in);
    made.counts[MAIN] = twin_main_count(spec);
    made.counts[SECOND] = twin_second_count(spec);
    for (int tensor = 0; tensor < TENSORS; tensor++) {
        size_t count = made.counts[tensor];
        made.values[tensor] = take(sizeof(float) * count);
        made.wide[tensor] = take(sizeof(double) * count);
        made.derivative[tensor] = take(sizeof(double) * count);
        twin_fill((uint64_t)tensor + 1, low[tensor], high[tensor], count, made.values[tensor]);
        twin_widen(count, made.values[tensor], made.wide[tensor]);
    }
    made.functional = take(sizeof(float) * made.outputs);
    made.output = take(sizeof(double) * made.outputs);
    twin_fill(4, -1.0, 1.0, made.outputs, made.functional);
    if (spec->dropout > 0.0f) {
        made.mask = take(sizeof(double) * made.outputs);
        twin_dropout_mask(dropout_seed, dropout_layer, dropout_epoch, spec->dropout, SAMPLES,
                          spec->out.channels, sample_numbers, made.mask);
    }
    evaluate_twin(&made, made.output, &made.kinks);
    return made;
}

static void release_problem(problem *held) {
    for (int tensor = 0; tensor < TENSORS; tensor++) {
        free(held->values[tensor]);
        free(held->wide[tensor]);
        free(held->derivative[tensor]);
    }
    free(held->functional);
    free(held->output);
    free(held->mask);
}

/* Roundings of a sum: values that meet in one entry of the output, and of each gradient. */
static double output_terms(const dt_layer_spec *spec) {
    if (spec->kind == DT_LAYER_NORM)
        return 0.0;
    return (spec->kind == DT_LAYER_CONV ? spec->kernel * spec->kernel : 1) * (double)spec->in.channels;
}

static double gradient_terms(const dt_layer_spec *spec, int tensor) {
    double pixels = (double)(SAMPLES * spec->in.height * spec->in.width);
    if (spec->kind == DT_LAYER_NORM)
        return tensor == INPUT ? 8.0 : pixels * spec->in.channels / twin_groups(spec);
    if (tensor != INPUT)
        return pixels;
    return output_terms(spec) / spec->in.channels * spec->out.channels;
}

/* `expected` may hold NAN: not compared. */
static void assert_near(const char *body, const char *label, const char *name, size_t count,
                        const float *found, const double *expected, double terms) {
    double largest = 0.0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    double allowed = (terms + 8.0) * rounding * largest;
    for (size_t i = 0; i < count; i++)
        if (!isnan(expected[i]) && !(fabs((double)found[i] - expected[i]) <= allowed))
            fail_msg("%s, %s: %s [%zu] is %.9g and should be %.9g +- %.2g", body, label, name, i,
                     (double)found[i], expected[i], allowed);
}

/* A layer on its own, with all that its passes need; an owner of its slab. */
typedef struct rig {
    dt_layer layer;
    dt_slab slab;
    unsigned char merges[MOST_LEAVES];
    int leaves;
    dt_leaf_plan plan;
    dt_batch batch;
    dt_exchange exchange;
    dt_phases phases;
    float *x, *dy, *spare;
} rig;

static void deal(rig *made, dt_arena *arena, const problem *held) {
    const dt_layer_spec *spec = made->layer.spec;
    size_t wide = SAMPLES * (size_t)spec->in.height * (size_t)spec->in.width * (size_t)spec->out.channels;
    size_t gradient = wide > held->counts[INPUT] ? wide : held->counts[INPUT];
    made->x = dt_arena_take_floats(arena, held->counts[INPUT]);
    made->layer.input = (dt_conv_input){.x = made->x};
    made->layer.ops->lay_out(&made->layer, arena, SAMPLES, MOST_LEAVES);
    made->dy = dt_arena_take_floats(arena, gradient);
    made->spare = dt_arena_take_floats(arena, gradient);
    dt_learnt *learnt[TENSORS] = {NULL, &made->layer.main, &made->layer.second};
    for (int tensor = MAIN; tensor < TENSORS; tensor++) {
        learnt[tensor]->weights = dt_arena_take_floats(arena, held->counts[tensor]);
        learnt[tensor]->gradient.base = dt_arena_take_floats(arena, held->counts[tensor]);
    }
    made->layer.moving_mean = dt_arena_take_floats(arena, held->counts[SECOND]);
    made->layer.moving_variance = dt_arena_take_floats(arena, held->counts[SECOND]);
}

static const dt_layer_ops *const layer_ops[] = {
    [DT_LAYER_CONV] = &dt_layer_conv_ops,
    [DT_LAYER_NORM] = &dt_layer_norm_ops,
    [DT_LAYER_DENSE] = &dt_layer_dense_ops,
};

static void set_up(rig *made, const problem *held, dt_kernels *kernels) {
    const dt_layer_spec *spec = &held->what->spec;
    dt_arena arena = {0};
    *made = (rig){.layer = {.ops = layer_ops[spec->kind], .spec = spec, .number = (int)dropout_layer}};
    assert_ok(made->layer.ops->create(&made->layer, kernels, SAMPLES, MOST_LEAVES));
    deal(made, &arena, held);
    assert_ok(dt_slab_reserve(arena.used, "a layer", &made->slab));
    arena = (dt_arena){.base = made->slab.base};
    deal(made, &arena, held);
    memcpy(made->x, held->values[INPUT], sizeof(float) * held->counts[INPUT]);
    memcpy(made->layer.main.weights, held->values[MAIN], sizeof(float) * held->counts[MAIN]);
    memcpy(made->layer.second.weights, held->values[SECOND], sizeof(float) * held->counts[SECOND]);
    memcpy(made->dy, held->functional, sizeof(float) * held->outputs);
    made->batch = (dt_batch){.share = dt_leaves_share(SAMPLES, 1, 0), .epoch = dropout_epoch};
    made->batch.samples = sample_numbers;
    made->leaves = made->batch.share.leaves;
    made->plan = dt_leaves_plan(&made->batch.share, made->merges, NULL);
    made->exchange = dt_exchange_alone(&made->leaves);
}

/* The moving statistics start at 0, so they are a hundredth of the batch's. */
static void check_moving_statistics(const rig *used, const problem *held, const char *body) {
    double mean[64], variance[64];
    int groups = twin_groups(&held->what->spec);
    assert_true(groups >= 1 && groups <= 64);
    twin_moments(&held->what->spec, SAMPLES, held->wide[INPUT], mean, variance);
    for (int g = 0; g < groups; g++) {
        mean[g] *= 0.01;
        variance[g] *= 0.01;
    }
    assert_near(body, held->what->label, "moving mean", (size_t)groups, used->layer.moving_mean, mean, 0.0);
    assert_near(body, held->what->label, "moving variance", (size_t)groups, used->layer.moving_variance,
                variance, 0.0);
}

static void check_body(void *context, dt_kernels *kernels, const char *body) {
    const problem *held = context;
    const dt_layer_spec *spec = &held->what->spec;
    rig used;
    set_up(&used, held, kernels);
    dt_pass pass = {.kernels = kernels,
                    .exchange = &used.exchange,
                    .batch = &used.batch,
                    .plan = &used.plan,
                    .samples = SAMPLES,
                    .seed = dropout_seed,
                    .phases = &used.phases};
    used.layer.ops->forward(&used.layer, &pass);
    assert_near(body, held->what->label, "output", held->outputs, used.layer.output, held->output,
                output_terms(spec));
    if (spec->kind == DT_LAYER_NORM)
        check_moving_statistics(&used, held, body);
    const float *gradients[TENSORS] = {used.layer.ops->backward(&used.layer, &pass, used.dy, used.spare),
                                       used.layer.main.gradient.base, used.layer.second.gradient.base};
    for (int tensor = 0; tensor < TENSORS; tensor++)
        assert_near(body, held->what->label, tensor_names[tensor], held->counts[tensor], gradients[tensor],
                    held->derivative[tensor], gradient_terms(spec, tensor));
    used.layer.ops->destroy(&used.layer);
    dt_slab_release(&used.slab);
}

static void check_case(void **state) {
    problem held = make_problem(*state);
    assert_true(held.kinks.closest > closest_allowed);
    differentiate(&held);
    bodies_run(check_body, &held);
    release_problem(&held);
}

/* The loss is computed in double on both sides: only its gradient is rounded to floats. Third derivatives
 * are below 1, so the differences are wrong by 1e-9 at most, of gradients up to 1/SAMPLES. */
static void check_loss(void **state) {
    (void)state;
    float logits[ALL_LOGITS], gradient[ALL_LOGITS];
    double wide[ALL_LOGITS], expected[ALL_LOGITS];
    const uint8_t labels[SAMPLES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3};
    twin_fill(5, -4.0, 6.0, ALL_LOGITS, logits);
    twin_widen(ALL_LOGITS, logits, wide);
    for (int i = 0; i < ALL_LOGITS; i++) {
        double middle = wide[i];
        wide[i] = middle + step;
        double above = twin_loss(SAMPLES, wide, labels);
        wide[i] = middle - step;
        expected[i] = (above - twin_loss(SAMPLES, wide, labels)) / (2.0 * step);
        wide[i] = middle;
    }
    dt_loss_gradient(SAMPLES, SAMPLES, logits, labels, gradient);
    assert_near("loss", "gradient", "logit", ALL_LOGITS, gradient, expected, 0.0);
    dt_totals totals = {0};
    dt_loss_measure(SAMPLES, logits, labels, &totals);
    assert_true(fabs(dt_totals_loss(totals) - twin_loss(SAMPLES, wide, labels)) < 1e-9);
}

int main(void) {
    enum { CASES = sizeof cases / sizeof cases[0] };
    struct CMUnitTest tests[CASES + 1];
    for (int i = 0; i < CASES; i++)
        tests[i] = (struct CMUnitTest){cases[i].label, check_case, NULL, NULL, &cases[i]};
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(check_loss);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
