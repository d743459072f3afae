/* SPDX-License-Identifier: BSD-3-Clause */
/* Packing in front of messages and unpacking behind them. */
#include "parallel/parcels.h"

#include <assert.h>
#include <stdlib.h>

#include "dtrain/memory.h"

/* What a message brings, once it is there. */
typedef struct arrival {
    const uint16_t *halves;
    float *values;
    size_t count;
} arrival;

struct dt_parcels {
    dt_transfers *transfers;
    dt_kernels *kernels;
    bool packs;
    dt_slab memory;
    size_t room, used; /* halves */
    const float *last; /* the run that was packed last */
    const uint16_t *last_halves;
    size_t last_count;
    int capacity, arriving;
    arrival arrivals[];
};

dt_status dt_parcels_create(dt_comm *comm, dt_kernels *kernels, int capacity, size_t floats,
                            dt_parcels **parcels) {
    bool packs = dt_kernels_wire(kernels) == DT_WIRE_BF16;
    int arrivals = packs ? capacity : 0;
    dt_parcels *created = calloc(1, sizeof *created + (size_t)arrivals * sizeof(arrival));
    *parcels = NULL;
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for a set of %d messages", capacity);
    created->kernels = kernels;
    created->packs = packs;
    created->capacity = arrivals;
    created->room = packs ? floats : 0;
    dt_status status = dt_transfers_create(comm, capacity, &created->transfers);
    if (!dt_failed(&status))
        status = dt_slab_reserve(created->room * sizeof(uint16_t), "messages as bfloat16", &created->memory);
    if (dt_failed(&status))
        dt_parcels_destroy(created);
    else
        *parcels = created;
    return status;
}

void dt_parcels_destroy(dt_parcels *parcels) {
    if (!parcels)
        return;
    dt_transfers_destroy(parcels->transfers);
    dt_slab_release(&parcels->memory);
    free(parcels);
}

static uint16_t *take(dt_parcels *parcels, size_t count) {
    uint16_t *halves = (uint16_t *)parcels->memory.base + parcels->used;
    assert(parcels->used + count <= parcels->room);
    parcels->used += count;
    return halves;
}

void dt_parcels_send(dt_parcels *parcels, int rank, int tag, const float *values, size_t count) {
    if (!parcels->packs) {
        dt_transfers_send(parcels->transfers, rank, tag, values, count);
        return;
    }
    if (values != parcels->last || count != parcels->last_count) {
        uint16_t *halves = take(parcels, count);
        dt_wire_pack(parcels->kernels, count, values, halves);
        parcels->last = values;
        parcels->last_count = count;
        parcels->last_halves = halves;
    }
    dt_transfers_send_halves(parcels->transfers, rank, tag, parcels->last_halves, count);
}

void dt_parcels_receive(dt_parcels *parcels, int rank, int tag, float *values, size_t count) {
    if (!parcels->packs) {
        dt_transfers_receive(parcels->transfers, rank, tag, values, count);
        return;
    }
    uint16_t *halves = take(parcels, count);
    assert(parcels->arriving < parcels->capacity);
    parcels->arrivals[parcels->arriving++] = (arrival){halves, values, count};
    dt_transfers_receive_halves(parcels->transfers, rank, tag, halves, count);
}

/* The set is done: what came stands where it was wanted. */
static void unpack(dt_parcels *parcels) {
    for (int i = 0; i < parcels->arriving; i++) {
        const arrival *a = &parcels->arrivals[i];
        dt_wire_unpack(parcels->kernels, a->count, a->halves, a->values);
    }
    parcels->arriving = 0;
    parcels->used = 0;
    parcels->last = NULL;
}

bool dt_parcels_test(dt_parcels *parcels) {
    bool done = dt_transfers_test(parcels->transfers);
    if (done)
        unpack(parcels);
    return done;
}

void dt_parcels_wait(dt_parcels *parcels) {
    dt_transfers_wait(parcels->transfers);
    unpack(parcels);
}
