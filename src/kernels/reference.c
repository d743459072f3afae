/* SPDX-License-Identifier: BSD-3-Clause */
/* The plain twin of every kernel: loops that read like the definition, sums in double. */
#include "kernels/table.h"

#include <math.h>
#include <string.h>

/* Columns that one pass of the inner loops carries in double. */
enum { CHUNK = 64 };

static int minimum(int a, int b) {
    return a < b ? a : b;
}

static dt_scratch_need convolve_need(const dt_kernels *kernels, dt_convolve_shape shape, int samples) {
    (void)kernels, (void)shape, (void)samples;
    return (dt_scratch_need){0};
}

static dt_scratch_need dense_need(const dt_kernels *kernels, dt_dense_shape shape, int samples) {
    (void)kernels, (void)shape, (void)samples;
    return (dt_scratch_need){0};
}

/* The nearest bfloat16, of two as near the one whose last bit is 0. 2^16 value is a multiple of what is to be
 * left of value, so that the difference is rounded as value should be (vector_rounding.h). */
static float nearest(float value) {
    float scaled = value * 0x1p16f;
#ifdef __aarch64__
    __asm__("" : "+w"(scaled)); /* as in vector_rounding.h */
#endif
    return scaled - (scaled - value);
}

static uint16_t halves_of(float value) {
    uint32_t bits;
    float rounded = nearest(value);
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static float value_of(uint16_t halves) {
    uint32_t bits = (uint32_t)halves << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float as_wire(dt_wire wire, float value) {
    return wire == DT_WIRE_BF16 ? nearest(value) : value;
}

/* The stack machine of leaves.h on CHUNK neighbouring elements. */
typedef struct leaf_stack {
    float values[DT_LEAF_DEPTH][CHUNK];
    int height;
    dt_wire wire;
} leaf_stack;

static void stack_push(leaf_stack *stack, int width, const double *leaf, int merges) {
    for (int i = 0; i < width; i++)
        stack->values[stack->height][i] = as_wire(stack->wire, (float)leaf[i]);
    stack->height++;
    for (; merges > 0; merges--) {
        stack->height--;
        for (int i = 0; i < width; i++)
            stack->values[stack->height - 1][i] =
                as_wire(stack->wire, stack->values[stack->height - 1][i] + stack->values[stack->height][i]);
    }
}

static void stack_store(const leaf_stack *stack, int width, dt_root_sink sink, size_t offset) {
    for (int root = 0; root < stack->height; root++)
        memcpy(sink.base + (size_t)root * sink.stride + offset, stack->values[root],
               sizeof(float) * (size_t)width);
}

static int leaf_samples(const dt_leaf_plan *plan, int leaf) {
    return minimum(DT_LEAF_SAMPLES, plan->samples - leaf * DT_LEAF_SAMPLES);
}

/* Column sums of dz [samples][rows][columns], leaf by leaf. */
static void store_bias_gradient(dt_wire wire, const dt_leaf_plan *plan, int rows, int columns,
                                const float *dz, dt_root_sink sink) {
    for (int begin = 0; begin < columns; begin += CHUNK) {
        int width = minimum(CHUNK, columns - begin);
        leaf_stack stack = {.wire = wire};
        for (int leaf = 0; leaf < plan->leaves; leaf++) {
            double sums[CHUNK] = {0};
            size_t first = (size_t)leaf * DT_LEAF_SAMPLES * (size_t)rows;
            size_t count = (size_t)leaf_samples(plan, leaf) * (size_t)rows;
            for (size_t row = first; row < first + count; row++)
                for (int i = 0; i < width; i++)
                    sums[i] += (double)dz[row * (size_t)columns + (size_t)(begin + i)];
            stack_push(&stack, width, sums, plan->merges[leaf]);
        }
        stack_store(&stack, width, sink, (size_t)begin);
    }
}

typedef struct conv_call {
    dt_wire wire;
    dt_convolve_shape shape;
    const dt_leaf_plan *plan;
    const float *x, *weights, *bias, *dz;
    float *y, *dx;
    dt_root_sink dweights;
} conv_call;

/* Offset of a pixel's first channel. */
static size_t pixel(dt_convolve_shape shape, int sample, int row, int column, int channels) {
    return (((size_t)sample * (size_t)shape.height + (size_t)row) * (size_t)shape.width + (size_t)column) *
           (size_t)channels;
}

static bool inside(dt_convolve_shape shape, int row, int column) {
    return row >= 0 && row < shape.height && column >= 0 && column < shape.width;
}

/* Weights of one tap: [in][out]. */
static const float *tap_weights(dt_convolve_shape shape, const float *weights, int tap) {
    return weights + (size_t)tap * (size_t)shape.in_channels * (size_t)shape.out_channels;
}

static void conv_pixel_forward(const conv_call *call, int sample, int row, int column) {
    dt_convolve_shape shape = call->shape;
    int margin = shape.kernel / 2;
    for (int begin = 0; begin < shape.out_channels; begin += CHUNK) {
        int width = minimum(CHUNK, shape.out_channels - begin);
        double sums[CHUNK] = {0};
        for (int tap = 0; tap < shape.kernel * shape.kernel; tap++) {
            int in_row = row + tap / shape.kernel - margin, in_column = column + tap % shape.kernel - margin;
            if (!inside(shape, in_row, in_column))
                continue;
            const float *x = call->x + pixel(shape, sample, in_row, in_column, shape.in_channels);
            const float *weights = tap_weights(shape, call->weights, tap) + begin;
            for (int in = 0; in < shape.in_channels; in++, weights += shape.out_channels)
                for (int i = 0; i < width; i++)
                    sums[i] += (double)x[in] * (double)weights[i];
        }
        float *y = call->y + pixel(shape, sample, row, column, shape.out_channels) + begin;
        for (int i = 0; i < width; i++) {
            double value = sums[i] + (double)call->bias[begin + i];
            y[i] = value <= 0 ? 0.0f : (float)value;
        }
    }
}

static void conv_forward_row(void *context, int task, int worker) {
    const conv_call *call = context;
    (void)worker;
    for (int column = 0; column < call->shape.width; column++)
        conv_pixel_forward(call, task / call->shape.height, task % call->shape.height, column);
}

static void conv_forward(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *x,
                         const float *weights, const float *bias, float *y) {
    conv_call call = {.shape = shape, .x = x, .weights = weights, .bias = bias, .y = y};
    dt_team_run(kernels->team, samples * shape.height, conv_forward_row, &call);
}

static float conv_data_gradient(const conv_call *call, int sample, int row, int column, int in) {
    dt_convolve_shape shape = call->shape;
    int margin = shape.kernel / 2;
    double sum = 0;
    for (int tap = 0; tap < shape.kernel * shape.kernel; tap++) {
        int out_row = row - tap / shape.kernel + margin, out_column = column - tap % shape.kernel + margin;
        if (!inside(shape, out_row, out_column))
            continue;
        const float *dz = call->dz + pixel(shape, sample, out_row, out_column, shape.out_channels);
        const float *weights =
            tap_weights(shape, call->weights, tap) + (size_t)in * (size_t)shape.out_channels;
        for (int out = 0; out < shape.out_channels; out++)
            sum += (double)dz[out] * (double)weights[out];
    }
    return (float)sum;
}

static void conv_backward_data_row(void *context, int task, int worker) {
    const conv_call *call = context;
    int sample = task / call->shape.height, row = task % call->shape.height;
    (void)worker;
    for (int column = 0; column < call->shape.width; column++)
        for (int in = 0; in < call->shape.in_channels; in++)
            call->dx[pixel(call->shape, sample, row, column, call->shape.in_channels) + (size_t)in] =
                conv_data_gradient(call, sample, row, column, in);
}

static void conv_backward_data(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *dz,
                               const float *weights, float *dx) {
    conv_call call = {.shape = shape, .dz = dz, .weights = weights, .dx = dx};
    dt_team_run(kernels->team, samples * shape.height, conv_backward_data_row, &call);
}

/* Adds one sample's part of the gradient of weights [tap][in][begin .. begin + width). */
static void conv_add_sample(const conv_call *call, int sample, int tap, int in, int begin, int width,
                            double *sums) {
    dt_convolve_shape shape = call->shape;
    int shift_row = tap / shape.kernel - shape.kernel / 2,
        shift_column = tap % shape.kernel - shape.kernel / 2;
    for (int row = 0; row < shape.height; row++)
        for (int column = 0; column < shape.width; column++) {
            if (!inside(shape, row + shift_row, column + shift_column))
                continue;
            double x =
                (double)
                    call->x[pixel(shape, sample, row + shift_row, column + shift_column, shape.in_channels) +
                            (size_t)in];
            const float *dz = call->dz + pixel(shape, sample, row, column, shape.out_channels) + begin;
            for (int i = 0; i < width; i++)
                sums[i] += x * (double)dz[i];
        }
}

static void conv_backward_weights_row(void *context, int task, int worker) {
    const conv_call *call = context;
    dt_convolve_shape shape = call->shape;
    (void)worker;
    for (int begin = 0; begin < shape.out_channels; begin += CHUNK) {
        int width = minimum(CHUNK, shape.out_channels - begin);
        leaf_stack stack = {.wire = call->wire};
        for (int leaf = 0; leaf < call->plan->leaves; leaf++) {
            double sums[CHUNK] = {0};
            for (int i = 0; i < leaf_samples(call->plan, leaf); i++)
                conv_add_sample(call, leaf * DT_LEAF_SAMPLES + i, task / shape.in_channels,
                                task % shape.in_channels, begin, width, sums);
            stack_push(&stack, width, sums, call->plan->merges[leaf]);
        }
        stack_store(&stack, width, call->dweights, (size_t)task * (size_t)shape.out_channels + (size_t)begin);
    }
}

static void conv_backward_weights(dt_kernels *kernels, dt_convolve_shape shape, const dt_leaf_plan *plan,
                                  const float *x, const float *dz, dt_root_sink dweights,
                                  dt_root_sink dbias) {
    conv_call call = {.wire = kernels->wire, .shape = shape, .plan = plan, .x = x, .dz = dz};
    call.dweights = dweights;
    dt_team_run(kernels->team, shape.kernel * shape.kernel * shape.in_channels, conv_backward_weights_row,
                &call);
    store_bias_gradient(kernels->wire, plan, shape.height * shape.width, shape.out_channels, dz, dbias);
}

const dt_convolve_operations dt_convolve_reference = {
    .need = convolve_need,
    .forward = conv_forward,
    .backward_data = conv_backward_data,
    .backward_weights = conv_backward_weights,
};

static void adam_values(dt_wire wire, dt_adam_step step, size_t count, const float *gradient, float *weights,
                        float *m, float *v) {
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        m[i] += (g - m[i]) * step.one_minus_beta1;
        v[i] += (g * g - v[i]) * step.one_minus_beta2;
        weights[i] -= as_wire(wire, step.rate * m[i] / (sqrtf(v[i]) + step.epsilon));
    }
}

typedef struct dense_call {
    dt_wire wire;
    dt_dense_shape shape;
    const dt_leaf_plan *plan;
    const dt_unit_plan *units;
    const float *x, *weights, *bias, *dz;
    bool relu;
    float *y;
    dt_root_sink dx, dweights;
    dt_adam_step step; /* an update, if there are weights to write */
    float *updated, *m, *v;
} dense_call;

static void dense_forward_row(void *context, int task, int worker) {
    const dense_call *call = context;
    size_t inputs = (size_t)call->shape.in, outputs = (size_t)call->shape.out;
    const float *x = call->x + (size_t)task * inputs;
    (void)worker;
    for (size_t begin = 0; begin < outputs; begin += CHUNK) {
        size_t width = outputs - begin < CHUNK ? outputs - begin : CHUNK;
        double sums[CHUNK] = {0};
        for (size_t in = 0; in < inputs; in++)
            for (size_t i = 0; i < width; i++)
                sums[i] += (double)x[in] * (double)call->weights[in * outputs + begin + i];
        for (size_t i = 0; i < width; i++) {
            double value = sums[i] + (double)call->bias[begin + i];
            call->y[(size_t)task * outputs + begin + i] = call->relu && value <= 0 ? 0.0f : (float)value;
        }
    }
}

static void dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                          const float *weights, const float *bias, bool relu, float *y) {
    dense_call call = {.shape = shape, .x = x, .weights = weights, .bias = bias, .relu = relu, .y = y};
    dt_team_run(kernels->team, rows, dense_forward_row, &call);
}

