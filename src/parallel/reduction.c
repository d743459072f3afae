/* SPDX-License-Identifier: BSD-3-Clause */
/* The canonical sum by direct exchange: a state machine for each piece. */
#include "parallel/reduction.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "parallel/merging.h"
#include "parallel/parcels.h"

/* Pieces on their way at one time. The first dense gradients complete far faster than they travel, and
 * messages start moving only when both sides have posted them: with 32 MB posted a call to progress finds
 * work. Each costs staging memory for one slice of every foreign root. */
enum { SLOTS = 32 };

typedef enum phase {
    PHASE_FREE,
    PHASE_GATHER,  /* other ranks of the node are still computing the piece */
    PHASE_COLLECT, /* roots are on their way to the owners of the slices */
    PHASE_SPREAD,  /* sums are on their way from the owners to other nodes */
    PHASE_COPY     /* other ranks of the node have yet to get the sums that this one copies */
} phase;

typedef struct piece_slot {
    phase phase;
    int piece;
    dt_parcels *parcels;
    float *staging; /* [foreign roots][slice_floats] */
} piece_slot;

struct dt_reduction {
    dt_reduction_config config;
    dt_slices slices;
    dt_node_map map;
    dt_merging merging;
    int ranks, rank, node;
    int *held; /* [held_count] owners on other nodes whose slices this rank holds on its own node */
    int held_count;
    int pieces; /* 0 for one rank: nothing to do */
    int slot_count;
    size_t slice_floats;                    /* the longest slice of a piece */
    size_t complete;                        /* floats complete in this rank's roots */
    unsigned long long gradients_before;    /* counters at the begin */
    unsigned long long sums_before, rounds; /* rounds: sums finished */
    int published;                          /* pieces that are complete for the node */
    int started;                            /* pieces started, in order */
    int finished;                           /* pieces finished, in any order */
    int first;                              /* the lowest piece that is not finished */
    piece_slot slots[SLOTS];                /* piece p uses slot p % slot_count */
    dt_slab staging;
};

static dt_range slice_of(const dt_reduction *reduction, int piece, int owner) {
    return dt_slices_of(&reduction->slices, piece, owner);
}

static size_t piece_end(const dt_reduction *reduction, int piece) {
    dt_range whole = dt_slices_piece(&reduction->slices, piece);
    return whole.begin + whole.count;
}

static dt_status reserve(dt_reduction *reduction) {
    const dt_merging *merging = &reduction->merging;
    size_t piece = (size_t)merging->most_foreign * reduction->slice_floats;
    size_t bytes = (size_t)reduction->slot_count * piece * sizeof(float);
    DT_TRY(dt_slab_reserve(bytes, "gradient exchange", &reduction->staging));
    int collect = reduction->held_count * merging->most_own + merging->most_foreign + 1;
    int spread = reduction->map.nodes + reduction->held_count;
    int capacity = collect > spread ? collect : spread;
    size_t travelling = (size_t)capacity * reduction->slice_floats;
    for (int i = 0; i < reduction->slot_count; i++) {
        if (piece > 0)
            reduction->slots[i].staging = (float *)reduction->staging.base + (size_t)i * piece;
        DT_TRY(dt_parcels_create(reduction->config.comm, reduction->config.kernels, capacity, travelling,
                                 &reduction->slots[i].parcels));
    }
    return dt_ok();
}

static dt_status find_held(dt_reduction *reduction) {
    reduction->held = calloc((size_t)reduction->ranks, sizeof *reduction->held);
    if (!reduction->held)
        return dt_fail(DT_MEMORY, "no memory for the gradient exchange");
    /* Each rank begins with another owner, so that no rank is the target of all at once. */
    for (int step = 1; step < reduction->ranks; step++) {
        int owner = (reduction->rank + step) % reduction->ranks;
        if (reduction->map.node_of[owner] != reduction->node &&
            dt_node_map_holder(&reduction->map, reduction->node, owner) == reduction->rank)
            reduction->held[reduction->held_count++] = owner;
    }
    return dt_ok();
}

static dt_status set_up(dt_reduction *reduction) {
    const dt_reduction_config *config = &reduction->config;
    const int *node_of = config->sharing ? config->sharing->node_of : NULL;
    DT_TRY(dt_node_map_create(reduction->ranks, reduction->rank, node_of, &reduction->map));
    reduction->node = reduction->map.node_of[reduction->rank];
    DT_TRY(dt_merging_create(config->cut, &reduction->map, config->cut->largest_batch, &reduction->merging));
    DT_TRY(find_held(reduction));
    reduction->slices = (dt_slices){reduction->ranks, config->floats, config->piece_floats};
    reduction->slice_floats = dt_slices_longest(&reduction->slices);
    reduction->pieces = dt_slices_pieces(&reduction->slices);
    reduction->slot_count = reduction->pieces < SLOTS ? reduction->pieces : SLOTS;
    reduction->rounds = dt_sharing_read(config->sharing, config->number, DT_COUNTER_FINISHED);
    return reserve(reduction);
}

