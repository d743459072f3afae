/* SPDX-License-Identifier: BSD-3-Clause */
/* Every way to compute a layer's convolution, on every shape that it can do, against separate passes of the
 * plain twin; and what is promised about bits. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/conv.h"

enum { MOST_SAMPLES = 17, MOST_LEAVES = 10 };

/* How the input comes. */
typedef enum normal { AS_IT_IS, BY_ROWS, BY_CHANNELS, NORMALS } normal;

typedef struct layer {
    dt_conv_shape shape;
    normal normal;
    int samples;
    float *x, *scale, *shift, *weights, *bias, *dy;
} layer;

static size_t image_of(dt_conv_shape s) {
    return (size_t)s.height * (size_t)s.width * (size_t)s.in_channels;
}

static size_t output_of(dt_conv_shape s) {
    return (size_t)dt_conv_out_height(s) * (size_t)dt_conv_out_width(s) * (size_t)s.out_channels;
}

static size_t weights_of(dt_conv_shape s) {
    return (size_t)s.kernel * (size_t)s.kernel * (size_t)s.in_channels * (size_t)s.out_channels;
}

static size_t groups_of(const layer *l) {
    return (size_t)(l->normal == BY_ROWS ? l->shape.height : l->shape.in_channels);
}

/* Random numbers that a product takes as they are. */
static float *operands(size_t count) {
    float *values = rig_input(count);
    for (size_t i = 0; i < count && rig_precision == DT_PRECISION_BF16; i++)
        values[i] = rig_bf16(values[i]);
    return values;
}

static layer layer_create(dt_conv_shape shape, normal how, int samples) {
    layer l = {.shape = shape, .normal = how, .samples = samples};
    l.x = operands((size_t)samples * image_of(shape));
    l.scale = rig_input(groups_of(&l));
    l.shift = rig_input(groups_of(&l));
    l.weights = operands(weights_of(shape));
    l.bias = rig_input((size_t)shape.out_channels);
    l.dy = operands((size_t)samples * output_of(shape));
    return l;
}

static void make_whole(float *values, size_t count, float offset) {
    for (size_t i = 0; i < count; i++)
        values[i] = rintf(2.0f * values[i]) + offset;
}

/* A value near 0 may pass the ReLU in one computation and not in the other, and its whole gradient with it.
 * Whole numbers everywhere but in dy, and a half in the bias, keep all values half a unit from 0. No weight
 * is 0: where few taps reach a tiny image they could all be, and the bound of the transforms' error, a share
 * of the largest result, with them. */
static void move_off_kinks(const layer *l) {
    make_whole(l->x, (size_t)l->samples * image_of(l->shape), 0.0f);
    make_whole(l->scale, groups_of(l), 0.0f);
    make_whole(l->shift, groups_of(l), 0.0f);
    make_whole(l->weights, weights_of(l->shape), 0.0f);
    for (size_t i = 0; i < weights_of(l->shape); i++)
        l->weights[i] = l->weights[i] == 0 ? 1 : l->weights[i];
    make_whole(l->bias, (size_t)l->shape.out_channels, 0.5f);
}

static layer layer_absolute(const layer *l) {
    layer a = *l;
    a.x = rig_absolute(l->x, (size_t)l->samples * image_of(l->shape));
    a.scale = rig_absolute(l->scale, groups_of(l));
    a.shift = rig_absolute(l->shift, groups_of(l));
    a.weights = rig_absolute(l->weights, weights_of(l->shape));
    a.bias = rig_absolute(l->bias, (size_t)l->shape.out_channels);
    a.dy = rig_absolute(l->dy, (size_t)l->samples * output_of(l->shape));
    return a;
}

static void layer_free(layer l) {
    free(l.x);
    free(l.scale);
    free(l.shift);
    free(l.weights);
    free(l.bias);
    free(l.dy);
}

static dt_conv_input input_of(const layer *l, int first) {
    dt_conv_input input = {.x = l->x + (size_t)first * image_of(l->shape)};
    if (l->normal != AS_IT_IS) {
        input.scale = l->scale;
        input.shift = l->shift;
        input.by_rows = l->normal == BY_ROWS;
    }
    return input;
}