static void dense_backward_data_row(void *context, int task, int worker) {
    const dense_call *call = context;
    size_t inputs = (size_t)call->shape.in, outputs = (size_t)call->shape.out, size = call->units->size;
    const float *dz = call->dz + (size_t)task * outputs;
    (void)worker;
    for (size_t in = 0; in < inputs; in++) {
        leaf_stack stack = {.wire = call->wire};
        for (size_t block = 0; block * size < outputs; block++) {
            size_t end = (block + 1) * size < outputs ? (block + 1) * size : outputs;
            double sum = 0;
            for (size_t out = block * size; out < end; out++)
                sum += (double)dz[out] * (double)call->weights[in * outputs + out];
            stack_push(&stack, 1, &sum, call->units->plan.merges[block]);
        }
        stack_store(&stack, 1, call->dx, (size_t)task * inputs + in);
    }
}

static void dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, const dt_unit_plan *units,
                                int rows, const float *dz, const float *weights, dt_root_sink dx) {
    dense_call call = {.wire = kernels->wire, .shape = shape, .units = units, .dz = dz, .weights = weights};
    call.dx = dx;
    dt_team_run(kernels->team, rows, dense_backward_data_row, &call);
}

static void dense_backward_weights_row(void *context, int task, int worker) {
    const dense_call *call = context;
    int outputs = call->shape.out;
    (void)worker;
    for (int begin = 0; begin < outputs; begin += CHUNK) {
        int width = minimum(CHUNK, outputs - begin);
        leaf_stack stack = {.wire = call->wire};
        for (int leaf = 0; leaf < call->plan->leaves; leaf++) {
            double sums[CHUNK] = {0};
            size_t first = (size_t)leaf * DT_LEAF_SAMPLES;
            for (size_t s = first; s < first + (size_t)leaf_samples(call->plan, leaf); s++)
                for (int i = 0; i < width; i++)
                    sums[i] += (double)call->x[s * (size_t)call->shape.in + (size_t)task] *
                               (double)call->dz[s * (size_t)outputs + (size_t)(begin + i)];
            stack_push(&stack, width, sums, call->plan->merges[leaf]);
        }
        size_t place = (size_t)task * (size_t)outputs + (size_t)begin;
        if (call->updated)
            adam_values(call->wire, call->step, (size_t)width, stack.values[0], call->updated + place,
                        call->m + place, call->v + place);
        else
            stack_store(&stack, width, call->dweights, place);
    }
}

