/* SPDX-License-Identifier: BSD-3-Clause */
/* Data for the kernels of build/bench/kernels, their calls, and the comparison with the twin. */
#include "kernels_jobs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "dtrain/timer.h"

enum { ERROR_SAMPLES = 2, MOST_REPEATS = 63, MOST_LEAVES = 4096 / DT_LEAF_SAMPLES, PATTERN = 4093 };

/* x, dx: what the layer reads, before a pooling the convolution's result; y, dy: what it gives. */
struct job {
    dt_kernels *kernels;
    const dt_layer_spec *spec;
    int batch;
    size_t inputs, outputs, weights_count,
        groups; /* floats of x and y of a sample; of the weights; norm's groups */
    float *x, *dx, *y, *dy, *weights, *m, *v, *gradient, *bias, *vectors;
    double *partials;
    int *samples;
    size_t partials_count;
    unsigned char merges[MOST_LEAVES];
    dt_leaf_plan plan;
    dt_slab memory;
};

static dt_dense_shape dense_shape(const job *j) {
    return (dt_dense_shape){j->spec->in.channels, j->spec->out.channels};
}

static dt_pool_shape pool_shape(const job *j) {
    return (dt_pool_shape){j->spec->in.height, j->spec->in.width, j->spec->out.channels};
}

static dt_norm_shape norm_shape(const job *j) {
    return (dt_norm_shape){j->spec->in.height, j->spec->in.width, j->spec->in.channels, j->spec->by_rows};
}

static dt_root_sink sink(float *base, size_t stride) {
    return (dt_root_sink){base, stride};
}

static const dt_adam_step adam = {
    .rate = 1e-3f, .one_minus_beta1 = 0.1f, .one_minus_beta2 = 1e-3f, .epsilon = 1e-8f};

static void dense_forward(job *j) {
    dt_dense_forward(j->kernels, dense_shape(j), j->batch, j->x, j->weights, j->bias, true, j->y);
}

static void dense_data(job *j) {
    dt_dense_backward_data(j->kernels, dense_shape(j), j->batch, j->dy, j->weights, j->dx);
}

static void dense_weights(job *j) {
    dt_dense_backward_weights(j->kernels, dense_shape(j), &j->plan, j->x, j->dy,
                              sink(j->weights, j->weights_count), sink(j->bias, j->outputs));
}

static void dense_update(job *j) {
    dt_dense_update(j->kernels, dense_shape(j), &j->plan, j->x, j->dy, adam, j->weights, j->m, j->v);
}

static void relu_backward(job *j) {
    dt_relu_backward(j->kernels, (size_t)j->batch * j->outputs, 2.0f, j->dy, j->dy, j->y);
}

static void dropout_forward(job *j) {
    dt_dropout_key key = {.seed = 1, .layer = 1, .epoch = 1, .rate = 0.5f};
    dt_dropout_forward(j->kernels, key, j->batch, j->spec->out.channels, j->samples, j->y);
}

static void pool_forward(job *j) {
    dt_pool_forward(j->kernels, pool_shape(j), j->batch, j->x, j->y);
}

static void pool_backward(job *j) {
    dt_pool_backward_relu(j->kernels, pool_shape(j), j->batch, j->x, j->dy, j->dx);
}

static void norm_statistics(job *j) {
    dt_norm_statistics(j->kernels, norm_shape(j), &j->plan, j->x, j->partials);
}

static void norm_forward(job *j) {
    dt_norm_forward(j->kernels, norm_shape(j), j->batch, j->x, j->vectors, j->vectors + j->groups, j->y);
}

static void norm_gradient_statistics(job *j) {
    dt_norm_backward_statistics(j->kernels, norm_shape(j), &j->plan, j->x, j->dy, j->vectors,
                                j->vectors + j->groups, j->partials);
}

static void norm_backward(job *j) {
    dt_norm_backward(j->kernels, norm_shape(j), j->batch, j->x, j->dy, j->vectors, j->vectors + j->groups,
                     j->vectors + 2 * j->groups, j->dx);
}

static void adam_update(job *j) {
    dt_adam_update(j->kernels, adam, j->weights_count, j->gradient, j->weights, j->m, j->v);
}

static void add_to(job *j) {
    dt_add_to(j->kernels, j->weights_count, j->gradient, j->weights);
}

static void all_finite(job *j) {
    if (!dt_all_finite(j->kernels, j->weights_count, j->gradient))
        abort();
}

static void largest_magnitude(job *j) {
    if (!(dt_largest_magnitude(j->kernels, j->weights_count, j->gradient) > 0))
        abort();
}

static bool is_dense(const dt_layer_spec *spec) {
    return spec->kind == DT_LAYER_DENSE;
}