/* Kernels and a convolution on them; `conv` NULL where the method cannot do the shape. */
typedef struct bench {
    rig r;
    dt_conv *conv;
} bench;

static bench bench_open(dt_isa isa, dt_engine engine, int threads, dt_conv_method method, const layer *l) {
    bench b = {.r = rig_open(isa, engine, threads, NULL, NULL, l->samples)};
    dt_conv_config config = {.kernels = b.r.kernels, .shape = l->shape, .method = method};
    config.samples = l->samples;
    config.leaves = dt_leaves_count(l->samples);
    dt_status status = dt_conv_create(&config, &b.conv);
    if (dt_failed(&status)) {
        assert_int_equal(status.code, DT_USAGE);
        assert_null(b.conv);
    } else {
        assert_int_equal(dt_conv_chosen(b.conv), method);
    }
    return b;
}

static void bench_close(bench b) {
    dt_conv_destroy(b.conv);
    rig_close(b.r);
}

/* What a convolution computes; owned. */
typedef struct results {
    float *y, *dx, *dweights, *dbias;
} results;

static void results_free(results r) {
    free(r.y);
    free(r.dx);
    free(r.dweights);
    free(r.dbias);
}

static void run_forward(bench b, const layer *l, int first, int samples, bool keep, float *y) {
    dt_conv_forward(b.conv, samples, input_of(l, first), l->weights, l->bias, keep, y);
}

/* Both passes over the samples of a plan; dx may be NULL. */
static void run_both(bench b, const layer *l, const dt_leaf_plan *plan, int first, float *y,
                     dt_root_sink dweights, dt_root_sink dbias, float *dx) {
    size_t values = (size_t)plan->samples * output_of(l->shape);
    float *dy = rig_output(values);
    memcpy(dy, l->dy + (size_t)first * output_of(l->shape), values * sizeof(float));
    run_forward(b, l, first, plan->samples, true, y);
    dt_conv_backward(b.conv, plan, input_of(l, first), dy, l->weights, dweights, dbias, dx);
    free(dy);
}

static results compute(bench b, const layer *l) {
    unsigned char merges[MOST_LEAVES];
    dt_share share = dt_leaves_share(l->samples, 1, 0);
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    results out = {rig_output((size_t)l->samples * output_of(l->shape)),
                   rig_output((size_t)l->samples * image_of(l->shape)), rig_output(weights_of(l->shape)),
                   rig_output((size_t)l->shape.out_channels)};
    run_both(b, l, &plan, 0, out.y, (dt_root_sink){out.dweights, 0}, (dt_root_sink){out.dbias, 0}, out.dx);
    return out;
}

static results compute_twin(const layer *l) {
    bench b = bench_open(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 2, DT_CONV_PASSES, l);
    results out = compute(b, l);
    bench_close(b);
    return out;
}

/* Sums of `terms` products. Transforms mix neighbours, so there an error is a share of what is
 * large in the tensor, and its terms are sums already; its own test has the bounds that belong to it, this
 * one is for everything beside the numbers. */
static void check_near(dt_conv_method method, const char *what, size_t count, const float *actual,
                       const float *expected, const float *magnitude, double terms) {
    float *largest = rig_absolute(magnitude, count);
    float most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, magnitude[i]);
    bool mixes = method >= DT_CONV_WINOGRAD && method != DT_CONV_TILES;
    for (size_t i = 0; i < count && mixes; i++)
        largest[i] = most;
    rig_check_near(what, count, actual, expected, largest, (mixes ? 10.0 : 1.0) * rig_sum_bound(terms));
    free(largest);
}

/* Calls `check` with each method and instruction set that can do the shape; in bfloat16 with tiles alone,
 * which keep to the definition: transforms in bfloat16 have bounds of their own (test_winograd.c). */
typedef void (*method_check)(bench b, dt_conv_method method, const layer *l, void *context);

