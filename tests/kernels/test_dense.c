/* SPDX-License-Identifier: BSD-3-Clause */
/* Dense layers: every instruction set and engine against the plain twin, and what is promised about bits. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct layer {
    dt_dense_shape shape;
    int rows;
    float *x, *weights, *bias, *dz;
} layer;

static size_t size_of(int a, int b) {
    return (size_t)a * (size_t)b;
}

static layer layer_create(dt_dense_shape shape, int rows) {
    return (layer){shape,
                   rows,
                   rig_input(size_of(rows, shape.in)),
                   rig_input(size_of(shape.in, shape.out)),
                   rig_input((size_t)shape.out),
                   rig_input(size_of(rows, shape.out))};
}

static layer layer_absolute(const layer *l) {
    return (layer){l->shape,
                   l->rows,
                   rig_absolute(l->x, size_of(l->rows, l->shape.in)),
                   rig_absolute(l->weights, size_of(l->shape.in, l->shape.out)),
                   rig_absolute(l->bias, (size_t)l->shape.out),
                   rig_absolute(l->dz, size_of(l->rows, l->shape.out))};
}

static float *rounded(const float *values, size_t count) {
    float *result = rig_output(count);
    for (size_t i = 0; i < count; i++)
        result[i] = rig_bf16(values[i]);
    return result;
}

/* What the products see of a layer in the precision of the test. Sums of rounded values are then as exact as
 * those of others: the bounds are the same. */
static layer layer_seen(const layer *l) {
    layer seen = *l;
    bool bf16 = rig_precision == DT_PRECISION_BF16;
    float *(*copy)(const float *, size_t) = bf16 ? rounded : rig_copy;
    seen.x = copy(l->x, size_of(l->rows, l->shape.in));
    seen.weights = copy(l->weights, size_of(l->shape.in, l->shape.out));
    seen.bias = rig_copy(l->bias, (size_t)l->shape.out);
    seen.dz = copy(l->dz, size_of(l->rows, l->shape.out));
    return seen;
}

static void layer_free(layer l) {
    free(l.x);
    free(l.weights);
    free(l.bias);
    free(l.dz);
}

/* Beside the reference. */
static dt_engine last_engine(void) {
    return rig_precision == DT_PRECISION_BF16 ? DT_ENGINE_AUTO : DT_ENGINE_BLAS;
}

/* What a layer computes; owned. */
typedef struct results {
    float *linear, *y, *dx, *dweights, *dbias;
} results;

static void results_free(results r) {
    free(r.linear);
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
    size_t other_count = call->bias ? size_of(l->shape.in, l->shape.out) : (size_t)l->shape.out;
    float *other = rig_output(other_count * (size_t)(plan->roots + 1));
    dt_root_sink other_sink = {other, other_count};
    dt_dense_backward_weights(call->r.kernels, l->shape, plan, l->x + size_of(first_sample, l->shape.in),
                              l->dz + size_of(first_sample, l->shape.out), call->bias ? other_sink : sink,
                              call->bias ? sink : other_sink);
    free(other);
}

static float *gradient(rig r, const layer *l, int ranks, bool bias) {
    gradient_call call = {r, l, bias};
    size_t count = bias ? (size_t)l->shape.out : size_of(l->shape.in, l->shape.out);
    return rig_shared_gradient(l->rows, ranks, count, run_gradient, &call);
}

static results compute(dt_isa isa, dt_engine engine, int threads, const layer *l) {
    rig r = rig_open(isa, engine, threads, NULL, &l->shape, l->rows);
    results out = {rig_output(size_of(l->rows, l->shape.out)), rig_output(size_of(l->rows, l->shape.out)),
                   rig_output(size_of(l->rows, l->shape.in)), NULL, NULL};
    dt_dense_forward(r.kernels, l->shape, l->rows, l->x, l->weights, l->bias, false, out.linear);
    dt_dense_forward(r.kernels, l->shape, l->rows, l->x, l->weights, l->bias, true, out.y);
    dt_dense_backward_data(r.kernels, l->shape, l->rows, l->dz, l->weights, out.dx);
    out.dweights = gradient(r, l, 1, false);
    out.dbias = gradient(r, l, 1, true);
    rig_close(r);
    return out;
}

