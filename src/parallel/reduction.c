/* SPDX-License-Identifier: BSD-3-Clause */
/* The canonical sum by direct exchange: a state machine for each piece. */
#include "parallel/reduction.h"

#include <assert.h>
#include <stdlib.h>

#include "dtrain/memory.h"
#include "parallel/parcels.h"

/* Pieces on their way at one time. The first dense gradients complete far faster than they travel, and
 * messages start moving only when both sides have posted them: with 32 MB posted a call to progress finds
 * work. Each costs staging memory for one slice of every foreign root. */
enum { SLOTS = 32 };

typedef enum phase {
    PHASE_FREE,
    PHASE_COLLECT, /* roots are on their way to the owners of the slices */
    PHASE_SPREAD   /* sums are on their way from the owners to all */
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
    int ranks, rank;
    int pieces; /* 0 for one rank: nothing to do */
    int slot_count;
    size_t slice_floats;     /* the longest slice of a piece */
    size_t complete;         /* floats complete in this rank's roots */
    int started;             /* pieces started, in order */
    int finished;            /* pieces finished, in any order */
    piece_slot slots[SLOTS]; /* piece p uses slot p % slot_count */
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
    const dt_cut *cut = reduction->config.cut;
    size_t piece = (size_t)cut->bounds.foreign * reduction->slice_floats;
    size_t bytes = (size_t)reduction->slot_count * piece * sizeof(float);
    DT_TRY(dt_slab_reserve(bytes, "gradient exchange", &reduction->staging));
    int others = reduction->ranks - 1;
    int collect = cut->bounds.roots * others + cut->bounds.total;
    int capacity = collect > 2 * others ? collect : 2 * others;
    /* A piece of every own root, a slice of every root of others; the spreading needs less. */
    size_t travelling = (size_t)cut->bounds.roots * (size_t)reduction->ranks * reduction->slice_floats +
                        (size_t)cut->bounds.total * reduction->slice_floats;
    for (int i = 0; i < reduction->slot_count; i++) {
        if (piece > 0)
            reduction->slots[i].staging = (float *)reduction->staging.base + (size_t)i * piece;
        DT_TRY(dt_parcels_create(reduction->config.comm, reduction->config.kernels, capacity, travelling,
                                 &reduction->slots[i].parcels));
    }
    return dt_ok();
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
    created->slices = (dt_slices){created->ranks, config->floats, config->piece_floats};
    created->slice_floats = dt_slices_longest(&created->slices);
    created->pieces = dt_slices_pieces(&created->slices);
    created->slot_count = created->pieces < SLOTS ? created->pieces : SLOTS;
    dt_status status = reserve(created);
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
    free(reduction);
}

/* Where value `value` of the tree's own slice lies: own roots in place, foreign ones in the staging memory. A
 * rank without roots lets the first one arrive where the sum will stand. */
static float *value_at(const dt_reduction *reduction, const piece_slot *slot, dt_range slice, int value) {
    const dt_cut *cut = reduction->config.cut;
    float *home = reduction->config.base + slice.begin;
    int first = cut->first_root[reduction->rank], own = dt_cut_roots_of(cut, reduction->rank);
    if (own == 0)
        return value == 0 ? home : slot->staging + (size_t)(value - 1) * reduction->slice_floats;
    if (value >= first && value < first + own)
        return home + (size_t)(value - first) * reduction->config.stride;
    return slot->staging + (size_t)(value < first ? value : value - own) * reduction->slice_floats;
}

/* Peer number `step` of this rank, 1 .. ranks - 1: each rank begins with another, so that no rank is the
 * target of all at once. */
static int peer_at(const dt_reduction *reduction, int step) {
    return (reduction->rank + step) % reduction->ranks;
}

/* `item` is a root of the sender, or bounds.roots for the sum. Tags come round again only after hundreds of
 * pieces; at most SLOTS are on their way, and messages of one sender with one tag keep their order. */
static int tag_of(const dt_reduction *reduction, int piece, int item) {
    long items = reduction->config.cut->bounds.roots + 1;
    return reduction->config.tag + (int)((piece * items + item) % DT_TAGS);
}

static void collect(dt_reduction *reduction, piece_slot *slot, int piece) {
    assert(slot->phase == PHASE_FREE);
    const dt_reduction_config *config = &reduction->config;
    const dt_cut *cut = config->cut;
    dt_range mine = slice_of(reduction, piece, reduction->rank);
    for (int step = 1; step < reduction->ranks && mine.count > 0; step++) {
        int peer = peer_at(reduction, step);
        for (int root = 0; root < dt_cut_roots_of(cut, peer); root++)
            dt_parcels_receive(slot->parcels, peer, tag_of(reduction, piece, root),
                               value_at(reduction, slot, mine, cut->first_root[peer] + root), mine.count);
    }
    for (int step = 1; step < reduction->ranks; step++) {
        int peer = peer_at(reduction, step);
        dt_range theirs = slice_of(reduction, piece, peer);
        for (int root = 0; root < dt_cut_roots_of(cut, reduction->rank) && theirs.count > 0; root++)
            dt_parcels_send(slot->parcels, peer, tag_of(reduction, piece, root),
                            config->base + (size_t)root * config->stride + theirs.begin, theirs.count);
    }
    slot->phase = PHASE_COLLECT;
    slot->piece = piece;
}