static void dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                                   const float *x, const float *dz, dt_root_sink dweights,
                                   dt_root_sink dbias) {
    dense_call call = {.wire = kernels->wire, .shape = shape, .plan = plan, .x = x, .dz = dz};
    call.dweights = dweights;
    if (dweights.base)
        dt_team_run(kernels->team, shape.in, dense_backward_weights_row, &call);
    store_bias_gradient(kernels->wire, plan, 1, shape.out, dz, dbias);
}

static void dense_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan, const float *x,
                         const float *dz, dt_adam_step step, float *weights, float *m, float *v) {
    dense_call call = {.wire = kernels->wire, .shape = shape, .plan = plan, .x = x, .dz = dz, .step = step};
    call.updated = weights;
    call.m = m;
    call.v = v;
    dt_team_run(kernels->team, shape.in, dense_backward_weights_row, &call);
}

const dt_dense_operations dt_dense_reference = {
    .need = dense_need,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
    .update = dense_update,
};

static void pool_forward(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x, float *y) {
    size_t line = (size_t)shape.width * (size_t)shape.channels, step = (size_t)shape.channels;
    (void)kernels;
    for (int sample = 0; sample < samples; sample++)
        for (int row = 0; row < shape.height / 2; row++)
            for (int column = 0; column < shape.width / 2; column++) {
                const float *window = x + ((size_t)sample * (size_t)shape.height + 2 * (size_t)row) * line +
                                      2 * (size_t)column * step;
                for (size_t c = 0; c < step; c++)
                    *y++ = ((window[c] + window[c + step]) + (window[c + line] + window[c + line + step])) *
                           0.25f;
            }
}