static void check_against_reference(const layer *l) {
    layer seen = layer_seen(l), absolute = layer_absolute(&seen);
    results expected = compute(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 2, &seen);
    results magnitude = compute(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 2, &absolute);
    size_t outputs = size_of(l->rows, l->shape.out), inputs = size_of(l->rows, l->shape.in);
    double forward = rig_sum_bound(l->shape.in), backward = rig_sum_bound(l->shape.out);
    double weights = rig_sum_bound(l->rows);
    rig reference = rig_open(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 1, NULL, &l->shape, l->rows);
    float *bias = gradient(reference, l, 1, true); /* which is no product */
    rig_close(reference);
    for (dt_engine engine = DT_ENGINE_AUTO; engine <= last_engine(); engine++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++) {
            results actual = compute(isa, engine, 2, l);
            rig_check_near("linear", outputs, actual.linear, expected.linear, magnitude.linear, forward);
            rig_check_near("relu", outputs, actual.y, expected.y, magnitude.y, forward);
            rig_check_near("dx", inputs, actual.dx, expected.dx, magnitude.dx, backward);
            rig_check_near("dweights", size_of(l->shape.in, l->shape.out), actual.dweights, expected.dweights,
                           magnitude.dweights, weights);
            rig_check_near("dbias", (size_t)l->shape.out, actual.dbias, bias, magnitude.dbias, weights);
            results_free(actual);
        }
    results_free(expected);
    results_free(magnitude);
    layer_free(absolute);
    layer_free(seen);
    free(bias);
}

static const int row_counts[] = {1, 3, 7, 8, 9, 64};
enum { ROW_COUNTS = sizeof row_counts / sizeof row_counts[0] };

/* More of everything than a task of the input gradient takes at a time: sets of weight rows, blocks of units,
 * groups of samples. */
static const dt_dense_shape large_shape = {300, 270};
enum { LARGE_ROWS = 300 };

static void test_network_shapes(void **state) {
    static const dt_dense_shape shapes[] = {{288, 512}, {512, 512}, {512, 10}};
    (void)state;
    for (int shape = 0; shape < 3; shape++)
        for (int i = 0; i < ROW_COUNTS; i++) {
            layer l = layer_create(shapes[shape], row_counts[i]);
            check_against_reference(&l);
            layer_free(l);
        }
}

static void test_large_shape(void **state) {
    layer l = layer_create(large_shape, LARGE_ROWS);
    (void)state;
    check_against_reference(&l);
    layer_free(l);
}

static void test_random_shapes(void **state) {
    (void)state;
    for (int i = 0; i < 60; i++) {
        layer l = layer_create((dt_dense_shape){1 + rig_random(150), 1 + rig_random(150)},
                               row_counts[rig_random(ROW_COUNTS)]);
        check_against_reference(&l);
        layer_free(l);
    }
}

/* The shapes of the bit tests reach every kind of edge tile. */
static const dt_dense_shape bit_shapes[] = {{133, 97}, {300, 10}, {64, 192}};
enum { BIT_SHAPES = 3 };

/* The same rows in calls of other sizes and at other places. */
static void check_rows_stand_alone(rig r, const layer *l) {
    size_t in = (size_t)l->shape.in, out = (size_t)l->shape.out;
    float *y = rig_output((size_t)l->rows * out), *dx = rig_output((size_t)l->rows * in);
    float *part_y = rig_output((size_t)l->rows * out), *part_dx = rig_output((size_t)l->rows * in);
    dt_dense_forward(r.kernels, l->shape, l->rows, l->x, l->weights, l->bias, true, y);
    dt_dense_backward_data(r.kernels, l->shape, l->rows, l->dz, l->weights, dx);
    for (int count = 1; count <= 17; count++)
        for (int first = 0; first + count <= l->rows; first += 3 + count) {
            dt_dense_forward(r.kernels, l->shape, count, l->x + size_of(first, l->shape.in), l->weights,
                             l->bias, true, part_y);
            dt_dense_backward_data(r.kernels, l->shape, count, l->dz + size_of(first, l->shape.out),
                                   l->weights, part_dx);
            rig_check_same_bits("rows forward", part_y, y + (size_t)first * out, (size_t)count * out);
            rig_check_same_bits("rows backward", part_dx, dx + (size_t)first * in, (size_t)count * in);
        }
    free(y);
    free(dx);
    free(part_y);
    free(part_dx);
}

