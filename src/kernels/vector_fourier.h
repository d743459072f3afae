/* SPDX-License-Identifier: BSD-3-Clause */
/* Discrete Fourier transforms of 8 and 16 vectors, real and complex, unrolled. Included by vector_winograd.h
 * only.
 *
 * Decimation in time: a transform is made of those of its even and of its odd inputs,
 * c[f] = even[f] + w^f odd[f], c[f + n/2] = even[f] - w^f odd[f], w = exp(-2 pi i / n). Of a real input's
 * spectrum the first n/2 + 1 values are kept, the first and last of which are real; their imaginary parts are
 * neither read nor written. Backward transforms are not divided by n. */

enum { CIRCLE = 16, MOST_SIDE = 16, MOST_FREQUENCIES = MOST_SIDE / 2 + 1 };

/* cos(2 pi i / 16). */
static const float circle_cosine[CIRCLE] = {
    1.0f,  0.923879533f,  0.707106781f,  0.382683432f,  0.0f, -0.382683432f, -0.707106781f, -0.923879533f,
    -1.0f, -0.923879533f, -0.707106781f, -0.382683432f, 0.0f, 0.382683432f,  0.707106781f,  0.923879533f};

/* Of step / n of the circle. */
DT_INLINE float cosine(int n, int step) {
    return circle_cosine[step * (CIRCLE / n) % CIRCLE];
}

DT_INLINE float sine(int n, int step) {
    return circle_cosine[(step * (CIRCLE / n) + 3 * CIRCLE / 4) % CIRCLE];
}

/* (re, im) times w^step, step up to n / 2. Multiplications by 1, -i and the root of a half are spared. */
DT_INLINE void turn(int n, int step, vector *re, vector *im) {
    vector old_re = *re, old_im = *im;
    float c = cosine(n, step), s = sine(n, step);
    if (step == 0)
        return;
    if (4 * step == n) {
        *re = old_im;
        *im = -old_re;
    } else if (8 * step == n) {
        *re = c * (old_im + old_re);
        *im = c * (old_im - old_re);
    } else {
        *re = c * old_re + s * old_im;
        *im = c * old_im - s * old_re;
    }
}

DT_INLINE void complex_2(size_t stride, const vector *re, const vector *im, vector *to_re, vector *to_im) {
    to_re[0] = re[0] + re[stride];
    to_im[0] = im[0] + im[stride];
    to_re[1] = re[0] - re[stride];
    to_im[1] = im[0] - im[stride];
}

/* `stride` is that of the input. */
#define DEFINE_COMPLEX(N, HALF_N)                                                                \
    DT_INLINE void complex_##N(size_t stride, const vector *re, const vector *im, vector *to_re, \
                               vector *to_im) {                                                  \
        vector even_re[HALF_N], even_im[HALF_N], odd_re[HALF_N], odd_im[HALF_N];                 \
        complex_##HALF_N(2 * stride, re, im, even_re, even_im);                                  \
        complex_##HALF_N(2 * stride, re + stride, im + stride, odd_re, odd_im);                  \
        DT_UNROLL                                                                                \
        for (int f = 0; f < HALF_N; f++) {                                                       \
            turn(N, f, odd_re + f, odd_im + f);                                                  \
            to_re[f] = even_re[f] + odd_re[f];                                                   \
            to_im[f] = even_im[f] + odd_im[f];                                                   \
            to_re[f + HALF_N] = even_re[f] - odd_re[f];                                          \
            to_im[f + HALF_N] = even_im[f] - odd_im[f];                                          \
        }                                                                                        \
    }

DEFINE_COMPLEX(4, 2)
DEFINE_COMPLEX(8, 4)
DEFINE_COMPLEX(16, 8)

DT_INLINE void real_2(size_t stride, const vector *x, vector *re, vector *im) {
    (void)im;
    re[0] = x[0] + x[stride];
    re[1] = x[0] - x[stride];
}

/* The halves' spectra e and o have QUARTER_N + 1 values; what they lack follows from x being real:
 * c[n/2 - f] is the conjugate of e[f] - w^f o[f]. */
