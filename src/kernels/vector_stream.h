/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies that run once over memory. Included by vector_bodies.h only. */

DT_INLINE vector window_mean(vector a, vector b, vector c, vector d) {
    return ((a + b) + (c + d)) * 0.25f;
}

static void pool_forward_row(size_t windows, size_t channels, const float *upper, const float *lower,
                             float *y) {
    for (size_t w = 0; w < windows; w++, upper += 2 * channels, lower += 2 * channels, y += channels) {
        const float *upper_right = upper + channels, *lower_right = lower + channels;
        size_t c = 0, left;
        for (; c + DT_WIDTH <= channels; c += DT_WIDTH)
            store(y + c, window_mean(load(upper + c), load(upper_right + c), load(lower + c),
                                     load(lower_right + c)));
        if ((left = channels - c) > 0)
            store_part(y + c, left,
                       window_mean(load_part(upper + c, left), load_part(upper_right + c, left),
                                   load_part(lower + c, left), load_part(lower_right + c, left)));
    }
}

DT_INLINE vector gate(vector y, vector dy, vector scale) {
    return keep_where(y > (vector){0}, scale * dy);
}

static void relu_backward(size_t count, float scale, const float *y, const float *dy, float *dz) {
    vector factor = splat(scale);
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(dz + i, gate(load(y + i), load(dy + i), factor));
    if (i < count)
        store_part(dz + i, count - i,
                   gate(load_part(y + i, count - i), load_part(dy + i, count - i), factor));
}

static void pool_backward_row(size_t windows, size_t channels, const float *x, const float *dy, float *dz) {
    for (size_t column = 0; column < 2 * windows; column++)
        relu_backward(channels, 0.25f, x + column * channels, dy + column / 2 * channels,
                      dz + column * channels);
}

static void norm_forward_run(size_t count, const float *x, float scale, float shift, float *y) {
    vector s = splat(scale), t = splat(shift);
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(y + i, s * load(x + i) + t);
    if (i < count)
        store_part(y + i, count - i, s * load_part(x + i, count - i) + t);
}

static void norm_forward_channels(size_t pixels, size_t channels, const float *x, const float *scale,
                                  const float *shift, float *y) {
    for (size_t pixel = 0; pixel < pixels; pixel++, x += channels, y += channels) {
        size_t i = 0, left;
        for (; i + DT_WIDTH <= channels; i += DT_WIDTH)
            store(y + i, load(scale + i) * load(x + i) + load(shift + i));
        if ((left = channels - i) > 0)
            store_part(y + i, left,
                       load_part(scale + i, left) * load_part(x + i, left) + load_part(shift + i, left));
    }
}

DT_INLINE vector norm_gradient(vector a, vector dy, vector b, vector x, vector c) {
    return a * dy + (b * x + c);
}

static void norm_backward_run(size_t count, const float *x, const float *dy, float a, float b, float c,
                              float *dx) {
    vector va = splat(a), vb = splat(b), vc = splat(c);
    size_t i = 0, left;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(dx + i, norm_gradient(va, load(dy + i), vb, load(x + i), vc));
    if ((left = count - i) > 0)
        store_part(dx + i, left, norm_gradient(va, load_part(dy + i, left), vb, load_part(x + i, left), vc));
}

static void norm_backward_channels(size_t pixels, size_t channels, const float *x, const float *dy,
                                   const float *a, const float *b, const float *c, float *dx) {
    for (size_t pixel = 0; pixel < pixels; pixel++, x += channels, dy += channels, dx += channels) {
        size_t i = 0, left;
        for (; i + DT_WIDTH <= channels; i += DT_WIDTH)
            store(dx + i, norm_gradient(load(a + i), load(dy + i), load(b + i), load(x + i), load(c + i)));
        if ((left = channels - i) > 0)
            store_part(dx + i, left,
                       norm_gradient(load_part(a + i, left), load_part(dy + i, left), load_part(b + i, left),
                                     load_part(x + i, left), load_part(c + i, left)));
    }
}

static void moment_runs(size_t runs, size_t stride, size_t count, const float *u, const float *x, float mean,
                        float inverse, double *sum, double *product) {
    wide sums = {0}, products = {0};
    for (size_t run = 0; run < runs; run++, u += stride, x += stride)
        for (size_t i = 0; i < count; i += HALF) {
            wide value = load_wide(u + i, count - i);
            sums += value;
            products += value * ((load_wide(x + i, count - i) - (double)mean) * (double)inverse);
        }
    *sum = sum_lanes(sums);
    *product = sum_lanes(products);
}

DT_INLINE void store_wide(double *to, size_t count, wide values) {
    for (size_t i = 0; i < (count < HALF ? count : HALF); i++)
        to[i] = values[i];
}

static void moment_channels(size_t pixels, size_t stride, size_t count, const float *u, const float *x,
                            const float *mean, const float *inverse, double *sums, double *products) {
    for (size_t c = 0; c < count; c += HALF) {
        wide sum = {0}, product = {0};
        wide center = mean ? load_wide(mean + c, count - c) : (wide){0};
        wide factor = inverse ? load_wide(inverse + c, count - c) : (wide){0} + 1.0;
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            wide value = load_wide(u + pixel * stride + c, count - c);
            sum += value;
            product += value * ((load_wide(x + pixel * stride + c, count - c) - center) * factor);
        }
        store_wide(sums + c, count - c, sum);
        store_wide(products + c, count - c, product);
    }
}

