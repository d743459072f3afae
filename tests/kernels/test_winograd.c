/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's and Fourier's convolutions against plain sums in double, over shapes, instruction sets and cuts
 * of the batch.
 */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/conv.h"

/* The transforms on vectors of 4, to measure them. */
#define DT_WIDTH 4
#include "kernels/vector.h"

#include "kernels/winograd_transforms.h"

enum { GUARD = 64, ENTRIES = 150, MOST_LEAVES = 40 };

static uint32_t random_state;

static uint32_t random_word(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    return random_state ^= random_state << 5;
}

static int random_between(int low, int high) {
    return low + (int)(random_word() % (uint32_t)(high - low + 1));
}

/* In (-1, 1). */
static float random_value(void) {
    return (float)(random_word() >> 8) / 8388608.0f - 1.0f;
}

/* An array with NaNs on both sides that must neither be read nor written. */
typedef struct array {
    float *values;
    size_t count;
} array;

static array make_array(size_t count, bool fill) {
    size_t bytes = (count + 2 * GUARD + 15) / 16 * 16 * sizeof(float);
    float *base = aligned_alloc(64, bytes);
    assert_non_null(base);
    for (size_t i = 0; i < bytes / sizeof(float); i++)
        base[i] = NAN;
    for (size_t i = 0; fill && i < count; i++)
        base[GUARD + i] = random_value();
    return (array){base + GUARD, count};
}

static void drop_array(array a) {
    for (size_t i = 0; i < GUARD; i++) {
        assert_true(isnan(a.values[i - GUARD]));
        assert_true(isnan(a.values[a.count + i]));
    }
    free(a.values - GUARD);
}

typedef enum affine_kind { PLAIN, BY_ROWS, BY_CHANNELS } affine_kind;

/* A convolution's data. Results of a run stand in y, dx and the roots. */
typedef struct problem {
    dt_conv_shape shape;
    dt_conv_method method;
    int samples;
    affine_kind affine;
    array x, scale, shift, weights, bias, dy;
    array y, dx, dweights, dbias; /* roots one after the other */
    size_t weights_count;
} problem;

static size_t in_values(dt_conv_shape s) {
    return (size_t)(s.height * s.width * s.in_channels);
}

static size_t out_values(dt_conv_shape s) {
    return (size_t)(dt_conv_out_height(s) * dt_conv_out_width(s) * s.out_channels);
}

static problem make_problem(dt_conv_shape s, int samples, affine_kind affine) {
    problem p = {.shape = s, .method = DT_CONV_WINOGRAD, .samples = samples, .affine = affine};
    size_t groups = (size_t)(affine == BY_ROWS ? s.height : s.in_channels);
    p.weights_count = (size_t)(s.kernel * s.kernel * s.in_channels * s.out_channels);
    p.x = make_array((size_t)samples * in_values(s), true);
    p.scale = make_array(groups, true);
    p.shift = make_array(groups, true);
    p.weights = make_array(p.weights_count, true);
    p.bias = make_array((size_t)s.out_channels, true);
    p.dy = make_array((size_t)samples * out_values(s), true);
    p.y = make_array(p.dy.count, false);
    p.dx = make_array(p.x.count, false);
    p.dweights = make_array(p.weights_count * DT_LEAF_DEPTH / 8, false);
    p.dbias = make_array((size_t)s.out_channels * DT_LEAF_DEPTH / 8, false);
    return p;
}

static void drop_problem(problem *p) {
    array all[] = {p->x, p->scale, p->shift, p->weights, p->bias, p->dy, p->y, p->dx, p->dweights, p->dbias};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        drop_array(all[i]);
}

typedef struct machine {
    dt_team *team;
    dt_kernels *kernels;
    dt_conv *conv;
} machine;

/* Of the machines of a test. */
static dt_precision precision;

static int use_bf16(void **state) {
    (void)state;
    precision = DT_PRECISION_BF16;
    return 0;
}

static int use_fp32(void **state) {
    (void)state;
    precision = DT_PRECISION_FP32;
    return 0;
}

