/* SPDX-License-Identifier: BSD-3-Clause */
/* Every set of kernels that this CPU can run: engine by engine, instruction set by instruction set. */
#ifndef DTRAIN_TESTS_BODIES_H
#define DTRAIN_TESTS_BODIES_H

#include "dtrain/kernels.h"
#include "dtrain/network.h"

/* Calls `check` with kernels of each kind. `body` names them, as "auto/avx2". */
typedef void (*bodies_check)(void *context, dt_kernels *kernels, const char *body);
void bodies_run(bodies_check check, void *context);

#endif
