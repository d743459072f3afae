/* SPDX-License-Identifier: BSD-3-Clause */
/* Rounding to bfloat16 that leaves a vector of floats. Included by vector bodies only. */
#ifndef DTRAIN_KERNELS_VECTOR_ROUNDING_H
#define DTRAIN_KERNELS_VECTOR_ROUNDING_H

#include "kernels/vector.h"

typedef uint32_t wire_lanes __attribute__((vector_size(DT_WIDTH * 4)));

/* To the nearest bfloat16, ties to even, of values that are no NaN, or one that arithmetic makes: a carry out
 * of the fraction raises the exponent, up to infinity, and would only run over a NaN whose upper bits are all
 * ones. */
DT_INLINE vector to_wire_of_sums(vector value) {
    wire_lanes bits = (wire_lanes)value;
    return (vector)((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

/* The same for any value: NaNs stay NaNs. */
DT_INLINE vector to_wire(vector value) {
    wire_lanes bits = (wire_lanes)value, nan = (wire_lanes)(value != value);
    return (vector)((nan & ((bits | 0x400000u) & 0xffff0000u)) | (~nan & (wire_lanes)to_wire_of_sums(value)));
}

#endif