/* The last one with bodies of its own. */
static dt_isa last_isa(void) {
    return precision == DT_PRECISION_BF16 ? dt_isa_highest() : dt_isa_best();
}

static machine make_machine(dt_isa isa, int threads, const problem *p) {
    machine m = {0};
    assert_ok(dt_team_create(threads, &m.team));
    dt_kernels_config config = {.team = m.team, .isa = isa, .precision = precision};
    assert_ok(dt_kernels_create(&config, &m.kernels));
    dt_conv_config conv = {m.kernels, p->shape, p->method, p->samples, dt_leaves_count(p->samples)};
    assert_ok(dt_conv_create(&conv, &m.conv));
    return m;
}

static void drop_machine(machine *m) {
    dt_conv_destroy(m->conv);
    dt_kernels_destroy(m->kernels);
    dt_team_destroy(m->team);
}

static dt_conv_input input_of(const problem *p, int first) {
    dt_conv_input input = {.x = p->x.values + (size_t)first * in_values(p->shape)};
    if (p->affine != PLAIN) {
        input.scale = p->scale.values;
        input.shift = p->shift.values;
        input.by_rows = p->affine == BY_ROWS;
    }
    return input;
}

/* Both passes over the samples of a share; its roots follow `roots` others. Returns how many they are. */
static int run_share(const machine *m, problem *p, const dt_share *share, int roots, dt_subtree *nodes) {
    unsigned char merges[MOST_LEAVES];
    dt_leaf_plan plan = dt_leaves_plan(share, merges, nodes);
    size_t out = (size_t)p->shape.out_channels, before = (size_t)roots,
           done = (size_t)share->first_sample * out_values(p->shape);
    dt_conv_input input = input_of(p, share->first_sample);
    assert_true(roots + plan.roots <= DT_LEAF_DEPTH / 8);
    dt_conv_forward(m->conv, share->samples, input, p->weights.values, p->bias.values, true,
                    p->y.values + done);
    dt_conv_backward(m->conv, &plan, input, p->dy.values + done, p->weights.values,
                     (dt_root_sink){p->dweights.values + before * p->weights_count, p->weights_count},
                     (dt_root_sink){p->dbias.values + before * out, out},
                     p->dx.values + (size_t)share->first_sample * in_values(p->shape));
    return plan.roots;
}

static void reduce_roots(float *values, size_t count, const unsigned char *merges, int roots) {
    int height = 0;
    for (int root = 0; root < roots; root++) {
        memmove(values + (size_t)height++ * count, values + (size_t)root * count, count * sizeof(float));
        for (int merge = 0; merge < merges[root]; merge++, height--)
            for (size_t i = 0; i < count; i++)
                values[(size_t)(height - 2) * count + i] += values[(size_t)(height - 1) * count + i];
    }
    assert_int_equal(height, 1);
}

/* Cuts the batch into shares, runs each, and finishes the tree over their roots. */
static void run_problem(dt_isa isa, int threads, problem *p, int shares) {
    dt_subtree nodes[DT_LEAF_DEPTH];
    unsigned char merges[DT_LEAF_DEPTH];
    int roots = 0;
    machine m = make_machine(isa, threads, p);
    for (int i = 0; i < shares; i++) {
        dt_share share = dt_leaves_share(p->samples, shares, i);
        if (share.samples > 0)
            roots += run_share(&m, p, &share, roots, nodes + roots);
    }
    drop_machine(&m);
    assert_int_equal(dt_leaves_reduce(dt_leaves_count(p->samples), nodes, roots, merges, NULL), 1);
    reduce_roots(p->dweights.values, p->weights_count, merges, roots);
    reduce_roots(p->dbias.values, (size_t)p->shape.out_channels, merges, roots);
}

/* What the convolution sees of x. */
static double seen(const problem *p, int sample, int row, int column, int channel) {
    dt_conv_shape s = p->shape;
    if (row < 0 || row >= s.height || column < 0 || column >= s.width)
        return 0;
    double x =
        p->x.values[(((size_t)sample * (size_t)s.height + (size_t)row) * (size_t)s.width + (size_t)column) *
                        (size_t)s.in_channels +
                    (size_t)channel];
    int group = p->affine == BY_ROWS ? row : channel;
    return p->affine == PLAIN ? x : p->scale.values[group] * x + p->shift.values[group];
}

