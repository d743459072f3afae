/* SPDX-License-Identifier: BSD-3-Clause */
/* Slices from their owners to all: one set of transfers for each piece. */
#include "parallel/spread.h"

#include <assert.h>
#include <stdlib.h>

#include "dtrain/memory.h"

struct dt_spread {
    dt_comm *comm;
    dt_kernels *kernels;
    dt_slices slices;
    float *values;
    dt_slab updates; /* [slices.floats] halves; none with DT_WIRE_FP32 */
    int tag;
    int pieces;
    int lowest, highest;       /* pieces on their way: lowest .. highest - 1 and none beside them */
    dt_transfers *transfers[]; /* of each piece */
};

dt_status dt_spread_create(dt_comm *comm, dt_kernels *kernels, dt_slices slices, float *values, int tag,
                           dt_spread **spread) {
    int pieces = dt_slices_pieces(&slices), others = slices.ranks - 1;
    *spread = calloc(1, sizeof **spread + (size_t)pieces * sizeof(dt_transfers *));
    if (!*spread)
        return dt_fail(DT_MEMORY, "no memory for the exchange of weights");
    dt_spread *created = *spread;
    created->comm = comm;
    created->kernels = kernels;
    created->slices = slices;
    created->values = values;
    created->tag = tag;
    created->pieces = pieces;
    size_t halves = dt_kernels_wire(kernels) == DT_WIRE_BF16 ? slices.floats : 0;
    dt_status status = dt_slab_reserve(halves * sizeof(uint16_t), "updates as bfloat16", &created->updates);
    for (int piece = 0; piece < pieces && !dt_failed(&status); piece++)
        status = dt_transfers_create(comm, 2 * others, &created->transfers[piece]);
    if (dt_failed(&status)) {
        dt_spread_destroy(created);
        *spread = NULL;
    }
    return status;
}

void dt_spread_destroy(dt_spread *spread) {
    if (!spread)
        return;
    dt_spread_wait(spread, (dt_range){0, 0});
    for (int piece = 0; piece < spread->pieces; piece++)
        dt_transfers_destroy(spread->transfers[piece]);
    dt_slab_release(&spread->updates);
    free(spread);
}

uint16_t *dt_spread_updates(dt_spread *spread, dt_range slice) {
    return spread->updates.base ? (uint16_t *)spread->updates.base + slice.begin : NULL;
}

static void receive(dt_spread *spread, int piece, int rank, int tag, dt_range slice) {
    uint16_t *updates = dt_spread_updates(spread, slice);
    if (updates)
        dt_transfers_receive_halves(spread->transfers[piece], rank, tag, updates, slice.count);
    else
        dt_transfers_receive(spread->transfers[piece], rank, tag, spread->values + slice.begin, slice.count);
}

static void send(dt_spread *spread, int piece, int rank, int tag, dt_range slice) {
    const uint16_t *updates = dt_spread_updates(spread, slice);
    if (updates)
        dt_transfers_send_halves(spread->transfers[piece], rank, tag, updates, slice.count);
    else
        dt_transfers_send(spread->transfers[piece], rank, tag, spread->values + slice.begin, slice.count);
}

/* The highest piece on its way has arrived. */
static void complete(dt_spread *spread) {
    int piece = --spread->highest, rank = dt_comm_rank(spread->comm);
    for (int owner = 0; owner < spread->slices.ranks && spread->updates.base; owner++) {
        dt_range slice = dt_slices_of(&spread->slices, piece, owner);
        if (owner != rank && slice.count > 0)
            dt_wire_apply_update(spread->kernels, slice.count, dt_spread_updates(spread, slice),
                                 spread->values + slice.begin);
    }
}

void dt_spread_start(dt_spread *spread, int piece) {
    int ranks = spread->slices.ranks, rank = dt_comm_rank(spread->comm);
    assert(spread->lowest == spread->highest || piece == spread->lowest - 1);
    if (spread->lowest == spread->highest)
        spread->highest = piece + 1;
    spread->lowest = piece;
    int tag = spread->tag + piece % DT_TAGS;
    dt_range mine = dt_slices_of(&spread->slices, piece, rank);
    for (int step = 1; step < ranks; step++) {
        int peer = (rank + step) % ranks;
        dt_range theirs = dt_slices_of(&spread->slices, piece, peer);
        if (theirs.count > 0)
            receive(spread, piece, peer, tag, theirs);
    }
    for (int step = 1; step < ranks && mine.count > 0; step++)
        send(spread, piece, (rank + step) % ranks, tag, mine);
}

void dt_spread_progress(dt_spread *spread) {
    while (spread->highest > spread->lowest && dt_transfers_test(spread->transfers[spread->highest - 1]))
        complete(spread);
}

void dt_spread_wait(dt_spread *spread, dt_range range) {
    while (spread->highest > spread->lowest) {
        dt_range piece = dt_slices_piece(&spread->slices, spread->highest - 1);
        if (piece.begin + piece.count <= range.begin)
            return;
        dt_transfers_wait(spread->transfers[spread->highest - 1]);
        complete(spread);
    }
}