/* Merges all roots of the own slice. The sum of two values may stand in either one's place, addition being
 * commutative; it is put where the total has to stand as soon as one of them lies there, which spares a copy.
 */
static void merge(dt_reduction *reduction, piece_slot *slot) {
    const dt_cut *cut = reduction->config.cut;
    dt_range slice = slice_of(reduction, slot->piece, reduction->rank);
    if (slice.count == 0)
        return;
    float *home = reduction->config.base + slice.begin;
    float *stack[DT_LEAF_DEPTH];
    int height = 0;
    for (int value = 0; value < cut->first_root[cut->ranks]; value++) {
        assert(height < DT_LEAF_DEPTH);
        stack[height++] = value_at(reduction, slot, slice, value);
        for (int i = 0; i < cut->merges[value]; i++, height--) {
            float *top = stack[height - 1], *below = stack[height - 2];
            float *sum = top == home ? top : below;
            dt_add_to(reduction->config.kernels, slice.count, sum == top ? below : top, sum);
            stack[height - 2] = sum;
        }
    }
    assert(height == 1 && stack[0] == home);
}

/* The slices of others are received where this rank's own root 0 was sent from: those sends are done, since
 * the slot's transfers of the phase before are. */
static void spread(dt_reduction *reduction, piece_slot *slot) {
    float *base = reduction->config.base;
    int tag = tag_of(reduction, slot->piece, reduction->config.cut->bounds.roots);
    dt_range mine = slice_of(reduction, slot->piece, reduction->rank);
    for (int step = 1; step < reduction->ranks; step++) {
        int peer = peer_at(reduction, step);
        dt_range theirs = slice_of(reduction, slot->piece, peer);
        if (theirs.count > 0)
            dt_parcels_receive(slot->parcels, peer, tag, base + theirs.begin, theirs.count);
    }
    for (int step = 1; step < reduction->ranks && mine.count > 0; step++)
        dt_parcels_send(slot->parcels, peer_at(reduction, step), tag, base + mine.begin, mine.count);
    slot->phase = PHASE_SPREAD;
}

/* The slot's transfers are done: on to the next phase. */
static void advance(dt_reduction *reduction, piece_slot *slot) {
    if (slot->phase == PHASE_COLLECT) {
        merge(reduction, slot);
        if (!reduction->config.keep) {
            spread(reduction, slot);
            return;
        }
    }
    slot->phase = PHASE_FREE;
    reduction->finished++;
}

/* Starts every piece that is complete and has its slot. In order: the lowest piece that is unfinished
 * anywhere has then been started wherever it is complete, so no rank waits in a circle. */
static void start(dt_reduction *reduction) {
    while (reduction->started < reduction->pieces &&
           piece_end(reduction, reduction->started) <= reduction->complete) {
        piece_slot *slot = &reduction->slots[reduction->started % reduction->slot_count];
        if (slot->phase != PHASE_FREE)
            return;
        collect(reduction, slot, reduction->started++);
    }
}

void dt_reduction_begin(dt_reduction *reduction) {
    assert(reduction->finished == reduction->started);
    reduction->complete = 0;
    reduction->started = 0;
    reduction->finished = 0;
}

void dt_reduction_extend(dt_reduction *reduction, size_t floats) {
    assert(floats >= reduction->complete && floats <= reduction->config.floats);
    reduction->complete = floats;
    start(reduction);
}

void dt_reduction_progress(dt_reduction *reduction) {
    bool moved = reduction->finished < reduction->started;
    while (moved) {
        moved = false;
        for (int i = 0; i < reduction->slot_count; i++) {
            piece_slot *slot = &reduction->slots[i];
            if (slot->phase == PHASE_FREE || !dt_parcels_test(slot->parcels))
                continue;
            advance(reduction, slot);
            moved = true;
        }
        start(reduction);
    }
}

/* The lowest piece on its way: what all other ranks come to wait for as well. */
static piece_slot *oldest(dt_reduction *reduction) {
    piece_slot *found = NULL;
    for (int i = 0; i < reduction->slot_count; i++) {
        piece_slot *slot = &reduction->slots[i];
        if (slot->phase != PHASE_FREE && (!found || slot->piece < found->piece))
            found = slot;
    }
    return found;
}

void dt_reduction_finish(dt_reduction *reduction) {
    assert(reduction->pieces == 0 || reduction->complete == reduction->config.floats);
    while (reduction->finished < reduction->pieces) {
        start(reduction);
        piece_slot *slot = oldest(reduction);
        dt_parcels_wait(slot->parcels);
        advance(reduction, slot);
        dt_reduction_progress(reduction);
    }
}
