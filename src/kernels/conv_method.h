/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: what a way to compute a convolution is made of. */
#ifndef DTRAIN_KERNELS_CONV_METHOD_H
#define DTRAIN_KERNELS_CONV_METHOD_H

#include "dtrain/conv.h"
#include "kernels/table.h"

typedef struct dt_conv_operations {
    bool (*can)(const dt_kernels *kernels, dt_conv_shape shape);
    double (*executed_flop)(const dt_conv *conv, dt_conv_pass pass);
    /* Makes room in the kernels' scratch. */
    dt_status (*reserve)(const dt_conv_config *config);
    /* Takes what the convolution keeps for itself; called once to count and once to deal (memory.h). */
    void (*lay_out)(dt_conv *conv, dt_arena *arena);
    void (*forward)(dt_conv *conv, int samples, dt_conv_input input, const float *weights, const float *bias,
                    bool keep, float *y);
    void (*backward)(dt_conv *conv, const dt_leaf_plan *plan, dt_conv_input input, float *dy,
                     const float *weights, dt_root_sink dweights, dt_root_sink dbias, float *dx);
} dt_conv_operations;

extern const dt_conv_operations dt_conv_passes;
extern const dt_conv_operations dt_conv_direct;
extern const dt_conv_operations dt_conv_winograd;
extern const dt_conv_operations dt_conv_winograd_large;
extern const dt_conv_operations dt_conv_fourier;
extern const dt_conv_operations dt_conv_tiles;
extern const dt_conv_operations dt_conv_tiles_first; /* the same method for one input channel */

/* What the method `passes` keeps. */
typedef struct dt_conv_passes_state {
    float *normal;     /* the input, where it is normalised */
    float *activation; /* before a pooling */
    float *gradient;   /* of the activation */
    const float *y;    /* of the last forward call: without pooling it is the activation */
} dt_conv_passes_state;

/* What the method `direct` keeps. */
typedef struct dt_conv_direct_state {
    float *framed;        /* the input, normalised, in a frame of zeros */
    unsigned char *codes; /* for each value behind the pooling which values of its window passed the ReLU */
    float *dz;            /* of a few samples, for an input gradient */
    const float *y;       /* of the last forward call */
} dt_conv_direct_state;

/* What the method `winograd` keeps; winograd.c has its parts. */
typedef struct dt_winograd dt_winograd;

/* What the method `tiles` keeps; conv_tiles.c and conv_tiles_first.c have their parts. */
typedef struct dt_tiles dt_tiles;
typedef struct dt_tiles_first dt_tiles_first;

struct dt_conv {
    const dt_conv_operations *operations;
    dt_conv_config config;
    dt_slab memory;
    union {
        dt_conv_passes_state passes;
        dt_conv_direct_state direct;
        dt_winograd *winograd;
        dt_tiles *tiles;
        dt_tiles_first *tiles_first;
    } state;
};

/* The convolution by itself, as the engines' kernels have it. */
static inline dt_convolve_shape dt_conv_bare(dt_conv_shape shape) {
    return (dt_convolve_shape){shape.height, shape.width, shape.in_channels, shape.out_channels,
                               shape.kernel};
}

#endif
