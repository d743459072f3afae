/* SPDX-License-Identifier: BSD-3-Clause */
/* Every form is a rectangle of the matrix [batch][units] on each rank; what travels between two ranks is what
 * the sender's rectangle has in common with the one that the receiver wants. */
#include "parallel/activations.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "parallel/cut.h"
#include "parallel/numbers.h"
#include "parallel/parcels.h"
#include "parallel/slices.h"

/* Each layer that is summed over has a cut of its blocks of its own. */
enum { MOST_CUTS = DT_MAX_SPLIT_TENSORS / 2 };

typedef struct unit_cut {
    int units;
    dt_cut cut;
} unit_cut;

struct dt_activations {
    dt_comm *comm;
    dt_kernels *kernels;
    int ranks, rank;
    dt_split split;
    int most_samples; /* of the group */
    int batch;        /* the global one */
    dt_share samples; /* the group's in it */
    int cuts;
    unit_cut unit_cuts[MOST_CUTS];
    dt_parcels *parcels;
    dt_slab memory;
    float *packed;   /* what is sent and does not lie in one run */
    float *received; /* what comes and does not go to one run, or is to be summed */
};

/* Rows and columns of the matrix; a local array holds one of them row by row. */
typedef struct rectangle {
    int first_row, rows, first_column, columns;
} rectangle;

static size_t area(rectangle r) {
    return (size_t)r.rows * (size_t)r.columns;
}

static rectangle meet(rectangle a, rectangle b) {
    int row = larger(a.first_row, b.first_row), column = larger(a.first_column, b.first_column);
    int rows = smaller(a.first_row + a.rows, b.first_row + b.rows) - row;
    int columns = smaller(a.first_column + a.columns, b.first_column + b.columns) - column;
    return (rectangle){row, larger(rows, 0), column, larger(columns, 0)};
}

/* Samples of rank `rank` of the group. */
static dt_share samples_of(const dt_activations *self, int rank) {
    return self->split.of == 0 ? dt_leaves_share(self->batch, self->ranks, rank)
                               : dt_leaves_share(self->batch, self->split.of, self->split.first + rank);
}

/* What rank `rank` has in a form. Rows are the group's samples. */
static rectangle part_of(const dt_activations *self, dt_form form, int units, int rank) {
    rectangle part = {0, self->samples.samples, 0, units};
    if (form == DT_FORM_SAMPLES) {
        dt_share share = samples_of(self, rank);
        part.first_row = share.first_sample - self->samples.first_sample;
        part.rows = share.samples;
    } else if (form == DT_FORM_UNITS) {
        dt_share share = dt_blocks_share(units, self->ranks, rank);
        part.first_column = share.first_sample;
        part.columns = share.samples;
    }
    return part;
}

/* Whether a part of a rectangle's array lies in one run. */
static bool is_run(rectangle whole, rectangle part) {
    return part.columns == whole.columns || part.rows == 1;
}

static size_t place_of(rectangle whole, rectangle part) {
    return (size_t)(part.first_row - whole.first_row) * (size_t)whole.columns +
           (size_t)(part.first_column - whole.first_column);
}

static void pack(rectangle whole, rectangle part, const float *array, float *run) {
    const float *from = array + place_of(whole, part);
    for (int row = 0; row < part.rows; row++)
        memcpy(run + (size_t)row * (size_t)part.columns, from + (size_t)row * (size_t)whole.columns,
               (size_t)part.columns * sizeof(float));
}

static void unpack(rectangle whole, rectangle part, const float *run, float *array) {
    float *to = array + place_of(whole, part);
    for (int row = 0; row < part.rows; row++)
        memcpy(to + (size_t)row * (size_t)whole.columns, run + (size_t)row * (size_t)part.columns,
               (size_t)part.columns * sizeof(float));
}

/* What the exchanges of the worst layer need. */
typedef struct extents {
    int roots, total;        /* of a rank and of all */
    size_t packed, received; /* floats */
} extents;

static size_t largest_of(size_t a, size_t b) {
    return a > b ? a : b;
}

