/* SPDX-License-Identifier: BSD-3-Clause */
/* What products read. By default that is floats as they are. Where DT_BF16 is defined it is pairs of
 * bfloat16: a 32-bit lane has the operand of an even step of the sum in its lower half and that of the odd
 * step behind it in the upper one, and one multiply-add does both steps:
 *
 *     sum = fma(even left, even right, fma(odd left, odd right, sum))
 *
 * which is what VDPBF16PS computes, with each of the two roundings to the nearest. A product of two bfloat16
 * has 16 bits and is exact in float, so that bodies without a fused multiply-add have the same bits.
 * Values below 2^-126 are taken as 0 when they are rounded to bfloat16; VDPBF16PS takes such sums as 0 too,
 * while the other bodies leave that to the thread's floating-point state.
 *
 * Arrays of pairs are declared as arrays of float, whose place they take. They are moved, never computed
 * with. */
#ifndef DTRAIN_KERNELS_VECTOR_OPERANDS_H
#define DTRAIN_KERNELS_VECTOR_OPERANDS_H

#include "kernels/vector.h"

#ifndef DT_BF16

enum { PAIR = 1 }; /* steps of a sum in one lane */

/* sum + left * right, left standing for a vector of itself. */
DT_INLINE vector multiply_add(vector sum, float left, vector right) {
    return sum + left * right;
}

#else

enum { PAIR = 2 };

/* A lane of the same 32 bits. */
DT_INLINE mask splat_pair(float pair) {
    int32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return (mask){0} + bits;
}

#ifdef DT_BF16_NATIVE
#include "kernels/vector_avx512_bf16.h"
#else

typedef uint32_t uint_lanes __attribute__((vector_size(DT_WIDTH * 4)));
typedef uint16_t halves __attribute__((vector_size(DT_WIDTH * 2)));

/* To the nearest bfloat16, ties to even, in the upper half of a lane. NaNs stay NaNs. */
DT_INLINE uint_lanes rounded(vector value) {
    uint_lanes bits = (uint_lanes)value, nan = (uint_lanes)(value != value),
               tiny = (uint_lanes)((bits & 0x7f800000u) == 0);
    uint_lanes result = bits + 0x7fffu + ((bits >> 16) & 1u);
    result = (nan & (bits | 0x400000u)) | (~nan & result);
    result = (tiny & (bits & 0x80000000u)) | (~tiny & result);
    return result & 0xffff0000u;
}

/* Lane i: even[i] and odd[i]. */
DT_INLINE vector pair_up(vector even, vector odd) {
    return (vector)((rounded(even) >> 16) | rounded(odd));
}

/* Neighbours of one vector as pairs: half a vector's room. */
DT_INLINE void store_operands(float *to, vector value) {
    halves narrow = __builtin_convertvector(rounded(value) >> 16, halves);
    memcpy(to, &narrow, sizeof narrow);
}

/* The same for two vectors of bfloat16 each: to has two vectors of pairs. */
DT_INLINE void interleave(const float *even, const float *odd, float *to) {
    for (size_t i = 0; i < 2; i++) {
        halves lower, upper;
        memcpy(&lower, even + i * DT_WIDTH / 2, sizeof lower);
        memcpy(&upper, odd + i * DT_WIDTH / 2, sizeof upper);
        uint_lanes pairs =
            __builtin_convertvector(lower, uint_lanes) | (__builtin_convertvector(upper, uint_lanes) << 16);
        memcpy(to + i * DT_WIDTH, &pairs, sizeof pairs);
    }
}

DT_INLINE vector multiply_add(vector sum, float left, vector right) {
    mask a = splat_pair(left), b = (mask)right, upper = (mask){0} + (int32_t)0xffff0000u;
    sum += (vector)(a & upper) * (vector)(b & upper);
    return sum + (vector)(a << 16) * (vector)(b << 16);
}

#endif

#endif

#endif
