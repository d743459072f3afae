/* SPDX-License-Identifier: BSD-3-Clause */
/* What this machine can do, measured: the limits that every speed is reported against. Local; each takes
 * about a quarter of a second on the whole team. */
#ifndef DTRAIN_PROBE_H
#define DTRAIN_PROBE_H

#include "dtrain/kernels.h"

/* Fused multiply-adds on registers, best of several runs: GFLOP/s (two a multiply-add) of the team with the
 * kernels' instruction set. */
double dt_probe_fma_gflops(dt_kernels *kernels);

/* The instruction set whose products of bfloat16 are the fastest that CPU and kernels' cap allow, also where
 * the kernels' precision is float32; DT_ISA_BASELINE where none has them. And how fast they are, counted the
 * same way, or 0. */
dt_isa dt_probe_bf16_isa(const dt_kernels *kernels);
double dt_probe_bf16_gflops(dt_kernels *kernels);

/* a[i] = b[i] + s * c[i] on arrays far larger than the caches: GB/s counted at 12 bytes an element, best of
 * several runs. Errors: DT_MEMORY. */
dt_status dt_probe_bandwidth(dt_kernels *kernels, double *gigabytes_per_second);

/* The BLAS library's own words on itself (version, kernel in use). Static string. */
const char *dt_probe_blas(void);

#endif
