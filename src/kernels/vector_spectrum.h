/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolutions as products of spectra. Included by vector_winograd.h only.
 *
 * One tile of n x n, n = 8 or 16, takes the whole image with zeros behind it: a cyclic convolution whose
 * wrapped ends, a filter's margin, fall on those zeros or on results that nobody reads. The real image's
 * spectrum has 4 real values and n n / 2 - 2 complex ones. A product of two complex values takes three real
 * ones (Gauss):
 *
 *     (a + b i)(c + d i):  k = (a + b) c,  l = a (d - c),  m = b (c + d);  re = k - m,  im = k + l
 *
 * so that a complex value of an image is stored as the triple a + b, a, b, and one of a filter as c, d - c,
 * c + d. What is called a point in winograd.h is a member of a triple, or a real value.
 *
 * With X, W, D the spectra of the input, of the filter centred on pixel 0, and of the gradient of the output,
 * and with * for the conjugate:
 *
 *     output   X W*         input's gradient   (D* W*)*         filter's gradient   X D*
 *
 * D* is the spectrum of the gradient with its rows and columns in the opposite order, and the outer conjugate
 * is the same order of the result. X D* is a product of two triples of the first kind:
 * k = (a + b)(c + d), l = a c, m = b d;  re = l - m,  im = k - l - m. */

#include "kernels/vector_fourier.h"

/* The columns of an image whose rows are transformed, or of its spectrum: [frequency of the row][..]. */
typedef struct columns {
    vector re[MOST_FREQUENCIES][MOST_SIDE], im[MOST_FREQUENCIES][MOST_SIDE];
} columns;

/* A column of real values has a spectrum of n/2 + 1 values, of which two are real. */
DT_INLINE bool real_column(int n, int column) {
    return column == 0 || column == n / 2;
}

/* The first triple of a column: real columns have n/2 - 1 each, the others, behind them, n. */
DT_INLINE size_t first_triple(int n, int column) {
    int triples = column == 0 ? 0 : column == n / 2 ? n / 2 - 1 : n - 2 + (column - 1) * n;
    return (size_t)(4 + 3 * triples);
}

/* The first of a real column's two real values. */
DT_INLINE size_t first_real(int column) {
    return column == 0 ? 0 : 2;
}

DT_INLINE void store_triple(float *to, size_t stride, vector re, vector im) {
    store_operands(to, re + im);
    store_operands(to + stride, re);
    store_operands(to + 2 * stride, im);
}

DT_INLINE void spread_real_column(int n, const vector *x, size_t stride, float *reals, float *triples) {
    vector re[MOST_FREQUENCIES], im[MOST_FREQUENCIES];
    real_there(n, x, re, im);
    store_operands(reals, re[0]);
    store_operands(reals + stride, re[n / 2]);
    for (int f = 1; f < n / 2; f++, triples += 3 * stride)
        store_triple(triples, stride, re[f], im[f]);
}

DT_INLINE void spread_complex_column(int n, const vector *x_re, const vector *x_im, size_t stride,
                                     float *triples) {
    vector re[MOST_SIDE], im[MOST_SIDE];
    complex_there(n, x_re, x_im, re, im);
    for (int f = 0; f < n; f++, triples += 3 * stride)
        store_triple(triples, stride, re[f], im[f]);
}

DT_INLINE void spread_columns(int n, const columns *from, dt_winograd_place to) {
    for (int column = 0; column <= n / 2; column += n / 2)
        spread_real_column(n, from->re[column], to.point_stride,
                           to.base + first_real(column) * to.point_stride,
                           to.base + first_triple(n, column) * to.point_stride);
    for (int column = 1; column < n / 2; column++)
        spread_complex_column(n, from->re[column], from->im[column], to.point_stride,
                              to.base + first_triple(n, column) * to.point_stride);
}

/* Row `row` of an image, [n] pixels, becomes a row of the columns. */
DT_INLINE void enter_row(int n, const vector *pixel, int row, columns *to) {
    vector re[MOST_FREQUENCIES], im[MOST_FREQUENCIES];
    real_there(n, pixel, re, im);
    for (int f = 0; f <= n / 2; f++) {
        to->re[f][row] = re[f];
        if (!real_column(n, f))
            to->im[f][row] = im[f];
    }
}