dt_status dt_reduction_create(const dt_reduction_config *config, dt_reduction **reduction) {
    assert(config->floats % DT_ALIGNMENT_FLOATS == 0);
    assert(config->piece_floats > 0 && config->piece_floats % DT_ALIGNMENT_FLOATS == 0);
    *reduction = calloc(1, sizeof **reduction);
    if (!*reduction)
        return dt_fail(DT_MEMORY, "no memory for the gradient exchange");
    dt_reduction *created = *reduction;
    created->config = *config;
    created->ranks = dt_comm_size(config->comm);
    created->rank = dt_comm_rank(config->comm);
    if (created->ranks == 1)
        return dt_ok();
    dt_status status = set_up(created);
    if (dt_failed(&status)) {
        dt_reduction_destroy(created);
        *reduction = NULL;
    }
    return status;
}

void dt_reduction_destroy(dt_reduction *reduction) {
    if (!reduction)
        return;
    for (int i = 0; i < reduction->slot_count; i++)
        if (reduction->slots[i].parcels)
            dt_parcels_destroy(reduction->slots[i].parcels);
    dt_slab_release(&reduction->staging);
    dt_merging_release(&reduction->merging);
    dt_node_map_release(&reduction->map);
    free(reduction->held);
    free(reduction);
}

/* Root 0's array of another rank of this node. */
static float *base_of(const dt_reduction *reduction, int rank) {
    const dt_sharing *sharing = reduction->config.sharing;
    if (rank == reduction->rank)
        return reduction->config.base;
    ptrdiff_t places = reduction->map.place[rank] - sharing->place;
    return reduction->config.base + places * (ptrdiff_t)sharing->gradient_stride;
}

/* Where a value's slice lies: the roots of this node in place, foreign ones in the staging memory, and the
 * value that becomes the sum where that has to stand. */
static float *value_at(const dt_reduction *reduction, const piece_slot *slot, dt_range slice, int value) {
    const dt_merging *merging = &reduction->merging;
    int rank = merging->rank_of[value];
    if (merging->staged[value] >= 0)
        return slot->staging + (size_t)merging->staged[value] * reduction->slice_floats;
    if (reduction->map.node_of[rank] != reduction->node)
        return reduction->config.base + slice.begin;
    size_t root = (size_t)(value - reduction->config.cut->first_root[rank]);
    return base_of(reduction, rank) + root * reduction->config.stride + slice.begin;
}

/* Roots use one half of the tags, sums the other. Those of roots come round again after hundreds of pieces,
 * and pieces are sent and received in their order, so that messages with one tag meet in theirs. */
static int root_tag(const dt_reduction *reduction, int piece, int item) {
    long items = reduction->config.cut->bounds.total;
    return reduction->config.tag + (int)((piece * items + item) % (DT_TAGS / 2));
}

static int sum_tag(const dt_reduction *reduction, int piece) {
    return reduction->config.tag + DT_TAGS / 2 + piece % (DT_TAGS / 2);
}

/* The roots of other nodes are expected from whoever holds this rank's slice there. */
static void receive_roots(dt_reduction *reduction, piece_slot *slot) {
    const dt_merging *merging = &reduction->merging;
    dt_range mine = slice_of(reduction, slot->piece, reduction->rank);
    int values = reduction->config.cut->first_root[reduction->ranks];
    for (int value = 0; value < values && mine.count > 0; value++) {
        int node = reduction->map.node_of[merging->rank_of[value]];
        if (merging->travels[value] && node != reduction->node)
            dt_parcels_receive(slot->parcels, dt_node_map_holder(&reduction->map, node, reduction->rank),
                               root_tag(reduction, slot->piece, value),
                               value_at(reduction, slot, mine, value), mine.count);
    }
}

static void add(dt_reduction *reduction, piece_slot *slot, dt_range slice, const dt_addition *additions,
                int count) {
    for (int i = 0; i < count; i++)
        dt_add_to(reduction->config.kernels, slice.count, value_at(reduction, slot, slice, additions[i].from),
                  value_at(reduction, slot, slice, additions[i].to));
}

