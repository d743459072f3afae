/* SPDX-License-Identifier: BSD-3-Clause */
/* Products at the interpolation points. Included by vector_winograd.h only. */

/* A matrix [depth][..] in stretches: after every `run` steps of `step` floats the next stretch begins
 * `stride` floats behind the last one's begin. */
typedef struct stretches {
    const float *from;
    size_t step, stride;
} stretches;

/* What becomes of c. */
typedef enum chain_start {
    FROM_ZERO, /* c = the sum */
    FROM_C,    /* the sum's chain begins with c */
    TO_C       /* c += the sum */
} chain_start;

/* ROWS rows of c, row i of a being a_row floats behind row 0, and one cache line of `soon` fetched with each
 * step. The loops over sums are unrolled completely, which is what keeps them in registers. */
#define DEFINE_MULTIPLY(ROWS)                                                                        \
    DT_INLINE void multiply_##ROWS(size_t depth, size_t run, stretches a, size_t a_row, stretches b, \
                                   stretches soon, chain_start at, float *c) {                       \
        vector sum[ROWS][2] = {{{0}}};                                                               \
        if (at == FROM_C) {                                                                          \
            DT_UNROLL                                                                                \
            for (size_t i = 0; i < ROWS; i++) {                                                      \
                sum[i][0] = load(c + i * BLOCK);                                                     \
                sum[i][1] = load(c + i * BLOCK + DT_WIDTH);                                          \
            }                                                                                        \
        }                                                                                            \
        for (size_t stretch; depth > 0; depth -= stretch) {                                          \
            const float *left = a.from, *right = b.from, *ahead = soon.from;                         \
            stretch = depth < run ? depth : run;                                                     \
            for (size_t k = 0; k < stretch; k++) {                                                   \
                vector right0 = load(right), right1 = load(right + DT_WIDTH);                        \
                __builtin_prefetch(ahead);                                                           \
                DT_UNROLL                                                                            \
                for (size_t i = 0; i < ROWS; i++) {                                                  \
                    sum[i][0] = multiply_add(sum[i][0], left[i * a_row], right0);                    \
                    sum[i][1] = multiply_add(sum[i][1], left[i * a_row], right1);                    \
                }                                                                                    \
                left += a.step;                                                                      \
                right += b.step;                                                                     \
                ahead += soon.step;                                                                  \
            }                                                                                        \
            a.from += a.stride;                                                                      \
            b.from += b.stride;                                                                      \
            soon.from += soon.stride;                                                                \
        }                                                                                            \
        if (at == TO_C) {                                                                            \
            DT_UNROLL                                                                                \
            for (size_t i = 0; i < ROWS; i++) {                                                      \
                sum[i][0] = load(c + i * BLOCK) + sum[i][0];                                         \
                sum[i][1] = load(c + i * BLOCK + DT_WIDTH) + sum[i][1];                              \
            }                                                                                        \
        }                                                                                            \
        DT_UNROLL                                                                                    \
        for (size_t i = 0; i < ROWS; i++) {                                                          \
            store(c + i * BLOCK, sum[i][0]);                                                         \
            store(c + i * BLOCK + DT_WIDTH, sum[i][1]);                                              \
        }                                                                                            \
    }

DEFINE_MULTIPLY(1)
DEFINE_MULTIPLY(2)
DEFINE_MULTIPLY(4)
#if DT_MULTIPLY_ROWS == 6
DEFINE_MULTIPLY(6)
#elif DT_MULTIPLY_ROWS == 8
DEFINE_MULTIPLY(8)
#endif

/* How many of `rows` rows to take at a time. A rest of two has too few sums to hide the latency of a
 * multiply-add, so none is made on purpose. */
DT_INLINE size_t rows_at_once(size_t rows) {
    if (rows >= DT_MULTIPLY_ROWS && rows != DT_MULTIPLY_ROWS + 2)
        return DT_MULTIPLY_ROWS;
    return rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
}

DT_INLINE void multiply_rows(size_t rows, size_t depth, size_t run, stretches a, size_t a_row, stretches b,
                             stretches soon, chain_start at, float *c) {
    switch (rows) {
#if DT_MULTIPLY_ROWS == 6
    case 6:
        multiply_6(depth, run, a, a_row, b, soon, at, c);
        break;
#elif DT_MULTIPLY_ROWS == 8
    case 8:
        multiply_8(depth, run, a, a_row, b, soon, at, c);
        break;
#endif
    case 4:
        multiply_4(depth, run, a, a_row, b, soon, at, c);
        break;
    case 2:
        multiply_2(depth, run, a, a_row, b, soon, at, c);
        break;
    default:
        multiply_1(depth, run, a, a_row, b, soon, at, c);
    }
}