DT_INLINE void clear_row(int n, int row, columns *to) {
    for (int f = 0; f <= n / 2; f++)
        to->re[f][row] = to->im[f][row] = (vector){0};
}

DT_INLINE void spread_input(int n, const dt_winograd_grid *grid, dt_winograd_pixels pixels,
                            const dt_conv_input *input, int v, size_t count, dt_winograd_place to) {
    columns all;
    const float *from = input->x + v * DT_WIDTH;
    vector scale = splat(1.0f), shift = splat(0.0f);
    if (input->scale && !input->by_rows) {
        scale = load_some(input->scale + v * DT_WIDTH, count);
        shift = load_some(input->shift + v * DT_WIDTH, count);
    }
    for (int row = 0; row < grid->rows.size; row++) {
        vector pixel[MOST_SIDE];
        if (input->scale && input->by_rows) {
            scale = splat(input->scale[row]);
            shift = splat(input->shift[row]);
        }
        for (int x = 0; x < grid->columns.size; x++, from += pixels.stride)
            pixel[x] = scale * load_some(from, count) + shift;
        for (int x = grid->columns.size; x < n; x++)
            pixel[x] = (vector){0};
        enter_row(n, pixel, row, &all);
    }
    for (int row = grid->rows.size; row < n; row++)
        clear_row(n, row, &all);
    spread_columns(n, &all, to);
}

DT_INLINE void fourier_input(int n, const dt_winograd_grid *grid, dt_winograd_pixels pixels,
                             const dt_conv_input *input, dt_winograd_place to) {
    for (int v = 0; v < 2; v++, to.base += DT_WIDTH / PAIR) {
        size_t count = channels_from(pixels.channels, v);
        if (count >= DT_WIDTH)
            spread_input(n, grid, pixels, input, v, DT_WIDTH, to);
        else
            spread_input(n, grid, pixels, input, v, count, to);
    }
}

/* In the opposite order: pixel i stands at -i, cyclically. */
DT_INLINE int opposite(int n, int i) {
    return (n - i) % n;
}

DT_INLINE void fourier_gradient_image(int n, const dt_winograd_grid *grid, const image *from,
                                      dt_winograd_place to) {
    columns all;
    for (int row = 0; row < grid->rows.size; row++) {
        vector pixel[MOST_SIDE];
        for (int x = 0; x < grid->columns.size; x++)
            pixel[opposite(n, x)] = from->pixel[(size_t)row * from->line + (size_t)x];
        for (int x = grid->columns.size; x < n; x++)
            pixel[opposite(n, x)] = (vector){0};
        enter_row(n, pixel, opposite(n, row), &all);
    }
    for (int row = grid->rows.size; row < n; row++)
        clear_row(n, opposite(n, row), &all);
    spread_columns(n, &all, to);
}

/* The products at a triple's points. */
DT_INLINE void load_product(const float *from, size_t stride, vector *re, vector *im) {
    vector k = load(from);
    *re = k - load(from + 2 * stride);
    *im = k + load(from + stride);
}

DT_INLINE void gather_real_column(int n, size_t stride, const float *reals, const float *triples, vector *x) {
    vector re[MOST_FREQUENCIES], im[MOST_FREQUENCIES];
    re[0] = load(reals);
    re[n / 2] = load(reals + stride);
    for (int f = 1; f < n / 2; f++, triples += 3 * stride)
        load_product(triples, stride, re + f, im + f);
    real_back(n, re, im, x);
}

DT_INLINE void gather_complex_column(int n, size_t stride, const float *triples, vector *x_re, vector *x_im) {
    vector re[MOST_SIDE], im[MOST_SIDE];
    for (int f = 0; f < n; f++, triples += 3 * stride)
        load_product(triples, stride, re + f, im + f);
    complex_back(n, re, im, x_re, x_im);
}

/* The points to an image of n x n; backward its rows are in the opposite order. */
DT_INLINE void gather_columns(int n, dt_winograd_place from, columns *to) {
    size_t stride = from.point_stride;
    for (int column = 0; column <= n / 2; column += n / 2)
        gather_real_column(n, stride, from.base + first_real(column) * stride,
                           from.base + first_triple(n, column) * stride, to->re[column]);
    for (int column = 1; column < n / 2; column++)
        gather_complex_column(n, stride, from.base + first_triple(n, column) * stride, to->re[column],
                              to->im[column]);
}

