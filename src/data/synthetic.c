/* SPDX-License-Identifier: BSD-3-Clause */
/* Digits drawn by the program. Only operations that IEEE 754 rounds correctly are used (no libm sine), so
 * that the bytes, and the fingerprint of the data set, are the same on every machine. */
#include "data/synthetic.h"

#include <math.h>
#include <string.h>

#include "data/storage.h"
#include "dtrain/random.h"

/* Random words of a digit: those of its style come from draw 0 on, those of its noise from NOISE_DRAW on; the
 * labels of ten digits come from a counter of their own. */
enum { NOISE_DRAW = 16, LABEL_STREAM = 1 };

typedef struct point {
    float x, y;
} point;

/* A part of a digit in the unit box, y down: a line from (a, b) to (c, d), or the arc of an ellipse with
 * centre (a, b), radii c and d, from one angle to another in turns, clockwise from three o'clock. */
typedef struct piece {
    enum { LINE, ARC } form;
    float a, b, c, d, from, to;
} piece;

#define LINE_OF(x0, y0, x1, y1) \
    { LINE, x0, y0, x1, y1, 0.0f, 0.0f }
#define ARC_OF(x, y, rx, ry, from_degrees, to_degrees) \
    { ARC, x, y, rx, ry, (from_degrees) / 360.0f, (to_degrees) / 360.0f }

enum { VARIANTS = 2, MOST_PIECES = 4 };

/* Two ways of writing each digit. */
static const struct shape {
    int pieces;
    piece piece[MOST_PIECES];
} shapes[DT_CLASSES][VARIANTS] = {
    [0] = {{1, {ARC_OF(0.5f, 0.5f, 0.29f, 0.46f, 0, 360)}},
           {1, {ARC_OF(0.5f, 0.5f, 0.25f, 0.46f, -70, 270)}}},
    [1] = {{1, {LINE_OF(0.5f, 0.04f, 0.5f, 0.96f)}},
           {2, {LINE_OF(0.52f, 0.04f, 0.52f, 0.96f), LINE_OF(0.52f, 0.04f, 0.33f, 0.22f)}}},
    [2] = {{3,
            {ARC_OF(0.48f, 0.28f, 0.27f, 0.24f, 180, 400), LINE_OF(0.687f, 0.434f, 0.2f, 0.95f),
             LINE_OF(0.2f, 0.95f, 0.82f, 0.95f)}},
           {3,
            {ARC_OF(0.46f, 0.27f, 0.26f, 0.23f, 200, 410), ARC_OF(0.33f, 0.84f, 0.13f, 0.1f, 90, 300),
             LINE_OF(0.627f, 0.446f, 0.33f, 0.94f)}}},
    [3] = {{2, {ARC_OF(0.46f, 0.27f, 0.25f, 0.23f, 200, 450), ARC_OF(0.46f, 0.73f, 0.29f, 0.23f, 270, 520)}},
           {3,
            {LINE_OF(0.22f, 0.06f, 0.74f, 0.06f), LINE_OF(0.74f, 0.06f, 0.45f, 0.42f),
             ARC_OF(0.45f, 0.68f, 0.29f, 0.26f, 270, 510)}}},
    [4] = {{3,
            {LINE_OF(0.62f, 0.04f, 0.19f, 0.66f), LINE_OF(0.19f, 0.66f, 0.83f, 0.66f),
             LINE_OF(0.62f, 0.04f, 0.62f, 0.96f)}},
           {3,
            {LINE_OF(0.26f, 0.06f, 0.22f, 0.53f), LINE_OF(0.22f, 0.53f, 0.8f, 0.51f),
             LINE_OF(0.72f, 0.06f, 0.66f, 0.96f)}}},
    [5] = {{3,
            {LINE_OF(0.75f, 0.06f, 0.31f, 0.06f), LINE_OF(0.31f, 0.06f, 0.27f, 0.47f),
             ARC_OF(0.47f, 0.67f, 0.29f, 0.27f, 225, 510)}},
           {3,
            {LINE_OF(0.78f, 0.1f, 0.36f, 0.05f), LINE_OF(0.36f, 0.05f, 0.26f, 0.46f),
             ARC_OF(0.42f, 0.68f, 0.3f, 0.26f, 240, 480)}}},
    [6] = {{2, {ARC_OF(0.66f, 0.66f, 0.42f, 0.62f, 180, 270), ARC_OF(0.5f, 0.7f, 0.26f, 0.25f, 0, 360)}},
           {2, {LINE_OF(0.56f, 0.04f, 0.27f, 0.62f), ARC_OF(0.48f, 0.73f, 0.24f, 0.22f, 0, 360)}}},
    [7] = {{2, {LINE_OF(0.2f, 0.08f, 0.79f, 0.08f), LINE_OF(0.79f, 0.08f, 0.42f, 0.96f)}},
           {3,
            {LINE_OF(0.2f, 0.1f, 0.78f, 0.06f), LINE_OF(0.78f, 0.06f, 0.4f, 0.96f),
             LINE_OF(0.36f, 0.5f, 0.74f, 0.48f)}}},
    [8] = {{2, {ARC_OF(0.5f, 0.27f, 0.22f, 0.22f, 0, 360), ARC_OF(0.5f, 0.73f, 0.27f, 0.24f, 0, 360)}},
           {4,
            {ARC_OF(0.5f, 0.24f, 0.22f, 0.18f, 150, 390), ARC_OF(0.5f, 0.78f, 0.23f, 0.18f, -30, 210),
             LINE_OF(0.31f, 0.33f, 0.7f, 0.69f), LINE_OF(0.69f, 0.33f, 0.3f, 0.69f)}}},
    [9] = {{2, {ARC_OF(0.48f, 0.29f, 0.26f, 0.25f, 0, 360), LINE_OF(0.74f, 0.27f, 0.64f, 0.96f)}},
           {2, {ARC_OF(0.5f, 0.28f, 0.25f, 0.24f, 0, 360), ARC_OF(0.31f, 0.33f, 0.44f, 0.61f, 0, 90)}}},
};