static void for_each_method(const layer *l, int threads, method_check check, void *context) {
    bool tiles = rig_precision == DT_PRECISION_BF16;
    for (dt_conv_method method = tiles ? DT_CONV_TILES : DT_CONV_PASSES;
         method < (tiles ? DT_CONV_TILES + 1 : DT_CONV_METHODS); method++)
        for (dt_isa isa = tiles ? DT_ISA_AMX_BF16 : DT_ISA_BASELINE; isa <= rig_last_isa(); isa++) {
            bench b = bench_open(isa, DT_ENGINE_AUTO, threads, method, l);
            if (b.conv)
                check(b, method, l, context);
            bench_close(b);
        }
}

/* Two results of the twin, of the values and of their magnitudes. */
typedef struct expectation {
    results expected, magnitude;
} expectation;

static void check_forward(bench b, dt_conv_method method, const layer *l, void *context) {
    const expectation *e = context;
    size_t count = (size_t)l->samples * output_of(l->shape);
    double terms = l->shape.kernel * l->shape.kernel * l->shape.in_channels;
    for (int keep = 0; keep < 2; keep++) {
        float *y = rig_output(count);
        run_forward(b, l, 0, l->samples, keep, y);
        check_near(method, "y", count, y, e->expected.y, e->magnitude.y, terms);
        free(y);
    }
}

/* Twice: nothing may be left over from the pass before. */
static void check_backward(bench b, dt_conv_method method, const layer *l, void *context) {
    const expectation *e = context;
    dt_conv_shape s = l->shape;
    double taps = s.kernel * s.kernel, pixels = (double)l->samples * s.height * s.width;
    for (int round = 0; round < 2; round++) {
        results actual = compute(b, l);
        check_near(method, "dx", (size_t)l->samples * image_of(s), actual.dx, e->expected.dx, e->magnitude.dx,
                   taps * s.out_channels);
        check_near(method, "dweights", weights_of(s), actual.dweights, e->expected.dweights,
                   e->magnitude.dweights, pixels);
        check_near(method, "dbias", (size_t)s.out_channels, actual.dbias, e->expected.dbias,
                   e->magnitude.dbias, pixels);
        results_free(actual);
    }
}

static void check_against_twin(const layer *l, method_check check) {
    layer absolute = layer_absolute(l);
    expectation e = {compute_twin(l), compute_twin(&absolute)};
    for_each_method(l, 2, check, &e);
    results_free(e.expected);
    results_free(e.magnitude);
    layer_free(absolute);
}

/* Scaled input is no bfloat16 unless its parts are small whole numbers. */
static void check_shape(dt_conv_shape shape, normal how, int samples) {
    layer l = layer_create(shape, how, samples);
    if (rig_precision == DT_PRECISION_BF16 && how != AS_IT_IS)
        move_off_kinks(&l);
    check_against_twin(&l, check_forward);
    move_off_kinks(&l);
    check_against_twin(&l, check_backward);
    layer_free(l);
}

/* The network at full width, and at an eighth. */
static const dt_conv_shape network[] = {
    {28, 28, 1, 64, 11, true},  {14, 14, 64, 192, 5, true}, {7, 7, 192, 384, 3, false},
    {7, 7, 384, 384, 3, false}, {7, 7, 384, 256, 3, true},
};
static const dt_conv_shape narrow_network[] = {
    {28, 28, 1, 8, 11, true}, {14, 14, 8, 24, 5, true}, {7, 7, 24, 48, 3, false},
    {7, 7, 48, 48, 3, false}, {7, 7, 48, 32, 3, true},
};
enum { LAYERS = 5 };

static void test_full_width(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++)
        if (i != 3) /* the largest, and like the one before */
            check_shape(network[i], (normal)(i % NORMALS), 1);
}

static void test_narrow_network(void **state) {
    static const int counts[] = {1, 9, 17};
    (void)state;
    for (int i = 0; i < LAYERS; i++)
        for (int count = 0; count < 3; count++)
            check_shape(narrow_network[i], (normal)((i + count) % NORMALS), counts[count]);
}

static void test_random_shapes(void **state) {
    (void)state;
    for (int i = 0; i < 25; i++) {
        dt_conv_shape shape = {1 + rig_random(9),  1 + rig_random(9),     1 + rig_random(20),
                               1 + rig_random(40), 1 + 2 * rig_random(3), rig_random(2)};
        check_shape(shape, (normal)rig_random(NORMALS), 1 + rig_random(MOST_SAMPLES));
    }
}