static void pool_backward_relu(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x,
                               const float *dy, float *dz) {
    int windows_down = shape.height / 2, windows_across = shape.width / 2, channels = shape.channels;
    (void)kernels;
    for (int sample = 0; sample < samples; sample++)
        for (int row = 0; row < shape.height; row++)
            for (int column = 0; column < shape.width; column++)
                for (int c = 0; c < channels; c++, x++, dz++) {
                    bool reached = row / 2 < windows_down && column / 2 < windows_across;
                    int window = (sample * windows_down + row / 2) * windows_across + column / 2;
                    *dz =
                        reached && *x > 0 ? dy[(size_t)window * (size_t)channels + (size_t)c] * 0.25f : 0.0f;
                }
}

static void relu_backward(dt_kernels *kernels, size_t count, float scale, const float *y, const float *dy,
                          float *dz) {
    (void)kernels;
    for (size_t i = 0; i < count; i++)
        dz[i] = y[i] > 0 ? scale * dy[i] : 0.0f;
}

static void dropout_forward(dt_kernels *kernels, dt_dropout_key key, int rows, int units,
                            const int *samples_of_rows, float *y) {
    uint32_t threshold = (uint32_t)lroundf(key.rate * 65536.0f);
    float scale = 1.0f / (1.0f - key.rate);
    (void)kernels;
    for (int row = 0; row < rows; row++)
        for (uint32_t unit = (uint32_t)key.first_unit; unit < (uint32_t)(key.first_unit + units);
             unit++, y++) {
            dt_random4 drawn = dt_random_draw(key.seed, DT_PURPOSE_DROPOUT, key.layer, key.epoch,
                                              (uint32_t)samples_of_rows[row], unit / 8);
            uint32_t bits = drawn.word[unit % 8 / 2] >> (16 * (unit % 2)) & 0xFFFF;
            *y = bits >= threshold ? *y * scale : 0.0f;
        }
}

