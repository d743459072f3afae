/* SPDX-License-Identifier: BSD-3-Clause */
/* A range of the parameters in slices of owners. */
#include "parallel/shards.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "parallel/reduction.h"
#include "parallel/spread.h"

struct dt_shards {
    dt_shards_config config;
    dt_slices slices; /* of the range */
    int rank, pieces;
    dt_reduction *reduction;
    dt_spread *spread;
    dt_transfers *state; /* moments of a piece on their way */
    size_t own_floats;   /* of this rank's slices */
    dt_slab moments;     /* m, then v: this rank's slices one behind the other */
};

static dt_range own_slice(const dt_shards *shards, int piece) {
    return dt_slices_of(&shards->slices, piece, shards->rank);
}

static dt_status open_exchanges(dt_shards *shards) {
    const dt_shards_config *config = &shards->config;
    dt_reduction_config sum = {.comm = config->comm,
                               .kernels = config->kernels,
                               .cut = config->cut,
                               .sharing = config->sharing,
                               .number = config->number,
                               .base = config->gradients,
                               .stride = config->stride,
                               .floats = config->range.count,
                               .piece_floats = config->piece_floats,
                               .tag = DT_TAG_REDUCTION + config->number * DT_TAGS,
                               .keep = !config->store_gradients};
    DT_TRY(dt_reduction_create(&sum, &shards->reduction));
    DT_TRY(dt_transfers_create(config->comm, 2 * shards->slices.ranks, &shards->state));
    dt_spread_config spread = {.comm = config->comm,
                               .kernels = config->kernels,
                               .slices = shards->slices,
                               .values = config->weights + config->range.begin,
                               .tag = DT_TAG_SPREAD + config->number * DT_TAGS,
                               .sharing = config->sharing,
                               .number = config->number};
    return dt_spread_create(&spread, &shards->spread);
}

dt_status dt_shards_create(const dt_shards_config *config, dt_shards **shards) {
    dt_shards *created = calloc(1, sizeof *created);
    *shards = NULL;
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for the shares of the optimizer");
    created->config = *config;
    created->slices = (dt_slices){dt_comm_size(config->comm), config->range.count, config->piece_floats};
    created->rank = dt_comm_rank(config->comm);
    created->pieces = dt_slices_pieces(&created->slices);
    for (int piece = 0; piece < created->pieces; piece++)
        created->own_floats += own_slice(created, piece).count;
    dt_status status =
        dt_slab_reserve(2 * created->own_floats * sizeof(float), "Adam's moments", &created->moments);
    if (!dt_failed(&status))
        status = open_exchanges(created);
    if (dt_failed(&status))
        dt_shards_destroy(created);
    else
        *shards = created;
    return status;
}

void dt_shards_destroy(dt_shards *shards) {
    if (!shards)
        return;
    dt_spread_destroy(shards->spread);
    dt_reduction_destroy(shards->reduction);
    dt_transfers_destroy(shards->state);
    dt_slab_release(&shards->moments);
    free(shards);
}

void dt_shards_begin(dt_shards *shards) {
    dt_reduction_begin(shards->reduction);
}

void dt_shards_extend(dt_shards *shards, size_t end) {
    assert(end >= shards->config.range.begin);
    dt_reduction_extend(shards->reduction, end - shards->config.range.begin);
}

void dt_shards_progress(dt_shards *shards) {
    dt_spread_progress(shards->spread);
    dt_reduction_progress(shards->reduction);
}

void dt_shards_finish(dt_shards *shards) {
    dt_reduction_finish(shards->reduction);
}

/* A range of the slab as one of the shared range. */
static dt_range inside(const dt_shards *shards, dt_range range) {
    dt_range common = dt_range_meet(range, shards->config.range);
    common.begin -= common.count > 0 ? shards->config.range.begin : common.begin;
    return common;
}

bool dt_shards_are_finite(dt_shards *shards, dt_range range) {
    const float *gradients = shards->config.gradients;
    dt_range wanted = inside(shards, range);
    for (int piece = 0; piece < shards->pieces; piece++) {
        dt_range part = dt_range_meet(own_slice(shards, piece), wanted);
        if (part.count > 0 && !dt_all_finite(shards->config.kernels, part.count, gradients + part.begin))
            return false;
    }
    return true;
}

