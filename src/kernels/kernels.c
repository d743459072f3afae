/* SPDX-License-Identifier: BSD-3-Clause */
/* Which bodies run: the choice of instruction set and engine, scratch memory, and the calls through the
 * tables. */
#include "dtrain/kernels.h"

#include <assert.h>
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/amx.h"
#include "kernels/sizes.h"
#include "kernels/table.h"

/* In rising order. */
static const struct {
    const char *name;
    const dt_bodies *bodies; /* NULL where the target has no such instructions */
    const dt_products *bf16;
} sets[] = {
    [DT_ISA_BASELINE] = {"baseline", &dt_bodies_baseline, &dt_products_bf16_baseline},
#ifdef __x86_64__
    [DT_ISA_AVX2] = {"avx2", &dt_bodies_avx2, &dt_products_bf16_avx2},
    [DT_ISA_AVX512] = {"avx512", &dt_bodies_avx512, &dt_products_bf16_avx512},
    [DT_ISA_AVX512_BF16] = {"avx512_bf16", &dt_bodies_avx512, &dt_products_avx512_bf16},
    [DT_ISA_AMX_BF16] = {"amx_bf16", &dt_bodies_avx512, &dt_products_avx512_bf16},
#else
    [DT_ISA_AVX2] = {"avx2", NULL, NULL},
    [DT_ISA_AVX512] = {"avx512", NULL, NULL},
    [DT_ISA_AVX512_BF16] = {"avx512_bf16", NULL, NULL},
    [DT_ISA_AMX_BF16] = {"amx_bf16", NULL, NULL},
#endif
    [DT_ISA_BEST] = {"best", NULL, NULL},
};

static const struct {
    const char *name;
    const dt_convolve_operations *convolve;
    const dt_dense_operations *dense;
    const dt_stream_operations *stream;
} engines[] = {
    [DT_ENGINE_AUTO] = {"auto", &dt_convolve_packed, &dt_dense_vector, &dt_stream_vector},
    [DT_ENGINE_DIRECT] = {"direct", &dt_convolve_packed, &dt_dense_vector, &dt_stream_vector},
    [DT_ENGINE_BLAS] = {"blas", &dt_convolve_blas, &dt_dense_blas, &dt_stream_vector},
    [DT_ENGINE_REFERENCE] = {"reference", &dt_convolve_reference, &dt_dense_reference, &dt_stream_reference},
};

const char *dt_isa_name(dt_isa isa) {
    return sets[isa].name;
}

const char *dt_engine_name(dt_engine engine) {
    return engines[engine].name;
}

const char *dt_precision_name(dt_precision precision) {
    return precision == DT_PRECISION_BF16 ? "bf16" : "fp32";
}

const char *dt_wire_name(dt_wire wire) {
    return wire == DT_WIRE_BF16 ? "bf16" : "fp32";
}

dt_isa dt_isa_highest(void) {
#ifdef __x86_64__
    if (dt_isa_best() == DT_ISA_AVX512 && __builtin_cpu_supports("avx512bf16"))
        return dt_amx_allowed() ? DT_ISA_AMX_BF16 : DT_ISA_AVX512_BF16;
#endif
    return dt_isa_best();
}

dt_isa dt_isa_used(dt_isa isa, dt_precision precision) {
    return precision == DT_PRECISION_FP32 && isa > DT_ISA_AVX512 ? DT_ISA_AVX512 : isa;
}

dt_isa dt_isa_best(void) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return DT_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return DT_ISA_AVX2;
#endif
    return DT_ISA_BASELINE;
}

/* The instruction set that DTRAIN_ISA names. */
static dt_status read_isa(const char *text, dt_isa *isa) {
    *isa = DT_ISA_BEST;
    if (!text || !*text || strcmp(text, "auto") == 0)
        return dt_ok();
    for (*isa = DT_ISA_BASELINE; *isa < DT_ISA_BEST; (*isa)++)
        if (strcmp(text, sets[*isa].name) == 0)
            return dt_ok();
    return dt_fail(
        DT_USAGE,
        "DTRAIN_ISA: '%.100s' is not allowed: auto, baseline, avx2, avx512, avx512_bf16 or amx_bf16", text);
}

dt_status dt_isa_choose(dt_isa wish, const char *environment, dt_isa best, dt_isa *chosen) {
    const char *from = "";
    *chosen = best;
    if (wish == DT_ISA_BEST) {
        from = "DTRAIN_ISA: ";
        DT_TRY(read_isa(environment, &wish));
    }
    if (wish == DT_ISA_BEST)
        return dt_ok();
    if (wish > best)
        return dt_fail(DT_MACHINE, "%sinstruction set %s is asked for, but this CPU has only %s", from,
                       dt_isa_name(wish), dt_isa_name(best));
    *chosen = wish;
    return dt_ok();
}