/* The group of value `index` of an activation. */
static size_t norm_group(dt_norm_shape shape, size_t index) {
    size_t channels = (size_t)shape.channels, width = (size_t)shape.width;
    return shape.by_rows ? index / (channels * width) % (size_t)shape.height : index % channels;
}

static size_t norm_values(dt_norm_shape shape, int samples) {
    return (size_t)samples * (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
}

static void norm_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan,
                            const float *x, double *partials) {
    size_t groups = (size_t)dt_norm_groups(shape), leaf_values = norm_values(shape, DT_LEAF_SAMPLES);
    (void)kernels;
    memset(partials, 0, sizeof(double) * 2 * groups * (size_t)plan->leaves);
    for (size_t i = 0; i < norm_values(shape, plan->samples); i++) {
        double *sums = partials + i / leaf_values * 2 * groups + norm_group(shape, i);
        sums[0] += (double)x[i];
        sums[groups] += (double)x[i] * (double)x[i];
    }
}

static void norm_forward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x,
                         const float *scale, const float *shift, float *y) {
    (void)kernels;
    for (size_t i = 0; i < norm_values(shape, samples); i++)
        y[i] = scale[norm_group(shape, i)] * x[i] + shift[norm_group(shape, i)];
}

static void norm_backward_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan,
                                     const float *x, const float *dy, const float *mean, const float *inverse,
                                     double *partials) {
    size_t groups = (size_t)dt_norm_groups(shape), leaf_values = norm_values(shape, DT_LEAF_SAMPLES);
    (void)kernels;
    memset(partials, 0, sizeof(double) * 2 * groups * (size_t)plan->leaves);
    for (size_t i = 0; i < norm_values(shape, plan->samples); i++) {
        size_t group = norm_group(shape, i);
        double *sums = partials + i / leaf_values * 2 * groups + group;
        sums[0] += (double)dy[i];
        sums[groups] += (double)dy[i] * (((double)x[i] - (double)mean[group]) * (double)inverse[group]);
    }
}

