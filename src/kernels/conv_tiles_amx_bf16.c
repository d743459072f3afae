/* SPDX-License-Identifier: BSD-3-Clause */
/* The inner loops of convolutions on tile registers, with AMX_BF16 and AVX512_BF16. */
#include <string.h>

#include "kernels/amx_tiles.h"
#include "kernels/conv_tiles.h"

#define DT_INLINE static inline __attribute__((always_inline))

enum { SIDE = DT_CONV_TILE_SIDE, BLOCK = DT_CONV_TILE_BLOCK, TILE = DT_CONV_TILE_HALVES };

/* Sums 0, 1 and left operand 4 have `upper` rows, 2, 3 and 5 have `lower`. */
static void configure(size_t upper, size_t lower) {
    tile_configuration configuration = tile_configuration_full();
    const uint8_t rows[] = {(uint8_t)upper, (uint8_t)upper, (uint8_t)lower,
                            (uint8_t)lower, (uint8_t)upper, (uint8_t)lower};
    memcpy(configuration.rows, rows, sizeof rows);
    tile_configure(&configuration);
}

static void begin(size_t rows) {
    configure(rows < SIDE ? rows : SIDE, rows > SIDE ? rows - SIDE : SIDE);
}

static void begin_taps(size_t kernel) {
    configure(kernel, kernel);
}

static void end(void) {
    tile_release();
}

/* How left operands lie, in halves: rows, the other tile of rows, the next of the depth. */
typedef struct left {
    size_t row, other, step;
} left;

static const left blocks = {BLOCK, TILE, 2 * TILE};

