/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernels for all engines and instruction sets. */
#include "gradcheck/bodies.h"

#include <stdio.h>

#include "model/layer.h"
#include "test.h"

/* More than one, so that sums which depended on the threads would show. */
enum { THREADS = 2 };

static void run_one(const dt_kernels_config *config, bodies_check check, void *context) {
    char body[32];
    dt_kernels *kernels;
    snprintf(body, sizeof body, "%s/%s", dt_engine_name(config->engine), dt_isa_name(config->isa));
    assert_ok(dt_kernels_create(config, &kernels));
    check(context, kernels, body);
    dt_kernels_destroy(kernels);
}

void bodies_run(bodies_check check, void *context) {
    const dt_engine engines[] = {DT_ENGINE_REFERENCE, DT_ENGINE_BLAS, DT_ENGINE_DIRECT, DT_ENGINE_AUTO};
    dt_team *team;
    assert_ok(dt_team_create(THREADS, &team));
    for (int engine = 0; engine < 4; engine++)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= dt_isa_best(); isa++)
            run_one(&(dt_kernels_config){.team = team, .isa = isa, .engine = engines[engine]}, check,
                    context);
    dt_team_destroy(team);
}
