/* SPDX-License-Identifier: BSD-3-Clause */
/* One convolution of the network with what surrounds it: y = pool(relu(conv(normalise(x), weights) + bias)).
 *
 * A dt_conv is made once for a layer. It chooses how to compute, takes all memory, and keeps between the
 * forward and the backward pass what both need (transformed input, the ReLU's mask), so that nothing is
 * transformed or read twice. Layouts, threads and the promise about bits are those of kernels.h: a sample's
 * results depend on that sample alone, sums over samples follow leaves.h. */
#ifndef DTRAIN_CONV_H
#define DTRAIN_CONV_H

#include "dtrain/kernels.h"

/* Ways to compute a convolution. */
typedef enum dt_conv_method {
    DT_CONV_AUTO,   /* what the kernels' engine says: DT_ENGINE_AUTO tiles, else fourier, else winograd, else
                       direct, else passes; DT_ENGINE_DIRECT direct, else passes; the others passes */
    DT_CONV_PASSES, /* the engine's three passes of kernels.h, with pooling, ReLU and normalisation as passes
                       of  their own: the twin that the other ways are tested against */
    DT_CONV_DIRECT, /* as the definition reads, for one input channel, ReLU and pooling included */
    DT_CONV_WINOGRAD,       /* Winograd's minimal filtering, 3x3 and 5x5, as exact as `passes` */
    DT_CONV_FOURIER,        /* products of spectra, 3x3 on up to 7x7 and 5x5 on up to 14x14: as exact */
    DT_CONV_TILES,          /* as the definition reads, on tile registers: with DT_PRECISION_BF16 and
                               DT_ISA_AMX_BF16 alone */
    DT_CONV_WINOGRAD_LARGE, /* the same with the largest tiles in all passes, for 5x5: faster, but its forward
                               errors are five times as large (docs/performance.md). Never chosen */
    DT_CONV_METHODS
} dt_conv_method;

/* "auto", "passes", "direct", "winograd", "fourier", "tiles", "winograd-large". */
const char *dt_conv_method_name(dt_conv_method method);

/* Square odd kernel, stride 1, zero padding to the same size, then, if `pool`, the 2x2 average pooling of
 * dt_pool_shape. */
typedef struct dt_conv_shape {
    int height, width;
    int in_channels, out_channels;
    int kernel;
    bool pool;
} dt_conv_shape;

/* The output's extent. */
int dt_conv_out_height(dt_conv_shape shape);
int dt_conv_out_width(dt_conv_shape shape);

typedef struct dt_conv_config {
    dt_kernels *kernels; /* borrowed */
    dt_conv_shape shape;
    dt_conv_method method;
    int samples; /* the most of one call */
    int leaves;  /* the most leaves of one backward call; 0 for a convolution that does not train */
} dt_conv_config;

typedef struct dt_conv dt_conv;

/* What DT_CONV_AUTO comes to: a function of engine, precision, instruction set and shape alone, the same in
 * every run and on every machine that has the instruction set. */
dt_conv_method dt_conv_choice(const dt_kernels *kernels, dt_conv_shape shape);

/* Local. Errors: DT_MEMORY; DT_USAGE for a method that cannot do the shape. */
dt_status dt_conv_create(const dt_conv_config *config, dt_conv **conv);
void dt_conv_destroy(dt_conv *conv);

/* The method in use; never DT_CONV_AUTO. */
dt_conv_method dt_conv_chosen(const dt_conv *conv);

/* Passes whose work is counted apart. */
typedef enum dt_conv_pass { DT_CONV_FORWARD, DT_CONV_BACKWARD_WEIGHTS, DT_CONV_BACKWARD_DATA } dt_conv_pass;

/* Floating-point operations of one sample in a pass, two a multiply-add: as the definition of a convolution
 * has them, and those that the method's products execute. The latter count channels that fill up a vector,
 * but neither transforms nor what surrounds the convolution. */
double dt_conv_direct_flop(dt_conv_shape shape);
double dt_conv_executed_flop(const dt_conv *conv, dt_conv_pass pass);

/* What the convolution reads: x [samples][h][w][in], seen as scale[g] * x + shift[g] inside the image and 0
 * outside it, where g is the row of the value (by_rows) or its channel. scale NULL: x as it is. */
typedef struct dt_conv_input {
    const float *x;
    const float *scale, *shift;
    bool by_rows;
} dt_conv_input;

/* y [samples][out h][out w][out]. keep: this call is followed by a dt_conv_backward for the same samples,
 * and y, input and weights stay as they are until then. */
void dt_conv_forward(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                     bool keep, float *y);

/* From dy, the gradient of y [plan->samples][out h][out w][out], after a forward call with keep for those
 * samples and the same input and weights:
 * - gradients of weights and bias, summed over the samples in the plan's order, stored in the roots (not
 * added);
 * - dx, the gradient with respect to scale * x + shift [samples][h][w][in]; NULL if nobody needs it.
 * dx and dy do not overlap; dy may be overwritten. A plan without samples stores nothing. */
void dt_conv_backward(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                      const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx);

#endif