DT_INLINE void leave_row(int n, const columns *from, int row, vector *pixel) {
    vector re[MOST_FREQUENCIES], im[MOST_FREQUENCIES];
    for (int f = 0; f <= n / 2; f++) {
        re[f] = from->re[f][row];
        if (!real_column(n, f))
            im[f] = from->im[f][row];
    }
    real_back(n, re, im, pixel);
}

DT_INLINE void fourier_output_image(int n, const dt_winograd_grid *grid, dt_winograd_place from, image *to) {
    columns all;
    gather_columns(n, from, &all);
    for (int row = 0; row < grid->rows.size; row++) {
        vector pixel[MOST_SIDE];
        leave_row(n, &all, row, pixel);
        for (int x = 0; x < grid->columns.size; x++)
            to->pixel[(size_t)row * to->line + (size_t)x] = pixel[x];
    }
}

DT_INLINE void fourier_input_gradient(int n, const dt_winograd_grid *grid, dt_winograd_pixels pixels,
                                      dt_winograd_place from, float *dx) {
    columns all;
    for (int v = 0; v < 2; v++, from.base += DT_WIDTH) {
        size_t count = channels_from(pixels.channels, v);
        float *to = dx + v * DT_WIDTH;
        if (count == 0)
            break;
        gather_columns(n, from, &all);
        for (int row = 0; row < grid->rows.size; row++) {
            vector pixel[MOST_SIDE];
            leave_row(n, &all, opposite(n, row), pixel);
            for (int x = 0; x < grid->columns.size; x++, to += pixels.stride)
                store_some(to, count, pixel[opposite(n, x)]);
        }
    }
}

/* A filter's row or column of 2 margin + 1 real taps, the conjugate of its spectrum: tap t stands at
 * t - margin. */
DT_INLINE void spread_taps(int n, int margin, const vector *tap, vector *re, vector *im) {
    DT_UNROLL
    for (int f = 0; f <= n / 2; f++) {
        re[f] = tap[margin];
        im[f] = (vector){0};
        DT_UNROLL
        for (int l = 1; l <= margin; l++) {
            re[f] += cosine(n, f * l) * (tap[margin + l] + tap[margin - l]);
            im[f] += sine(n, f * l) * (tap[margin + l] - tap[margin - l]);
        }
    }
}

/* The same of complex taps: with p of the even and q of the odd part, p + i q and p - i q. */
DT_INLINE void spread_complex_taps(int n, int margin, const vector *tap_re, const vector *tap_im, vector *re,
                                   vector *im) {
    vector p_re[MOST_FREQUENCIES], q_re[MOST_FREQUENCIES], p_im[MOST_FREQUENCIES], q_im[MOST_FREQUENCIES];
    spread_taps(n, margin, tap_re, p_re, q_re);
    spread_taps(n, margin, tap_im, p_im, q_im);
    re[0] = p_re[0];
    im[0] = p_im[0];
    re[n / 2] = p_re[n / 2];
    im[n / 2] = p_im[n / 2];
    DT_UNROLL
    for (int f = 1; f < n / 2; f++) {
        re[f] = p_re[f] - q_im[f];
        im[f] = p_im[f] + q_re[f];
        re[n - f] = p_re[f] + q_im[f];
        im[n - f] = p_im[f] - q_re[f];
    }
}

/* The factor 1 / n^2 of the transforms back is the filters'. */
DT_INLINE float filter_scale(int n) {
    return 1.0f / (float)(n * n);
}