/* Random words of one digit, in order. */
typedef struct dice {
    uint64_t seed;
    uint32_t index, used;
    dt_random4 words;
} dice;

static uint32_t dice_word(dice *from) {
    if (from->used % 4 == 0)
        from->words = dt_random_draw(from->seed, DT_PURPOSE_DIGITS, from->index, from->used / 4, 0, 0);
    return from->words.word[from->used++ % 4];
}

static float dice_between(dice *from, float low, float high) {
    return low + (high - low) * dt_random_unit(dice_word(from));
}

/* sin(2 pi turns) to 2e-4: the Taylor polynomial of degree 7 on a quarter turn to either side. */
static float sine(float turns) {
    turns -= floorf(turns + 0.5f);
    if (turns > 0.25f)
        turns = 0.5f - turns;
    if (turns < -0.25f)
        turns = -0.5f - turns;
    float x = turns * 6.2831853f, square = x * x;
    return x * (1.0f - square / 6.0f * (1.0f - square / 20.0f * (1.0f - square / 42.0f)));
}

static float cosine(float turns) {
    return sine(turns + 0.25f);
}

/* How one digit is written. Lengths in pixels, except the wave's, which are in the unit box. */
typedef struct style {
    const struct shape *shape;
    point wave_amplitude, wave_phase; /* bends strokes: x along y, y along x */
    float xx, xy, yx, yy;             /* unit box, centred, to pixels: scale, shear and rotation */
    point centre;
    float radius, softness; /* half the stroke's width; the width of its edge */
    float ink, noise;       /* in grey levels */
} style;

static style draw_style(dice *from, uint8_t label) {
    style drawn = {.shape = &shapes[label][dice_word(from) >> 31]};
    float height = dice_between(from, 16.0f, 22.5f);
    float width = height * dice_between(from, 0.75f, 1.15f);
    float turns = dice_between(from, -0.045f, 0.045f);
    float shear = dice_between(from, -0.3f, 0.3f);
    float across = cosine(turns), down = sine(turns);
    drawn.xx = width * across;
    drawn.xy = height * (-shear * across - down);
    drawn.yx = width * down;
    drawn.yy = height * (-shear * down + across);
    drawn.centre.x = 13.5f + dice_between(from, -2.5f, 2.5f);
    drawn.centre.y = 13.5f + dice_between(from, -2.0f, 2.0f);
    drawn.wave_amplitude.x = dice_between(from, 0.0f, 0.06f);
    drawn.wave_amplitude.y = dice_between(from, 0.0f, 0.05f);
    drawn.wave_phase.x = dice_between(from, 0.0f, 1.0f);
    drawn.wave_phase.y = dice_between(from, 0.0f, 1.0f);
    drawn.radius = dice_between(from, 0.6f, 1.7f);
    drawn.softness = dice_between(from, 0.9f, 1.5f);
    drawn.ink = dice_between(from, 180.0f, 270.0f);
    drawn.noise = dice_between(from, 0.0f, 40.0f);
    return drawn;
}

/* From the unit box to pixels. */
static point place(const style *how, point from) {
    float x = from.x - 0.5f + how->wave_amplitude.x * sine(0.8f * from.y + how->wave_phase.x);
    float y = from.y - 0.5f + how->wave_amplitude.y * sine(0.9f * from.x + how->wave_phase.y);
    return (point){how->centre.x + how->xx * x + how->xy * y, how->centre.y + how->yx * x + how->yy * y};
}

/* The point of a piece at `way` of its length, 0..1. */
static point along(const piece *part, float way) {
    if (part->form == LINE)
        return (point){part->a + way * (part->c - part->a), part->b + way * (part->d - part->b)};
    float turns = part->from + way * (part->to - part->from);
    return (point){part->a + part->c * cosine(turns), part->b + part->d * sine(turns)};
}

/* The first and last whole number of 0 .. DT_IMAGE_SIDE-1 within `reach` of the span between two values. */
typedef struct range {
    int first, last;
} range;

