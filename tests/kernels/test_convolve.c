/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolutions: every instruction set and engine against the plain twin, and what is promised about bits. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct layer {
    dt_convolve_shape shape;
    int samples;
    float *x, *weights, *bias, *dz;
} layer;

static size_t image_of(dt_convolve_shape shape) {
    return (size_t)shape.height * (size_t)shape.width * (size_t)shape.in_channels;
}

static size_t output_of(dt_convolve_shape shape) {
    return (size_t)shape.height * (size_t)shape.width * (size_t)shape.out_channels;
}

static size_t weights_of(dt_convolve_shape shape) {
    return (size_t)shape.kernel * (size_t)shape.kernel * (size_t)shape.in_channels *
           (size_t)shape.out_channels;
}

static layer layer_create(dt_convolve_shape shape, int samples) {
    return (layer){shape,
                   samples,
                   rig_input((size_t)samples * image_of(shape)),
                   rig_input(weights_of(shape)),
                   rig_input((size_t)shape.out_channels),
                   rig_input((size_t)samples * output_of(shape))};
}

static layer layer_absolute(const layer *l) {
    return (layer){l->shape,
                   l->samples,
                   rig_absolute(l->x, (size_t)l->samples * image_of(l->shape)),
                   rig_absolute(l->weights, weights_of(l->shape)),
                   rig_absolute(l->bias, (size_t)l->shape.out_channels),
                   rig_absolute(l->dz, (size_t)l->samples * output_of(l->shape))};
}

static void layer_free(layer l) {
    free(l.x);
    free(l.weights);
    free(l.bias);
    free(l.dz);
}

/* What a layer computes; owned. */
typedef struct results {
    float *y, *dx, *dweights, *dbias;
} results;

static void results_free(results r) {
    free(r.y);
    free(r.dx);
    free(r.dweights);
    free(r.dbias);
}

typedef struct gradient_call {
    rig r;
    const layer *l;
    bool bias; /* which of the two gradients is kept */
} gradient_call;

static void run_gradient(void *context, const dt_leaf_plan *plan, int first_sample, dt_root_sink sink) {
    const gradient_call *call = context;
    const layer *l = call->l;
    size_t other_count = call->bias ? weights_of(l->shape) : (size_t)l->shape.out_channels;
    float *other = rig_output(other_count * (size_t)(plan->roots + 1));
    dt_root_sink other_sink = {other, other_count};
    dt_convolve_backward_weights(call->r.kernels, l->shape, plan,
                                 l->x + (size_t)first_sample * image_of(l->shape),
                                 l->dz + (size_t)first_sample * output_of(l->shape),
                                 call->bias ? other_sink : sink, call->bias ? sink : other_sink);
    free(other);
}

static float *gradient(rig r, const layer *l, int ranks, bool bias) {
    gradient_call call = {r, l, bias};
    size_t count = bias ? (size_t)l->shape.out_channels : weights_of(l->shape);
    return rig_shared_gradient(l->samples, ranks, count, run_gradient, &call);
}

static results compute(dt_isa isa, dt_engine engine, int threads, const layer *l) {
    rig r = rig_open(isa, engine, threads, &l->shape, NULL, l->samples);
    results out = {rig_output((size_t)l->samples * output_of(l->shape)),
                   rig_output((size_t)l->samples * image_of(l->shape)), NULL, NULL};
    dt_convolve_forward(r.kernels, l->shape, l->samples, l->x, l->weights, l->bias, out.y);
    dt_convolve_backward_data(r.kernels, l->shape, l->samples, l->dz, l->weights, out.dx);
    out.dweights = gradient(r, l, 1, false);
    out.dbias = gradient(r, l, 1, true);
    rig_close(r);
    return out;
}