int dt_norm_groups(dt_norm_shape shape) {
    return shape.by_rows ? shape.height : shape.channels;
}

/* No two calls overlap in time, so all share one scratch. */
dt_status dt_kernels_reserve(dt_kernels *kernels, dt_scratch_need need) {
    size_t shared = larger(kernels->shared_floats, dt_align_floats(need.shared));
    size_t worker = larger(kernels->worker_floats, dt_align_floats(need.worker));
    if (shared == kernels->shared_floats && worker == kernels->worker_floats)
        return dt_ok();
    dt_slab_release(&kernels->scratch);
    kernels->shared_floats = kernels->worker_floats = 0;
    size_t floats = shared + worker * (size_t)dt_team_size(kernels->team);
    DT_TRY(dt_slab_reserve(floats * sizeof(float), "the kernels' scratch", &kernels->scratch));
    kernels->shared = kernels->scratch.base;
    kernels->workers = kernels->shared + shared;
    kernels->shared_floats = shared;
    kernels->worker_floats = worker;
    return dt_ok();
}

dt_status dt_convolve_reserve(dt_kernels *kernels, dt_convolve_shape shape, int samples) {
    return dt_kernels_reserve(kernels, kernels->convolve->need(kernels, shape, samples));
}

dt_status dt_dense_reserve(dt_kernels *kernels, dt_dense_shape shape, int samples) {
    return dt_kernels_reserve(kernels, kernels->dense->need(kernels, shape, samples));
}

dt_status dt_kernels_create(const dt_kernels_config *config, dt_kernels **kernels) {
    bool bf16 = config->precision == DT_PRECISION_BF16;
    dt_isa isa;
    *kernels = NULL;
    DT_TRY(dt_isa_choose(config->isa, getenv("DTRAIN_ISA"), dt_isa_highest(), &isa));
    if (bf16 && config->engine != DT_ENGINE_AUTO)
        return dt_fail(DT_USAGE, "precision bf16 goes with engine auto, not with %s",
                       dt_engine_name(config->engine));
    dt_kernels *created = calloc(1, sizeof *created);
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for the kernels");
    created->team = config->team;
    created->cap = isa;
    created->isa = dt_isa_used(isa, config->precision);
    created->bodies = sets[created->isa].bodies;
    created->precision = config->precision;
    created->wire = config->wire;
    created->products = bf16 ? sets[created->isa].bf16 : &created->bodies->products;
    created->engine = config->engine;
    created->convolve = engines[config->engine].convolve;
    created->dense = engines[config->engine].dense;
#ifdef DT_HAVE_AMX
    if (created->isa == DT_ISA_AMX_BF16) {
        created->tiles = &dt_conv_tiles_amx_bf16;
        created->dense = &dt_dense_tiles;
    }
#endif
    created->stream = engines[config->engine].stream;
    openblas_set_num_threads(1);
    *kernels = created;
    return dt_ok();
}

void dt_kernels_destroy(dt_kernels *kernels) {
    if (!kernels)
        return;
    dt_slab_release(&kernels->scratch);
    free(kernels);
}

dt_isa dt_kernels_isa(const dt_kernels *kernels) {
    return kernels->isa;
}

dt_engine dt_kernels_engine(const dt_kernels *kernels) {
    return kernels->engine;
}

dt_precision dt_kernels_precision(const dt_kernels *kernels) {
    return kernels->precision;
}

dt_wire dt_kernels_wire(const dt_kernels *kernels) {
    return kernels->wire;
}

dt_team *dt_kernels_team(const dt_kernels *kernels) {
    return kernels->team;
}

void dt_convolve_forward(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *x,
                         const float *weights, const float *bias, float *y) {
    kernels->convolve->forward(kernels, shape, samples, x, weights, bias, y);
}

void dt_convolve_backward_data(dt_kernels *kernels, dt_convolve_shape shape, int samples, const float *dz,
                               const float *weights, float *dx) {
    kernels->convolve->backward_data(kernels, shape, samples, dz, weights, dx);
}

void dt_convolve_backward_weights(dt_kernels *kernels, dt_convolve_shape shape, const dt_leaf_plan *plan,
                                  const float *x, const float *dz, dt_root_sink dweights,
                                  dt_root_sink dbias) {
    kernels->convolve->backward_weights(kernels, shape, plan, x, dz, dweights, dbias);
}

void dt_dense_forward(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *x,
                      const float *weights, const float *bias, bool relu, float *y) {
    kernels->dense->forward(kernels, shape, rows, x, weights, bias, relu, y);
}

void dt_dense_backward_data(dt_kernels *kernels, dt_dense_shape shape, int rows, const float *dz,
                            const float *weights, float *dx) {
    dt_dense_backward_data_share(kernels, shape, dt_blocks_share(shape.out, 1, 0), rows, dz, weights,
                                 (dt_root_sink){dx, 0});
}

