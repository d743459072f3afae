/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernels for all engines and instruction sets. */
#include "gradcheck/bodies.h"

#include <stdio.h>

#include "model/layer.h"
#include "test.h"

/* More than one, so that sums which depended on the threads would show. */
enum { THREADS = 2 };

/* The shapes of the layers, as dt_kernels_config wants them. */
typedef struct shapes {
    dt_conv_shape convs[DT_MAX_LAYERS];
    dt_dense_shape denses[DT_MAX_LAYERS];
    int conv_count, dense_count;
} shapes;

static shapes collect(const dt_layer_spec *layers, int count) {
    shapes found = {.conv_count = 0};
    for (int i = 0; i < count; i++) {
        if (layers[i].kind == DT_LAYER_CONV)
            found.convs[found.conv_count++] = dt_layer_conv_shape(&layers[i]);
        if (layers[i].kind == DT_LAYER_DENSE)
            found.denses[found.dense_count++] = dt_layer_dense_shape(&layers[i]);
    }
    return found;
}

static void run_one(const dt_kernels_config *config, bodies_check check, void *context) {
    char body[32];
    dt_kernels *kernels;
    snprintf(body, sizeof body, "%s/%s", dt_engine_name(config->engine), dt_isa_name(config->isa));
    assert_ok(dt_kernels_create(config, &kernels));
    check(context, kernels, body);
    dt_kernels_destroy(kernels);
}

void bodies_run(const dt_layer_spec *layers, int count, int samples, bodies_check check, void *context) {
    const dt_engine engines[] = {DT_ENGINE_REFERENCE, DT_ENGINE_BLAS, DT_ENGINE_AUTO};
    shapes found = collect(layers, count);
    dt_team *team;
    assert_ok(dt_team_create(THREADS, &team));
    for (int engine = 0; engine < 3; engine++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++) {
            dt_kernels_config config = {.team = team,
                                        .isa = isa,
                                        .engine = engines[engine],
                                        .convs = found.convs,
                                        .conv_count = found.conv_count,
                                        .denses = found.denses,
                                        .dense_count = found.dense_count,
                                        .samples = samples};
            run_one(&config, check, context);
        }
    dt_team_destroy(team);
}
