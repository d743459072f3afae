/* SPDX-License-Identifier: BSD-3-Clause */
/* The operands of vector_operands.h with the instructions of AVX512_BF16. Included by it only. */
#ifndef DTRAIN_KERNELS_VECTOR_AVX512_BF16_H
#define DTRAIN_KERNELS_VECTOR_AVX512_BF16_H

#include <immintrin.h>

/* Lane i: even[i] and odd[i]. */
DT_INLINE vector pair_up(vector even, vector odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
    return (vector)_mm512_permutexvar_epi16(order, both);
}

/* Neighbours of one vector as pairs: half a vector's room. */
DT_INLINE void store_operands(float *to, vector value) {
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh((__m512)value));
}

/* The same for two vectors of bfloat16 each: to has two vectors of pairs. */
DT_INLINE void interleave(const float *even, const float *odd, float *to) {
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39,
                                           7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    __m512i lower = _mm512_loadu_si512(even), upper = _mm512_loadu_si512(odd);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(lower, first, upper));
    _mm512_storeu_si512(to + DT_WIDTH, _mm512_permutex2var_epi16(lower, second, upper));
}

DT_INLINE vector multiply_add(vector sum, float left, vector right) {
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)splat_pair(left), (__m512bh)right);
}

#endif