void dt_dense_backward_data_share(dt_kernels *kernels, dt_dense_shape shape, dt_share units, int rows,
                                  const float *dz, const float *weights, dt_root_sink dx) {
    unsigned char merges[DT_MOST_BLOCKS];
    assert(shape.out == units.samples && units.leaves <= DT_MOST_BLOCKS);
    if (units.leaves == 0 || rows == 0)
        return;
    dt_unit_plan plan = {(size_t)dt_blocks_size(units.batch), dt_leaves_plan(&units, merges, NULL)};
    kernels->dense->backward_data(kernels, shape, &plan, rows, dz, weights, dx);
}

void dt_dense_backward_weights(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan,
                               const float *x, const float *dz, dt_root_sink dweights, dt_root_sink dbias) {
    kernels->dense->backward_weights(kernels, shape, plan, x, dz, dweights, dbias);
}

void dt_dense_update(dt_kernels *kernels, dt_dense_shape shape, const dt_leaf_plan *plan, const float *x,
                     const float *dz, dt_adam_step step, float *weights, float *m, float *v) {
    assert(plan->roots == 1);
    kernels->dense->update(kernels, shape, plan, x, dz, step, weights, m, v);
}

void dt_pool_forward(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x, float *y) {
    kernels->stream->pool_forward(kernels, shape, samples, x, y);
}

void dt_pool_backward_relu(dt_kernels *kernels, dt_pool_shape shape, int samples, const float *x,
                           const float *dy, float *dz) {
    kernels->stream->pool_backward_relu(kernels, shape, samples, x, dy, dz);
}

void dt_relu_backward(dt_kernels *kernels, size_t count, float scale, const float *y, const float *dy,
                      float *dz) {
    kernels->stream->relu_backward(kernels, count, scale, y, dy, dz);
}

void dt_dropout_forward(dt_kernels *kernels, dt_dropout_key key, int rows, int units,
                        const int *samples_of_rows, float *y) {
    kernels->stream->dropout_forward(kernels, key, rows, units, samples_of_rows, y);
}

void dt_norm_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan, const float *x,
                        double *partials) {
    kernels->stream->norm_statistics(kernels, shape, plan, x, partials);
}

void dt_norm_forward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x,
                     const float *scale, const float *shift, float *y) {
    kernels->stream->norm_forward(kernels, shape, samples, x, scale, shift, y);
}

void dt_norm_backward_statistics(dt_kernels *kernels, dt_norm_shape shape, const dt_leaf_plan *plan,
                                 const float *x, const float *dy, const float *mean, const float *inverse,
                                 double *partials) {
    kernels->stream->norm_backward_statistics(kernels, shape, plan, x, dy, mean, inverse, partials);
}

void dt_norm_backward(dt_kernels *kernels, dt_norm_shape shape, int samples, const float *x, const float *dy,
                      const float *a, const float *b, const float *c, float *dx) {
    kernels->stream->norm_backward(kernels, shape, samples, x, dy, a, b, c, dx);
}

void dt_adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                    float *weights, float *m, float *v) {
    kernels->stream->adam_update(kernels, step, count, gradient, weights, m, v);
}

bool dt_all_finite(dt_kernels *kernels, size_t count, const float *values) {
    return kernels->stream->all_finite(kernels, count, values);
}

float dt_largest_magnitude(dt_kernels *kernels, size_t count, const float *values) {
    return kernels->stream->largest_magnitude(kernels, count, values);
}

void dt_add_to(dt_kernels *kernels, size_t count, const float *values, float *sum) {
    kernels->stream->add_to(kernels, count, values, sum);
}

void dt_wire_round(dt_kernels *kernels, size_t count, float *values) {
    if (kernels->wire == DT_WIRE_BF16)
        kernels->stream->wire_round(kernels, count, values);
}

void dt_wire_pack(dt_kernels *kernels, size_t count, const float *values, uint16_t *halves) {
    kernels->stream->wire_pack(kernels, count, values, halves);
}

void dt_wire_unpack(dt_kernels *kernels, size_t count, const uint16_t *halves, float *values) {
    kernels->stream->wire_unpack(kernels, count, halves, values);
}

void dt_wire_adam_update(dt_kernels *kernels, dt_adam_step step, size_t count, const float *gradient,
                         float *weights, float *m, float *v, uint16_t *halves) {
    assert(kernels->wire == DT_WIRE_BF16);
    kernels->stream->wire_adam_update(kernels, step, count, gradient, weights, m, v, halves);
}

void dt_wire_apply_update(dt_kernels *kernels, size_t count, const uint16_t *halves, float *weights) {
    kernels->stream->wire_apply_update(kernels, count, halves, weights);
}