/* All ranks of the node have the piece: what owners on other nodes need is merged and leaves. */
static void send_roots(dt_reduction *reduction, piece_slot *slot) {
    const dt_merging *merging = &reduction->merging;
    int values = reduction->config.cut->first_root[reduction->ranks];
    for (int i = 0; i < reduction->held_count; i++) {
        int owner = reduction->held[i];
        dt_range theirs = slice_of(reduction, slot->piece, owner);
        if (theirs.count == 0)
            continue;
        add(reduction, slot, theirs, merging->inside, merging->inside_count);
        for (int value = 0; value < values; value++)
            if (merging->travels[value] && reduction->map.node_of[merging->rank_of[value]] == reduction->node)
                dt_parcels_send(slot->parcels, owner, root_tag(reduction, slot->piece, value),
                                value_at(reduction, slot, theirs, value), theirs.count);
    }
}

/* Adds all roots of the own slice. A rank without roots on a node with some begins with a copy of the first.
 */
static void merge(dt_reduction *reduction, piece_slot *slot) {
    const dt_merging *merging = &reduction->merging;
    dt_range slice = slice_of(reduction, slot->piece, reduction->rank);
    int home = dt_merging_home(merging), rank = merging->rank_of[home];
    float *sum = reduction->config.base + slice.begin;
    if (slice.count == 0)
        return;
    add(reduction, slot, slice, merging->final, merging->final_count);
    if (rank != reduction->rank && reduction->map.node_of[rank] == reduction->node)
        memcpy(sum, value_at(reduction, slot, slice, home), slice.count * sizeof *sum);
}

/* Slices are received where this rank's own root 0 was sent from: those sends are done, since the slot's
 * transfers of the phase before are. */
static void spread(dt_reduction *reduction, piece_slot *slot) {
    float *base = reduction->config.base;
    const dt_node_map *map = &reduction->map;
    int tag = sum_tag(reduction, slot->piece);
    dt_range mine = slice_of(reduction, slot->piece, reduction->rank);
    for (int i = 0; i < reduction->held_count; i++) {
        dt_range theirs = slice_of(reduction, slot->piece, reduction->held[i]);
        if (theirs.count > 0)
            dt_parcels_receive(slot->parcels, reduction->held[i], tag, base + theirs.begin, theirs.count);
    }
    for (int step = 1; step < map->nodes && mine.count > 0; step++) {
        int node = (reduction->node + step) % map->nodes;
        dt_parcels_send(slot->parcels, dt_node_map_holder(map, node, reduction->rank), tag, base + mine.begin,
                        mine.count);
    }
}

/* The slices that other ranks of the node hold. */
static void copy_sums(dt_reduction *reduction, int piece) {
    float *base = reduction->config.base;
    for (int owner = 0; owner < reduction->ranks; owner++) {
        int holder = dt_node_map_holder(&reduction->map, reduction->node, owner);
        dt_range slice = slice_of(reduction, piece, owner);
        if (holder != reduction->rank && slice.count > 0)
            memcpy(base + slice.begin, base_of(reduction, holder) + slice.begin, slice.count * sizeof *base);
    }
}

static bool node_reached(const dt_reduction *reduction, dt_counter counter, unsigned long long value) {
    return dt_sharing_reached(reduction->config.sharing, reduction->config.number, counter, value);
}

static void raise_counter(const dt_reduction *reduction, dt_counter counter, unsigned long long value) {
    dt_sharing_raise(reduction->config.sharing, reduction->config.number, counter, value);
}

static void finish_piece(dt_reduction *reduction, piece_slot *slot) {
    slot->phase = PHASE_FREE;
    reduction->finished++;
}

/* On to the next phase, if what ends this one has happened. */
static bool advance(dt_reduction *reduction, piece_slot *slot) {
    unsigned long long number = (unsigned long long)slot->piece + 1;
    switch (slot->phase) {
    case PHASE_GATHER:
        if (!node_reached(reduction, DT_COUNTER_GRADIENTS, reduction->gradients_before + number))
            return false;
        send_roots(reduction, slot);
        slot->phase = PHASE_COLLECT;
        return true;
    case PHASE_COLLECT:
        if (!dt_parcels_test(slot->parcels))
            return false;
        merge(reduction, slot);
        if (reduction->config.keep) {
            finish_piece(reduction, slot);
            return true;
        }
        spread(reduction, slot);
        slot->phase = PHASE_SPREAD;
        return true;
    case PHASE_SPREAD:
        if (!dt_parcels_test(slot->parcels))
            return false;
        slot->phase = PHASE_COPY;
        return true;
    case PHASE_COPY:
        if (!node_reached(reduction, DT_COUNTER_SUMS, reduction->sums_before + number))
            return false;
        copy_sums(reduction, slot->piece);
        finish_piece(reduction, slot);
        return true;
    default:
        return false;
    }
}