static void test_rows_stand_alone(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++)
        for (int shape = 0; shape < BIT_SHAPES; shape++) {
            layer l = layer_create(bit_shapes[shape], 29);
            rig r = rig_open(isa, DT_ENGINE_AUTO, 2, NULL, &l.shape, l.rows);
            check_rows_stand_alone(r, &l);
            rig_close(r);
            layer_free(l);
        }
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++)
        for (int shape = 0; shape < BIT_SHAPES; shape++) {
            layer l = layer_create(bit_shapes[shape], 53);
            results one = compute(isa, DT_ENGINE_AUTO, 1, &l);
            for (int threads = 2; threads <= 3; threads++) {
                results more = compute(isa, DT_ENGINE_AUTO, threads, &l);
                rig_check_same_bits("forward", more.y, one.y, size_of(l.rows, l.shape.out));
                rig_check_same_bits("backward", more.dx, one.dx, size_of(l.rows, l.shape.in));
                rig_check_same_bits("dweights", more.dweights, one.dweights,
                                    size_of(l.shape.in, l.shape.out));
                rig_check_same_bits("dbias", more.dbias, one.dbias, (size_t)l.shape.out);
                results_free(more);
            }
            results_free(one);
            layer_free(l);
        }
}

static void check_shares(dt_isa isa, dt_engine engine, int batch) {
    layer l = layer_create((dt_dense_shape){37, 61}, batch);
    rig r = rig_open(isa, engine, 2, NULL, &l.shape, batch);
    for (int bias = 0; bias < 2; bias++) {
        size_t count = bias ? (size_t)l.shape.out : size_of(l.shape.in, l.shape.out);
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
        check_shares(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, batches[i]);
        for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++)
            check_shares(isa, DT_ENGINE_AUTO, batches[i]);
    }
}

/* Columns [first, first + count) of a matrix with `columns` of them. */
static float *columns_of(const float *matrix, int rows, int columns, int first, int count) {
    float *part = rig_input(size_of(rows, count));
    for (int row = 0; row < rows; row++)
        memcpy(part + size_of(row, count), matrix + size_of(row, columns) + first,
               (size_t)count * sizeof(float));
    return part;
}

/* The input gradient from shares of the units: their roots, and the rest of the tree over them. */
static float *data_gradient(dt_isa isa, dt_engine engine, const layer *l, int ranks) {
    enum { MOST_ROOTS = 80 };
    size_t count = size_of(l->rows, l->shape.in);
    float *roots = rig_output(MOST_ROOTS * count), *result = rig_output(count);
    dt_subtree nodes[MOST_ROOTS], own[DT_LEAF_DEPTH];
    unsigned char merges[MOST_ROOTS], plan_merges[DT_MOST_BLOCKS];
    int total = 0, height = 0;
    for (int rank = 0; rank < ranks; rank++) {
        dt_share units = dt_blocks_share(l->shape.out, ranks, rank);
        dt_dense_shape shape = {l->shape.in, units.samples};
        if (units.samples == 0)
            continue;
        float *weights = columns_of(l->weights, l->shape.in, l->shape.out, units.first_sample, shape.out);
        float *dz = columns_of(l->dz, l->rows, l->shape.out, units.first_sample, shape.out);
        rig r = rig_open(isa, engine, 2, NULL, &shape, l->rows);
        dt_dense_backward_data_share(r.kernels, shape, units, l->rows, dz, weights,
                                     (dt_root_sink){roots + (size_t)total * count, count});
        int added = dt_leaves_plan(&units, plan_merges, own).roots;
        memcpy(nodes + total, own, (size_t)added * sizeof *own);
        total += added;
        rig_close(r);
        free(weights);
        free(dz);
    }
    assert_int_equal(dt_leaves_reduce(dt_blocks_count(l->shape.out), nodes, total, merges, NULL), 1);
    float *stack[DT_LEAF_DEPTH];
    for (int value = 0; value < total; value++) {
        stack[height++] = roots + (size_t)value * count;
        for (int merge = 0; merge < merges[value]; merge++, height--)
            for (size_t i = 0; i < count; i++)
                stack[height - 2][i] += stack[height - 1][i];
    }
    memcpy(result, stack[0], count * sizeof(float));
    free(roots);
    return result;
}