static void check_against_reference(const layer *l) {
    dt_convolve_shape shape = l->shape;
    layer absolute = layer_absolute(l);
    results expected = compute(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 2, l);
    results magnitude = compute(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 2, &absolute);
    double taps = shape.kernel * shape.kernel, pixels = (double)l->samples * shape.height * shape.width;
    for (dt_engine engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_BLAS; engine++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
            results actual = compute(isa, engine, 2, l);
            rig_check_near("y", (size_t)l->samples * output_of(shape), actual.y, expected.y, magnitude.y,
                           rig_sum_bound(taps * shape.in_channels));
            rig_check_near("dx", (size_t)l->samples * image_of(shape), actual.dx, expected.dx, magnitude.dx,
                           rig_sum_bound(taps * shape.out_channels));
            rig_check_near("dweights", weights_of(shape), actual.dweights, expected.dweights,
                           magnitude.dweights, rig_sum_bound(pixels));
            rig_check_near("dbias", (size_t)shape.out_channels, actual.dbias, expected.dbias, magnitude.dbias,
                           rig_sum_bound(pixels));
            results_free(actual);
        }
    results_free(expected);
    results_free(magnitude);
    layer_free(absolute);
}

/* The network at full width, and at an eighth. */
static const dt_convolve_shape network[] = {
    {28, 28, 1, 64, 11}, {14, 14, 64, 192, 5}, {7, 7, 192, 384, 3}, {7, 7, 384, 384, 3}, {7, 7, 384, 256, 3},
};
static const dt_convolve_shape narrow_network[] = {
    {28, 28, 1, 8, 11}, {14, 14, 8, 24, 5}, {7, 7, 24, 48, 3}, {7, 7, 48, 48, 3}, {7, 7, 48, 32, 3},
};
enum { LAYERS = 5 };

static void test_full_width(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        layer l = layer_create(network[i], 2);
        check_against_reference(&l);
        layer_free(l);
    }
}

static void test_narrow_network(void **state) {
    static const int counts[] = {1, 3, 7, 8, 9};
    (void)state;
    for (int i = 0; i < LAYERS; i++)
        for (int count = 0; count < 5; count++) {
            layer l = layer_create(narrow_network[i], counts[count]);
            check_against_reference(&l);
            layer_free(l);
        }
}

static void test_random_shapes(void **state) {
    static const int counts[] = {1, 3, 7, 8, 9, 64};
    (void)state;
    for (int i = 0; i < 40; i++) {
        dt_convolve_shape shape = {1 + rig_random(6), 1 + rig_random(6), 1 + rig_random(20),
                                   1 + rig_random(20), 1 + 2 * rig_random(3)};
        layer l = layer_create(shape, counts[rig_random(6)]);
        check_against_reference(&l);
        layer_free(l);
    }
}

/* Samples in calls of 1 to 17, starting at different samples: no place in a block may matter. */
static void check_samples_stand_alone(rig r, const layer *l) {
    dt_convolve_shape shape = l->shape;
    size_t image = image_of(shape), output = output_of(shape);
    float *y = rig_output((size_t)l->samples * output), *dx = rig_output((size_t)l->samples * image);
    float *part_y = rig_output((size_t)l->samples * output),
          *part_dx = rig_output((size_t)l->samples * image);
    dt_convolve_forward(r.kernels, shape, l->samples, l->x, l->weights, l->bias, y);
    dt_convolve_backward_data(r.kernels, shape, l->samples, l->dz, l->weights, dx);
    for (int count = 1; count <= 17; count++) {
        size_t first = (size_t)(5 * count % (l->samples - count + 1)), values = (size_t)count;
        dt_convolve_forward(r.kernels, shape, count, l->x + first * image, l->weights, l->bias, part_y);
        dt_convolve_backward_data(r.kernels, shape, count, l->dz + first * output, l->weights, part_dx);
        rig_check_same_bits("samples forward", part_y, y + first * output, values * output);
        rig_check_same_bits("samples backward", part_dx, dx + first * image, values * image);
    }
    free(y);
    free(dx);
    free(part_y);
    free(part_dx);
}

