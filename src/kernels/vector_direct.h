/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies for convolutions of one input channel. Included by vector_bodies.h only. */

enum { MOST_STRIP_VECTORS = 2 };

/* `count` and `vectors` must be constants where this is inlined: the sums then stay in registers. */
DT_INLINE void correlate_strip(int count, int vectors, size_t rows, size_t length, const float *x,
                               size_t x_line, const float *b, size_t b_line, bool resume, float *sums) {
    vector c[DT_STRIP][MOST_STRIP_VECTORS] = {{{0}}};
    if (resume) {
        DT_UNROLL_STRIP
        for (int i = 0; i < count; i++) {
            DT_UNROLL_STRIP
            for (int j = 0; j < vectors; j++)
                c[i][j] = load(sums + (i * vectors + j) * DT_WIDTH);
        }
    }
    for (size_t row = 0; row < rows; row++, x += x_line, b += b_line) {
        const float *lanes = b;
        for (size_t t = 0; t < length; t++, lanes += vectors * DT_WIDTH) {
            vector left = load(lanes), right = vectors > 1 ? load(lanes + DT_WIDTH) : left;
            DT_UNROLL_STRIP
            for (int i = 0; i < count; i++) {
                c[i][0] += x[t + (size_t)i] * left;
                if (vectors > 1)
                    c[i][1] += x[t + (size_t)i] * right;
            }
        }
    }
    DT_UNROLL_STRIP
    for (int i = 0; i < count; i++) {
        DT_UNROLL_STRIP
        for (int j = 0; j < vectors; j++)
            store(sums + (i * vectors + j) * DT_WIDTH, c[i][j]);
    }
}

#define STRIP_CASE(n)                                                                \
    case n:                                                                          \
        if (vectors == 1)                                                            \
            correlate_strip(n, 1, rows, length, x, x_line, b, b_line, resume, sums); \
        else                                                                         \
            correlate_strip(n, 2, rows, length, x, x_line, b, b_line, resume, sums); \
        break;

_Static_assert(DT_STRIP == 4 || DT_STRIP == 6 || DT_STRIP == 14, "correlate knows these");

static void correlate(size_t count, size_t vectors, size_t rows, size_t length, const float *x, size_t x_line,
                      const float *b, size_t b_line, bool resume, float *sums) {
    switch (count) {
        STRIP_CASE(1)
        STRIP_CASE(2)
        STRIP_CASE(3)
        STRIP_CASE(4)
#if DT_STRIP > 4
        STRIP_CASE(5)
        STRIP_CASE(6)
#endif
#if DT_STRIP > 6
        STRIP_CASE(7)
        STRIP_CASE(8)
        STRIP_CASE(9)
        STRIP_CASE(10)
        STRIP_CASE(11)
        STRIP_CASE(12)
        STRIP_CASE(13)
        STRIP_CASE(14)
#endif
    default:
        break;
    }
}

typedef uint8_t bytes __attribute__((vector_size(DT_WIDTH)));
typedef uint8_t bytes_in_memory __attribute__((vector_size(DT_WIDTH), aligned(1), may_alias));

static void relu_sums(size_t pixels, size_t lanes, size_t columns, const float *sums, const float *bias,
                      float *y, size_t y_step) {
    for (size_t pixel = 0; pixel < pixels; pixel++, sums += lanes, y += y_step)
        for (size_t j = 0; j < lanes; j += DT_WIDTH)
            store_lanes(y + j, columns - j, relu_of(load(sums + j) + load(bias + j)));
}

/* The bit where a value passes the ReLU. */
DT_INLINE mask passes(vector value, int32_t bit) {
    return (value > (vector){0}) & ((mask){0} + bit);
}

static void pool_sums(size_t windows, size_t lanes, size_t columns, const float *upper, const float *lower,
                      const float *bias, float *y, size_t y_step, unsigned char *codes, size_t code_step) {
    for (size_t window = 0; window < windows; window++, upper += 2 * lanes, lower += 2 * lanes) {
        for (size_t j = 0; j < lanes; j += DT_WIDTH) {
            vector shift = load(bias + j);
            vector first = load(upper + j) + shift, second = load(upper + lanes + j) + shift;
            vector third = load(lower + j) + shift, fourth = load(lower + lanes + j) + shift;
            store_lanes(y + j, columns - j,
                        window_mean(relu_of(first), relu_of(second), relu_of(third), relu_of(fourth)));
            if (codes) {
                mask code = passes(first, 1) | passes(second, 2) | passes(third, 4) | passes(fourth, 8);
                *(bytes_in_memory *)(codes + j) = __builtin_convertvector(code, bytes);
            }
        }
        y += y_step;
        codes = codes ? codes + code_step : NULL;
    }
}

static void unpool_codes(size_t windows, size_t lanes, size_t columns, const float *dy, size_t dy_step,
                         const unsigned char *codes, size_t code_step, float *upper, float *lower) {
    for (size_t window = 0; window < windows; window++, dy += dy_step, codes += code_step) {
        for (size_t j = 0; j < lanes; j += DT_WIDTH) {
            vector part = load_lanes(dy + j, columns - j) * 0.25f;
            mask code = __builtin_convertvector(*(const bytes_in_memory *)(codes + j), mask);
            store(upper + j, keep_where((code & 1) != 0, part));
            store(upper + lanes + j, keep_where((code & 2) != 0, part));
            store(lower + j, keep_where((code & 4) != 0, part));
            store(lower + lanes + j, keep_where((code & 8) != 0, part));
        }
        upper += 2 * lanes;
        lower += 2 * lanes;
    }
}

static void gate_pixels(size_t pixels, size_t lanes, size_t columns, const float *y, const float *dy,
                        size_t step, float *dz) {
    for (size_t pixel = 0; pixel < pixels; pixel++, y += step, dy += step, dz += lanes)
        for (size_t j = 0; j < lanes; j += DT_WIDTH)
            store(dz + j, gate(load_lanes(y + j, columns - j), load_lanes(dy + j, columns - j), splat(1.0f)));
}