/* Groups of 32 samples, and what is left; a last column without a frame that no window reads. */
static void test_many_samples(void **state) {
    static const int counts[] = {32, 33, 47, 64, 70};
    (void)state;
    check_shape((dt_conv_shape){3, 9, 18, 33, 1, true}, AS_IT_IS, 5);
    for (int i = 0; i < 5; i++)
        check_shape((dt_conv_shape){4, 5, 3, 20, 3, i % 2}, (normal)(i % NORMALS), counts[i]);
}

/* One input channel, kernels larger than the image, odd extents. */
static void test_random_shapes_of_one_channel(void **state) {
    (void)state;
    for (int i = 0; i < 25; i++) {
        dt_conv_shape shape = {1 + rig_random(33), 1 + rig_random(33),    1,
                               1 + rig_random(70), 1 + 2 * rig_random(7), rig_random(2)};
        check_shape(shape, (normal)rig_random(NORMALS), 1 + rig_random(MOST_SAMPLES));
    }
}

/* One pixel, one channel, nothing behind the pooling, and every batch around a leaf. */
static void test_tiny_shapes(void **state) {
    static const dt_conv_shape shapes[] = {
        {1, 1, 1, 1, 3, false}, {1, 1, 1, 1, 5, false}, {1, 1, 1, 1, 11, false}, {2, 2, 1, 1, 5, true},
        {3, 2, 1, 17, 3, true}, {2, 3, 2, 1, 3, true},  {1, 5, 3, 2, 3, false},  {5, 1, 2, 3, 5, false}};
    static const int counts[] = {1, 3, 7, 8};
    (void)state;
    for (int i = 0; i < 8; i++)
        for (int count = 0; count < 4; count++)
            check_shape(shapes[i], (normal)((i + count) % NORMALS), counts[count]);
}

/* Samples for more memory than an address space has. The kernels stay of use. */
static void test_memory_is_refused(void **state) {
    static const dt_conv_shape wide = {32, 32, 512, 512, 5, true}, plain = {1024, 1024, 1, 64, 5, true};
    static const dt_conv_shape small = {14, 14, 2048, 2048, 5, true};
    (void)state;
    for (dt_conv_method method = DT_CONV_PASSES; method < DT_CONV_METHODS; method++) {
        if (method == DT_CONV_TILES)
            continue;
        rig r = rig_open(DT_ISA_BEST, DT_ENGINE_AUTO, 2, NULL, NULL, 1);
        dt_conv *conv;
        dt_conv_config config = {.kernels = r.kernels,
                                 .shape = method == DT_CONV_DIRECT    ? plain
                                          : method == DT_CONV_FOURIER ? small
                                                                      : wide,
                                 .method = method,
                                 .samples = 1 << 27};
        config.leaves = dt_leaves_count(config.samples);
        assert_fails(dt_conv_create(&config, &conv), DT_MEMORY, "no memory for");
        assert_null(conv);
        config.shape = (dt_conv_shape){4, 4, 1, 2, 5, false};
        config.samples = 8;
        config.leaves = 1;
        assert_ok(dt_conv_create(&config, &conv));
        dt_conv_destroy(conv);
        rig_close(r);
    }
}

/* Shapes that every method but the one for one channel can do, and two for that one. */
static const dt_conv_shape bit_shapes[] = {
    {14, 14, 8, 24, 5, true},  {7, 7, 24, 48, 3, false}, {7, 6, 19, 33, 3, true},
    {28, 28, 1, 64, 11, true}, {9, 7, 1, 37, 5, false},
};
enum { BIT_SHAPES = 5 };