static bool is_hidden(const dt_layer_spec *spec) {
    return spec->kind == DT_LAYER_DENSE && spec->relu;
}

static bool is_pooled(const dt_layer_spec *spec) {
    return spec->kind == DT_LAYER_CONV && spec->pool;
}

static bool is_norm(const dt_layer_spec *spec) {
    return spec->kind == DT_LAYER_NORM;
}

static bool has_weights(const dt_layer_spec *spec) {
    return spec->kind != DT_LAYER_NORM;
}

/* Bytes: 4 for each value read and for each written; a pooled value is a quarter of one. */
const job_kind job_kinds[] = {
    {"forward", true, is_dense, dense_forward, 2, 4, JOB_WEIGHTS, JOB_RESULT_Y},
    {"data", true, is_dense, dense_data, 2, 4, JOB_WEIGHTS, JOB_RESULT_DX},
    {"weights", true, is_dense, dense_weights, 2, 4, JOB_WEIGHTS, JOB_RESULT_WEIGHTS},
    {"update", true, is_dense, dense_update, 2, 24, JOB_WEIGHTS, JOB_RESULT_WEIGHTS},
    {"relu", true, is_hidden, relu_backward, 0, 8, JOB_OUTPUTS, JOB_RESULT_Y},
    {"dropout", true, is_hidden, dropout_forward, 0, 8, JOB_OUTPUTS, JOB_RESULT_Y},
    {"pool_forward", true, is_pooled, pool_forward, 0, 5, JOB_INPUTS, JOB_RESULT_Y},
    {"pool_backward", true, is_pooled, pool_backward, 0, 9, JOB_INPUTS, JOB_RESULT_DX},
    {"statistics", true, is_norm, norm_statistics, 0, 4, JOB_INPUTS, JOB_RESULT_PARTIALS},
    {"forward", true, is_norm, norm_forward, 0, 8, JOB_INPUTS, JOB_RESULT_Y},
    {"gradient_statistics", true, is_norm, norm_gradient_statistics, 0, 8, JOB_INPUTS, JOB_RESULT_PARTIALS},
    {"backward", true, is_norm, norm_backward, 0, 12, JOB_INPUTS, JOB_RESULT_DX},
    {"adam", false, has_weights, adam_update, 0, 28, JOB_WEIGHTS, JOB_RESULT_WEIGHTS},
    {"add", false, is_dense, add_to, 0, 12, JOB_WEIGHTS, JOB_RESULT_WEIGHTS},
    {"finite", false, is_dense, all_finite, 0, 4, JOB_WEIGHTS, JOB_RESULT_NONE},
    {"largest", false, is_dense, largest_magnitude, 0, 4, JOB_WEIGHTS, JOB_RESULT_NONE},
};
const int job_kinds_count = sizeof job_kinds / sizeof job_kinds[0];

/* Uniform in [-size, size) around `middle`; they repeat, since drawing takes longer than most kernels. */
static void fill(float *values, size_t count, float middle, float size) {
    for (size_t i = 0; i < count && i < PATTERN; i++)
        values[i] =
            middle +
            size *
                (2 * dt_random_unit(dt_random_draw(1, DT_PURPOSE_DIGITS, (uint32_t)i, 0, 0, 0).word[0]) - 1);
    for (size_t done = PATTERN; done < count; done += PATTERN)
        memcpy(values + done, values, (count - done < PATTERN ? count - done : PATTERN) * sizeof(float));
}

static void fill_job(job *j) {
    size_t batch = (size_t)j->batch;
    fill(j->x, batch * j->inputs, 0, 1);
    fill(j->dx, batch * j->inputs, 0, 1);
    fill(j->y, batch * j->outputs, 0, 1);
    fill(j->dy, batch * j->outputs, 0, 1);
    fill(j->weights, j->weights_count, 0, 0.1f);
    fill(j->m, j->weights_count, 0, 0.01f);
    fill(j->v, j->weights_count, 0.001f, 0.0009f);
    fill(j->gradient, j->weights_count, 0, 0.1f);
    fill(j->bias, j->outputs, 0, 1);
    fill(j->vectors, 3 * j->groups, 0, 1);
    memset(j->partials, 0, j->partials_count * sizeof *j->partials);
    for (int i = 0; i < j->batch; i++)
        j->samples[i] = 7 * i;
}

