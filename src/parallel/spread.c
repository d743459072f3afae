/* SPDX-License-Identifier: BSD-3-Clause */
/* Slices from their owners to all: one set of transfers for each piece. */
#include "parallel/spread.h"

#include <assert.h>
#include <stdlib.h>

#include "dtrain/memory.h"
#include "parallel/node_map.h"

struct dt_spread {
    dt_spread_config config;
    dt_node_map map;
    dt_slab updates; /* [slices.floats] halves; none where none travel */
    int pieces;
    int lowest, highest;       /* pieces on their way: lowest .. highest - 1 and none beside them */
    bool begun;                /* some piece was ever started */
    unsigned long long before; /* the counter before the last piece was started */
    dt_transfers *transfers[]; /* of each piece */
};

static dt_status set_up(dt_spread *spread) {
    const dt_spread_config *config = &spread->config;
    int ranks = dt_comm_size(config->comm);
    DT_TRY(dt_node_map_create(ranks, dt_comm_rank(config->comm),
                              config->sharing ? config->sharing->node_of : NULL, &spread->map));
    bool as_updates = dt_kernels_wire(config->kernels) == DT_WIRE_BF16 && spread->map.nodes > 1;
    size_t halves = as_updates ? config->slices.floats : 0;
    DT_TRY(dt_slab_reserve(halves * sizeof(uint16_t), "updates as bfloat16", &spread->updates));
    for (int piece = 0; piece < spread->pieces; piece++)
        DT_TRY(dt_transfers_create(config->comm, 2 * ranks, &spread->transfers[piece]));
    return dt_ok();
}

dt_status dt_spread_create(const dt_spread_config *config, dt_spread **spread) {
    int pieces = dt_slices_pieces(&config->slices);
    *spread = calloc(1, sizeof **spread + (size_t)pieces * sizeof(dt_transfers *));
    if (!*spread)
        return dt_fail(DT_MEMORY, "no memory for the exchange of weights");
    (*spread)->config = *config;
    (*spread)->pieces = pieces;
    dt_status status = set_up(*spread);
    if (dt_failed(&status)) {
        dt_spread_destroy(*spread);
        *spread = NULL;
    }
    return status;
}

/* The node's weights have this rank's slices of all pieces from `highest` on. */
static void publish(const dt_spread *spread) {
    if (spread->begun)
        dt_sharing_raise(spread->config.sharing, spread->config.number, DT_COUNTER_WEIGHTS,
                         spread->before + (unsigned long long)(spread->pieces - spread->highest));
}

/* Whether this rank receives the owner's slices for its node. */
static bool holds(const dt_spread *spread, int owner) {
    const dt_node_map *map = &spread->map;
    int node = map->node_of[map->rank];
    return map->node_of[owner] != node && dt_node_map_holder(map, node, owner) == map->rank;
}

uint16_t *dt_spread_updates(dt_spread *spread, dt_range slice) {
    return spread->updates.base ? (uint16_t *)spread->updates.base + slice.begin : NULL;
}

/* The highest piece on its way has arrived. */
static void complete(dt_spread *spread) {
    const dt_spread_config *config = &spread->config;
    int piece = --spread->highest;
    for (int owner = 0; owner < spread->map.ranks && spread->updates.base; owner++) {
        dt_range slice = dt_slices_of(&config->slices, piece, owner);
        if (holds(spread, owner) && slice.count > 0)
            dt_wire_apply_update(config->kernels, slice.count, dt_spread_updates(spread, slice),
                                 config->values + slice.begin);
    }
}

/* The own messages alone: others' counters may be those of ranks that are gone. */
static void wait_for_messages(dt_spread *spread, int piece) {
    while (spread->highest > spread->lowest && spread->highest > piece) {
        dt_transfers_wait(spread->transfers[spread->highest - 1]);
        complete(spread);
    }
}

void dt_spread_destroy(dt_spread *spread) {
    if (!spread)
        return;
    wait_for_messages(spread, 0);
    publish(spread);
    for (int piece = 0; piece < spread->pieces; piece++)
        dt_transfers_destroy(spread->transfers[piece]);
    dt_node_map_release(&spread->map);
    dt_slab_release(&spread->updates);
    free(spread);
}

static void receive_slices(dt_spread *spread, int piece, int tag) {
    dt_transfers *transfers = spread->transfers[piece];
    int ranks = spread->map.ranks;
    for (int step = 1; step < ranks; step++) {
        int owner = (spread->map.rank + step) % ranks;
        dt_range theirs = dt_slices_of(&spread->config.slices, piece, owner);
        uint16_t *updates = dt_spread_updates(spread, theirs);
        if (!holds(spread, owner) || theirs.count == 0)
            continue;
        if (updates)
            dt_transfers_receive_halves(transfers, owner, tag, updates, theirs.count);
        else
            dt_transfers_receive(transfers, owner, tag, spread->config.values + theirs.begin, theirs.count);
    }
}

static void send_slice(dt_spread *spread, int piece, int tag) {
    const dt_node_map *map = &spread->map;
    dt_range mine = dt_slices_of(&spread->config.slices, piece, map->rank);
    const uint16_t *updates = dt_spread_updates(spread, mine);
    for (int step = 1; step < map->nodes && mine.count > 0; step++) {
        int target = dt_node_map_holder(map, (map->node_of[map->rank] + step) % map->nodes, map->rank);
        if (updates)
            dt_transfers_send_halves(spread->transfers[piece], target, tag, updates, mine.count);
        else
            dt_transfers_send(spread->transfers[piece], target, tag, spread->config.values + mine.begin,
                              mine.count);
    }
}

void dt_spread_start(dt_spread *spread, int piece) {
    const dt_spread_config *config = &spread->config;
    int tag = config->tag + piece % DT_TAGS;
    if (piece == spread->pieces - 1) {
        assert(spread->lowest == spread->highest);
        spread->before = dt_sharing_read(config->sharing, config->number, DT_COUNTER_WEIGHTS);
        spread->begun = true;
        spread->highest = spread->pieces;
    } else
        assert(piece == spread->lowest - 1);
    spread->lowest = piece;
    receive_slices(spread, piece, tag);
    send_slice(spread, piece, tag);
}

void dt_spread_progress(dt_spread *spread) {
    while (spread->highest > spread->lowest && dt_transfers_test(spread->transfers[spread->highest - 1]))
        complete(spread);
    publish(spread);
}

void dt_spread_wait(dt_spread *spread, dt_range range) {
    const dt_spread_config *config = &spread->config;
    int first = (int)(range.begin / config->slices.piece_floats);
    dt_idle idle = {0};
    if (!spread->begun)
        return;
    assert(spread->lowest == 0);
    if (dt_sharing_members(config->sharing) == 1)
        wait_for_messages(spread, first);
    unsigned long long wanted = spread->before + (unsigned long long)(spread->pieces - first);
    for (;;) {
        dt_spread_progress(spread);
        if (spread->highest <= first &&
            dt_sharing_reached(config->sharing, config->number, DT_COUNTER_WEIGHTS, wanted))
            return;
        dt_comm_pause(config->comm, &idle);
    }
}
