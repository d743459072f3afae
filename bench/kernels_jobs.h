/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to build/bench/kernels: kernels with data to run on. */
#ifndef DTRAIN_BENCH_KERNELS_JOBS_H
#define DTRAIN_BENCH_KERNELS_JOBS_H

#include "dtrain/conv.h"
#include "dtrain/network.h"

/* Root mean square of the difference from the twin over that of the twin's values. */
typedef struct conv_errors {
    double y, dweights, dx;
} conv_errors;

/* Errors of a method on two samples. The gradients are compared where every ReLU is open: a value near 0 that
 * passes it in one computation and not in the other would count with its whole gradient. Errors: DT_MEMORY.
 */
dt_status conv_errors_measure(dt_kernels *kernels, dt_kernels *twin, dt_conv_shape shape,
                              dt_conv_method method, conv_errors *errors);

typedef struct job job;

/* A kernel other than a convolution. */
typedef struct job_kind {
    const char *name;
    bool takes_batch;                        /* else it works on the layer's weights, whatever the batch */
    bool (*fits)(const dt_layer_spec *spec); /* whether the network runs it in this layer */
    void (*run)(job *);
    double flop;  /* of a multiply-add of the layer and sample, 0 for a pass over memory */
    double bytes; /* of memory traffic for each of its `values`, read and written */
    enum { JOB_WEIGHTS, JOB_INPUTS, JOB_OUTPUTS } values;
    enum { JOB_RESULT_Y, JOB_RESULT_DX, JOB_RESULT_WEIGHTS, JOB_RESULT_PARTIALS, JOB_RESULT_NONE } result;
} job_kind;

extern const job_kind job_kinds[];
extern const int job_kinds_count;

typedef struct job_times {
    double seconds, flop, bytes; /* of a call */
} job_times;

/* The median of `repeats` calls. Errors: DT_MEMORY. */
dt_status job_measure(const job_kind *kind, const dt_layer_spec *spec, dt_kernels *kernels, int batch,
                      int repeats, job_times *times);

/* The error on two samples; NaN for a kernel without numbers. Errors: DT_MEMORY. */
dt_status job_error(const job_kind *kind, const dt_layer_spec *spec, dt_kernels *kernels, dt_kernels *twin,
                    double *error);

#endif