static void measure_extents(job *j) {
    const dt_layer_spec *s = j->spec;
    j->inputs = dt_volume_floats(s->in);
    j->outputs = dt_volume_floats(s->out);
    if (s->kind == DT_LAYER_CONV) {
        j->inputs = (size_t)(s->in.height * s->in.width * s->out.channels);
        j->weights_count = (size_t)(s->kernel * s->kernel * s->in.channels * s->out.channels);
    } else if (s->kind == DT_LAYER_DENSE) {
        j->weights_count = j->inputs * j->outputs;
    } else {
        j->groups = (size_t)dt_norm_groups(norm_shape(j));
    }
    j->partials_count = (size_t)dt_leaves_count(j->batch) * 2 * j->groups;
}

static void lay_out(job *j, dt_arena *arena) {
    size_t batch = (size_t)j->batch;
    j->x = dt_arena_take_floats(arena, batch * j->inputs);
    j->dx = dt_arena_take_floats(arena, batch * j->inputs);
    j->y = dt_arena_take_floats(arena, batch * j->outputs);
    j->dy = dt_arena_take_floats(arena, batch * j->outputs);
    j->weights = dt_arena_take_floats(arena, j->weights_count);
    j->m = dt_arena_take_floats(arena, j->weights_count);
    j->v = dt_arena_take_floats(arena, j->weights_count);
    j->gradient = dt_arena_take_floats(arena, j->weights_count);
    j->bias = dt_arena_take_floats(arena, j->outputs);
    j->vectors = dt_arena_take_floats(arena, 3 * j->groups);
    j->partials = dt_arena_take(arena, j->partials_count * sizeof *j->partials);
    j->samples = dt_arena_take(arena, batch * sizeof *j->samples);
}

static dt_status open_job(const dt_layer_spec *spec, dt_kernels *kernels, int batch, job *j) {
    dt_arena arena = {0};
    *j = (job){.kernels = kernels, .spec = spec, .batch = batch};
    measure_extents(j);
    if (is_dense(spec))
        DT_TRY(dt_dense_reserve(kernels, dense_shape(j), batch));
    lay_out(j, &arena);
    DT_TRY(dt_slab_reserve(arena.used, "the arrays of a kernel", &j->memory));
    arena = (dt_arena){.base = j->memory.base};
    lay_out(j, &arena);
    dt_share share = dt_leaves_share(batch, 1, 0);
    j->plan = dt_leaves_plan(&share, j->merges, NULL);
    fill_job(j);
    return dt_ok();
}

static void close_job(job *j) {
    dt_slab_release(&j->memory);
}