/* The value at frequency f of a filter's rows, times its scale; of the frequencies 0 and n / 2 it is real. */
DT_INLINE void spread_rows(int n, int margin, int f, size_t count, const float *taps, size_t tap_stride,
                           vector *re, vector *im) {
    const int side = 2 * margin + 1;
    DT_UNROLL
    for (int r = 0; r < side; r++) {
        vector tap[TAPS];
        DT_UNROLL
        for (int s = 0; s < side; s++)
            tap[s] = load_some(taps + (size_t)(r * side + s) * tap_stride, count);
        re[r] = filter_scale(n) * tap[margin];
        im[r] = (vector){0};
        DT_UNROLL
        for (int l = 1; l <= margin; l++) {
            re[r] += filter_scale(n) * cosine(n, f * l) * (tap[margin + l] + tap[margin - l]);
            im[r] += filter_scale(n) * sine(n, f * l) * (tap[margin + l] - tap[margin - l]);
        }
    }
}

/* A filter's triple. */
DT_INLINE void put_triple(float *to, size_t stride, vector re, vector im) {
    store(to, re);
    store(to + stride, im - re);
    store(to + 2 * stride, re + im);
}

/* The two real columns of one vector's filters: four real values, then the triples. */
DT_INLINE void spread_filter_ends(int n, int margin, size_t count, const float *taps, size_t tap_stride,
                                  float *to, size_t stride) {
    float *triple = to + 4 * stride;
    for (int column = 0; column <= n / 2; column += n / 2) {
        vector row_re[TAPS], row_im[TAPS], re[MOST_FREQUENCIES], im[MOST_FREQUENCIES];
        spread_rows(n, margin, column, count, taps, tap_stride, row_re, row_im);
        spread_taps(n, margin, row_re, re, im);
        store(to + first_real(column) * stride, re[0]);
        store(to + (first_real(column) + 1) * stride, re[n / 2]);
        DT_UNROLL
        for (int f = 1; f < n / 2; f++, triple += 3 * stride)
            put_triple(triple, stride, re[f], im[f]);
    }
}

DT_INLINE void spread_filter_column(int n, int margin, int column, size_t count, const float *taps,
                                    size_t tap_stride, float *to, size_t stride) {
    vector row_re[TAPS], row_im[TAPS], re[MOST_SIDE], im[MOST_SIDE];
    spread_rows(n, margin, column, count, taps, tap_stride, row_re, row_im);
    spread_complex_taps(n, margin, row_re, row_im, re, im);
    DT_UNROLL_STRIP
    for (int f = 0; f < n; f++, to += 3 * stride)
        put_triple(to, stride, re[f], im[f]);
}

/* A portion of one vector's filters to [point]. */
DT_INLINE void spread_filter(int n, int margin, int portion, size_t count, const float *taps,
                             size_t tap_stride, float *to, size_t stride) {
    if (portion == 0)
        spread_filter_ends(n, margin, count, taps, tap_stride, to, stride);
    else
        spread_filter_column(n, margin, portion, count, taps, tap_stride, to, stride);
}

#ifndef DT_BF16

DT_INLINE void store_filter(int n, int margin, int portion, size_t rows, size_t count, const float *taps,
                            size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    (void)rows;
    (void)row_stride;
    spread_filter(n, margin, portion, count, taps, tap_stride, to, point_stride);
}

#else

/* PAIR rows of one vector, of which the last may not exist. */
DT_INLINE void store_filter(int n, int margin, int portion, size_t rows, size_t count, const float *taps,
                            size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    float row[PAIR][3 * MOST_SIDE * DT_WIDTH];
    const int points = portion == 0 ? 3 * n - 2 : 3 * n;
    for (size_t i = 0; i < PAIR; i++)
        if (i < rows)
            spread_filter(n, margin, portion, count, taps + i * row_stride, tap_stride, row[i], DT_WIDTH);
        else
            memset(row[i], 0, sizeof row[i]);
    for (int point = 0; point < points; point++, to += point_stride)
        store(to, pair_up(load(row[0] + point * DT_WIDTH), load(row[1] + point * DT_WIDTH)));
}

#endif

DT_INLINE void fourier_filter(int n, int margin, int portion, size_t rows, int channels, const float *taps,
                              size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    for (size_t row = 0; row < rows; row += PAIR, taps += PAIR * row_stride, to += BLOCK)
        for (int v = 0; v < 2; v++) {
            size_t count = channels_from(channels, v);
            if (count >= DT_WIDTH)
                store_filter(n, margin, portion, rows - row, DT_WIDTH, taps + v * DT_WIDTH, tap_stride,
                             row_stride, to + v * DT_WIDTH, point_stride);
            else
                store_filter(n, margin, portion, rows - row, count, taps + v * DT_WIDTH, tap_stride,
                             row_stride, to + v * DT_WIDTH, point_stride);
        }
}