static double weight(const problem *p, int r, int s, int in, int out) {
    return p->weights.values[((size_t)(r * p->shape.kernel + s) * (size_t)p->shape.in_channels + (size_t)in) *
                                 (size_t)p->shape.out_channels +
                             (size_t)out];
}

static double convolved(const problem *p, int sample, int row, int column, int out) {
    int kernel = p->shape.kernel;
    double sum = p->bias.values[out];
    for (int r = 0; r < kernel; r++)
        for (int s = 0; s < kernel; s++)
            for (int in = 0; in < p->shape.in_channels; in++)
                sum += seen(p, sample, row + r - kernel / 2, column + s - kernel / 2, in) *
                       weight(p, r, s, in, out);
    return sum;
}

static double expected_y(const problem *p, int sample, int row, int column, int out) {
    if (!p->shape.pool)
        return fmax(0, convolved(p, sample, row, column, out));
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += fmax(0, convolved(p, sample, 2 * row + i / 2, 2 * column + i % 2, out));
    return sum / 4;
}

/* The gradient of the convolution's result, [sample][row][column][out]; where the ReLU's input is so close to
 * zero that rounding decides, dy is set to zero before any run. */
static double *expected_dz(problem *p, double tolerance) {
    dt_conv_shape s = p->shape;
    size_t out = (size_t)s.out_channels, index = 0;
    double *dz = calloc((size_t)p->samples * (size_t)(s.height * s.width) * out, sizeof *dz);
    assert_non_null(dz);
    for (int pass = 0; pass < 2; pass++) {
        index = 0;
        for (int sample = 0; sample < p->samples; sample++)
            for (int row = 0; row < s.height; row++)
                for (int column = 0; column < s.width; column++)
                    for (int o = 0; o < s.out_channels; o++, index++) {
                        int y_row = s.pool ? row / 2 : row, y_column = s.pool ? column / 2 : column;
                        if (y_row >= dt_conv_out_height(s) || y_column >= dt_conv_out_width(s))
                            continue;
                        float *dy = p->dy.values +
                                    (((size_t)sample * (size_t)dt_conv_out_height(s) + (size_t)y_row) *
                                         (size_t)dt_conv_out_width(s) +
                                     (size_t)y_column) *
                                        out +
                                    (size_t)o;
                        double z = pass == 0 ? convolved(p, sample, row, column, o) : dz[index];
                        if (pass == 0 && fabs(z) < tolerance)
                            *dy = 0;
                        dz[index] = pass == 0 ? z : z > 0 ? *dy * (s.pool ? 0.25 : 1.0) : 0.0;
                    }
    }
    return dz;
}

static double dz_at(const problem *p, const double *dz, int sample, int row, int column, int out) {
    dt_conv_shape s = p->shape;
    if (row < 0 || row >= s.height || column < 0 || column >= s.width)
        return 0;
    return dz[(((size_t)sample * (size_t)s.height + (size_t)row) * (size_t)s.width + (size_t)column) *
                  (size_t)s.out_channels +
              (size_t)out];
}

static double expected_dx(const problem *p, const double *dz, int sample, int row, int column, int in) {
    int kernel = p->shape.kernel;
    double sum = 0;
    for (int r = 0; r < kernel; r++)
        for (int s = 0; s < kernel; s++)
            for (int out = 0; out < p->shape.out_channels; out++)
                sum += dz_at(p, dz, sample, row - r + kernel / 2, column - s + kernel / 2, out) *
                       weight(p, r, s, in, out);
    return sum;
}

static double expected_dweight(const problem *p, const double *dz, int r, int s, int in, int out) {
    int margin = p->shape.kernel / 2;
    double sum = 0;
    for (int sample = 0; sample < p->samples; sample++)
        for (int row = 0; row < p->shape.height; row++)
            for (int column = 0; column < p->shape.width; column++)
                sum += dz_at(p, dz, sample, row, column, out) *
                       seen(p, sample, row + r - margin, column + s - margin, in);
    return sum;
}