/* Samples in calls of 1 to 17, starting at different samples: no place in a call may matter. */
static void check_samples_stand_alone(bench b, dt_conv_method method, const layer *l, void *context) {
    size_t image = image_of(l->shape), output = output_of(l->shape);
    float *y = rig_output((size_t)l->samples * output);
    results whole = compute(b, l), part = compute(b, l);
    (void)method, (void)context;
    for (int count = 1; count <= l->samples; count++) {
        int first = 5 * count % (l->samples - count + 1);
        unsigned char merges[MOST_LEAVES];
        dt_share share = dt_leaves_share(count, 1, 0);
        dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
        run_forward(b, l, first, count, false, y);
        rig_check_same_bits("forward", y, whole.y + (size_t)first * output, (size_t)count * output);
        run_both(b, l, &plan, first, part.y, (dt_root_sink){part.dweights, 0}, (dt_root_sink){part.dbias, 0},
                 part.dx);
        rig_check_same_bits("kept forward", part.y, whole.y + (size_t)first * output, (size_t)count * output);
        rig_check_same_bits("backward", part.dx, whole.dx + (size_t)first * image, (size_t)count * image);
    }
    free(y);
    results_free(whole);
    results_free(part);
}

static void test_samples_stand_alone(void **state) {
    (void)state;
    for (int i = 0; i < BIT_SHAPES; i++) {
        layer l = layer_create(bit_shapes[i], (normal)(i % NORMALS), MOST_SAMPLES);
        for_each_method(&l, 2, check_samples_stand_alone, NULL);
        layer_free(l);
    }
}

static void check_threads(bench one, dt_conv_method method, const layer *l, void *context) {
    results expected = compute(one, l);
    (void)context;
    for (int threads = 2; threads <= 11; threads += 9) {
        bench more = bench_open(dt_kernels_isa(one.r.kernels), DT_ENGINE_AUTO, threads, method, l);
        results actual = compute(more, l);
        rig_check_same_bits("y", actual.y, expected.y, (size_t)l->samples * output_of(l->shape));
        rig_check_same_bits("dx", actual.dx, expected.dx, (size_t)l->samples * image_of(l->shape));
        rig_check_same_bits("dweights", actual.dweights, expected.dweights, weights_of(l->shape));
        rig_check_same_bits("dbias", actual.dbias, expected.dbias, (size_t)l->shape.out_channels);
        results_free(actual);
        bench_close(more);
    }
    results_free(expected);
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    for (int i = 0; i < BIT_SHAPES; i++) {
        layer l = layer_create(bit_shapes[i], (normal)(i % NORMALS), MOST_SAMPLES);
        for_each_method(&l, 1, check_threads, NULL);
        layer_free(l);
    }
}

typedef struct share_call {
    bench b;
    const layer *l;
    bool bias; /* which of the two gradients is kept */
} share_call;

static void run_share(void *context, const dt_leaf_plan *plan, int first_sample, dt_root_sink sink) {
    const share_call *call = context;
    const layer *l = call->l;
    size_t other_count = call->bias ? weights_of(l->shape) : (size_t)l->shape.out_channels;
    float *other = rig_output(other_count * (size_t)(plan->roots + 1));
    float *y = rig_output((size_t)(plan->samples + 1) * output_of(l->shape));
    dt_root_sink other_sink = {other, other_count};
    run_both(call->b, l, plan, first_sample, y, call->bias ? other_sink : sink,
             call->bias ? sink : other_sink, NULL);
    free(other);
    free(y);
}

static void check_shares(bench b, dt_conv_method method, const layer *l, void *context) {
    (void)method, (void)context;
    for (int bias = 0; bias < 2; bias++) {
        share_call call = {b, l, bias};
        size_t count = bias ? (size_t)l->shape.out_channels : weights_of(l->shape);
        float *whole = rig_shared_gradient(l->samples, 1, count, run_share, &call);
        for (int ranks = 2; ranks <= 5; ranks++) {
            float *cut = rig_shared_gradient(l->samples, ranks, count, run_share, &call);
            rig_check_same_bits("shares", cut, whole, count);
            free(cut);
        }
        free(whole);
    }
}

static void test_shares_do_not_matter(void **state) {
    static const dt_conv_shape shapes[] = {
        {5, 4, 9, 20, 3, true}, {7, 7, 3, 40, 5, false}, {9, 8, 1, 19, 7, true}};
    static const int batches[] = {9, 24, 50, 131};
    (void)state;
    for (int shape = 0; shape < 3; shape++)
        for (int i = 0; i < 4; i++) {
            layer l = layer_create(shapes[shape], BY_ROWS, batches[i]);
            for_each_method(&l, 2, check_shares, NULL);
            layer_free(l);
        }
}

