/* SPDX-License-Identifier: BSD-3-Clause */
/* The layers in double precision. */
#include "gradcheck/twin.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/random.h"

enum { LOGITS = 10 };

static const double norm_epsilon = 1e-3;

/* z [samples][height][width][out] = convolution of x, zero outside, plus bias. */
static void convolve(const dt_layer_spec *spec, int samples, twin_input input, double *z) {
    int height = spec->in.height, width = spec->in.width, in = spec->in.channels, out = spec->out.channels;
    int margin = spec->kernel / 2;
    for (int pixel = 0; pixel < samples * height * width; pixel++, z += out) {
        int row = pixel / width % height, column = pixel % width;
        memcpy(z, input.second, sizeof(double) * (size_t)out);
        for (int tap = 0; tap < spec->kernel * spec->kernel; tap++) {
            int down = tap / spec->kernel - margin, right = tap % spec->kernel - margin;
            if (row + down < 0 || row + down >= height || column + right < 0 || column + right >= width)
                continue;
            const double *x = input.x + (ptrdiff_t)(pixel + down * width + right) * in;
            const double *weights = input.main + (ptrdiff_t)tap * in * out;
            for (int i = 0; i < in; i++, weights += out)
                for (int o = 0; o < out; o++)
                    z[o] += x[i] * weights[o];
        }
    }
}

static void rectify(size_t count, double *z, twin_kinks *kinks) {
    double smallest = INFINITY, size = 0.0;
    for (size_t i = 0; i < count; i++) {
        size += fabs(z[i]) / (double)count;
        smallest = fmin(smallest, fabs(z[i]));
        kinks->pattern = (kinks->pattern ^ (z[i] > 0.0)) * 0x100000001B3u;
        z[i] = fmax(z[i], 0.0);
    }
    kinks->closest = fmin(kinks->closest, smallest / size);
}

/* y = averages of 2x2 windows of a [samples][height][width][channels]. */
static void pool(const dt_layer_spec *spec, int samples, const double *a, double *y) {
    ptrdiff_t channels = spec->out.channels, width = spec->in.width, line = width * channels;
    ptrdiff_t sample = spec->in.height * line;
    for (ptrdiff_t n = 0; n < samples; n++)
        for (ptrdiff_t row = 0; row < spec->out.height; row++)
            for (ptrdiff_t column = 0; column < spec->out.width; column++)
                for (ptrdiff_t c = 0; c < channels; c++) {
                    const double *window = a + n * sample + 2 * row * line + 2 * column * channels + c;
                    *y++ = (window[0] + window[channels] + window[line] + window[line + channels]) / 4.0;
                }
}

static void conv_forward(const dt_layer_spec *spec, int samples, twin_input input, double *y,
                         twin_kinks *kinks) {
    size_t count =
        (size_t)samples * (size_t)spec->in.height * (size_t)spec->in.width * (size_t)spec->out.channels;
    double *activation = calloc(count, sizeof(double));
    assert(activation);
    convolve(spec, samples, input, activation);
    rectify(count, activation, kinks);
    if (spec->pool)
        pool(spec, samples, activation, y);
    else
        memcpy(y, activation, sizeof(double) * count);
    free(activation);
}

static void dense_forward(const dt_layer_spec *spec, int samples, twin_input input, double *y,
                          twin_kinks *kinks) {
    ptrdiff_t in = spec->in.channels, out = spec->out.channels;
    size_t count = (size_t)samples * (size_t)out;
    for (int n = 0; n < samples; n++) {
        double *z = y + n * out;
        memcpy(z, input.second, sizeof(double) * (size_t)out);
        for (ptrdiff_t i = 0; i < in; i++)
            for (ptrdiff_t o = 0; o < out; o++)
                z[o] += input.x[n * in + i] * input.main[i * out + o];
    }
    if (spec->relu)
        rectify(count, y, kinks);
    for (size_t i = 0; input.mask && i < count; i++)
        y[i] *= input.mask[i];
}

int twin_groups(const dt_layer_spec *spec) {
    return spec->by_rows ? spec->in.height : spec->in.channels;
}