/* From half of a real row's or column's spectrum to its values at -margin .. margin. */
DT_INLINE void gather_lags(int n, int margin, const vector *re, const vector *im, vector *lag) {
    vector ends[2] = {re[0] + re[n / 2], re[0] - re[n / 2]}, middle = (vector){0};
    for (int f = 1; f < n / 2; f++)
        middle += re[f];
    lag[margin] = ends[0] + 2.0f * middle;
    for (int l = 1; l <= margin; l++) {
        vector even = (vector){0}, odd = (vector){0};
        for (int f = 1; f < n / 2; f++) {
            even += cosine(n, f * l) * re[f];
            odd += sine(n, f * l) * im[f];
        }
        lag[margin + l] = ends[l % 2] + 2.0f * (even - odd);
        lag[margin - l] = ends[l % 2] + 2.0f * (even + odd);
    }
}

/* The same from a complex column's whole spectrum. */
DT_INLINE void gather_complex_lags(int n, int margin, const vector *re, const vector *im, vector *lag_re,
                                   vector *lag_im) {
    vector ends_re[2] = {re[0] + re[n / 2], re[0] - re[n / 2]};
    vector ends_im[2] = {im[0] + im[n / 2], im[0] - im[n / 2]};
    vector sum_re[MOST_FREQUENCIES], sum_im[MOST_FREQUENCIES], difference_re[MOST_FREQUENCIES],
        difference_im[MOST_FREQUENCIES];
    lag_re[margin] = ends_re[0];
    lag_im[margin] = ends_im[0];
    for (int f = 1; f < n / 2; f++) {
        sum_re[f] = re[f] + re[n - f];
        sum_im[f] = im[f] + im[n - f];
        difference_re[f] = re[f] - re[n - f];
        difference_im[f] = im[f] - im[n - f];
        lag_re[margin] += sum_re[f];
        lag_im[margin] += sum_im[f];
    }
    for (int l = 1; l <= margin; l++) {
        vector even_re = ends_re[l % 2], even_im = ends_im[l % 2], odd_re = (vector){0}, odd_im = (vector){0};
        for (int f = 1; f < n / 2; f++) {
            even_re += cosine(n, f * l) * sum_re[f];
            even_im += cosine(n, f * l) * sum_im[f];
            odd_re += sine(n, f * l) * difference_re[f];
            odd_im += sine(n, f * l) * difference_im[f];
        }
        lag_re[margin + l] = even_re - odd_im;
        lag_im[margin + l] = even_im + odd_re;
        lag_re[margin - l] = even_re + odd_im;
        lag_im[margin - l] = even_im - odd_re;
    }
}

#ifndef DT_BF16

/* In channels of a leaf's gradient at a time: a cache line of them. SUM_ROWS of them have their sums in
 * registers. */
enum { LEAF_ROWS = BLOCK < 16 ? BLOCK : 16, SUM_ROWS = DT_WIDTH == 16 ? 8 : 4 };

/* A leaf's operands at the points, [sample][block] each. */
typedef struct leaf_operands {
    size_t samples;
    const float *in, *out;
    size_t in_point, out_point; /* strides */
} leaf_operands;

/* What is between the products of a leaf and its gradient, [..][in channel]: one column's sums over the
 * samples, and all columns' taps. */
typedef struct leaf_sums {
    vector re[MOST_SIDE][LEAF_ROWS], im[MOST_SIDE][LEAF_ROWS];
    vector tap_re[MOST_FREQUENCIES][TAPS][LEAF_ROWS], tap_im[MOST_FREQUENCIES][TAPS][LEAF_ROWS];
} leaf_sums;