static void test_samples_stand_alone(void **state) {
    (void)state;
    for (int i = 0; i < 2 * LAYERS; i++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
            /* The widest layers only with the fastest set: the others share their drivers. */
            if (i < LAYERS && isa < dt_isa_best())
                continue;
            layer l = layer_create(i < LAYERS ? network[i] : narrow_network[i - LAYERS], 23);
            rig r = rig_open(isa, DT_ENGINE_AUTO, 2, &l.shape, NULL, l.samples);
            check_samples_stand_alone(r, &l);
            rig_close(r);
            layer_free(l);
        }
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    for (int i = 0; i < LAYERS; i++) {
        layer l = layer_create(narrow_network[i], 43);
        results one = compute(DT_ISA_BEST, DT_ENGINE_AUTO, 1, &l);
        for (int threads = 2; threads <= 12; threads += threads < 3 ? 1 : 9) {
            results more = compute(DT_ISA_BEST, DT_ENGINE_AUTO, threads, &l);
            rig_check_same_bits("forward", more.y, one.y, (size_t)l.samples * output_of(l.shape));
            rig_check_same_bits("backward", more.dx, one.dx, (size_t)l.samples * image_of(l.shape));
            rig_check_same_bits("dweights", more.dweights, one.dweights, weights_of(l.shape));
            rig_check_same_bits("dbias", more.dbias, one.dbias, (size_t)l.shape.out_channels);
            results_free(more);
        }
        results_free(one);
        layer_free(l);
    }
}

static void check_shares(dt_engine engine, dt_convolve_shape shape, int batch) {
    layer l = layer_create(shape, batch);
    rig r = rig_open(DT_ISA_BEST, engine, 2, &l.shape, NULL, batch);
    for (int bias = 0; bias < 2; bias++) {
        size_t count = bias ? (size_t)shape.out_channels : weights_of(shape);
        float *whole = gradient(r, &l, 1, bias);
        for (int ranks = 2; ranks <= 5; ranks++) {
            float *cut = gradient(r, &l, ranks, bias);
            rig_check_same_bits("shares", cut, whole, count);
            free(cut);
        }
        free(whole);
    }
    rig_close(r);
    layer_free(l);
}

static void test_shares_do_not_matter(void **state) {
    static const int batches[] = {1, 9, 24, 50, 64, 131, 333};
    (void)state;
    for (int i = 0; i < 7; i++) {
        check_shares(DT_ENGINE_REFERENCE, (dt_convolve_shape){3, 4, 3, 5, 3}, batches[i]);
        check_shares(DT_ENGINE_AUTO, (dt_convolve_shape){3, 4, 3, 5, 3}, batches[i]);
        check_shares(DT_ENGINE_AUTO, (dt_convolve_shape){3, 3, 70, 20, 3}, batches[i]);
        check_shares(DT_ENGINE_BLAS, (dt_convolve_shape){3, 3, 70, 20, 3}, batches[i]);
    }
    check_shares(DT_ENGINE_AUTO, network[2], 28);
}

/* ReLU must not hide a NaN, and a NaN must not reach other samples. */
static void test_nan_stays_with_its_sample(void **state) {
    (void)state;
    for (dt_engine engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_REFERENCE; engine++) {
        layer l = layer_create((dt_convolve_shape){2, 2, 3, 5, 3}, 3);
        rig r = rig_open(DT_ISA_BEST, engine, 1, &l.shape, NULL, l.samples);
        float *y = rig_output(60);
        l.x[12] = NAN;
        dt_convolve_forward(r.kernels, l.shape, 3, l.x, l.weights, l.bias, y);
        for (int i = 0; i < 60; i++)
            assert_int_equal(isnan(y[i]) != 0, i >= 20 && i < 40);
        free(y);
        rig_close(r);
        layer_free(l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_width),
        cmocka_unit_test(test_narrow_network),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_samples_stand_alone),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_shares_do_not_matter),
        cmocka_unit_test(test_nan_stays_with_its_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