#define DEFINE_REAL(N, HALF_N, QUARTER_N)                                                                    \
    DT_INLINE void real_##N(size_t stride, const vector *x, vector *re, vector *im) {                        \
        vector even_re[QUARTER_N + 1], even_im[QUARTER_N + 1], odd_re[QUARTER_N + 1], odd_im[QUARTER_N + 1]; \
        real_##HALF_N(2 * stride, x, even_re, even_im);                                                      \
        real_##HALF_N(2 * stride, x + stride, odd_re, odd_im);                                               \
        re[0] = even_re[0] + odd_re[0];                                                                      \
        re[HALF_N] = even_re[0] - odd_re[0];                                                                 \
        re[QUARTER_N] = even_re[QUARTER_N];                                                                  \
        im[QUARTER_N] = -odd_re[QUARTER_N];                                                                  \
        DT_UNROLL                                                                                            \
        for (int f = 1; f < QUARTER_N; f++) {                                                                \
            turn(N, f, odd_re + f, odd_im + f);                                                              \
            re[f] = even_re[f] + odd_re[f];                                                                  \
            im[f] = even_im[f] + odd_im[f];                                                                  \
            re[HALF_N - f] = even_re[f] - odd_re[f];                                                         \
            im[HALF_N - f] = odd_im[f] - even_im[f];                                                         \
        }                                                                                                    \
    }

DEFINE_REAL(4, 2, 1)
DEFINE_REAL(8, 4, 2)
DEFINE_REAL(16, 8, 4)

DT_INLINE void real_back_2(size_t stride, const vector *re, const vector *im, vector *x) {
    (void)im;
    x[0] = re[0] + re[1];
    x[stride] = re[0] - re[1];
}

/* e[f] = c[f] + conjugate of c[n/2 - f], o[f] = their difference times w^-f. `stride` is that of x. */
#define DEFINE_REAL_BACK(N, HALF_N, QUARTER_N)                                                               \
    DT_INLINE void real_back_##N(size_t stride, const vector *re, const vector *im, vector *x) {             \
        vector even_re[QUARTER_N + 1], even_im[QUARTER_N + 1], odd_re[QUARTER_N + 1], odd_im[QUARTER_N + 1]; \
        even_re[0] = re[0] + re[HALF_N];                                                                     \
        odd_re[0] = re[0] - re[HALF_N];                                                                      \
        even_re[QUARTER_N] = re[QUARTER_N] + re[QUARTER_N];                                                  \
        odd_re[QUARTER_N] = -(im[QUARTER_N] + im[QUARTER_N]);                                                \
        DT_UNROLL                                                                                            \
        for (int f = 1; f < QUARTER_N; f++) {                                                                \
            even_re[f] = re[f] + re[HALF_N - f];                                                             \
            even_im[f] = im[f] - im[HALF_N - f];                                                             \
            odd_re[f] = re[f] - re[HALF_N - f];                                                              \
            odd_im[f] = im[f] + im[HALF_N - f];                                                              \
            turn(N, f, odd_im + f, odd_re + f);                                                              \
        }                                                                                                    \
        real_back_##HALF_N(2 * stride, even_re, even_im, x);                                                 \
        real_back_##HALF_N(2 * stride, odd_re, odd_im, x + stride);                                          \
    }

DEFINE_REAL_BACK(4, 2, 1)
DEFINE_REAL_BACK(8, 4, 2)
DEFINE_REAL_BACK(16, 8, 4)

DT_INLINE void complex_there(int n, const vector *re, const vector *im, vector *to_re, vector *to_im) {
    n == 8 ? complex_8(1, re, im, to_re, to_im) : complex_16(1, re, im, to_re, to_im);
}

/* With real and imaginary parts exchanged the transform runs backward. */
DT_INLINE void complex_back(int n, const vector *re, const vector *im, vector *to_re, vector *to_im) {
    complex_there(n, im, re, to_im, to_re);
}

DT_INLINE void real_there(int n, const vector *x, vector *re, vector *im) {
    n == 8 ? real_8(1, x, re, im) : real_16(1, x, re, im);
}

DT_INLINE void real_back(int n, const vector *re, const vector *im, vector *x) {
    n == 8 ? real_back_8(1, re, im, x) : real_back_16(1, re, im, x);
}