/* The rows of the next round come into the cache meanwhile. */
static void multiply_tiles(size_t rows, size_t depth, size_t chain, const float *a, size_t a_block,
                           const float *b, const float *next, bool resume, float *c) {
    while (rows > 0) {
        size_t now = rows_at_once(rows);
        const float *soon = now == rows ? next : a + now * OPERANDS;
        for (size_t k = 0; k < depth; k += chain) {
            size_t steps = depth - k < chain ? depth - k : chain;
            size_t block = k / BLOCK * a_block, place = k % BLOCK / PAIR;
            multiply_rows(now, (steps + PAIR - 1) / PAIR, OPERANDS,
                          (stretches){a + block + place, 1, a_block}, OPERANDS,
                          (stretches){b + k / PAIR * BLOCK, BLOCK, (size_t)OPERANDS * BLOCK},
                          (stretches){soon + block + place * DT_MULTIPLY_ROWS, DT_MULTIPLY_ROWS, a_block},
                          resume || k > 0 ? TO_C : FROM_ZERO, c);
        }
        rows -= now;
        a += now * OPERANDS;
        c += now * BLOCK;
    }
}

#ifndef DT_BF16

/* Lines of a row of a block. */
enum { LINES = BLOCK * sizeof(float) < 64 ? 1 : BLOCK * sizeof(float) / 64, LINE_FLOATS = 16 };

/* Each round fetches one line of every row of the next a, or then of the next b. */
static void multiply_channels(size_t rows, size_t depth, size_t run, const float *a, size_t a_run,
                              const float *b, size_t b_run, const float *next_a, const float *next_b,
                              bool resume, float *c) {
    for (size_t round = 0; rows > 0; round++) {
        size_t now = rows_at_once(rows);
        stretches soon = {next_a + round * LINE_FLOATS, BLOCK, a_run};
        if (round >= LINES)
            soon = (stretches){next_b + (round - LINES) % LINES * LINE_FLOATS, BLOCK, b_run};
        multiply_rows(now, depth, run, (stretches){a, BLOCK, a_run}, 1, (stretches){b, BLOCK, b_run}, soon,
                      resume ? FROM_C : FROM_ZERO, c);
        rows -= now;
        a += now;
        c += now * BLOCK;
    }
}

#else

/* Rows of a stretch that become pairs at a time. */
enum { PAIRED_ROWS = 64 };

/* c from the pairs of one piece, while the rows of the next piece of a, then of b, come into the cache. */
DT_INLINE void multiply_pairs(size_t rows, size_t steps, const float *a, const float *b, const float *next_a,
                              const float *next_b, bool resume, float *c) {
    for (size_t now, round = 0; rows > 0; rows -= now, a += now, c += now * BLOCK, round++) {
        const float *next = round < PAIR ? next_a : next_b;
        now = rows_at_once(rows);
        multiply_rows(now, steps, steps, (stretches){a, BLOCK, 0}, 1, (stretches){b, BLOCK, 0},
                      (stretches){next + round % PAIR * steps * OPERANDS, OPERANDS, 0},
                      resume ? FROM_C : FROM_ZERO, c);
    }
}

/* Rows of a stretch, each two of which become pairs [channel]; behind an odd last one zeros are thought. */
DT_INLINE void pair_stretch(size_t rows, const float *from, float *to) {
    static const float zeros[OPERANDS];
    for (size_t row = 0; row < rows; row += PAIR, from += PAIR * OPERANDS, to += BLOCK)
        interleave(from, row + 1 < rows ? from + OPERANDS : zeros, to);
}

/* Pieces of stretches are paired, then multiplied from there. */
static void multiply_channels(size_t rows, size_t depth, size_t run, const float *a, size_t a_run,
                              const float *b, size_t b_run, const float *next_a, const float *next_b,
                              bool resume, float *c) {
    float left[PAIRED_ROWS / PAIR * BLOCK] __attribute__((aligned(64)));
    float right[PAIRED_ROWS / PAIR * BLOCK] __attribute__((aligned(64)));
    if (depth == 0)
        multiply_pairs(rows, 0, left, right, next_a, next_b, resume, c);
    for (; depth > 0; depth -= run, a += a_run, b += b_run)
        for (size_t first = 0; first < run; first += PAIRED_ROWS, resume = true) {
            size_t piece = run - first < PAIRED_ROWS ? run - first : PAIRED_ROWS;
            bool last = depth == run;
            const float *soon_a = last ? next_a : a + a_run, *soon_b = last ? next_b : b + b_run;
            if (first + piece < run) {
                soon_a = a + (first + piece) * OPERANDS;
                soon_b = b + (first + piece) * OPERANDS;
            }
            pair_stretch(piece, a + first * OPERANDS, left);
            pair_stretch(piece, b + first * OPERANDS, right);
            multiply_pairs(rows, (piece + 1) / PAIR, left, right, soon_a, soon_b, resume, c);
        }
}

#endif
