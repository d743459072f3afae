/* SPDX-License-Identifier: BSD-3-Clause */
/* The hidden dense layers split over ranks by their units (Krizhevsky 2014, arXiv:1404.5997): which columns
 * of which tensors a rank has, and where they lie. Pure functions.
 *
 * A rank holds its columns of all split tensors in one slab of its own, each [rows][columns] without gaps
 * between rows, starting at multiples of DT_ALIGNMENT_FLOATS. Units are shared by whole blocks (blocks.h); a
 * rank may have none of a layer. */
#ifndef DTRAIN_SPLIT_H
#define DTRAIN_SPLIT_H

#include "dtrain/blocks.h"
#include "dtrain/parameters.h"

/* How a model is split. ranks 0: not at all. */
typedef struct dt_split {
    int ranks, rank;
    int batch; /* the largest global batch */
} dt_split;

typedef struct dt_split_tensor {
    int tensor; /* in the tensor table: kernel or bias of a hidden dense layer */
    int rows;   /* 1 for a bias */
    dt_share units;
    size_t offset; /* floats from the start of the rank's slab */
} dt_split_tensor;

enum { DT_MAX_SPLIT_TENSORS = 4 };

typedef struct dt_split_layout {
    int count; /* in the order of the tensor table */
    dt_split_tensor tensors[DT_MAX_SPLIT_TENSORS];
    size_t floats;
} dt_split_layout;

dt_split_layout dt_split_layout_of(const dt_network *network, const dt_parameters *parameters, int ranks,
                                   int rank);

/* Whether a layer's units are split. */
bool dt_split_is_split(const dt_layer_spec *layer);

/* The most ranks that a network can be split over: the fewest blocks of a split layer. */
int dt_split_most_ranks(const dt_network *network);

/* Copies a tensor's columns between a rank's slab and a slab of whole tensors. */
void dt_split_take(const dt_split_layout *layout, const dt_parameters *parameters, const float *whole,
                   float *part);
void dt_split_put(const dt_split_layout *layout, const dt_parameters *parameters, const float *part,
                  float *whole);

#endif