/* The moments of this rank's slices, first piece first: `place` walks along. */
static float *moments_at(const dt_shards *shards, size_t place, bool second) {
    return (float *)shards->moments.base + (second ? shards->own_floats : 0) + place;
}

/* The last piece first: the forward pass needs the weights of the first layers first. */
void dt_shards_update(dt_shards *shards, dt_adam_step step) {
    const dt_shards_config *config = &shards->config;
    float *weights = config->weights + config->range.begin;
    const float *gradients = config->gradients;
    size_t place = shards->own_floats;
    dt_spread_wait(shards->spread, (dt_range){0, 0});
    dt_reduction_await_node(shards->reduction);
    for (int piece = shards->pieces - 1; piece >= 0; piece--) {
        dt_range slice = own_slice(shards, piece);
        place -= slice.count;
        float *m = moments_at(shards, place, false), *v = moments_at(shards, place, true);
        uint16_t *updates = dt_spread_updates(shards->spread, slice);
        if (slice.count > 0 && updates)
            dt_wire_adam_update(config->kernels, step, slice.count, gradients + slice.begin,
                                weights + slice.begin, m, v, updates);
        else if (slice.count > 0)
            dt_adam_update(config->kernels, step, slice.count, gradients + slice.begin, weights + slice.begin,
                           m, v);
        dt_spread_start(shards->spread, piece);
        dt_spread_progress(shards->spread);
    }
}

void dt_shards_wait(dt_shards *shards, dt_range range) {
    dt_range wanted = inside(shards, range);
    if (wanted.count > 0)
        dt_spread_wait(shards->spread, wanted);
}

/* Moments of one piece between this rank and rank 0, whose slabs are m and v. */
static void exchange_piece(dt_shards *shards, int piece, float *moments, float *whole, bool collect) {
    dt_range mine = own_slice(shards, piece);
    int tag = DT_TAG_STATE;
    if (shards->rank != 0) {
        if (mine.count > 0 && collect)
            dt_transfers_send(shards->state, 0, tag, moments, mine.count);
        else if (mine.count > 0)
            dt_transfers_receive(shards->state, 0, tag, moments, mine.count);
    } else {
        float *slab = whole + shards->config.range.begin;
        if (mine.count > 0)
            memcpy(collect ? slab + mine.begin : moments, collect ? moments : slab + mine.begin,
                   mine.count * sizeof(float));
        for (int peer = 1; peer < shards->slices.ranks; peer++) {
            dt_range theirs = dt_slices_of(&shards->slices, piece, peer);
            if (theirs.count > 0 && collect)
                dt_transfers_receive(shards->state, peer, tag, slab + theirs.begin, theirs.count);
            else if (theirs.count > 0)
                dt_transfers_send(shards->state, peer, tag, slab + theirs.begin, theirs.count);
        }
    }
    dt_transfers_wait(shards->state);
}

static void exchange_moments(dt_shards *shards, bool second, float *whole, bool collect) {
    size_t place = 0;
    for (int piece = 0; piece < shards->pieces; piece++) {
        exchange_piece(shards, piece, moments_at(shards, place, second), whole, collect);
        place += own_slice(shards, piece).count;
    }
}

void dt_shards_collect_moment(dt_shards *shards, bool second, float *slab) {
    exchange_moments(shards, second, slab, true);
}

void dt_shards_restore_moment(dt_shards *shards, bool second, const float *slab) {
    /* Nothing is written through it in this direction. */
    exchange_moments(shards, second, (float *)(uintptr_t)slab, false);
}

void dt_shards_collect(dt_shards *shards, float *m, float *v) {
    dt_shards_collect_moment(shards, false, m);
    dt_shards_collect_moment(shards, true, v);
}

void dt_shards_restore(dt_shards *shards, const float *m, const float *v) {
    dt_shards_restore_moment(shards, false, m);
    dt_shards_restore_moment(shards, true, v);
}
