/* SPDX-License-Identifier: BSD-3-Clause */
/* Values that are to travel as bfloat16. Included by vector_bodies.h only. */
#ifndef DTRAIN_KERNELS_VECTOR_WIRE_H
#define DTRAIN_KERNELS_VECTOR_WIRE_H

#include "kernels/vector_rounding.h"

typedef uint32_t wire_lanes __attribute__((vector_size(DT_WIDTH * 4)));
typedef uint16_t wire_halves __attribute__((vector_size(DT_WIDTH * 2)));

DT_INLINE void store_halves(uint16_t *to, vector value) {
    wire_halves narrow = __builtin_convertvector((wire_lanes)value >> 16, wire_halves);
    memcpy(to, &narrow, sizeof narrow);
}

DT_INLINE vector load_halves(const uint16_t *from) {
    wire_halves narrow;
    memcpy(&narrow, from, sizeof narrow);
    return (vector)(__builtin_convertvector(narrow, wire_lanes) << 16);
}

static void round_values(size_t count, float *values) {
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(values + i, to_wire(load(values + i)));
    if (i < count)
        store_part(values + i, count - i, to_wire(load_part(values + i, count - i)));
}

static void add_rounded(size_t count, const float *values, float *sum) {
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(sum + i, to_wire(load(sum + i) + to_wire(load(values + i))));
    if (i < count)
        store_part(sum + i, count - i,
                   to_wire(load_part(sum + i, count - i) + to_wire(load_part(values + i, count - i))));
}

static void pack_halves(size_t count, const float *values, uint16_t *halves) {
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store_halves(halves + i, to_wire(load(values + i)));
    if (i < count) {
        uint16_t last[DT_WIDTH];
        store_halves(last, to_wire(load_part(values + i, count - i)));
        memcpy(halves + i, last, (count - i) * sizeof *last);
    }
}

static void unpack_halves(size_t count, const uint16_t *halves, float *values) {
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(values + i, load_halves(halves + i));
    if (i < count) {
        uint16_t last[DT_WIDTH] = {0};
        memcpy(last, halves + i, (count - i) * sizeof *last);
        store_part(values + i, count - i, load_halves(last));
    }
}

static void apply_update(size_t count, const uint16_t *halves, float *weights) {
    size_t i = 0;
    for (; i + DT_WIDTH <= count; i += DT_WIDTH)
        store(weights + i, load(weights + i) - load_halves(halves + i));
    if (i < count) {
        uint16_t last[DT_WIDTH] = {0};
        memcpy(last, halves + i, (count - i) * sizeof *last);
        store_part(weights + i, count - i, load_part(weights + i, count - i) - load_halves(last));
    }
}

#endif
