/* SPDX-License-Identifier: BSD-3-Clause */
/* The numerical kernels of the network: convolution, dense layers, pooling, batch normalisation, Adam.
 *
 * Arrays are float32, row-major, in Keras' layouts: activations [sample][row][column][channel] (NHWC),
 * convolution weights [row][column][in][out] (HWIO), dense weights [in][out]. Arrays do not overlap unless a
 * function says so. Arrays start at DT_ALIGNMENT boundaries; their sizes need not be multiples of a vector.
 * Every function is local, is called from the main thread, spreads its work over the team, allocates nothing
 * and cannot fail: what can fail fails in dt_kernels_create.
 *
 * Bits. Within one (instruction set, engine) pair a sample's results depend on that sample alone: not on its
 * place in the batch, the number of samples beside it, or the number of threads. Sums over samples follow
 * leaves.h. (With DT_ENGINE_BLAS neither convolutions nor dense layers promise this: OpenBLAS sums in an
 * order that may follow the shape of a matrix and a row's place in it.)
 *
 * Every kernel has a plain C twin, DT_ENGINE_REFERENCE, that the tests compare with. */
#ifndef DTRAIN_KERNELS_H
#define DTRAIN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/blocks.h"
#include "dtrain/leaves.h"
#include "dtrain/random.h"
#include "dtrain/status.h"
#include "dtrain/team.h"

/* Instruction sets, in rising order. The vector bodies are written once and compiled for each. */
typedef enum dt_isa {
    DT_ISA_BASELINE,    /* what the compiler's default target has: SSE2 on x86-64, NEON on AArch64 */
    DT_ISA_AVX2,        /* AVX2 and FMA */
    DT_ISA_AVX512,      /* AVX-512 F, BW, DQ, VL */
    DT_ISA_AVX512_BF16, /* and AVX512_BF16; in float32 the same as DT_ISA_AVX512 */
    DT_ISA_AMX_BF16,    /* and AMX_TILE, AMX_BF16, where Linux lets us use them; likewise */
    DT_ISA_BEST         /* the highest that is of use for the precision; only as a wish */
} dt_isa;

/* What products of convolutions and dense layers are computed from. */
typedef enum dt_precision {
    DT_PRECISION_FP32, /* float32 */
    DT_PRECISION_BF16  /* their operands are rounded to bfloat16 (to the nearest, ties to even) as they are
                          read, sums are float32. All arrays, weights among them, remain float32, and so do
                          bias, ReLU, pooling, normalisation, Adam and, below DT_ISA_AMX_BF16, convolutions of
                          one  input channel. For DT_ENGINE_AUTO alone. Without AVX512_BF16 it is emulated,
                          with  the same rounding but slowly */
} dt_precision;

/* What sums over samples and units are made of, since their parts travel between ranks. */
typedef enum dt_wire {
    DT_WIRE_FP32, /* float32 */
    DT_WIRE_BF16  /* each node of the trees of leaves.h and blocks.h, leaves and the root among them, is
                     rounded to bfloat16 (to the nearest, ties to even) before it is used or stored; additions
                     are float32. Adam's update is rounded too before it is taken from the weights, which
                     remain float32. So whatever part of a sum or of a step a rank sends fits in 16 bits,
                     whoever it is that computes it. From 2^112 on a value may become infinite or NaN, and
                     infinities do. Not the sums inside nodes of DT_ENGINE_BLAS */
} dt_wire;

typedef enum dt_engine {
    DT_ENGINE_AUTO,     /* the fastest body for each kernel that keeps the promise about bits */
    DT_ENGINE_DIRECT,   /* as DT_ENGINE_AUTO without convolutions by transforms */
    DT_ENGINE_BLAS,     /* im2col and OpenBLAS for convolutions, OpenBLAS for dense layers; to compare with */
    DT_ENGINE_REFERENCE /* plain C, sums in double where the order is free */
} dt_engine;

/* "baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"; "auto", "direct", "blas", "reference"; "fp32",
 * "bf16" (both).
 */
const char *dt_isa_name(dt_isa isa);
const char *dt_engine_name(dt_engine engine);
const char *dt_precision_name(dt_precision precision);
const char *dt_wire_name(dt_wire wire);

/* The highest instruction set of this CPU that was compiled in and has bodies of its own in float32, and the
 * highest of all. */
dt_isa dt_isa_best(void);
dt_isa dt_isa_highest(void);

/* The instruction set whose bodies are used where `isa` may be: in float32 those above AVX512 have none of
 * their own.
 */
dt_isa dt_isa_used(dt_isa isa, dt_precision precision);

/* What a wish comes to on a CPU whose best is `best`: the wish itself; for DT_ISA_BEST the value of the
 * environment variable DTRAIN_ISA (`environment`; NULL or empty: not set), "auto" or a name as above; without
 * either, the best. Errors: DT_USAGE (no such name), DT_MACHINE (more than the CPU has; says what it has). */