static int compare_seconds(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t values_of(const job_kind *kind, const job *j) {
    if (kind->values == JOB_WEIGHTS)
        return j->weights_count;
    return (size_t)j->batch * (kind->values == JOB_INPUTS ? j->inputs : j->outputs);
}

dt_status job_measure(const job_kind *kind, const dt_layer_spec *spec, dt_kernels *kernels, int batch,
                      int repeats, job_times *times) {
    double seconds[MOST_REPEATS];
    job j;
    DT_TRY(open_job(spec, kernels, batch, &j));
    kind->run(&j);
    for (int i = 0; i < repeats; i++) {
        double since = dt_timer_now();
        kind->run(&j);
        seconds[i] = dt_timer_now() - since;
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, compare_seconds);
    times->seconds = seconds[repeats / 2];
    times->flop = kind->flop * (double)j.weights_count * batch;
    times->bytes = kind->bytes * (double)values_of(kind, &j);
    close_job(&j);
    return dt_ok();
}

/* Sums of squares, of differences and of what is expected. */
typedef struct squares {
    double difference, expected;
} squares;

static squares add_square(squares sum, double actual, double expected) {
    return (squares){sum.difference + (actual - expected) * (actual - expected),
                     sum.expected + expected * expected};
}

static double root_ratio(squares sum) {
    return sqrt(sum.difference / sum.expected);
}

static double compare_floats(const float *actual, const float *expected, size_t count) {
    squares sum = {0};
    for (size_t i = 0; i < count; i++)
        sum = add_square(sum, (double)actual[i], (double)expected[i]);
    return root_ratio(sum);
}

static double compare_jobs(const job_kind *kind, const job *a, const job *b) {
    squares sum = {0};
    switch (kind->result) {
    case JOB_RESULT_Y:
        return compare_floats(a->y, b->y, (size_t)a->batch * a->outputs);
    case JOB_RESULT_DX:
        return compare_floats(a->dx, b->dx, (size_t)a->batch * a->inputs);
    case JOB_RESULT_WEIGHTS:
        return compare_floats(a->weights, b->weights, a->weights_count);
    case JOB_RESULT_PARTIALS:
        for (size_t i = 0; i < a->partials_count; i++)
            sum = add_square(sum, a->partials[i], b->partials[i]);
        return root_ratio(sum);
    case JOB_RESULT_NONE:
        break;
    }
    return NAN;
}

dt_status job_error(const job_kind *kind, const dt_layer_spec *spec, dt_kernels *kernels, dt_kernels *twin,
                    double *error) {
    job actual = {0}, expected = {0};
    dt_status status = open_job(spec, kernels, ERROR_SAMPLES, &actual);
    if (!dt_failed(&status))
        status = open_job(spec, twin, ERROR_SAMPLES, &expected);
    if (!dt_failed(&status)) {
        kind->run(&actual);
        kind->run(&expected);
        *error = compare_jobs(kind, &actual, &expected);
    }
    close_job(&actual);
    close_job(&expected);
    return status;
}

/* A convolution of two samples; what it computes stands in y, dweights, dx. */
typedef struct conv_run {
    float *x, *weights, *bias, *y, *dy, *dx, *dweights, *dbias;
    size_t inputs, outputs, weights_count, channels;
    dt_slab memory;
} conv_run;

static void lay_out_conv(conv_run *r, dt_conv_shape s, dt_arena *arena) {
    r->inputs = (size_t)(ERROR_SAMPLES * s.height * s.width * s.in_channels);
    r->outputs = (size_t)(ERROR_SAMPLES * dt_conv_out_height(s) * dt_conv_out_width(s) * s.out_channels);
    r->channels = (size_t)s.out_channels;
    r->weights_count = (size_t)(s.kernel * s.kernel * s.in_channels) * r->channels;
    r->x = dt_arena_take_floats(arena, r->inputs);
    r->weights = dt_arena_take_floats(arena, r->weights_count);
    r->bias = dt_arena_take_floats(arena, r->channels);
    r->y = dt_arena_take_floats(arena, r->outputs);
    r->dy = dt_arena_take_floats(arena, r->outputs);
    r->dx = dt_arena_take_floats(arena, r->inputs);
    r->dweights = dt_arena_take_floats(arena, r->weights_count);
    r->dbias = dt_arena_take_floats(arena, r->channels);
}

/* Both passes with this value in the bias. */
static void run_conv(dt_conv *conv, conv_run *r, float bias) {
    unsigned char merges[1];
    dt_share share = dt_leaves_share(ERROR_SAMPLES, 1, 0);
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    dt_conv_input input = {.x = r->x};
    fill(r->x, r->inputs, 0, 1);
    fill(r->weights, r->weights_count, 0, 1);
    fill(r->bias, r->channels, bias, 0);
    fill(r->dy, r->outputs, 0, 1);
    dt_conv_forward(conv, ERROR_SAMPLES, input, r->weights, r->bias, true, r->y);
    dt_conv_backward(conv, &plan, input, r->dy, r->weights, sink(r->dweights, 0), sink(r->dbias, 0), r->dx);
}

static dt_status open_conv(dt_kernels *kernels, dt_conv_shape shape, dt_conv_method method, dt_conv **conv,
                           conv_run *r) {
    dt_conv_config config = {.kernels = kernels, .shape = shape, .method = method, .samples = ERROR_SAMPLES};
    dt_arena arena = {0};
    config.leaves = dt_leaves_count(ERROR_SAMPLES);
    DT_TRY(dt_conv_create(&config, conv));
    lay_out_conv(r, shape, &arena);
    DT_TRY(dt_slab_reserve(arena.used, "the arrays of a convolution", &r->memory));
    arena = (dt_arena){.base = r->memory.base};
    lay_out_conv(r, shape, &arena);
    return dt_ok();
}

dt_status conv_errors_measure(dt_kernels *kernels, dt_kernels *twin, dt_conv_shape shape,
                              dt_conv_method method, conv_errors *errors) {
    dt_conv *conv = NULL, *plain = NULL;
    conv_run actual = {0}, expected = {0};
    dt_status status = open_conv(kernels, shape, method, &conv, &actual);
    if (!dt_failed(&status))
        status = open_conv(twin, shape, DT_CONV_PASSES, &plain, &expected);
    if (!dt_failed(&status)) {
        run_conv(conv, &actual, 0);
        run_conv(plain, &expected, 0);
        errors->y = compare_floats(actual.y, expected.y, actual.outputs);
        /* More than the sum of all products of a value. */
        float open = (float)(shape.kernel * shape.kernel * shape.in_channels);
        run_conv(conv, &actual, open);
        run_conv(plain, &expected, open);
        errors->dweights = compare_floats(actual.dweights, expected.dweights, actual.weights_count);
        errors->dx = compare_floats(actual.dx, expected.dx, actual.inputs);
    }
    dt_conv_destroy(conv);
    dt_conv_destroy(plain);
    dt_slab_release(&actual.memory);
    dt_slab_release(&expected.memory);
    return status;
}
