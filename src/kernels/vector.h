/* SPDX-License-Identifier: BSD-3-Clause */
/* Vectors of DT_WIDTH floats with the compilers' vector extensions. Included by vector_bodies.h only.
 *
 * The last values of an array that fill no vector go through a vector padded with zeros, so that they meet
 * the same instructions as all others: a value's bits do not depend on where its array ends. */
#ifndef DTRAIN_KERNELS_VECTOR_H
#define DTRAIN_KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DT_INLINE       static inline __attribute__((always_inline))
#define DT_UNROLL       _Pragma("GCC unroll 8")
#define DT_UNROLL_STRIP _Pragma("GCC unroll 16")

typedef float vector __attribute__((vector_size(DT_WIDTH * 4)));
typedef int32_t mask __attribute__((vector_size(DT_WIDTH * 4)));
typedef float vector_in_memory __attribute__((vector_size(DT_WIDTH * 4), aligned(4), may_alias));

DT_INLINE vector load(const float *from) {
    return *(const vector_in_memory *)from;
}

DT_INLINE void store(float *to, vector value) {
    *(vector_in_memory *)to = value;
}

/* The first count < DT_WIDTH values, zeros behind. */
DT_INLINE vector load_part(const float *from, size_t count) {
    float padded[DT_WIDTH] = {0};
    for (size_t i = 0; i < count; i++)
        padded[i] = from[i];
    return load(padded);
}

DT_INLINE void store_part(float *to, size_t count, vector value) {
    float padded[DT_WIDTH];
    store(padded, value);
    for (size_t i = 0; i < count; i++)
        to[i] = padded[i];
}

/* The same for any count: at most one vector. */
DT_INLINE vector load_lanes(const float *from, size_t count) {
    return count >= DT_WIDTH ? load(from) : load_part(from, count);
}

DT_INLINE void store_lanes(float *to, size_t count, vector value) {
    if (count >= DT_WIDTH)
        store(to, value);
    else
        store_part(to, count, value);
}

/* Subtracting zero keeps the sign of -0. */
DT_INLINE vector splat(float value) {
    return value - (vector){0};
}

DT_INLINE vector keep_where(mask where, vector value) {
    return (vector)(where & (mask)value);
}

/* Not max(value, 0): a NaN must stay one. */
DT_INLINE vector relu_of(vector value) {
    return keep_where(~(mask)(value <= (vector){0}), value);
}

/* Half as many values, which as doubles fill one vector. */
enum { HALF = DT_WIDTH / 2 };
typedef float half_vector __attribute__((vector_size(HALF * 4)));
typedef double wide __attribute__((vector_size(HALF * 8)));

DT_INLINE wide load_wide(const float *from, size_t count) {
    half_vector values = {0};
    if (count >= HALF)
        memcpy(&values, from, sizeof values);
    else
        for (size_t i = 0; i < count; i++)
            values[i] = from[i];
    return __builtin_convertvector(values, wide);
}

DT_INLINE double sum_lanes(wide values) {
    double sum = 0;
    for (size_t i = 0; i < HALF; i++)
        sum += values[i];
    return sum;
}

#endif