/* Returns what a bf16 wire carries, if it is asked for. Written as loops over the lanes of small arrays,
 * because the vector extensions have no square root. */
DT_INLINE vector adam_vector(dt_adam_step step, bool rounded, const float *g, float *w, float *m, float *v) {
    float update[DT_WIDTH] = {0};
    for (int i = 0; i < DT_WIDTH; i++) {
        float moment = m[i] + (g[i] - m[i]) * step.one_minus_beta1;
        float square = v[i] + (g[i] * g[i] - v[i]) * step.one_minus_beta2;
        m[i] = moment;
        v[i] = square;
        if (rounded)
            update[i] = step.rate * moment / (__builtin_sqrtf(square) + step.epsilon);
        else
            w[i] -= step.rate * moment / (__builtin_sqrtf(square) + step.epsilon);
    }
    vector taken = to_wire(load(update));
    if (rounded)
        store(w, load(w) - taken);
    return taken;
}

DT_INLINE void adam_values(dt_adam_step step, bool rounded, size_t count, const float *restrict gradient,
                           float *restrict weights, float *restrict m, float *restrict v,
                           uint16_t *restrict halves) {
    size_t whole = count / DT_WIDTH * DT_WIDTH, left = count - whole;
    for (size_t i = 0; i < whole; i += DT_WIDTH) {
        vector taken = adam_vector(step, rounded, gradient + i, weights + i, m + i, v + i);
        if (halves)
            store_halves(halves + i, taken);
    }
    if (left > 0) {
        float g[DT_WIDTH], w[DT_WIDTH], moment[DT_WIDTH], square[DT_WIDTH];
        uint16_t last[DT_WIDTH];
        store(g, load_part(gradient + whole, left));
        store(w, load_part(weights + whole, left));
        store(moment, load_part(m + whole, left));
        store(square, load_part(v + whole, left));
        store_halves(last, adam_vector(step, rounded, g, w, moment, square));
        memcpy(weights + whole, w, left * sizeof(float));
        memcpy(m + whole, moment, left * sizeof(float));
        memcpy(v + whole, square, left * sizeof(float));
        if (halves)
            memcpy(halves + whole, last, left * sizeof *last);
    }
}

static void adam_update(dt_adam_step step, size_t count, const float *restrict gradient,
                        float *restrict weights, float *restrict m, float *restrict v) {
    adam_values(step, false, count, gradient, weights, m, v, NULL);
}

static void adam_update_rounded(dt_adam_step step, size_t count, const float *restrict gradient,
                                float *restrict weights, float *restrict m, float *restrict v) {
    adam_values(step, true, count, gradient, weights, m, v, NULL);
}

static void adam_update_packed(dt_adam_step step, size_t count, const float *restrict gradient,
                               float *restrict weights, float *restrict m, float *restrict v,
                               uint16_t *restrict halves) {
    adam_values(step, true, count, gradient, weights, m, v, halves);
}

static void adam_tile(dt_adam_step step, size_t rows, size_t columns, const float *tile_values, size_t stride,
                      float *weights, float *m, float *v) {
    for (size_t row = 0; row < rows; row++, weights += stride, m += stride, v += stride)
        adam_update(step, columns, tile_values + row * TILE_COLUMNS, weights, m, v);
}

/* Infinities and NaNs are the values whose exponent bits are all ones. */
DT_INLINE mask not_finite(vector value) {
    mask exponent = (mask){0} + 0x7F800000;
    return ((mask)value & exponent) == exponent;
}

static bool all_finite(size_t count, const float *values) {
    mask found = {0};
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        found |= not_finite(load(values + i));
    if (i < count)
        found |= not_finite(load_part(values + i, count - i));
    int32_t any = 0;
    for (int lane = 0; lane < DT_WIDTH; lane++)
        any |= found[lane];
    return any == 0;
}

DT_INLINE mask larger_of(mask a, mask b) {
    mask wins = a > b;
    return (a & wins) | (b & ~wins);
}

static int32_t largest_magnitude(size_t count, const float *values) {
    mask magnitude = (mask){0} + 0x7FFFFFFF, found = {0};
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        found = larger_of(found, (mask)load(values + i) & magnitude);
    if (i < count)
        found = larger_of(found, (mask)load_part(values + i, count - i) & magnitude);
    int32_t largest = 0;
    for (int lane = 0; lane < DT_WIDTH; lane++)
        largest = found[lane] > largest ? found[lane] : largest;
    return largest;
}

static void add_to(size_t count, const float *values, float *sum) {
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(sum + i, load(sum + i) + load(values + i));
    for (; i < count; i++)
        sum[i] += values[i];
}

static void triad(size_t count, const float *b, float s, const float *c, float *a) {
    vector factor = splat(s);
    for (size_t i = 0; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(a + i, load(b + i) + factor * load(c + i));
}

static float fma_chains(size_t rounds) {
    vector chains[DT_FMA_CHAINS], factor = splat(0.5f), offset = splat(1.0f);
    for (int i = 0; i < DT_FMA_CHAINS; i++)
        chains[i] = splat((float)i);
    for (size_t round = 0; round < rounds; round++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < DT_FMA_CHAINS; i++) chains[i] =
            chains[i] * factor + offset;
    }
    float sum = 0;
    for (int i = 0; i < DT_FMA_CHAINS; i++)
        for (int lane = 0; lane < DT_WIDTH; lane++)
            sum += chains[i][lane];
    return sum;
}