DT_INLINE void sum_real(const leaf_operands *at, size_t point, vector *sums) {
    for (size_t row = 0; row < LEAF_ROWS; row += SUM_ROWS) {
        const float *in = at->in + point * at->in_point + row, *out = at->out + point * at->out_point;
        vector sum[SUM_ROWS] = {{0}};
        for (size_t sample = 0; sample < at->samples; sample++, in += BLOCK, out += BLOCK) {
            DT_UNROLL
            for (size_t i = 0; i < SUM_ROWS; i++)
                sum[i] += in[i] * load(out);
        }
        DT_UNROLL
        for (size_t i = 0; i < SUM_ROWS; i++)
            sums[row + i] = sum[i];
    }
}

/* The sums of a triple of points as one complex value, while the next triple comes into the cache. */
DT_INLINE void sum_triple(const leaf_operands *at, size_t point, vector *re, vector *im) {
    for (size_t row = 0; row < LEAF_ROWS; row += SUM_ROWS) {
        const float *in = at->in + point * at->in_point + row, *out = at->out + point * at->out_point;
        vector k[SUM_ROWS] = {{0}}, l[SUM_ROWS] = {{0}}, m[SUM_ROWS] = {{0}};
        for (size_t sample = 0; sample < at->samples; sample++, in += BLOCK, out += BLOCK) {
            vector out_k = load(out), out_l = load(out + at->out_point),
                   out_m = load(out + 2 * at->out_point);
            const float *in_l = in + at->in_point, *in_m = in_l + at->in_point;
            if (row == 0) {
                DT_UNROLL
                for (size_t i = 3; i < 6; i++) {
                    __builtin_prefetch(in + i * at->in_point);
                    __builtin_prefetch(out + i * at->out_point);
                }
            }
            DT_UNROLL
            for (size_t i = 0; i < SUM_ROWS; i++) {
                k[i] += in[i] * out_k;
                l[i] += in_l[i] * out_l;
                m[i] += in_m[i] * out_m;
            }
        }
        DT_UNROLL
        for (size_t i = 0; i < SUM_ROWS; i++) {
            re[row + i] = l[i] - m[i];
            im[row + i] = k[i] - (l[i] + m[i]);
        }
    }
}

DT_INLINE void sum_column(int n, int margin, const leaf_operands *at, int column, leaf_sums *to) {
    const bool real = real_column(n, column);
    const int frequencies = real ? n / 2 + 1 : n;
    size_t point = first_triple(n, column);
    if (real) {
        sum_real(at, first_real(column), to->re[0]);
        sum_real(at, first_real(column) + 1, to->re[n / 2]);
    }
    for (int f = real; f < (real ? n / 2 : n); f++, point += 3)
        sum_triple(at, point, to->re[f], to->im[f]);
    for (size_t i = 0; i < LEAF_ROWS; i++) {
        vector re[MOST_SIDE], im[MOST_SIDE], tap_re[TAPS], tap_im[TAPS];
        DT_UNROLL_STRIP
        for (int f = 0; f < frequencies; f++) {
            re[f] = to->re[f][i];
            im[f] = to->im[f][i];
        }
        if (real)
            gather_lags(n, margin, re, im, tap_re);
        else
            gather_complex_lags(n, margin, re, im, tap_re, tap_im);
        DT_UNROLL
        for (int t = 0; t <= 2 * margin; t++) {
            to->tap_re[column][t][i] = tap_re[t];
            if (!real)
                to->tap_im[column][t][i] = tap_im[t];
        }
    }
}

/* Pushes row `row` of one vector's gradient on the stack. */
DT_INLINE void push_taps(int n, int margin, const leaf_sums *from, size_t row, int merges, float *slot) {
    const int side = 2 * margin + 1;
    size_t slot_floats = (size_t)(side * side) * BLOCK * BLOCK;
    for (int r = 0; r < side; r++) {
        vector re[MOST_FREQUENCIES], im[MOST_FREQUENCIES], o[TAPS];
        DT_UNROLL_STRIP
        for (int f = 0; f <= n / 2; f++) {
            re[f] = from->tap_re[f][r][row];
            if (!real_column(n, f))
                im[f] = from->tap_im[f][r][row];
        }
        gather_lags(n, margin, re, im, o);
        float *to = slot + (size_t)(r * side) * BLOCK * BLOCK;
        DT_UNROLL
        for (int s = 0; s < side; s++)
            o[s] *= 1.0f / (float)(n * n);
        for (int merge = 0; merge < merges; merge++) {
            to -= slot_floats;
            DT_UNROLL
            for (int s = 0; s < side; s++)
                o[s] = load(to + s * BLOCK * BLOCK) + o[s];
        }
        DT_UNROLL
        for (int s = 0; s < side; s++)
            store(to + s * BLOCK * BLOCK, o[s]);
    }
}