/* A layer's cut of its blocks, and the room for its input and its output in every form. */
static dt_status add_layer(dt_activations *self, const dt_layer_spec *layer, extents *most) {
    assert(self->cuts < MOST_CUTS);
    unit_cut *made = &self->unit_cuts[self->cuts++];
    int units = layer->out.channels, blocks = dt_blocks_count(units);
    made->units = units;
    DT_TRY(dt_cut_create(blocks * DT_LEAF_SAMPLES, self->ranks, self->rank, &made->cut));
    dt_cut_set(&made->cut, blocks * DT_LEAF_SAMPLES);
    int roots = dt_cut_roots_of(&made->cut, self->rank), total = made->cut.first_root[self->ranks];
    int of = self->split.of == 0 ? self->ranks : self->split.of;
    int leaves = (dt_leaves_count(self->split.batch) + of - 1) / of;
    size_t batch = (size_t)self->most_samples, in = (size_t)layer->in.channels;
    size_t all_units = batch * (size_t)units, all_roots = (size_t)roots * batch * in;
    size_t own_samples = (size_t)(leaves * DT_LEAF_SAMPLES) * in;
    size_t own_units = batch * (size_t)dt_blocks_share(layer->in.channels, self->ranks, self->rank).samples;
    most->roots = larger(most->roots, larger(roots, 1));
    most->total = larger(most->total, larger(total, self->ranks));
    most->packed = largest_of(most->packed, largest_of(all_roots, all_units));
    most->received =
        largest_of(most->received, largest_of((size_t)total * largest_of(own_samples, own_units), all_units));
    return dt_ok();
}

static dt_status reserve(dt_activations *self, const dt_network *network) {
    extents most = {0};
    for (int i = 0; i < network->count; i++)
        if (dt_split_is_split(&network->layers[i]))
            DT_TRY(add_layer(self, &network->layers[i], &most));
    DT_TRY(dt_parcels_create(self->comm, self->kernels, self->ranks * most.roots + most.total,
                             most.packed + most.received, &self->parcels));
    DT_TRY(dt_slab_reserve((most.packed + most.received) * sizeof(float), "the exchange of activations",
                           &self->memory));
    self->packed = self->memory.base;
    self->received = self->packed + most.packed;
    return dt_ok();
}

dt_status dt_activations_create(dt_comm *comm, dt_kernels *kernels, const dt_network *network, dt_split split,
                                dt_activations **activations) {
    dt_activations *self = calloc(1, sizeof *self);
    *activations = NULL;
    if (!self)
        return dt_fail(DT_MEMORY, "no memory for the exchange of activations");
    self->comm = comm;
    self->kernels = kernels;
    self->ranks = dt_comm_size(comm);
    self->rank = dt_comm_rank(comm);
    self->split = split;
    self->most_samples = dt_split_most_samples(&split);
    assert(self->ranks == split.ranks && self->rank == split.rank);
    dt_status status = reserve(self, network);
    if (dt_failed(&status))
        dt_activations_destroy(self);
    else
        *activations = self;
    return status;
}

void dt_activations_destroy(dt_activations *activations) {
    if (!activations)
        return;
    for (int i = 0; i < activations->cuts; i++)
        dt_cut_release(&activations->unit_cuts[i].cut);
    dt_parcels_destroy(activations->parcels);
    dt_slab_release(&activations->memory);
    free(activations);
}

void dt_activations_set(dt_activations *activations, int batch) {
    assert(batch <= activations->split.batch);
    activations->batch = batch;
    activations->samples = dt_split_samples(&activations->split, batch);
}

/* One exchange. */
typedef struct exchange {
    dt_activations *self;
    dt_reshape shape;
    const dt_cut *cut; /* of the blocks that are summed over; NULL: nothing is summed */
    rectangle have, want;
    const float *source;
    size_t stride; /* floats from one root's array to the next */
    float *target;
} exchange;

static const dt_cut *cut_of(const dt_activations *self, int units) {
    for (int i = 0; i < self->cuts; i++)
        if (self->unit_cuts[i].units == units)
            return &self->unit_cuts[i].cut;
    assert(units == 0);
    return NULL;
}

static int roots_of(const exchange *e, int rank) {
    return e->cut ? dt_cut_roots_of(e->cut, rank) : 1;
}

static rectangle from_peer(const exchange *e, int peer) {
    return meet(part_of(e->self, e->shape.from, e->shape.units, peer), e->want);
}