static double expected_dbias(const problem *p, const double *dz, int out) {
    double sum = 0;
    for (size_t i = (size_t)out;
         i < (size_t)(p->samples * p->shape.height * p->shape.width) * (size_t)p->shape.out_channels;
         i += (size_t)p->shape.out_channels)
        sum += dz[i];
    return sum;
}

/* One direction of F(4, r), as a matrix of magnitudes. */
typedef struct magnitudes {
    int rows, columns;
    double at[8][8];
} magnitudes;

typedef void (*transform)(const vector *d, vector *o);

#define DEFINE_TRANSFORM(name)                           \
    static void run_##name(const vector *d, vector *o) { \
        name(d, o);                                      \
    }
DEFINE_TRANSFORM(input_4_3)
DEFINE_TRANSFORM(input_3_3)
DEFINE_TRANSFORM(input_4_5)
DEFINE_TRANSFORM(input_3_5)
DEFINE_TRANSFORM(gradient_4_3)
DEFINE_TRANSFORM(gradient_3_3)
DEFINE_TRANSFORM(gradient_4_5)
DEFINE_TRANSFORM(gradient_3_5)
DEFINE_TRANSFORM(filter_4_3)
DEFINE_TRANSFORM(filter_4_5)

static magnitudes measure(transform run, int rows, int columns) {
    magnitudes m = {rows, columns, {{0}}};
    for (int j = 0; j < columns; j++) {
        vector d[8] = {{0}}, o[8] = {{0}};
        d[j][0] = 1;
        run(d, o);
        for (int i = 0; i < rows; i++)
            m.at[i][j] = fabs((double)o[i][0]);
    }
    return m;
}

static double row_squares(const magnitudes *m, int row) {
    double sum = 0;
    for (int j = 0; j < m->columns; j++)
        sum += m->at[row][j] * m->at[row][j];
    return sum;
}

/* How much errors grow in one direction. For operands a and b of independent values of mean square 1, the
 * product at point i has the mean square |row i of a|^2 |row i of b|^2; its rounding error, relative to it,
 * goes through column i of the last transform and adds in squares to those of other points. */
static double growth(const magnitudes *last, const magnitudes *a, const magnitudes *b) {
    double largest = 0;
    for (int j = 0; j < last->columns; j++) {
        double sum = 0;
        for (int i = 0; i < last->rows; i++)
            sum += last->at[i][j] * last->at[i][j] * row_squares(a, i) * row_squares(b, i);
        largest = fmax(largest, sum);
    }
    return sqrt(largest);
}

/* The growths of both directions together, of the three passes. */
typedef struct growths {
    double forward, data, weights;
} growths;

static growths growths_with(int kernel, int outputs, transform run_input, transform run_gradient) {
    int points = kernel + 3;
    magnitudes input = measure(run_input, points, kernel + outputs - 1);
    magnitudes filter = measure(kernel == 3 ? run_filter_4_3 : run_filter_4_5, points, kernel);
    magnitudes gradient = measure(run_gradient, points, outputs);
    growths g = {growth(&gradient, &filter, &input), growth(&input, &filter, &gradient),
                 growth(&filter, &input, &gradient)};
    return (growths){g.forward * g.forward, g.data * g.data, g.weights * g.weights};
}

static growths growths_of(int kernel) {
    bool three = kernel == 3;
    growths large = growths_with(kernel, 4, three ? run_input_4_3 : run_input_4_5,
                                 three ? run_gradient_4_3 : run_gradient_4_5);
    growths small = growths_with(kernel, 3, three ? run_input_3_3 : run_input_3_5,
                                 three ? run_gradient_3_3 : run_gradient_3_5);
    return (growths){fmax(large.forward, small.forward), fmax(large.data, small.data),
                     fmax(large.weights, small.weights)};
}