static int group_of(const dt_layer_spec *spec, size_t index) {
    size_t pixel = index / (size_t)spec->in.channels;
    return spec->by_rows ? (int)(pixel / (size_t)spec->in.width) % spec->in.height
                         : (int)(index % (size_t)spec->in.channels);
}

void twin_moments(const dt_layer_spec *spec, int samples, const double *x, double *mean, double *variance) {
    int groups = twin_groups(spec);
    size_t count = (size_t)samples * dt_volume_floats(spec->in);
    double size = (double)count / groups;
    memset(mean, 0, sizeof(double) * (size_t)groups);
    memset(variance, 0, sizeof(double) * (size_t)groups);
    for (size_t i = 0; i < count; i++)
        mean[group_of(spec, i)] += x[i] / size;
    for (size_t i = 0; i < count; i++) {
        double distance = x[i] - mean[group_of(spec, i)];
        variance[group_of(spec, i)] += distance * distance / size;
    }
}

static void norm_forward(const dt_layer_spec *spec, int samples, twin_input input, double *y) {
    size_t groups = (size_t)twin_groups(spec);
    double *mean = malloc(sizeof(double) * groups), *variance = malloc(sizeof(double) * groups);
    assert(mean && variance);
    twin_moments(spec, samples, input.x, mean, variance);
    for (size_t i = 0; i < (size_t)samples * dt_volume_floats(spec->in); i++) {
        int group = group_of(spec, i);
        y[i] = input.main[group] * (input.x[i] - mean[group]) / sqrt(variance[group] + norm_epsilon) +
               input.second[group];
    }
    free(mean);
    free(variance);
}

void twin_forward(const dt_layer_spec *spec, int samples, twin_input input, double *y, twin_kinks *kinks) {
    if (spec->kind == DT_LAYER_CONV)
        conv_forward(spec, samples, input, y, kinks);
    else if (spec->kind == DT_LAYER_NORM)
        norm_forward(spec, samples, input, y);
    else
        dense_forward(spec, samples, input, y, kinks);
}

void twin_dropout_mask(uint64_t seed, uint32_t layer, uint32_t epoch, float rate, int rows, int units,
                       const int *samples_of_rows, double *mask) {
    for (int row = 0; row < rows; row++)
        for (uint32_t unit = 0; unit < (uint32_t)units; unit++) {
            dt_random4 drawn = dt_random_draw(seed, DT_PURPOSE_DROPOUT, layer, epoch,
                                              (uint32_t)samples_of_rows[row], unit / 8);
            uint32_t word = drawn.word[unit % 8 / 2], bits = unit % 2 ? word >> 16 : word & 0xFFFFu;
            *mask++ = (double)bits < round((double)rate * 65536.0) ? 0.0 : 1.0 / (1.0 - (double)rate);
        }
}

double twin_loss(int samples, const double *logits, const uint8_t *labels) {
    double loss = 0.0;
    for (int n = 0; n < samples; n++, logits += LOGITS) {
        double sum = 0.0;
        for (int i = 0; i < LOGITS; i++)
            sum += exp(logits[i]);
        loss += (log(sum) - logits[labels[n]]) / samples;
    }
    return loss;
}

size_t twin_main_count(const dt_layer_spec *spec) {
    if (spec->kind == DT_LAYER_NORM)
        return (size_t)twin_groups(spec);
    int taps = spec->kind == DT_LAYER_CONV ? spec->kernel * spec->kernel : 1;
    return (size_t)taps * (size_t)spec->in.channels * (size_t)spec->out.channels;
}

size_t twin_second_count(const dt_layer_spec *spec) {
    return (size_t)(spec->kind == DT_LAYER_NORM ? twin_groups(spec) : spec->out.channels);
}

void twin_fill(uint64_t stream, double low, double high, size_t count, float *values) {
    for (size_t i = 0; i < count; i++) {
        dt_random4 drawn = dt_random_draw(stream, DT_PURPOSE_DIGITS, (uint32_t)i, 0, 0, 0);
        values[i] = (float)(low + (high - low) * (double)dt_random_unit(drawn.word[0]));
    }
}

void twin_widen(size_t count, const float *values, double *wide) {
    for (size_t i = 0; i < count; i++)
        wide[i] = (double)values[i];
}
