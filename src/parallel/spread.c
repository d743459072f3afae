/* SPDX-License-Identifier: BSD-3-Clause */
/* Slices from their owners to all: one set of transfers for each piece. */
#include "parallel/spread.h"

#include <assert.h>
#include <stdlib.h>

struct dt_spread {
    dt_comm *comm;
    dt_slices slices;
    float *values;
    int tag;
    int pieces;
    int lowest, highest;       /* pieces on their way: lowest .. highest - 1 and none beside them */
    dt_transfers *transfers[]; /* of each piece */
};

dt_status dt_spread_create(dt_comm *comm, dt_slices slices, float *values, int tag, dt_spread **spread) {
    int pieces = dt_slices_pieces(&slices), others = slices.ranks - 1;
    *spread = calloc(1, sizeof **spread + (size_t)pieces * sizeof(dt_transfers *));
    if (!*spread)
        return dt_fail(DT_MEMORY, "no memory for the exchange of weights");
    dt_spread *created = *spread;
    created->comm = comm;
    created->slices = slices;
    created->values = values;
    created->tag = tag;
    created->pieces = pieces;
    for (int piece = 0; piece < pieces; piece++) {
        dt_status status = dt_transfers_create(comm, 2 * others, &created->transfers[piece]);
        if (dt_failed(&status)) {
            dt_spread_destroy(created);
            *spread = NULL;
            return status;
        }
    }
    return dt_ok();
}

void dt_spread_destroy(dt_spread *spread) {
    if (!spread)
        return;
    dt_spread_wait(spread, (dt_range){0, 0});
    for (int piece = 0; piece < spread->pieces; piece++)
        dt_transfers_destroy(spread->transfers[piece]);
    free(spread);
}

void dt_spread_start(dt_spread *spread, int piece) {
    int ranks = spread->slices.ranks, rank = dt_comm_rank(spread->comm);
    assert(spread->lowest == spread->highest || piece == spread->lowest - 1);
    if (spread->lowest == spread->highest)
        spread->highest = piece + 1;
    spread->lowest = piece;
    dt_transfers *transfers = spread->transfers[piece];
    int tag = spread->tag + piece % DT_TAGS;
    dt_range mine = dt_slices_of(&spread->slices, piece, rank);
    for (int step = 1; step < ranks; step++) {
        int peer = (rank + step) % ranks;
        dt_range theirs = dt_slices_of(&spread->slices, piece, peer);
        if (theirs.count > 0)
            dt_transfers_receive(transfers, peer, tag, spread->values + theirs.begin, theirs.count);
    }
    for (int step = 1; step < ranks && mine.count > 0; step++)
        dt_transfers_send(transfers, (rank + step) % ranks, tag, spread->values + mine.begin, mine.count);
}

void dt_spread_progress(dt_spread *spread) {
    while (spread->highest > spread->lowest && dt_transfers_test(spread->transfers[spread->highest - 1]))
        spread->highest--;
}

void dt_spread_wait(dt_spread *spread, dt_range range) {
    for (; spread->highest > spread->lowest; spread->highest--) {
        dt_range piece = dt_slices_piece(&spread->slices, spread->highest - 1);
        if (piece.begin + piece.count <= range.begin)
            return;
        dt_transfers_wait(spread->transfers[spread->highest - 1]);
    }
}