static void test_shares_of_units_do_not_matter(void **state) {
    const struct {
        dt_dense_shape shape;
        int rows;
    } layers[] = {{{37, 61}, 9}, {{133, 97}, 39},  {{50, 1100}, 69},
                  {{7, 5}, 99},  {{26, 4096}, 64}, {large_shape, LARGE_ROWS}};
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        layer l = layer_create(layers[i].shape, layers[i].rows);
        size_t count = size_of(l.rows, l.shape.in);
        for (int isa = rig_precision == DT_PRECISION_BF16 ? 0 : -1; isa <= (int)rig_last_isa(); isa++) {
            dt_engine engine = isa < 0 ? DT_ENGINE_REFERENCE : DT_ENGINE_AUTO;
            dt_isa set = isa < 0 ? DT_ISA_BASELINE : (dt_isa)isa;
            rig r = rig_open(set, engine, 2, NULL, &l.shape, l.rows);
            float *whole = rig_output(count);
            dt_dense_backward_data(r.kernels, l.shape, l.rows, l.dz, l.weights, whole);
            rig_check_output(whole, count);
            for (int ranks = 1; ranks <= 8; ranks++) {
                float *cut = data_gradient(set, engine, &l, ranks);
                rig_check_same_bits("shares of units", cut, whole, count);
                free(cut);
            }
            free(whole);
            rig_close(r);
        }
        layer_free(l);
    }
}

/* The columns of a share: the same bits as in the whole layer. */
static void test_columns_stand_alone(void **state) {
    (void)state;
    layer l = layer_create((dt_dense_shape){150, 413}, 23);
    for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++)
        for (int ranks = 2; ranks <= 8; ranks += 3) {
            rig r = rig_open(isa, DT_ENGINE_AUTO, 2, NULL, &l.shape, l.rows);
            float *y = rig_output(size_of(l.rows, l.shape.out));
            dt_dense_forward(r.kernels, l.shape, l.rows, l.x, l.weights, l.bias, true, y);
            for (int rank = 0; rank < ranks; rank++) {
                dt_share units = dt_blocks_share(l.shape.out, ranks, rank);
                dt_dense_shape shape = {l.shape.in, units.samples};
                float *weights =
                    columns_of(l.weights, l.shape.in, l.shape.out, units.first_sample, shape.out);
                float *expected = columns_of(y, l.rows, l.shape.out, units.first_sample, shape.out);
                float *part = rig_output(size_of(l.rows, shape.out));
                dt_dense_forward(r.kernels, shape, l.rows, l.x, weights, l.bias + units.first_sample, true,
                                 part);
                rig_check_same_bits("columns", part, expected, size_of(l.rows, shape.out));
                free(weights);
                free(expected);
                free(part);
            }
            free(y);
            rig_close(r);
        }
    layer_free(l);
}

/* Weights and moments. */
typedef struct learnt {
    float *weights, *m, *v;
} learnt;

static learnt learnt_create(size_t count, const float *weights) {
    learnt l = {rig_output(count), rig_output(count), rig_output(count)};
    memcpy(l.weights, weights, count * sizeof(float));
    memset(l.m, 0, count * sizeof(float));
    memset(l.v, 0, count * sizeof(float));
    return l;
}

static void learnt_free(learnt l) {
    free(l.weights);
    free(l.m);
    free(l.v);
}