static range pixels_near(float one, float other, float reach) {
    float low = (one < other ? one : other) - reach, high = (one < other ? other : one) + reach;
    range near = {low > 0.0f ? (int)low : 0, high < 0.0f ? -1 : (int)high};
    if (near.last > DT_IMAGE_SIDE - 1)
        near.last = DT_IMAGE_SIDE - 1;
    return near;
}

/* Lowers each pixel's squared distance to the nearest stroke to that to a segment. */
static void approach(point from, point to, float reach, float *distances) {
    float dx = to.x - from.x, dy = to.y - from.y;
    float inverse = 1.0f / (dx * dx + dy * dy + 1e-9f);
    range columns = pixels_near(from.x, to.x, reach), rows = pixels_near(from.y, to.y, reach);
    for (int row = rows.first; row <= rows.last; row++)
        for (int column = columns.first; column <= columns.last; column++) {
            float x = (float)column - from.x, y = (float)row - from.y;
            float way = (x * dx + y * dy) * inverse;
            way = way < 0.0f ? 0.0f : way > 1.0f ? 1.0f : way;
            x -= way * dx;
            y -= way * dy;
            float *nearest = &distances[row * DT_IMAGE_SIDE + column];
            float distance = x * x + y * y;
            *nearest = distance < *nearest ? distance : *nearest;
        }
}

/* Straight segments of a piece: an eleventh of a turn of the largest ellipse, half high 10 pixels, strays by
 * 0.4 pixels from its chord, less than the strokes' soft edge. */
static int segments_of(const piece *part) {
    return part->form == LINE ? 3 : 1 + (int)(11.0f * (part->to - part->from));
}

static void trace(const style *how, float *distances) {
    float reach = how->radius + how->softness;
    for (int i = 0; i < how->shape->pieces; i++) {
        const piece *part = &how->shape->piece[i];
        int segments = segments_of(part);
        point before = place(how, along(part, 0.0f));
        for (int segment = 1; segment <= segments; segment++) {
            point here = place(how, along(part, (float)segment / (float)segments));
            approach(before, here, reach, distances);
            before = here;
        }
    }
}

/* A byte of noise for each pixel, uniform. */
static void draw_noise(uint64_t seed, uint32_t index, uint8_t noise[DT_IMAGE_PIXELS]) {
    for (uint32_t draw = 0; draw < DT_IMAGE_PIXELS / 16; draw++) {
        dt_random4 drawn = dt_random_draw(seed, DT_PURPOSE_DIGITS, index, NOISE_DRAW + draw, 0, 0);
        for (uint32_t i = 0; i < 16; i++)
            noise[16 * draw + i] = (uint8_t)(drawn.word[i / 4] >> (8 * (i % 4)));
    }
}

static void shade(const style *how, const float *distances, const uint8_t *noise, uint8_t *pixels) {
    float slope = 1.0f / how->softness, grain = how->noise / 255.0f;
    for (int i = 0; i < DT_IMAGE_PIXELS; i++) {
        float cover = (how->radius - sqrtf(distances[i])) * slope + 0.5f;
        cover = cover < 0.0f ? 0.0f : cover > 1.0f ? 1.0f : cover;
        float level = how->ink * cover + grain * ((float)noise[i] - 127.5f) + 0.5f;
        level = level < 0.0f ? 0.0f : level > 255.0f ? 255.0f : level;
        pixels[i] = (uint8_t)level;
    }
}

uint8_t dt_synthetic_label(uint64_t seed, uint32_t index) {
    /* i -> a i + b mod 10 is a permutation when a has no factor in common with 10. */
    static const uint32_t factors[4] = {1, 3, 7, 9};
    dt_random4 drawn = dt_random_draw(seed, DT_PURPOSE_DIGITS, index / 10, 0, LABEL_STREAM, 0);
    return (uint8_t)((index % 10 * factors[drawn.word[0] >> 30] + drawn.word[1] % 10) % 10);
}

void dt_synthetic_draw(uint64_t seed, uint32_t index, uint8_t *pixels) {
    const float far = (float)(DT_IMAGE_SIDE * DT_IMAGE_SIDE);
    float distances[DT_IMAGE_PIXELS];
    uint8_t noise[DT_IMAGE_PIXELS];
    dice from = {.seed = seed, .index = index};
    style how = draw_style(&from, dt_synthetic_label(seed, index));
    for (int i = 0; i < DT_IMAGE_PIXELS; i++)
        distances[i] = far;
    trace(&how, distances);
    draw_noise(seed, index, noise);
    shade(&how, distances, noise, pixels);
}

dt_status dt_synthetic_read(uint64_t seed, int count, dt_dataset *dataset) {
    const int counts[DT_HALVES] = {count, count >= 6 ? count / 6 : 1};
    dt_half halves[DT_HALVES];
    DT_TRY(dt_storage_reserve(dataset, DT_PIXEL_BYTE, counts, halves));
    uint32_t index = 0;
    for (int half = 0; half < DT_HALVES; half++)
        for (int i = 0; i < counts[half]; i++, index++) {
            dt_synthetic_draw(seed, index, (uint8_t *)halves[half].pixels + (size_t)i * DT_IMAGE_PIXELS);
            halves[half].labels[i] = dt_synthetic_label(seed, index);
        }
    return dt_ok();
}