/* Of products of spectra, P of whose n x n values are pixels, of a filter with T taps. With independent
 * values of mean square 1 the spectra's have the mean squares P and T, and the sum of those of the three real
 * products of a complex one, each counted as often as it goes into the result, is 2 P T. Backward, of n^2
 * such errors one n^4th remains, of which one half is real: P T / n^2, less than T. For the filter's gradient
 * the three products of two triples of the first kind have 2 P^2 together, of which P^2 / n^2 < n^2 remains.
 * The factor 2 is for values with a mean: they stand in few members of a spectrum, where those of a filter
 * may be twice as large as elsewhere. */
static growths spectrum_growths(int kernel) {
    return (growths){2 * kernel, 2 * kernel, kernel == 3 ? 16 : 32};
}

/* In a chain of n multiply-adds of values of mean square 1 and random signs the partial sum after k steps has
 * the mean square k and is rounded by up to 2^-24 of itself: together n 2^-24 / sqrt(2). The transforms
 * before and after add as much as 16 more terms would. Values are uniform in (-1, 1), mean square 1/3, and
 * the normalised input is below twice that; what is left of the factor, 2 sqrt(2) * 3 / 2, are the standard
 * deviations that the worst of thousands of samples may be off.
 *
 * Operands that are rounded to bfloat16 err by up to 2^-9 of themselves, uniformly, which for random
 * mantissas is 0.42 * 2^-9 in the mean square; so a product errs by 0.6 * 2^-9 of itself, and n of them, of
 * which the mean square is at most 4/9, by 0.4 * 2^-9 sqrt(n). The factor 2 leaves five standard deviations.
 */
static double tolerance(double growth_factor, int chain) {
    double roundings = precision == DT_PRECISION_BF16 ? 2 * 0x1p-9 * sqrt(chain) : 0;
    return growth_factor * ((chain + 16) * 2 * 0x1p-24 + roundings);
}

/* The largest share of its tolerance that any error of a pass took. */
typedef struct worst {
    double forward, data, weights, bias;
} worst;

static void compare(double expected, float found, double allowed, double *most, const char *what) {
    double share = fabs(expected - (double)found) / allowed;
    if (!(share <= 1))
        fail_msg("%s: expected %.9g, found %.9g, tolerance %.3g", what, expected, (double)found, allowed);
    *most = fmax(*most, share);
}

static void check_activations(const problem *p, const double *dz, const growths *g, worst *w) {
    dt_conv_shape s = p->shape;
    int out_rows = dt_conv_out_height(s), out_columns = dt_conv_out_width(s);
    for (int i = 0; i < ENTRIES; i++) {
        int sample = random_between(0, p->samples - 1), row = random_between(0, s.height - 1);
        int column = random_between(0, s.width - 1), in = random_between(0, s.in_channels - 1);
        size_t at = (((size_t)sample * (size_t)s.height + (size_t)row) * (size_t)s.width + (size_t)column) *
                        (size_t)s.in_channels +
                    (size_t)in;
        compare(expected_dx(p, dz, sample, row, column, in), p->dx.values[at],
                tolerance(g->data, s.out_channels), &w->data, "dx");
        if (p->y.count == 0)
            continue;
        int out = random_between(0, s.out_channels - 1);
        row = random_between(0, out_rows - 1);
        column = random_between(0, out_columns - 1);
        at = (((size_t)sample * (size_t)out_rows + (size_t)row) * (size_t)out_columns + (size_t)column) *
                 (size_t)s.out_channels +
             (size_t)out;
        compare(expected_y(p, sample, row, column, out), p->y.values[at],
                tolerance(g->forward, s.in_channels), &w->forward, "y");
    }
}

