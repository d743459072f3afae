/* SPDX-License-Identifier: BSD-3-Clause */
/* The step on a rank's columns of the split layers. With one group of ranks a column has one owner, whose
 * gradient goes straight into Adam. With several groups each segment of columns has a holder in each: they
 * sum its gradient and share its step and Adam's moments among them as shards.h does. Main thread only. */
#ifndef DTRAIN_PARALLEL_COLUMNS_H
#define DTRAIN_PARALLEL_COLUMNS_H

#include "dtrain/strategy.h"
#include "parallel/grid.h"

typedef struct dt_columns dt_columns;

typedef struct dt_columns_config {
    dt_comm *all;        /* borrowed: every rank, numbered by position */
    const dt_grid *grid; /* borrowed */
    dt_model *model;     /* borrowed */
    dt_kernels *kernels; /* borrowed */
    int batch;           /* the largest global batch */
    size_t piece_floats; /* a multiple of DT_ALIGNMENT_FLOATS */
} dt_columns_config;

/* Collective. Errors, agreed on: DT_MEMORY. */
dt_status dt_columns_create(const dt_columns_config *config, dt_columns **columns);
void dt_columns_destroy(dt_columns *columns);

/* The columns of the model have been set, not by a step. */
void dt_columns_renew(dt_columns *columns);

/* A new step over a global batch of `batch` samples. */
void dt_columns_begin(dt_columns *columns, int batch);

/* The gradients of the columns of a split tensor (numbered as the layout's) are complete in the group. */
void dt_columns_gradient_ready(dt_columns *columns, int number);
void dt_columns_progress(dt_columns *columns);

/* Returns when the sums of what this rank owns stand. */
void dt_columns_finish(dt_columns *columns);

/* Whether what this rank owns of a split tensor has a finite gradient. Local. */
bool dt_columns_are_finite(dt_columns *columns, int number);

/* Adam; the columns may be on their way when it returns. */
void dt_columns_update(dt_columns *columns, dt_adam_step step);

/* Returns when this rank's columns of a split tensor are complete. */
void dt_columns_wait(dt_columns *columns, int number);

/* Moments m, or the second v, of this rank's columns, laid out as they are: complete on the ranks of group 0,
 * and from there. Returns memory of this object. Collective. */
const float *dt_columns_collect(dt_columns *columns, bool second);
void dt_columns_restore(dt_columns *columns, bool second);

/* Where dt_columns_restore takes this rank's moments from: as many floats as the layout has. */
float *dt_columns_moments(dt_columns *columns, bool second);

/* What several ranks hold: a segment's columns of a tensor. So many there are on all ranks; 0 for one group.
 * hash: of number `number`, after a wait; 0 if another rank of the group holds it. Local. */
int dt_columns_shared(const dt_columns *columns);
uint64_t dt_columns_hash(dt_columns *columns, int number);

#endif
