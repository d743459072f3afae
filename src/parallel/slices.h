/* SPDX-License-Identifier: BSD-3-Clause */
/* How an array is cut for the ranks: into pieces, and each piece into a slice for each rank. Pure. */
#ifndef DTRAIN_PARALLEL_SLICES_H
#define DTRAIN_PARALLEL_SLICES_H

#include <stddef.h>

/* A value. Sizes in floats, multiples of DT_ALIGNMENT_FLOATS. */
typedef struct dt_slices {
    int ranks;
    size_t floats;       /* of the array */
    size_t piece_floats; /* of a piece; the last may be shorter */
} dt_slices;

typedef struct dt_range {
    size_t begin, count;
} dt_range;

int dt_slices_pieces(const dt_slices *slices);
dt_range dt_slices_piece(const dt_slices *slices, int piece);

/* The slice of a piece that belongs to rank `owner`; it may be empty. */
dt_range dt_slices_of(const dt_slices *slices, int piece, int owner);

/* The longest slice that there is: no slice of any rank is longer. */
size_t dt_slices_longest(const dt_slices *slices);

/* The part that two ranges have in common; count 0 if there is none. */
dt_range dt_range_meet(dt_range a, dt_range b);

/* What messages are told apart by: each kind of exchange has DT_TAGS tags from its own first on. */
enum {
    DT_TAGS = 4096,
    DT_TAG_REDUCTION = 0,        /* up to two arrays are reduced at the same time */
    DT_TAG_SPREAD = 2 * DT_TAGS, /* and spread */
    DT_TAG_ACTIVATIONS = 4 * DT_TAGS,
    DT_TAG_STATE = 5 * DT_TAGS,
    DT_TAG_PROBE = 6 * DT_TAGS
};

#endif