static void check_parameters(const problem *p, const double *dz, const growths *g, worst *w) {
    dt_conv_shape s = p->shape;
    bool spectra = p->method == DT_CONV_FOURIER;
    int chain = spectra ? p->samples : p->samples * (s.height + 3) * (s.width + 3) / 9;
    for (int i = 0; i < ENTRIES; i++) {
        int r = random_between(0, s.kernel - 1), c = random_between(0, s.kernel - 1);
        int in = random_between(0, s.in_channels - 1), out = random_between(0, s.out_channels - 1);
        size_t at =
            ((size_t)(r * s.kernel + c) * (size_t)s.in_channels + (size_t)in) * (size_t)s.out_channels +
            (size_t)out;
        compare(expected_dweight(p, dz, r, c, in, out), p->dweights.values[at], tolerance(g->weights, chain),
                &w->weights, "dweights");
    }
    for (int out = 0; out < s.out_channels; out++)
        compare(expected_dbias(p, dz, out), p->dbias.values[out],
                p->samples * s.height * s.width * 2 * 0x1p-24, &w->bias, "dbias");
}

/* With every instruction set. */
static void check_problem(int threads, problem *p, worst *of_isa) {
    int kernel = p->shape.kernel;
    growths g = p->method == DT_CONV_FOURIER ? spectrum_growths(kernel) : growths_of(kernel);
    double *dz = expected_dz(p, tolerance(g.forward, p->shape.in_channels));
    for (int isa = DT_ISA_BASELINE; isa <= (int)last_isa(); isa++) {
        run_problem((dt_isa)isa, threads, p, 1);
        check_activations(p, dz, &g, &of_isa[isa]);
        check_parameters(p, dz, &g, &of_isa[isa]);
    }
    free(dz);
}

static void print_worst(const worst *of_isa) {
    for (int isa = DT_ISA_BASELINE; isa <= (int)last_isa(); isa++)
        print_message("%s: share of the tolerance that errors took at most: forward %.3f, data %.3f, weights "
                      "%.3f, bias %.3f\n",
                      dt_isa_name((dt_isa)isa), of_isa[isa].forward, of_isa[isa].data, of_isa[isa].weights,
                      of_isa[isa].bias);
}

static void test_random_shapes(void **state) {
    static const int sample_counts[] = {1, 3, 7, 8, 9, 17, 64};
    worst of_isa[DT_ISA_BEST] = {{0}};
    (void)state;
    random_state = 2463534242u;
    for (int i = 0; i < 60; i++) {
        dt_conv_shape shape = {.height = random_between(1, 15),
                               .width = random_between(1, 15),
                               .in_channels = random_between(1, i % 3 ? 12 : 50),
                               .out_channels = random_between(1, i % 3 ? 12 : 50),
                               .kernel = i % 2 ? 5 : 3,
                               .pool = random_between(0, 1) == 1};
        bool spectra = i % 4 >= 2;
        if (spectra) {
            shape.height = random_between(1, shape.kernel == 3 ? 7 : 14);
            shape.width = random_between(1, shape.kernel == 3 ? 7 : 14);
        }
        problem p = make_problem(shape, sample_counts[i % 7], (affine_kind)random_between(0, 2));
        p.method = spectra ? DT_CONV_FOURIER : i % 4 == 1 ? DT_CONV_WINOGRAD_LARGE : DT_CONV_WINOGRAD;
        check_problem(random_between(1, 3), &p, of_isa);
        drop_problem(&p);
    }
    print_worst(of_isa);
}

static void test_shapes_of_the_network(void **state) {
    static const dt_conv_shape shapes[] = {{14, 14, 64, 192, 5, true},
                                           {7, 7, 192, 384, 3, false},
                                           {7, 7, 384, 384, 3, false},
                                           {7, 7, 384, 256, 3, true}};
    worst of_isa[DT_ISA_BEST] = {{0}};
    (void)state;
    random_state = 88675123u;
    for (int i = 0; i < 8; i++) {
        problem p = make_problem(shapes[i % 4], i == 2 ? 2 : 1, i == 1 ? BY_ROWS : BY_CHANNELS);
        p.method = i < 4 ? DT_CONV_WINOGRAD : DT_CONV_FOURIER;
        check_problem(2, &p, of_isa);
        drop_problem(&p);
    }
    print_worst(of_isa);
}

static void assert_same_bits(array a, array b, size_t count) {
    assert_memory_equal(a.values, b.values, count * sizeof(float));
}