/* ReLU and pooling must not hide a NaN, and it must not reach other samples. */
static void check_nan(bench b, dt_conv_method method, const layer *l, void *context) {
    size_t output = output_of(l->shape);
    float *y = rig_output((size_t)l->samples * output);
    bool found = false;
    (void)method, (void)context;
    run_forward(b, l, 0, l->samples, true, y);
    for (size_t i = 0; i < (size_t)l->samples * output; i++) {
        found = found || isnan(y[i]);
        assert_true(!isnan(y[i]) || i / output == 1);
    }
    assert_true(found);
    free(y);
}

static void test_nan_stays_with_its_sample(void **state) {
    (void)state;
    for (int i = 0; i < BIT_SHAPES; i++) {
        layer l = layer_create(bit_shapes[i], AS_IT_IS, 3);
        l.x[image_of(l.shape) * 3 / 2] = NAN;
        for_each_method(&l, 2, check_nan, NULL);
        layer_free(l);
    }
}

static void check_choice(rig r, dt_conv_shape shape, dt_conv_method expected) {
    dt_conv_config config = {.kernels = r.kernels, .shape = shape, .samples = 1};
    dt_conv *conv;
    assert_ok(dt_conv_create(&config, &conv));
    assert_int_equal(dt_conv_chosen(conv), expected);
    dt_conv_destroy(conv);
}

static void test_automatic_choice(void **state) {
    static const dt_conv_shape first = {28, 28, 1, 8, 11, true}, middle = {7, 7, 5, 6, 3, false};
    static const dt_conv_shape larger = {7, 8, 5, 6, 3, false}, pointwise = {4, 4, 5, 6, 1, false};
    (void)state;
    for (dt_engine engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_REFERENCE; engine++) {
        rig r = rig_open(DT_ISA_BEST, engine, 1, NULL, NULL, 1);
        bool fast = engine == DT_ENGINE_AUTO || engine == DT_ENGINE_DIRECT;
        check_choice(r, first, fast ? DT_CONV_DIRECT : DT_CONV_PASSES);
        check_choice(r, middle, engine == DT_ENGINE_AUTO ? DT_CONV_FOURIER : DT_CONV_PASSES);
        check_choice(r, larger, engine == DT_ENGINE_AUTO ? DT_CONV_WINOGRAD : DT_CONV_PASSES);
        check_choice(r, pointwise, DT_CONV_PASSES);
        dt_conv_config impossible = {.kernels = r.kernels, .shape = middle, .method = DT_CONV_DIRECT};
        dt_conv *conv;
        assert_fails(dt_conv_create(&impossible, &conv), DT_USAGE, "direct");
        rig_close(r);
    }
    assert_string_equal(dt_conv_method_name(DT_CONV_DIRECT), "direct");
    assert_string_equal(dt_conv_method_name(DT_CONV_FOURIER), "fourier");
    assert_string_equal(dt_conv_method_name(DT_CONV_WINOGRAD_LARGE), "winograd-large");
}

/* The same in bfloat16, where there are tiles. */
#define in_bf16(test) cmocka_unit_test_setup_teardown(test, rig_use_bf16, rig_use_fp32)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_width),
        cmocka_unit_test(test_narrow_network),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_random_shapes_of_one_channel),
        cmocka_unit_test(test_samples_stand_alone),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_shares_do_not_matter),
        cmocka_unit_test(test_nan_stays_with_its_sample),
        cmocka_unit_test(test_automatic_choice),
        cmocka_unit_test(test_tiny_shapes),
        cmocka_unit_test(test_memory_is_refused),
        in_bf16(test_full_width),
        in_bf16(test_narrow_network),
        in_bf16(test_random_shapes),
        in_bf16(test_random_shapes_of_one_channel),
        in_bf16(test_samples_stand_alone),
        in_bf16(test_threads_do_not_matter),
        in_bf16(test_shares_do_not_matter),
        in_bf16(test_nan_stays_with_its_sample),
        in_bf16(test_tiny_shapes),
        in_bf16(test_many_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