dt_status dt_isa_choose(dt_isa wish, const char *environment, dt_isa best, dt_isa *chosen);

/* One convolution: square odd kernel, stride 1, zero padding to the same size. */
typedef struct dt_convolve_shape {
    int height, width;
    int in_channels, out_channels;
    int kernel;
} dt_convolve_shape;

/* Average pooling 2x2, stride 2, a last odd row or column is left out (Keras' "valid"). height and width are
 * the input's. */
typedef struct dt_pool_shape {
    int height, width, channels;
} dt_pool_shape;

typedef struct dt_dense_shape {
    int in, out;
} dt_dense_shape;

/* Batch normalisation over `groups` of an activation [sample][height][width][channels]: by rows (groups =
 * height; every value of an image row shares mean and variance) or by channels (groups = channels). */
typedef struct dt_norm_shape {
    int height, width, channels;
    bool by_rows;
} dt_norm_shape;

int dt_norm_groups(dt_norm_shape shape);

typedef struct dt_kernels dt_kernels;

typedef struct dt_kernels_config {
    dt_team *team; /* borrowed for the life of the kernels */
    dt_isa isa;    /* a cap, read as dt_isa_choose does with DTRAIN_ISA of the environment */
    dt_engine engine;
    dt_precision precision;
    dt_wire wire;
} dt_kernels_config;

/* Local. Errors: DT_MACHINE (instruction set not there), DT_USAGE (DTRAIN_ISA; a precision that the engine
 * does not have), DT_MEMORY. Sets OpenBLAS to one thread: the team is ours. */
dt_status dt_kernels_create(const dt_kernels_config *config, dt_kernels **kernels);
void dt_kernels_destroy(dt_kernels *kernels);

/* Makes room for calls of this shape with up to `samples` samples: to be called for every shape before the
 * first pass, never between two passes. One scratch memory, as large as the largest call needs. Errors:
 * DT_MEMORY. */
dt_status dt_convolve_reserve(dt_kernels *kernels, dt_convolve_shape shape, int samples);
dt_status dt_dense_reserve(dt_kernels *kernels, dt_dense_shape shape, int samples);

dt_isa dt_kernels_isa(const dt_kernels *kernels);
dt_engine dt_kernels_engine(const dt_kernels *kernels);
dt_precision dt_kernels_precision(const dt_kernels *kernels);
dt_wire dt_kernels_wire(const dt_kernels *kernels);
dt_team *dt_kernels_team(const dt_kernels *kernels);

/* Where the gradient of a tensor goes: one array for each root of the share's leaf tree, `stride` floats
 * apart. Roots beyond 0 exist only where a share is no single subtree. */
typedef struct dt_root_sink {
    float *base;
    size_t stride;
} dt_root_sink;

/* y = relu(conv(x, weights) + bias). x [samples][h][w][in], y [samples][h][w][out]. */
void dt_convolve_forward(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *x,
                         const float *weights, const float *bias, float *y);

/* dx = the gradient with respect to x of sum(z * dz), z = conv(x, weights). dz [samples][h][w][out]. */
void dt_convolve_backward_data(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *dz,
                               const float *weights, float *dx);

/* Gradients of weights and bias, summed over the samples of the share in the plan's order, stored (not
 * added). A plan without samples stores nothing (it has no root). */
void dt_convolve_backward_weights(dt_kernels *kernels, dt_convolve_shape shape, const dt_leaf_plan *plan,
                                  const float *x, const float *dz, dt_root_sink dweights, dt_root_sink dbias);

/* y = average of each 2x2 window of x. y [samples][h/2][w/2][c]. */
void dt_pool_forward(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x, float *y);

/* Back through the pooling and the ReLU in front of it: dz = (x > 0) * (dy of the window) / 4, 0 where no
 * window reaches; x is the pooling's input, a ReLU's output. */
void dt_pool_backward_relu(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x,
                           const float *dy, float *dz);

/* dz = (y > 0) * scale * dy for `count` values; dz may be dy. Scale is 1, or 1/(1 - rate) behind a dropout.
 */
void dt_relu_backward(dt_kernels *kernels, size_t count, float scale, const float *y, const float *dy,
                      float *dz);

/* y = x * weights + bias, then relu if asked. x [rows][in], y [rows][out]. */
void dt_dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                      const float *weights, const float *bias, bool relu, float *y);

/* dx = dz * weights^T, summed over the units in the order of blocks.h. dz [rows][out], dx [rows][in]. */
void dt_dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *dz,
                            const float *weights, float *dx);

