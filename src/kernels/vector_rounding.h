/* SPDX-License-Identifier: BSD-3-Clause */
/* Rounding to bfloat16 that leaves a vector of floats. Included by vector bodies only. */
#ifndef DTRAIN_KERNELS_VECTOR_ROUNDING_H
#define DTRAIN_KERNELS_VECTOR_ROUNDING_H

#include "kernels/vector.h"

/* To the nearest bfloat16, ties to even, in two multiply-adds where there are such. 2^16 value is a whole
 * number of units of its own last place, which are those of bfloat16 for `value`; so the subtraction, the one
 * operation that is not exact, takes from it what is to be found: value rounded to such units, or, where the
 * difference falls below a power of two, to halves of them, and then value lies so near above its power of
 * two that both mean the same. At a tie 2^16 value is even, hence the difference is if the rounded value is.
 * The bits do not depend on which products are fused, but for the sign of zero: on AArch64 GCC fuses them to
 * value - scaled, which is then added, and -0 becomes 0. There the product is kept apart. Infinities become
 * NaNs. */
DT_INLINE vector to_wire(vector value) {
    vector scaled = value * 0x1p16f;
#ifdef __aarch64__
    __asm__("" : "+w"(scaled));
#endif
    return scaled - (scaled - value);
}

#endif