/* Two steps at once and as separate kernels: the same bits. */
static void check_update(dt_isa isa, dt_engine engine, int threads, const layer *l) {
    const dt_adam_step step = {
        .rate = 1e-2f, .one_minus_beta1 = 0.1f, .one_minus_beta2 = 1e-3f, .epsilon = 1e-8f};
    size_t count = size_of(l->shape.in, l->shape.out);
    rig r = rig_open(isa, engine, threads, NULL, &l->shape, l->rows);
    unsigned char merges[16];
    dt_share share = dt_leaves_share(l->rows, 1, 0);
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    learnt together = learnt_create(count, l->weights), apart = learnt_create(count, l->weights);
    float *dweights = rig_output(count), *dbias = rig_output((size_t)l->shape.out);
    float *bias_alone = rig_output((size_t)l->shape.out);
    dt_root_sink nowhere = {NULL, 0}, sink = {dweights, count}, bias_sink = {dbias, (size_t)l->shape.out};
    for (int i = 0; i < 2; i++) {
        dt_dense_update(r.kernels, l->shape, &plan, l->x, l->dz, step, together.weights, together.m,
                        together.v);
        dt_dense_backward_weights(r.kernels, l->shape, &plan, l->x, l->dz, sink, bias_sink);
        dt_adam_update(r.kernels, step, count, dweights, apart.weights, apart.m, apart.v);
        rig_check_output(together.weights, count);
        rig_check_output(together.m, count);
        rig_check_output(together.v, count);
        rig_check_same_bits("updated m", together.m, apart.m, count);
        rig_check_same_bits("updated v", together.v, apart.v, count);
        rig_check_same_bits("updated weights", together.weights, apart.weights, count);
    }
    dt_dense_backward_weights(r.kernels, l->shape, &plan, l->x, l->dz, nowhere,
                              (dt_root_sink){bias_alone, (size_t)l->shape.out});
    rig_check_output(bias_alone, (size_t)l->shape.out);
    rig_check_same_bits("bias alone", bias_alone, dbias, (size_t)l->shape.out);
    learnt_free(together);
    learnt_free(apart);
    free(dweights);
    free(dbias);
    free(bias_alone);
    rig_close(r);
}

/* Shapes with every kind of edge tile and with more than one block of an update's panels. */
static void test_update_is_gradient_and_adam(void **state) {
    static const dt_dense_shape shapes[] = {{133, 97}, {300, 10}, {64, 192}, {17, 1203}, {1, 1}};
    static const int rows[] = {1, 8, 9, 24, 64, 77};
    (void)state;
    for (int shape = 0; shape < 5; shape++)
        for (int i = 0; i < 6; i++) {
            layer l = layer_create(shapes[shape], rows[i]);
            check_update(DT_ISA_BASELINE, DT_ENGINE_REFERENCE, 2, &l);
            for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++) {
                check_update(isa, last_engine(), 2, &l);
                check_update(isa, DT_ENGINE_AUTO, 1 + i % 3, &l);
            }
            layer_free(l);
        }
}

/* The same on tiles, as amx_tiles.h says: a chain over the even samples and one over the odd ones. */
static float leaf_tile(const layer *l, int first, int samples, int in, int out) {
    float sums[2] = {0, 0};
    for (int i = 0; i < samples; i++) {
        size_t row = (size_t)(first + i);
        sums[i % 2] = fmaf(rig_bf16(l->x[row * (size_t)l->shape.in + (size_t)in]),
                           rig_bf16(l->dz[row * (size_t)l->shape.out + (size_t)out]), sums[i % 2]);
    }
    return sums[0] + sums[1];
}

/* The chain over `samples` samples from `first` on. In bfloat16 its steps are pairs; an odd last sample has a
 * partner of zeros. */