static void norm_backward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x,
                          const float *dy, const float *a, const float *b, const float *c, float *dx) {
    (void)kernels;
    for (size_t i = 0; i < norm_values(shape, samples); i++) {
        size_t group = norm_group(shape, i);
        dx[i] = a[group] * dy[i] + (b[group] * x[i] + c[group]);
    }
}

static void adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                        float *weights, float *m, float *v) {
    adam_values(kernels->wire, step, count, gradient, weights, m, v);
}

static bool all_finite(dt_kernels *kernels, size_t count, const float *values) {
    (void)kernels;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static float largest_magnitude(dt_kernels *kernels, size_t count, const float *values) {
    float largest = 0;
    (void)kernels;
    for (size_t i = 0; i < count && !isnan(largest); i++)
        if (!(fabsf(values[i]) <= largest))
            largest = fabsf(values[i]);
    return largest;
}

static void add_to(dt_kernels *kernels, size_t count, const float *values, float *sum) {
    for (size_t i = 0; i < count; i++)
        sum[i] = as_wire(kernels->wire, sum[i] + as_wire(kernels->wire, values[i]));
}

static void wire_round(dt_kernels *kernels, size_t count, float *values) {
    (void)kernels;
    for (size_t i = 0; i < count; i++)
        values[i] = as_wire(DT_WIRE_BF16, values[i]);
}

static void wire_pack(dt_kernels *kernels, size_t count, const float *values, uint16_t *halves) {
    (void)kernels;
    for (size_t i = 0; i < count; i++)
        halves[i] = halves_of(values[i]);
}

static void wire_unpack(dt_kernels *kernels, size_t count, const uint16_t *halves, float *values) {
    (void)kernels;
    for (size_t i = 0; i < count; i++)
        values[i] = value_of(halves[i]);
}

static void wire_adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                             float *weights, float *m, float *v, uint16_t *halves) {
    adam_values(kernels->wire, step, count, gradient, weights, m, v);
    for (size_t i = 0; i < count; i++)
        halves[i] = halves_of(step.rate * m[i] / (sqrtf(v[i]) + step.epsilon));
}

static void wire_apply_update(dt_kernels *kernels, size_t count, const uint16_t *halves, float *weights) {
    (void)kernels;
    for (size_t i = 0; i < count; i++)
        weights[i] -= value_of(halves[i]);
}

const dt_stream_operations dt_stream_reference = {
    .pool_forward = pool_forward,
    .pool_backward_relu = pool_backward_relu,
    .relu_backward = relu_backward,
    .dropout_forward = dropout_forward,
    .norm_statistics = norm_statistics,
    .norm_forward = norm_forward,
    .norm_backward_statistics = norm_backward_statistics,
    .norm_backward = norm_backward,
    .adam_update = adam_update,
    .all_finite = all_finite,
    .largest_magnitude = largest_magnitude,
    .add_to = add_to,
    .wire_round = wire_round,
    .wire_pack = wire_pack,
    .wire_unpack = wire_unpack,
    .wire_adam_update = wire_adam_update,
    .wire_apply_update = wire_apply_update,
};
