/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: what an engine is made of, and the state behind dt_kernels. */
#ifndef DTRAIN_KERNELS_TABLE_H
#define DTRAIN_KERNELS_TABLE_H

#include "dtrain/kernels.h"
#include "dtrain/memory.h"
#include "kernels/bodies.h"
#include "kernels/conv_tiles.h"

/* Scratch memory in floats: what all workers share, and what each has for itself. */
typedef struct dt_scratch_need {
    size_t shared;
    size_t worker;
} dt_scratch_need;

/* The convolutions of an engine; the functions are those of kernels.h. */
typedef struct dt_convolve_operations {
    dt_scratch_need (*need)(const dt_kernels *, dt_convolve_shape, int samples);
    void (*forward)(dt_kernels *, dt_convolve_shape, int samples, const float *x, const float *weights,
                    const float *bias, float *y);
    void (*backward_data)(dt_kernels *, dt_convolve_shape, int samples, const float *dz, const float *weights,
                          float *dx);
    void (*backward_weights)(dt_kernels *, dt_convolve_shape, const dt_leaf_plan *, const float *x,
                             const float *dz, dt_root_sink dweights, dt_root_sink dbias);
} dt_convolve_operations;

/* A sum over units: blocks of `size` units, combined as the plan says, whose leaves they are. */
typedef struct dt_unit_plan {
    size_t size;
    dt_leaf_plan plan;
} dt_unit_plan;

/* The dense layers of an engine. */
typedef struct dt_dense_operations {
    dt_scratch_need (*need)(const dt_kernels *, dt_dense_shape, int samples);
    void (*forward)(dt_kernels *, dt_dense_shape, int rows, const float *x, const float *weights,
                    const float *bias, bool relu, float *y);
    void (*backward_data)(dt_kernels *, dt_dense_shape, const dt_unit_plan *, int rows, const float *dz,
                          const float *weights, dt_root_sink dx);
    void (*backward_weights)(dt_kernels *, dt_dense_shape, const dt_leaf_plan *, const float *x,
                             const float *dz, dt_root_sink dweights, dt_root_sink dbias);
    void (*update)(dt_kernels *, dt_dense_shape, const dt_leaf_plan *, const float *x, const float *dz,
                   dt_adam_step, float *weights, float *m, float *v);
} dt_dense_operations;

/* Everything that runs once over memory. */
typedef struct dt_stream_operations {
    void (*pool_forward)(dt_kernels *, dt_pool_shape, int samples, const float *x, float *y);
    void (*pool_backward_relu)(dt_kernels *, dt_pool_shape, int samples, const float *x, const float *dy,
                               float *dz);
    void (*relu_backward)(dt_kernels *, size_t count, float scale, const float *y, const float *dy,
                          float *dz);
    void (*dropout_forward)(dt_kernels *, dt_dropout_key, int rows, int units, const int *samples_of_rows,
                            float *y);
    void (*norm_statistics)(dt_kernels *, dt_norm_shape, const dt_leaf_plan *, const float *x,
                            double *partials);
    void (*norm_forward)(dt_kernels *, dt_norm_shape, int samples, const float *x, const float *scale,
                         const float *shift, float *y);
    void (*norm_backward_statistics)(dt_kernels *, dt_norm_shape, const dt_leaf_plan *, const float *x,
                                     const float *dy, const float *mean, const float *inverse,
                                     double *partials);
    void (*norm_backward)(dt_kernels *, dt_norm_shape, int samples, const float *x, const float *dy,
                          const float *a, const float *b, const float *c, float *dx);
    void (*adam_update)(dt_kernels *, dt_adam_step, size_t count, const float *gradient, float *weights,
                        float *m, float *v);
    bool (*all_finite)(dt_kernels *, size_t count, const float *values);
    float (*largest_magnitude)(dt_kernels *, size_t count, const float *values);
    void (*add_to)(dt_kernels *, size_t count, const float *values, float *sum);
    void (*wire_round)(dt_kernels *, size_t count, float *values);
    void (*wire_pack)(dt_kernels *, size_t count, const float *values, uint16_t *halves);
    void (*wire_unpack)(dt_kernels *, size_t count, const uint16_t *halves, float *values);
    void (*wire_adam_update)(dt_kernels *, dt_adam_step, size_t count, const float *gradient, float *weights,
                             float *m, float *v, uint16_t *halves);
    void (*wire_apply_update)(dt_kernels *, size_t count, const uint16_t *halves, float *weights);
} dt_stream_operations;

extern const dt_convolve_operations dt_convolve_reference;
extern const dt_dense_operations dt_dense_reference;
extern const dt_stream_operations dt_stream_reference;

extern const dt_convolve_operations dt_convolve_packed;
extern const dt_convolve_operations dt_convolve_blas;
extern const dt_dense_operations dt_dense_blas;
extern const dt_dense_operations dt_dense_vector;
extern const dt_dense_operations dt_dense_tiles; /* where DT_HAVE_AMX is defined */
extern const dt_stream_operations dt_stream_vector;

struct dt_kernels {
    dt_team *team;
    dt_isa isa;
    dt_isa cap; /* what may be used; isa is what is of use for the precision */
    dt_engine engine;
    dt_precision precision;
    dt_wire wire;
    const dt_bodies *bodies;
    const dt_products *products;      /* of the dense layers, in the kernels' precision */
    const dt_conv_tile_bodies *tiles; /* NULL without tile registers or in float32 */
    const dt_convolve_operations *convolve;
    const dt_dense_operations *dense;
    const dt_stream_operations *stream;
    dt_slab scratch;
    float *shared;
    float *workers; /* [worker][worker_floats] */
    size_t shared_floats, worker_floats;
};

/* Makes the scratch at least that large; what it held is lost. Before the first step only. */
dt_status dt_kernels_reserve(dt_kernels *kernels, dt_scratch_need need);

typedef void (*dt_adam_function)(dt_adam_step step, size_t count, const float *gradient, float *weights,
                                 float *m, float *v);

/* Adam's step as the wire asks for it. */
static inline dt_adam_function dt_adam_body(const dt_kernels *kernels) {
    return kernels->wire == DT_WIRE_BF16 ? kernels->bodies->adam_update_rounded
                                         : kernels->bodies->adam_update;
}

static inline float *dt_worker_scratch(const dt_kernels *kernels, int worker) {
    return kernels->workers + (size_t)worker * kernels->worker_floats;
}

#endif