static float leaf_chain(const layer *l, int first, int samples, int in, int out) {
    float sum = 0, left[2] = {0}, right[2] = {0};
    bool pairs = rig_precision == DT_PRECISION_BF16;
    for (int i = 0; i < samples; i++) {
        size_t row = (size_t)(first + i);
        float x = l->x[row * (size_t)l->shape.in + (size_t)in];
        float dz = l->dz[row * (size_t)l->shape.out + (size_t)out];
        if (!pairs) {
            sum = fmaf(x, dz, sum);
            continue;
        }
        left[i % 2] = rig_bf16(x);
        right[i % 2] = rig_bf16(dz);
        left[1] = i % 2 ? left[1] : 0;
        if (i % 2 || i + 1 == samples)
            sum = rig_pair_step(sum, left, right);
    }
    return sum;
}

/* Element (in, out) of the gradient by definition: chains of multiply-adds for each leaf, then the tree. */
static float defined_gradient(dt_isa isa, const layer *l, int in, int out) {
    unsigned char merges[16];
    float stack[DT_LEAF_DEPTH];
    int height = 0;
    dt_share share = dt_leaves_share(l->rows, 1, 0);
    dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
    for (int leaf = 0; leaf < plan.leaves; leaf++) {
        stack[height++] = (isa == DT_ISA_AMX_BF16 ? leaf_tile : leaf_chain)(
            l, leaf * DT_LEAF_SAMPLES, dt_leaves_samples(&share, leaf), in, out);
        for (int merge = 0; merge < merges[leaf]; merge++, height--)
            stack[height - 2] += stack[height - 1];
    }
    return stack[0];
}

static void test_gradient_is_chain_and_tree(void **state) {
    (void)state;
    for (dt_isa isa = rig_precision ? DT_ISA_BASELINE : DT_ISA_AVX2; isa <= rig_last_isa(); isa++) {
        for (int rows = 1; rows <= 77; rows += 19) {
            layer l = layer_create((dt_dense_shape){19, 53}, rows);
            rig r = rig_open(isa, DT_ENGINE_AUTO, 2, NULL, &l.shape, l.rows);
            float *actual = gradient(r, &l, 1, false);
            for (int in = 0; in < l.shape.in; in++)
                for (int out = 0; out < l.shape.out; out++)
                    rig_check_same_bits("gradient", actual + size_of(in, l.shape.out) + out,
                                        &(float){defined_gradient(isa, &l, in, out)}, 1);
            free(actual);
            rig_close(r);
            layer_free(l);
        }
    }
}

/* ReLU must not hide a NaN. */
static void test_nan_survives_relu(void **state) {
    (void)state;
    for (int engine = DT_ENGINE_AUTO; engine <= DT_ENGINE_REFERENCE; engine++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= rig_last_isa(); isa++) {
            if (engine > (int)last_engine() && engine != DT_ENGINE_REFERENCE)
                continue;
            layer l = layer_create((dt_dense_shape){20, 19}, 2);
            rig r = rig_open(isa, (dt_engine)engine, 1, NULL, &l.shape, l.rows);
            float *y = rig_output(38);
            l.x[7] = NAN;
            dt_dense_forward(r.kernels, l.shape, 2, l.x, l.weights, l.bias, true, y);
            for (int i = 0; i < 38; i++)
                assert_int_equal(isnan(y[i]) != 0, i < 19);
            free(y);
            rig_close(r);
            layer_free(l);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network_shapes),
        cmocka_unit_test(test_large_shape),
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_rows_stand_alone),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_shares_do_not_matter),
        cmocka_unit_test(test_shares_of_units_do_not_matter),
        cmocka_unit_test(test_columns_stand_alone),
        cmocka_unit_test(test_gradient_is_chain_and_tree),
        cmocka_unit_test(test_update_is_gradient_and_adam),
        cmocka_unit_test(test_nan_survives_relu),
        cmocka_unit_test_setup_teardown(test_network_shapes, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_large_shape, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_random_shapes, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_rows_stand_alone, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_threads_do_not_matter, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_shares_do_not_matter, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_shares_of_units_do_not_matter, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_columns_stand_alone, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_gradient_is_chain_and_tree, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_update_is_gradient_and_adam, rig_use_bf16, rig_use_fp32),
        cmocka_unit_test_setup_teardown(test_nan_survives_relu, rig_use_bf16, rig_use_fp32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