/* The same for a share of a layer's units (dt_blocks_share): shape.out is the share's number of units,
 * weights [in][out] are their columns, dz [rows][out]. Stores (not adds) one array [rows][in] for each root
 * of the share; none for a share without units. */
void dt_dense_backward_data_share(dt_kernels *kernels, dt_dense_shape shape, dt_share units, int rows,
                                  const float *dz, const float *weights, dt_root_sink dx);

/* dweights = x^T * dz, dbias = column sums of dz; as dt_convolve_backward_weights. dweights.base NULL: dbias
 * alone. */
void dt_dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                               const float *x, const float *dz, dt_root_sink dweights, dt_root_sink dbias);

/* Dropout in place on y [rows][units]: unit u of a row is kept, and multiplied by 1/(1 - rate), when its 16
 * random bits are at least round(rate * 65536); else it becomes 0. The bits are half-word u % 8 (low half of
 * word (u % 8) / 2 first) of dt_random_draw(seed, DT_PURPOSE_DROPOUT, layer, epoch, samples_of_rows[row], u /
 * 8). */
typedef struct dt_dropout_key {
    uint64_t seed;
    uint32_t layer;
    uint32_t epoch;
    float rate;     /* 0 <= rate < 1 */
    int first_unit; /* what column 0 of y is, a multiple of 16: y may be a part of the layer's units */
} dt_dropout_key;
void dt_dropout_forward(dt_kernels *kernels, dt_dropout_key key, int rows, int units,
                        const int *samples_of_rows, float *y);

/* Partial sums for the batch statistics: partials [plan->leaves][2][groups], for each leaf the sums of x and
 * of x*x of each group. Doubles, each leaf by itself in a fixed order. */
void dt_norm_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan, const float *x,
                        double *partials);

/* y = scale[g] * x + shift[g], g the group of the value. */
void dt_norm_forward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x,
                     const float *scale, const float *shift, float *y);

/* Partial sums for the backward pass: partials [plan->leaves][2][groups], for each leaf the sums of dy and of
 * dy * (x - mean[g]) * inverse[g] of each group. */
void dt_norm_backward_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan,
                                 const float *x, const float *dy, const float *mean, const float *inverse,
                                 double *partials);

/* dx = a[g] * dy + b[g] * x + c[g]; dx may be dy. With scale s = gamma * inverse and the means over the
 * global batch m1 of dy and m2 of dy * xhat the gradient s * (dy - m1 - xhat * m2) has a = s, b = -s * m2 *
 * inverse, c = -s * m1 - b * mean. */
void dt_norm_backward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x, const float *dy,
                      const float *a, const float *b, const float *c, float *dx);

/* One Adam step on `count` values as TensorFlow and Keras do it (Kingma & Ba 2015, section 2, last
 * paragraph): m += (g - m) * (1 - beta1), v += (g*g - v) * (1 - beta2), w -= rate * m / (sqrt(v) + epsilon),
 * where rate = lr * sqrt(1 - beta2^t) / (1 - beta1^t). */
typedef struct dt_adam_step {
    float rate;
    float one_minus_beta1, one_minus_beta2;
    float epsilon;
} dt_adam_step;
void dt_adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                    float *weights, float *m, float *v);

/* The weight gradient of dt_dense_backward_weights for a plan of one root, and dt_adam_update with it, at
 * once: the bits of these two, without the memory traffic of the gradient between them. weights, m, v
 * [in][out]. */
void dt_dense_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan, const float *x,
                     const float *dz, dt_adam_step step, float *weights, float *m, float *v);

/* Whether all `count` values are finite. */
bool dt_all_finite(dt_kernels *kernels, size_t count, const float *values);

/* The largest |value| of `count` values; 0 for none, a NaN if there is any. */
float dt_largest_magnitude(dt_kernels *kernels, size_t count, const float *values);

/* sum[i] += values[i]. The addition of leaves.h; with DT_WIRE_BF16 of rounded values, its result rounded. */
void dt_add_to(dt_kernels *kernels, size_t count, const float *values, float *sum);

/* With DT_WIRE_BF16 rounds values to bfloat16 in place; else nothing. For values that are to travel. */
void dt_wire_round(dt_kernels *kernels, size_t count, float *values);

/* The upper halves of values, which fit in bfloat16, and values from such halves. */
void dt_wire_pack(dt_kernels *kernels, size_t count, const float *values, uint16_t *halves);
void dt_wire_unpack(dt_kernels *kernels, size_t count, const uint16_t *halves, float *values);

/* With DT_WIRE_BF16: dt_adam_update that also gives what it takes from the weights; and the same taken from
 * other weights: the bits of that call. */
void dt_wire_adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                         float *weights, float *m, float *v, uint16_t *halves);
void dt_wire_apply_update(dt_kernels *kernels, size_t count, const uint16_t *halves, float *weights);

#endif
