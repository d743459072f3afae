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

/* How a model is split. ranks 0: not at all. A group of ranks shares the units and computes them for the
 * samples of all its ranks; there may be several such groups, each with samples of its own (a process grid:
 * Gholami et al. 2018, arXiv:1712.04432). */
typedef struct dt_split {
    int ranks, rank; /* of the group */
    int batch;       /* the largest global batch */
    int first, of;   /* the group has the samples of the ranks first .. first + ranks - 1 of `of` (leaves.h);
                        of 0: all samples */
    int roots; /* the most roots of the group's samples, where the gradients of its columns are stored; 0:
                  they are not, but go into the weights with dt_model_update_split */
} dt_split;

/* The group's samples in a global batch of `batch`; none for a model that is not split. */
dt_share dt_split_samples(const dt_split *split, int batch);

/* The most samples of the group in any global batch up to split->batch. */
int dt_split_most_samples(const dt_split *split);

typedef struct dt_split_tensor {
    int tensor; /* in the tensor table: kernel or bias of a hidden dense layer */
    int rows;   /* 1 for a bias */
    dt_share units;
    size_t offset; /* floats from the start of the rank's slab */
} dt_split_tensor;

enum { DT_MAX_SPLIT_TENSORS = 4 };

typedef struct dt_split_layout {
    int count; /* in the order of the slab of parameters: last layer first, a kernel before its bias */
    dt_split_tensor tensors[DT_MAX_SPLIT_TENSORS];
    size_t floats;
} dt_split_layout;

dt_split_layout dt_split_layout_of(const dt_network *network, const dt_parameters *parameters, int ranks,
                                   int rank);

/* The layout of the units from the share low.numerator / low.denominator of all blocks on, up to the share
 * high. */
typedef struct dt_fraction {
    int numerator, denominator;
} dt_fraction;
dt_split_layout dt_split_layout_between(const dt_network *network, const dt_parameters *parameters,
                                        dt_fraction low, dt_fraction high);

/* Where the split tensors begin and end in the slab of parameters: they are neighbours. */
void dt_split_span(const dt_network *network, const dt_parameters *parameters, size_t *begin, size_t *end);

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
