/* SPDX-License-Identifier: BSD-3-Clause */
/* Dropout with its random numbers: the Philox4x32-10 of dtrain/random.h for several draws at a time. Included
 * by vector_bodies.h only. */

/* 32-bit words in lanes of 64 bits, where their products fit. */
typedef uint64_t words __attribute__((vector_size(DT_WIDTH * 4)));
typedef uint16_t halves __attribute__((vector_size(DT_WIDTH * 2)));

enum { PHILOX_ROUNDS = 10, UNITS_PER_DRAW = 8, UNITS_AT_ONCE = HALF * UNITS_PER_DRAW };

DT_INLINE void philox(const uint32_t key[2], words c[4]) {
    const words low = (words){0} + 0xFFFFFFFFu;
    uint32_t key0 = key[0], key1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        words first = c[0] * 0xD2511F53u, second = c[2] * 0xCD9E8D57u;
        c[0] = second >> 32 ^ c[1] ^ key0;
        c[1] = second & low;
        c[2] = first >> 32 ^ c[3] ^ key1;
        c[3] = first & low;
    }
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "half-words are read low half first");

/* The bits of units unit .. unit + UNITS_AT_ONCE - 1. */
DT_INLINE void draw_units(const dt_dropout_stream *stream, size_t unit, uint16_t bits[UNITS_AT_ONCE]) {
    words c[4] = {(words){0} + stream->counter[0], (words){0} + stream->counter[1],
                  (words){0} + stream->counter[2], (words){0} + unit / UNITS_PER_DRAW};
    for (size_t lane = 0; lane < HALF; lane++)
        c[3][lane] += lane;
    philox(stream->key, c);
    words front = c[0] | c[1] << 32, back = c[2] | c[3] << 32;
    for (size_t lane = 0; lane < HALF; lane++) {
        uint64_t both[2] = {front[lane], back[lane]};
        memcpy(bits + lane * UNITS_PER_DRAW, both, sizeof both);
    }
}

static void dropout_row(const dt_dropout_stream *stream, size_t units, float *y) {
    mask threshold = (mask){0} + stream->threshold;
    vector scale = splat(stream->scale);
    for (size_t unit = 0; unit < units; unit += UNITS_AT_ONCE) {
        uint16_t bits[UNITS_AT_ONCE];
        draw_units(stream, stream->first_unit + unit, bits);
        for (size_t i = 0; i < UNITS_AT_ONCE && unit + i < units; i += DT_WIDTH) {
            halves drawn;
            memcpy(&drawn, bits + i, sizeof drawn);
            mask kept = __builtin_convertvector(drawn, mask) >= threshold;
            size_t left = units - unit - i;
            store_lanes(y + unit + i, left, keep_where(kept, load_lanes(y + unit + i, left) * scale));
        }
    }
}