DT_INLINE void fourier_leaf_gradient(int n, int margin, size_t rows, const leaf_operands *operands,
                                     int merges, float *slot) {
    leaf_sums sums;
    for (size_t row = 0; row < rows; row += LEAF_ROWS)
        for (size_t v = 0; v < 2; v++) {
            leaf_operands at = *operands;
            at.in += row;
            at.out += v * DT_WIDTH;
            for (int column = 0; column <= n / 2; column += n / 2)
                sum_column(n, margin, &at, column, &sums);
            for (int column = 1; column < n / 2; column++)
                sum_column(n, margin, &at, column, &sums);
            for (size_t i = 0; i < LEAF_ROWS; i++)
                push_taps(n, margin, &sums, i, merges, slot + (row + i) * BLOCK + v * DT_WIDTH);
        }
}

#else

/* The sums at a triple's points of products of triples of the first kind. */
DT_INLINE void load_sum(const float *from, size_t stride, vector *re, vector *im) {
    vector k = load(from), l = load(from + stride), m = load(from + 2 * stride);
    *re = l - m;
    *im = k - (l + m);
}

/* The columns' taps, [frequency of the row][tap]. */
DT_INLINE void gather_filter_columns(int n, int margin, const float *from, size_t stride,
                                     vector lag_re[][TAPS], vector lag_im[][TAPS]) {
    for (int column = 0; column <= n / 2; column++) {
        const float *triple = from + first_triple(n, column) * stride;
        vector re[MOST_SIDE], im[MOST_SIDE];
        if (real_column(n, column)) {
            re[0] = load(from + first_real(column) * stride);
            re[n / 2] = load(from + (first_real(column) + 1) * stride);
            for (int f = 1; f < n / 2; f++, triple += 3 * stride)
                load_sum(triple, stride, re + f, im + f);
            gather_lags(n, margin, re, im, lag_re[column]);
        } else {
            for (int f = 0; f < n; f++, triple += 3 * stride)
                load_sum(triple, stride, re + f, im + f);
            gather_complex_lags(n, margin, re, im, lag_re[column], lag_im[column]);
        }
    }
}

/* One vector's part of filter_gradient. */
DT_INLINE void fourier_filter_gradient_vector(int n, int margin, const float *from, size_t point_stride,
                                              int merges, float *slot) {
    const int side = 2 * margin + 1;
    size_t slot_floats = (size_t)(side * side) * BLOCK * BLOCK;
    vector lag_re[MOST_FREQUENCIES][TAPS], lag_im[MOST_FREQUENCIES][TAPS];
    gather_filter_columns(n, margin, from, point_stride, lag_re, lag_im);
    for (int r = 0; r < side; r++) {
        vector re[MOST_FREQUENCIES], im[MOST_FREQUENCIES], o[TAPS];
        for (int f = 0; f <= n / 2; f++) {
            re[f] = lag_re[f][r];
            if (!real_column(n, f))
                im[f] = lag_im[f][r];
        }
        gather_lags(n, margin, re, im, o);
        float *to = slot + (size_t)(r * side) * BLOCK * BLOCK;
        for (int s = 0; s < side; s++)
            o[s] *= 1.0f / (float)(n * n);
        for (int merge = 0; merge < merges; merge++) {
            to -= slot_floats;
            for (int s = 0; s < side; s++)
                o[s] = load(to + s * BLOCK * BLOCK) + o[s];
        }
        for (int s = 0; s < side; s++)
            store(to + s * BLOCK * BLOCK, o[s]);
    }
}

DT_INLINE void fourier_filter_gradient(int n, int margin, size_t rows, const float *from, size_t point_stride,
                                       int merges, float *slot) {
    for (size_t i = 0; i < rows * BLOCK; i += DT_WIDTH)
        fourier_filter_gradient_vector(n, margin, from + i, point_stride, merges, slot + i);
}

#endif