/* Shapes with whole and partial blocks, tiles that overhang, groups of 8, 2 and 1 samples, and batches
 * that take several chunks. */
static const struct {
    dt_conv_method method;
    dt_conv_shape shape;
} varied[] = {
    {DT_CONV_WINOGRAD, {7, 7, 40, 33, 3, false}}, {DT_CONV_WINOGRAD_LARGE, {14, 14, 8, 24, 5, true}},
    {DT_CONV_WINOGRAD, {5, 9, 3, 50, 3, true}},   {DT_CONV_WINOGRAD, {15, 13, 17, 4, 5, false}},
    {DT_CONV_WINOGRAD, {1, 2, 5, 1, 5, false}},   {DT_CONV_WINOGRAD, {28, 28, 2, 130, 5, true}},
    {DT_CONV_FOURIER, {7, 7, 40, 33, 3, false}},  {DT_CONV_FOURIER, {14, 13, 8, 24, 5, true}},
    {DT_CONV_FOURIER, {5, 7, 50, 3, 3, true}},    {DT_CONV_FOURIER, {14, 14, 2, 130, 5, false}}};
enum { VARIED = sizeof varied / sizeof varied[0] };

static problem make_varied(int i, int samples, affine_kind affine) {
    problem p = make_problem(varied[i].shape, samples, affine);
    p.method = varied[i].method;
    return p;
}

/* One problem's results from another run. */
static problem results_like(const problem *p) {
    problem copy = *p;
    copy.y = make_array(p->y.count, false);
    copy.dx = make_array(p->dx.count, false);
    copy.dweights = make_array(p->dweights.count, false);
    copy.dbias = make_array(p->dbias.count, false);
    return copy;
}

static void drop_results(problem *p) {
    drop_array(p->y);
    drop_array(p->dx);
    drop_array(p->dweights);
    drop_array(p->dbias);
}

static void test_threads_and_cuts_change_no_bit(void **state) {
    static const int threads[] = {2, 3, 1, 2, 3}, shares[] = {1, 1, 2, 3, 4};
    (void)state;
    random_state = 521288629u;
    for (int isa = DT_ISA_BASELINE; isa <= (int)last_isa(); isa++)
        for (int i = 0; i < VARIED; i++) {
            problem p = make_varied(i, i % 2 ? 53 : 37, (affine_kind)(i % 3));
            run_problem((dt_isa)isa, 1, &p, 1);
            for (int run = 0; run < 5; run++) {
                problem other = results_like(&p);
                run_problem((dt_isa)isa, threads[run], &other, shares[run]);
                assert_same_bits(p.y, other.y, p.y.count);
                assert_same_bits(p.dx, other.dx, p.dx.count);
                assert_same_bits(p.dweights, other.dweights, p.weights_count);
                assert_same_bits(p.dbias, other.dbias, (size_t)p.shape.out_channels);
                drop_results(&other);
            }
            drop_problem(&p);
        }
}

/* The samples from `first` on, `count` of them, run as a batch of their own. */
static void check_part(const machine *m, problem *p, const problem *part, int first, int count) {
    dt_share share = {.batch = count,
                      .total_leaves = dt_leaves_count(count),
                      .leaves = dt_leaves_count(count),
                      .first_sample = first,
                      .samples = count};
    dt_subtree nodes[DT_LEAF_DEPTH];
    problem own = *part;
    size_t in = in_values(p->shape), out = out_values(p->shape);
    run_share(m, &own, &share, 0, nodes);
    assert_memory_equal(own.y.values + (size_t)first * out, p->y.values + (size_t)first * out,
                        (size_t)count * out * sizeof(float));
    assert_memory_equal(own.dx.values + (size_t)first * in, p->dx.values + (size_t)first * in,
                        (size_t)count * in * sizeof(float));
}