/* Whether a piece that was started is still on its way. */
static bool is_travelling(const dt_reduction *reduction, int piece) {
    const piece_slot *slot = &reduction->slots[piece % reduction->slot_count];
    return slot->phase != PHASE_FREE && slot->piece == piece;
}

/* Starts every piece that is complete and has its slot. In order: the lowest piece that is unfinished
 * anywhere has then been started wherever it is complete, so no rank waits in a circle. */
static void start(dt_reduction *reduction) {
    while (reduction->started < reduction->pieces &&
           piece_end(reduction, reduction->started) <= reduction->complete) {
        piece_slot *slot = &reduction->slots[reduction->started % reduction->slot_count];
        if (slot->phase != PHASE_FREE)
            return;
        slot->phase = PHASE_GATHER;
        slot->piece = reduction->started++;
        receive_roots(reduction, slot);
    }
}

/* The slices that this rank holds have their sums in all pieces before the first that is short of them. */
static void publish_sums(dt_reduction *reduction) {
    int piece = reduction->first;
    while (piece < reduction->started &&
           (!is_travelling(reduction, piece) ||
            reduction->slots[piece % reduction->slot_count].phase == PHASE_COPY))
        piece++;
    raise_counter(reduction, DT_COUNTER_SUMS, reduction->sums_before + (unsigned long long)piece);
}

void dt_reduction_await_node(dt_reduction *reduction) {
    dt_idle idle = {0};
    while (!node_reached(reduction, DT_COUNTER_FINISHED, reduction->rounds))
        dt_comm_pause(reduction->config.comm, &idle);
}

void dt_reduction_begin(dt_reduction *reduction) {
    assert(reduction->finished == reduction->started);
    const dt_reduction_config *config = &reduction->config;
    reduction->complete = 0;
    if (reduction->pieces == 0)
        return;
    dt_merging_set(&reduction->merging);
    /* Others may still be reading what this rank is about to overwrite. */
    dt_reduction_await_node(reduction);
    reduction->gradients_before = dt_sharing_read(config->sharing, config->number, DT_COUNTER_GRADIENTS);
    reduction->sums_before = dt_sharing_read(config->sharing, config->number, DT_COUNTER_SUMS);
    reduction->published = 0;
    reduction->started = 0;
    reduction->finished = 0;
    reduction->first = 0;
}

void dt_reduction_extend(dt_reduction *reduction, size_t floats) {
    assert(floats >= reduction->complete && floats <= reduction->config.floats);
    reduction->complete = floats;
    while (reduction->published < reduction->pieces && piece_end(reduction, reduction->published) <= floats)
        reduction->published++;
    raise_counter(reduction, DT_COUNTER_GRADIENTS,
                  reduction->gradients_before + (unsigned long long)reduction->published);
    start(reduction);
}

void dt_reduction_progress(dt_reduction *reduction) {
    bool moved = reduction->finished < reduction->started;
    while (moved) {
        moved = false;
        for (int piece = reduction->first; piece < reduction->started; piece++) {
            piece_slot *slot = &reduction->slots[piece % reduction->slot_count];
            while (is_travelling(reduction, piece) && advance(reduction, slot))
                moved = true;
            /* Nor are those behind it complete; roots leave in the order of pieces. */
            if (slot->phase == PHASE_GATHER)
                break;
        }
        while (reduction->first < reduction->started && !is_travelling(reduction, reduction->first))
            reduction->first++;
        publish_sums(reduction);
        start(reduction);
    }
}

/* A rank that is alone on its node waits inside MPI for the lowest piece on its way, which all other ranks
 * come to wait for as well. Beside others there is memory to watch too. */
static void await_change(dt_reduction *reduction, dt_idle *idle) {
    if (dt_sharing_members(reduction->config.sharing) == 1)
        dt_parcels_wait(reduction->slots[reduction->first % reduction->slot_count].parcels);
    else
        dt_comm_pause(reduction->config.comm, idle);
}

void dt_reduction_finish(dt_reduction *reduction) {
    assert(reduction->pieces == 0 || reduction->complete == reduction->config.floats);
    dt_idle idle = {0};
    if (reduction->pieces == 0)
        return;
    for (;;) {
        int before = reduction->finished;
        dt_reduction_progress(reduction);
        if (reduction->finished == reduction->pieces)
            break;
        if (reduction->finished > before)
            idle = (dt_idle){0};
        await_change(reduction, &idle);
    }
    raise_counter(reduction, DT_COUNTER_FINISHED, ++reduction->rounds);
}
