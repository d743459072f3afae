/* SPDX-License-Identifier: BSD-3-Clause */
/* The limits of the machine, measured with the kernels' own team and instruction set. */
#include "dtrain/probe.h"

#include <cblas.h>
#include <stdio.h>

#include "dtrain/timer.h"
#include "kernels/amx.h"
#include "kernels/bodies.h"
#include "kernels/table.h"

enum {
    RUNS = 5,
    FMA_ROUNDS = 4000000,   /* about 20 ms */
    TRIAD_FLOATS = 1 << 25, /* of each array: 134 MB, 3 of them are beyond any cache */
    TRIAD_CHUNK = 1 << 16,
    TRIAD_OFFSET =
        1 << 10 /* between arrays: a distance of a power of two would have their lines in one set */
};

typedef struct fma_call {
    float (*chains)(size_t rounds);
    volatile float sink; /* keeps the compiler from dropping the chains */
} fma_call;

static void fma_task(void *context, int task, int worker) {
    fma_call *call = context;
    float sum = call->chains(FMA_ROUNDS);
    (void)worker;
    if (task == 0)
        call->sink = sum;
}

/* `flop`: of a round. */
static double measure_chains(const dt_kernels *kernels, float (*chains)(size_t rounds), double flop) {
    fma_call call = {.chains = chains};
    int threads = dt_team_size(kernels->team);
    double flops = flop * FMA_ROUNDS * threads, best = 0;
    for (int run = 0; run < RUNS; run++) {
        double since = dt_timer_now();
        dt_team_run(kernels->team, threads, fma_task, &call);
        double rate = flops / (dt_timer_now() - since) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

double dt_probe_fma_gflops(dt_kernels *kernels) {
    return measure_chains(kernels, kernels->bodies->fma_chains, 2.0 * DT_FMA_CHAINS * kernels->bodies->width);
}

dt_isa dt_probe_bf16_isa(const dt_kernels *kernels) {
    return kernels->cap < DT_ISA_AVX512_BF16 ? DT_ISA_BASELINE : kernels->cap;
}

double dt_probe_bf16_gflops(dt_kernels *kernels) {
    dt_isa isa = dt_probe_bf16_isa(kernels);
#ifdef DT_HAVE_AMX
    if (isa == DT_ISA_AMX_BF16)
        return measure_chains(kernels, dt_amx_chains, DT_AMX_ROUND_FLOP);
#endif
#ifdef __x86_64__
    if (isa == DT_ISA_AVX512_BF16)
        return measure_chains(kernels, dt_products_avx512_bf16.pair_chains,
                              4.0 * DT_FMA_CHAINS * kernels->bodies->width);
#endif
    (void)isa;
    return 0;
}

typedef struct triad_call {
    const dt_bodies *bodies;
    float *a, *b, *c;
} triad_call;

static void triad_task(void *context, int task, int worker) {
    const triad_call *call = context;
    size_t begin = (size_t)task * TRIAD_CHUNK;
    (void)worker;
    call->bodies->triad(TRIAD_CHUNK, call->b + begin, 3.0f, call->c + begin, call->a + begin);
}

dt_status dt_probe_bandwidth(dt_kernels *kernels, double *gigabytes_per_second) {
    dt_slab slab;
    DT_TRY(dt_slab_reserve(3 * sizeof(float) * (TRIAD_FLOATS + TRIAD_OFFSET),
                           "the measurement of memory bandwidth", &slab));
    size_t stride = TRIAD_FLOATS + TRIAD_OFFSET;
    float *arrays = slab.base;
    triad_call call = {kernels->bodies, arrays, arrays + stride, arrays + 2 * stride};
    *gigabytes_per_second = 0;
    for (int run = 0; run < RUNS; run++) {
        double since = dt_timer_now();
        dt_team_run(kernels->team, TRIAD_FLOATS / TRIAD_CHUNK, triad_task, &call);
        double rate = 3.0 * sizeof(float) * TRIAD_FLOATS / (dt_timer_now() - since) * 1e-9;
        if (rate > *gigabytes_per_second)
            *gigabytes_per_second = rate;
    }
    dt_slab_release(&slab);
    return dt_ok();
}

const char *dt_probe_blas(void) {
    static char text[256];
    snprintf(text, sizeof text, "%s, kernel %s", openblas_get_config(), openblas_get_corename());
    return text;
}