static rectangle to_peer(const exchange *e, int peer) {
    return meet(e->have, part_of(e->self, e->shape.to, e->shape.units, peer));
}

static int peer_at(const exchange *e, int step) {
    return (e->self->rank + step) % e->self->ranks;
}

/* Whether what comes goes straight to the target. */
static bool lands_in_place(const exchange *e, rectangle part) {
    return !e->cut && is_run(e->want, part);
}

static void post_receives(const exchange *e) {
    float *next = e->self->received;
    for (int step = 1; step < e->self->ranks; step++) {
        int peer = peer_at(e, step);
        rectangle part = from_peer(e, peer);
        if (area(part) == 0)
            continue;
        for (int root = 0; root < roots_of(e, peer); root++) {
            float *to = next;
            if (e->cut)
                to = e->self->received + (size_t)(e->cut->first_root[peer] + root) * area(e->want);
            else if (lands_in_place(e, part))
                to = e->target + place_of(e->want, part);
            else
                next += area(part);
            dt_parcels_receive(e->self->parcels, peer, DT_TAG_ACTIVATIONS + root, to, area(part));
        }
    }
}

static void post_sends(const exchange *e) {
    float *next = e->self->packed;
    for (int step = 1; step < e->self->ranks; step++) {
        int peer = peer_at(e, step);
        rectangle part = to_peer(e, peer);
        if (area(part) == 0)
            continue;
        for (int root = 0; root < roots_of(e, e->self->rank); root++) {
            const float *array = e->source + (size_t)root * e->stride, *from = next;
            if (is_run(e->have, part)) {
                from = array + place_of(e->have, part);
            } else {
                pack(e->have, part, array, next);
                next += area(part);
            }
            dt_parcels_send(e->self->parcels, peer, DT_TAG_ACTIVATIONS + root, from, area(part));
        }
    }
}

/* What stays on this rank. */
static void copy_own(const exchange *e) {
    rectangle part = meet(e->have, e->want);
    if (area(part) == 0)
        return;
    if (!e->cut) {
        const float *from = e->source + place_of(e->have, part);
        float *to = e->target + place_of(e->want, part);
        for (int row = 0; row < part.rows; row++)
            memcpy(to + (size_t)row * (size_t)e->want.columns, from + (size_t)row * (size_t)e->have.columns,
                   (size_t)part.columns * sizeof(float));
        return;
    }
    int first = e->cut->first_root[e->self->rank];
    for (int root = 0; root < roots_of(e, e->self->rank); root++)
        pack(e->have, part, e->source + (size_t)root * e->stride,
             e->self->received + (size_t)(first + root) * area(part));
}

static void unpack_received(const exchange *e) {
    const float *next = e->self->received;
    for (int step = 1; step < e->self->ranks; step++) {
        rectangle part = from_peer(e, peer_at(e, step));
        if (area(part) == 0 || lands_in_place(e, part))
            continue;
        unpack(e->want, part, next, e->target);
        next += area(part);
    }
}

/* The tree over all ranks' roots. */
static void sum_received(const exchange *e) {
    size_t count = area(e->want);
    float *stack[DT_LEAF_DEPTH];
    int height = 0;
    if (count == 0)
        return;
    for (int value = 0; value < e->cut->first_root[e->self->ranks]; value++) {
        stack[height++] = e->self->received + (size_t)value * count;
        for (int merge = 0; merge < e->cut->merges[value]; merge++, height--) {
            assert(height > 1);
            dt_add_to(e->self->kernels, count, stack[height - 1], stack[height - 2]);
        }
    }
    assert(height == 1);
    memcpy(e->target, stack[0], count * sizeof(float));
}

void dt_activations_reshape(dt_activations *activations, dt_reshape shape, const float *source,
                            float *target) {
    exchange e = {.self = activations, .shape = shape, .source = source, .target = target};
    e.cut = cut_of(activations, shape.summed_units);
    e.have = part_of(activations, shape.from, shape.units, activations->rank);
    e.want = part_of(activations, shape.to, shape.units, activations->rank);
    e.stride = dt_align_floats((size_t)activations->most_samples * (size_t)shape.units);
    post_receives(&e);
    post_sends(&e);
    copy_own(&e);
    dt_parcels_wait(activations->parcels);
    if (e.cut)
        sum_received(&e);
    else
        unpack_received(&e);
}