static void test_place_in_the_batch_changes_no_bit(void **state) {
    (void)state;
    random_state = 362436069u;
    for (int isa = DT_ISA_BASELINE; isa <= (int)last_isa(); isa++)
        for (int i = 0; i < VARIED; i++) {
            problem p = make_varied(i, 19, (affine_kind)((i + 1) % 3)), part = results_like(&p);
            run_problem((dt_isa)isa, 2, &p, 1);
            machine m = make_machine((dt_isa)isa, 2, &p);
            for (int first = 0; first < p.samples; first += 3)
                for (int count = 1; first + count <= p.samples; count += first % 2 ? 4 : 7)
                    check_part(&m, &p, &part, first, count);
            drop_machine(&m);
            drop_results(&part);
            drop_problem(&p);
        }
}

/* Without keep the same y; without dx the same gradients. */
static void test_what_nobody_needs_changes_no_bit(void **state) {
    (void)state;
    random_state = 1234567u;
    for (int i = 0; i < VARIED; i++) {
        problem p = make_varied(i, 27, PLAIN), other = results_like(&p);
        unsigned char merges[MOST_LEAVES];
        run_problem(DT_ISA_BEST, 2, &p, 1);
        machine m = make_machine(DT_ISA_BEST, 2, &p);
        dt_conv_forward(m.conv, p.samples, input_of(&p, 0), p.weights.values, p.bias.values, false,
                        other.y.values);
        assert_same_bits(p.y, other.y, p.y.count);
        dt_share share = dt_leaves_share(p.samples, 1, 0);
        dt_leaf_plan plan = dt_leaves_plan(&share, merges, NULL);
        dt_conv_forward(m.conv, p.samples, input_of(&p, 0), p.weights.values, p.bias.values, true,
                        other.y.values);
        dt_conv_backward(m.conv, &plan, input_of(&p, 0), p.dy.values, p.weights.values,
                         (dt_root_sink){other.dweights.values, p.weights_count},
                         (dt_root_sink){other.dbias.values, (size_t)p.shape.out_channels}, NULL);
        assert_same_bits(p.dweights, other.dweights, p.weights_count);
        assert_same_bits(p.dbias, other.dbias, (size_t)p.shape.out_channels);
        drop_machine(&m);
        drop_results(&other);
        drop_problem(&p);
    }
}

static void test_unfit_shapes_are_refused(void **state) {
    dt_team *team;
    dt_kernels *kernels;
    dt_conv *conv;
    (void)state;
    assert_ok(dt_team_create(1, &team));
    assert_ok(dt_kernels_create(&(dt_kernels_config){.team = team, .isa = DT_ISA_BEST}, &kernels));
    dt_conv_config config = {kernels, {14, 14, 3, 3, 11, false}, DT_CONV_WINOGRAD, 1, 1};
    assert_fails(dt_conv_create(&config, &conv), DT_USAGE, "winograd");
    config.shape = (dt_conv_shape){14, 33, 3, 3, 3, false};
    assert_fails(dt_conv_create(&config, &conv), DT_USAGE, "winograd");
    config.method = DT_CONV_FOURIER;
    config.shape = (dt_conv_shape){7, 8, 3, 3, 3, false};
    assert_fails(dt_conv_create(&config, &conv), DT_USAGE, "fourier");
    config.shape = (dt_conv_shape){15, 14, 3, 3, 5, false};
    assert_fails(dt_conv_create(&config, &conv), DT_USAGE, "fourier");
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_shapes_of_the_network),
        cmocka_unit_test(test_threads_and_cuts_change_no_bit),
        cmocka_unit_test(test_place_in_the_batch_changes_no_bit),
        cmocka_unit_test(test_what_nobody_needs_changes_no_bit),
        cmocka_unit_test(test_unfit_shapes_are_refused),
        cmocka_unit_test_setup_teardown(test_random_shapes, use_bf16, use_fp32),
        cmocka_unit_test_setup_teardown(test_shapes_of_the_network, use_bf16, use_fp32),
        cmocka_unit_test_setup_teardown(test_threads_and_cuts_change_no_bit, use_bf16, use_fp32),
        cmocka_unit_test_setup_teardown(test_place_in_the_batch_changes_no_bit, use_bf16, use_fp32),
        cmocka_unit_test_setup_teardown(test_what_nobody_needs_changes_no_bit, use_bf16, use_fp32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