static void clear(bool both) {
    TILE_ZERO(0);
    TILE_ZERO(1);
    if (both) {
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
}

/* `run` steps of the depth; the other tile of rows if `both`. */
DT_INLINE void multiply_run(bool both, left l, size_t run, const uint16_t *a, const uint16_t *b) {
    for (size_t i = 0; i < run; i++, a += l.step, b += 2 * TILE) {
        TILE_LOAD(4, a, l.row * sizeof *a);
        TILE_LOAD(6, b, TILE_BYTES);
        TILE_MULTIPLY(0, 4, 6);
        TILE_LOAD(7, b + TILE, TILE_BYTES);
        TILE_MULTIPLY(1, 4, 7);
        if (both) {
            TILE_LOAD(5, a + l.other, l.row * sizeof *a);
            TILE_MULTIPLY(2, 5, 6);
            TILE_MULTIPLY(3, 5, 7);
        }
    }
}

static void store_sums_of(bool both, float *c, size_t row, size_t other) {
    TILE_STORE(0, c, row * sizeof *c);
    TILE_STORE(1, c + SIDE, row * sizeof *c);
    if (both) {
        TILE_STORE(2, c + other, row * sizeof *c);
        TILE_STORE(3, c + other + SIDE, row * sizeof *c);
    }
}

static void multiply(size_t rows, size_t lines, size_t run, const uint16_t *a, size_t a_line,
                     const uint16_t *b, size_t b_line, float *c) {
    bool both = rows > SIDE;
    clear(both);
    for (size_t line = 0; line < lines; line++, a += a_line, b += b_line)
        if (both)
            multiply_run(true, blocks, run, a, b);
        else
            multiply_run(false, blocks, run, a, b);
    store_sums_of(both, c, BLOCK, SIDE * BLOCK);
}

static void multiply_records(size_t rows, size_t run, const uint16_t *a, const uint16_t *b, float *c) {
    left records = {run * BLOCK, SIDE * run * BLOCK, BLOCK};
    bool both = rows > SIDE;
    clear(both);
    if (both)
        multiply_run(true, records, run, a, b);
    else
        multiply_run(false, records, run, a, b);
    store_sums_of(both, c, BLOCK, SIDE * BLOCK);
}

static void weigh_lines(size_t taps, size_t samples, size_t a_sample, size_t lines, size_t a_line, size_t run,
                        const uint16_t *a, const uint16_t *b, size_t c_line, float *c) {
    left shifted = {a_line, 1, BLOCK};
    bool both = taps > 1;
    clear(both);
    for (size_t sample = 0; sample < samples; sample++, a += a_sample)
        for (size_t line = 0; line < lines; line++, b += run * 2 * TILE)
            if (both)
                multiply_run(true, shifted, run, a + line * a_line, b);
            else
                multiply_run(false, shifted, run, a + line * a_line, b);
    store_sums_of(both, c, c_line, BLOCK);
}

/* Sums of the lower 16 out channels are 0 to 2, those of the upper 3 to 5: the operands take turns. */
DT_INLINE void multiply_taps(size_t taps, const uint16_t *a, const uint16_t *b) {
    TILE_LOAD(6, a, TILE_BYTES);
    TILE_LOAD(7, b, TILE_BYTES);
    TILE_MULTIPLY(0, 6, 7);
    if (taps > 1) {
        TILE_LOAD(7, b + DT_CONV_TILE_PIXEL, TILE_BYTES);
        TILE_MULTIPLY(1, 6, 7);
    }
    if (taps > 2) {
        TILE_LOAD(7, b + 2 * DT_CONV_TILE_PIXEL, TILE_BYTES);
        TILE_MULTIPLY(2, 6, 7);
    }
    TILE_LOAD(6, a + TILE, TILE_BYTES);
    if (taps > 2) {
        TILE_MULTIPLY(5, 6, 7);
        TILE_LOAD(7, b + DT_CONV_TILE_PIXEL, TILE_BYTES);
    }
    if (taps > 1) {
        TILE_MULTIPLY(4, 6, 7);
        TILE_LOAD(7, b, TILE_BYTES);
    }
    TILE_MULTIPLY(3, 6, 7);
}

DT_INLINE void sum_taps(size_t taps, size_t lines, size_t run, const uint16_t *a, size_t a_line,
                        const uint16_t *b, size_t b_line) {
    for (size_t line = 0; line < lines; line++, a += a_line, b += b_line)
        for (size_t i = 0; i < run; i++)
            multiply_taps(taps, a + i * 2 * TILE, b + i * TILE);
}

static void gradient(size_t taps, size_t lines, size_t run, const uint16_t *a, size_t a_line,
                     const uint16_t *b, size_t b_line, float *c) {
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_ZERO(4);
    TILE_ZERO(5);
    if (taps == 1)
        sum_taps(1, lines, run, a, a_line, b, b_line);
    else if (taps == 2)
        sum_taps(2, lines, run, a, a_line, b, b_line);
    else
        sum_taps(3, lines, run, a, a_line, b, b_line);
    TILE_STORE(0, c, TILE_BYTES);
    TILE_STORE(3, c + DT_CONV_TILE_FRAME / 2, TILE_BYTES);
    if (taps > 1) {
        TILE_STORE(1, c + DT_CONV_TILE_FRAME, TILE_BYTES);
        TILE_STORE(4, c + DT_CONV_TILE_FRAME + DT_CONV_TILE_FRAME / 2, TILE_BYTES);
    }
    if (taps > 2) {
        TILE_STORE(2, c + 2 * DT_CONV_TILE_FRAME, TILE_BYTES);
        TILE_STORE(5, c + 2 * DT_CONV_TILE_FRAME + DT_CONV_TILE_FRAME / 2, TILE_BYTES);
    }
}

/* Lanes of the lower and the upper 16 of `count` <= 32 channels. */
typedef struct lanes {
    __mmask16 lower, upper;
} lanes;

static lanes lanes_of(size_t count) {
    uint32_t all = count < BLOCK ? (1u << count) - 1 : ~0u;
    return (lanes){(__mmask16)all, (__mmask16)(all >> SIDE)};
}

DT_INLINE __m512i round_both(__m512 lower, __m512 upper) {
    return (__m512i)_mm512_cvtne2ps_pbh(upper, lower);
}

/* Lane i of two rows of 32 halves as a pair: channels 0 to 15, and 16 to 31. */
DT_INLINE __m512i pair_lower(__m512i even, __m512i odd) {
    const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39,
                                           7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    return _mm512_permutex2var_epi16(even, order, odd);
}

DT_INLINE __m512i pair_upper(__m512i even, __m512i odd) {
    const __m512i order = _mm512_set_epi16(63, 31, 62, 30, 61, 29, 60, 28, 59, 27, 58, 26, 57, 25, 56, 24, 55,
                                           23, 54, 22, 53, 21, 52, 20, 51, 19, 50, 18, 49, 17, 48, 16);
    return _mm512_permutex2var_epi16(even, order, odd);
}

DT_INLINE void store_row(uint16_t *to, __m512i row) {
    _mm512_store_si512((void *)to, row);
}

DT_INLINE __m512i load_row(const uint16_t *from) {
    return _mm512_load_si512((const void *)from);
}

static size_t whole_leaves(size_t samples) {
    return (samples + DT_LEAF_SAMPLES - 1) / DT_LEAF_SAMPLES * DT_LEAF_SAMPLES;
}

static void round_pixel(size_t samples, size_t stride, size_t channels, const float *x, dt_conv_tile_scale s,
                        uint16_t *to) {
    lanes l = lanes_of(channels);
    __m512 scale[2] = {_mm512_set1_ps(s.scale[0]), _mm512_set1_ps(s.scale[0])};
    __m512 shift[2] = {_mm512_set1_ps(s.shift[0]), _mm512_set1_ps(s.shift[0])};
    if (!s.same) {
        scale[0] = _mm512_maskz_loadu_ps(l.lower, s.scale);
        scale[1] = _mm512_maskz_loadu_ps(l.upper, s.scale + SIDE);
        shift[0] = _mm512_maskz_loadu_ps(l.lower, s.shift);
        shift[1] = _mm512_maskz_loadu_ps(l.upper, s.shift + SIDE);
    }
    for (size_t i = 0; i < samples; i++, x += stride, to += BLOCK) {
        __m512 lower = _mm512_maskz_loadu_ps(l.lower, x), upper = _mm512_maskz_loadu_ps(l.upper, x + SIDE);
        store_row(to, round_both(_mm512_maskz_fmadd_ps(l.lower, scale[0], lower, shift[0]),
                                 _mm512_maskz_fmadd_ps(l.upper, scale[1], upper, shift[1])));
    }
    for (size_t i = samples; i < whole_leaves(samples); i++, to += BLOCK)
        store_row(to, _mm512_setzero_si512());
}

static void pair_samples(const uint16_t *from, uint16_t *lower, uint16_t *upper) {
    for (size_t pair = 0; pair < DT_CONV_TILE_PAIRS; pair++, from += 2 * BLOCK) {
        __m512i even = load_row(from), odd = load_row(from + BLOCK);
        store_row(lower + pair * 2 * SIDE, pair_lower(even, odd));
        store_row(upper + pair * 2 * SIDE, pair_upper(even, odd));
    }
}

/* Transposes 16 rows of 16 pairs: first among neighbours of two and four, then among quarters of a vector. */
static void turn_pairs(const __m512i rows[SIDE], uint16_t *to) {
    __m512i t[SIDE], u[SIDE];
    for (int i = 0; i < SIDE; i += 2) {
        t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < SIDE; i += 4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        __m512i a = _mm512_shuffle_i32x4(u[i], u[i + 4], 0x88),
                b = _mm512_shuffle_i32x4(u[i], u[i + 4], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(u[i + 8], u[i + 12], 0x88);
        __m512i d = _mm512_shuffle_i32x4(u[i + 8], u[i + 12], 0xdd);
        store_row(to + i * BLOCK, _mm512_shuffle_i32x4(a, c, 0x88));
        store_row(to + (i + 4) * BLOCK, _mm512_shuffle_i32x4(b, d, 0x88));
        store_row(to + (i + 8) * BLOCK, _mm512_shuffle_i32x4(a, c, 0xdd));
        store_row(to + (i + 12) * BLOCK, _mm512_shuffle_i32x4(b, d, 0xdd));
    }
}

static void turn_samples(size_t columns, size_t stride, const uint16_t *from, uint16_t *to) {
    __m512i lower[SIDE], upper[SIDE];
    for (size_t i = 0; i < SIDE; i++) {
        const uint16_t *pair = from + i / DT_CONV_TILE_PAIRS * stride + i % DT_CONV_TILE_PAIRS * 2 * BLOCK;
        bool inside = i / DT_CONV_TILE_PAIRS < columns;
        __m512i even = inside ? load_row(pair) : _mm512_setzero_si512();
        __m512i odd = inside ? load_row(pair + BLOCK) : _mm512_setzero_si512();
        lower[i] = pair_lower(even, odd);
        upper[i] = pair_upper(even, odd);
    }
    turn_pairs(lower, to);
    turn_pairs(upper, to + TILE);
}

static void pair_columns(size_t columns, size_t stride, const uint16_t *from, uint16_t *to) {
    for (size_t column = 0; column < BLOCK; column += 2, from += 2 * stride, to += 2 * SIDE) {
        __m512i even = column < columns ? load_row(from) : _mm512_setzero_si512();
        __m512i odd = column + 1 < columns ? load_row(from + stride) : _mm512_setzero_si512();
        store_row(to, pair_lower(even, odd));
        store_row(to + TILE, pair_upper(even, odd));
    }
}

static void round_run(size_t count, const float *x, float scale, float shift, uint16_t *to) {
    for (size_t i = 0; i < count; i += SIDE) {
        __mmask16 of = lanes_of(count - i).lower;
        __m512 value =
            _mm512_fmadd_ps(_mm512_set1_ps(scale), _mm512_maskz_loadu_ps(of, x + i), _mm512_set1_ps(shift));
        _mm256_mask_storeu_epi16(to + i, of, (__m256i)_mm512_cvtneps_pbh(value));
    }
}

static void take_patches(size_t samples, size_t stride, size_t kernel, size_t line, const uint16_t *from,
                         size_t record, uint16_t *to) {
    __mmask16 of = lanes_of(kernel).lower;
    for (size_t i = 0; i < samples; i++, from += stride, to += record)
        for (size_t row = 0; row < kernel; row++)
            _mm256_mask_storeu_epi16(to + row * kernel, of, _mm256_maskz_loadu_epi16(of, from + row * line));
}

/* Row `row` of `rows`, rounded; zeros behind the last. */
DT_INLINE __m512i filter_row(size_t row, size_t rows, lanes l, size_t stride, const float *from) {
    if (row >= rows)
        return _mm512_setzero_si512();
    from += row * stride;
    return round_both(_mm512_maskz_loadu_ps(l.lower, from), _mm512_maskz_loadu_ps(l.upper, from + SIDE));
}

static void pack_filters(size_t rows, size_t columns, size_t stride, const float *from, uint16_t *to) {
    lanes l = lanes_of(columns);
    for (size_t row = 0; row < BLOCK; row += 2, to += 2 * SIDE) {
        __m512i even = filter_row(row, rows, l, stride, from);
        __m512i odd = filter_row(row + 1, rows, l, stride, from);
        store_row(to, pair_lower(even, odd));
        store_row(to + TILE, pair_upper(even, odd));
    }
}

static void turn_filters(size_t rows, size_t columns, size_t stride, const float *from, uint16_t *to) {
    lanes l = lanes_of(columns);
    __m512i pairs[SIDE];
    for (size_t first = 0; first < BLOCK; first += SIDE, to += TILE) {
        for (size_t row = 0; row < SIDE; row++)
            pairs[row] = filter_row(first + row, rows, l, stride, from);
        turn_pairs(pairs, to);
    }
}

static void finish(size_t samples, size_t channels, const float *sums, const float *bias, size_t stride,
                   float *y, uint16_t *signs) {
    lanes l = lanes_of(channels);
    const __mmask16 of[2] = {l.lower, l.upper};
    const __m512 zero = _mm512_setzero_ps();
    for (size_t half = 0; half < 2; half++) {
        __m512 add = _mm512_maskz_loadu_ps(of[half], bias + half * SIDE);
        for (size_t i = 0; i < samples; i++) {
            __m512 value = _mm512_add_ps(_mm512_load_ps(sums + i * BLOCK + half * SIDE), add);
            _mm512_mask_storeu_ps(y + i * stride + half * SIDE, of[half], _mm512_max_ps(zero, value));
            if (signs)
                signs[2 * i + half] = _mm512_cmp_ps_mask(value, zero, _CMP_GT_OQ);
        }
    }
}

static void finish_window(size_t samples, size_t channels, const float *sums, const float *bias,
                          size_t stride, float *y, uint16_t *signs) {
    lanes l = lanes_of(channels);
    const __mmask16 of[2] = {l.lower, l.upper};
    const __m512 zero = _mm512_setzero_ps(), quarter = _mm512_set1_ps(0.25f);
    for (size_t i = 0; i < samples; i++)
        for (size_t half = 0; half < 2; half++) {
            __m512 add = _mm512_maskz_loadu_ps(of[half], bias + half * SIDE), value[4];
            for (size_t k = 0; k < 4; k++) {
                value[k] = _mm512_load_ps(sums + (k * BLOCK + i) * BLOCK + half * SIDE);
                value[k] = _mm512_max_ps(zero, _mm512_add_ps(value[k], add));
                if (signs)
                    signs[(2 * i + half) * 4 + k] = _mm512_cmp_ps_mask(value[k], zero, _CMP_GT_OQ);
            }
            __m512 upper = _mm512_add_ps(value[0], value[1]), lower = _mm512_add_ps(value[2], value[3]);
            _mm512_mask_storeu_ps(y + i * stride + half * SIDE, of[half],
                                  _mm512_mul_ps(quarter, _mm512_add_ps(upper, lower)));
        }
}

static void store_sums(size_t samples, size_t channels, const float *sums, size_t stride, float *to) {
    lanes l = lanes_of(channels);
    for (size_t i = 0; i < samples; i++, sums += BLOCK, to += stride) {
        _mm512_mask_storeu_ps(to, l.lower, _mm512_load_ps(sums));
        _mm512_mask_storeu_ps(to + SIDE, l.upper, _mm512_load_ps(sums + SIDE));
    }
}

/* Adds what passes to the bias and returns it. */
DT_INLINE __m512 pass(__m512 value, __mmask16 sign, float *bias) {
    value = _mm512_maskz_mov_ps(sign, value);
    _mm512_store_ps(bias, _mm512_add_ps(_mm512_load_ps(bias), value));
    return value;
}

static void gate(size_t samples, size_t channels, const float *dy, size_t stride, const uint16_t *signs,
                 float *bias, uint16_t *to) {
    lanes l = lanes_of(channels);
    for (size_t i = 0; i < samples; i++, dy += stride, signs += 2, bias += BLOCK, to += BLOCK) {
        __m512 lower = pass(_mm512_maskz_loadu_ps(l.lower, dy), signs[0], bias);
        __m512 upper = pass(_mm512_maskz_loadu_ps(l.upper, dy + SIDE), signs[1], bias + SIDE);
        store_row(to, round_both(lower, upper));
    }
    for (size_t i = samples; i < DT_LEAF_SAMPLES; i++, to += BLOCK)
        store_row(to, _mm512_setzero_si512());
}

static void gate_window(size_t samples, size_t channels, const float *dy, size_t stride,
                        const uint16_t *signs, float *bias, uint16_t *const to[4]) {
    lanes l = lanes_of(channels);
    const __m512 quarter = _mm512_set1_ps(0.25f);
    for (size_t i = 0; i < samples; i++, dy += stride, signs += 8, bias += BLOCK) {
        __m512 lower = _mm512_mul_ps(quarter, _mm512_maskz_loadu_ps(l.lower, dy));
        __m512 upper = _mm512_mul_ps(quarter, _mm512_maskz_loadu_ps(l.upper, dy + SIDE));
        for (size_t k = 0; k < 4; k++) {
            __m512 low = pass(lower, signs[k], bias), high = pass(upper, signs[4 + k], bias + SIDE);
            store_row(to[k] + i * BLOCK, round_both(low, high));
        }
    }
    for (size_t k = 0; k < 4; k++)
        for (size_t i = samples; i < DT_LEAF_SAMPLES; i++)
            store_row(to[k] + i * BLOCK, _mm512_setzero_si512());
}

const dt_conv_tile_bodies dt_conv_tiles_amx_bf16 = {
    .begin = begin,
    .begin_taps = begin_taps,
    .end = end,
    .multiply = multiply,
    .multiply_records = multiply_records,
    .gradient = gradient,
    .weigh_lines = weigh_lines,
    .round_pixel = round_pixel,
    .pair_samples = pair_samples,
    .turn_samples = turn_samples,
    .pair_columns = pair_columns,
    .round_run = round_run,
    .take_patches = take_patches,
    .pack_filters = pack_filters,
    .turn_filters = turn_filters,
    .finish = finish,
    .finish_window = finish_window,
    .store = store_sums,
    .gate = gate,
    .gate_window = gate_window,
};
