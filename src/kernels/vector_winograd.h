/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops for one instruction set. The including file defines DT_WIDTH (floats of a vector),
 * DT_MULTIPLY_ROWS (rows of a product whose sums fit its registers) and DT_WINOGRAD_BODIES, the name of the
 * table.
 *
 * Transforms of two directions go one direction after the other through small arrays that stay in the
 * first-level cache. `family`, `small` and `whole` are constants wherever these functions are inlined. */
#include "kernels/vector_operands.h"
#include "kernels/winograd.h"

#include "kernels/winograd_transforms.h"

enum { BLOCK = 2 * DT_WIDTH, OPERANDS = BLOCK / PAIR, POINTS = DT_WINOGRAD_POINTS, OUTPUTS = 4, TAPS = 5 };

/* Pixels of a line with what tiles overhang it: a margin of 2 before it, and the last tile's end. */
enum { LINE = DT_WINOGRAD_SIDE + 8 };

#include "kernels/vector_winograd_multiply.h"

/* How many of the channels from vector `v` of a block on exist. */
DT_INLINE size_t channels_from(int channels, int v) {
    return channels > v * DT_WIDTH ? (size_t)(channels - v * DT_WIDTH) : 0;
}

/* Out of line, so that the rare partial vector does not swell every loop. */
static __attribute__((noinline)) vector load_rest(const float *from, size_t count) {
    return load_part(from, count);
}

static __attribute__((noinline)) void store_rest(float *to, size_t count, vector value) {
    store_part(to, count, value);
}

#ifndef DT_BF16
DT_INLINE void store_operands(float *to, vector value) {
    store(to, value);
}
#define PAIRED(row, point) (row)[0][point]
#else
#define PAIRED(row, point) pair_up((row)[0][point], (row)[1][point])
#endif

DT_INLINE vector load_some(const float *from, size_t count) {
    return count >= DT_WIDTH ? load(from) : load_rest(from, count);
}

DT_INLINE void store_some(float *to, size_t count, vector value) {
    if (count >= DT_WIDTH)
        store(to, value);
    else
        store_rest(to, count, value);
}

/* A small tile has all points but the last one before infinity. */
DT_INLINE bool has_point(dt_winograd_family family, bool small, int point) {
    return !small || point != dt_winograd_points(family) - 2;
}

DT_INLINE bool small_tile(dt_winograd_family family, const dt_winograd_side *side, int tile) {
    return dt_winograd_nests(family) && tile >= side->large;
}

DT_INLINE void to_input(dt_winograd_family family, bool small, const vector *d, vector *o) {
    if (family == DT_WINOGRAD_4_3)
        small ? input_3_3(d, o) : input_4_3(d, o);
    else if (family == DT_WINOGRAD_4_5)
        small ? input_3_5(d, o) : input_4_5(d, o);
    else
        input_2_5(d, o);
}

DT_INLINE void to_output(dt_winograd_family family, bool small, const vector *d, vector *o) {
    if (family == DT_WINOGRAD_4_3)
        small ? output_3_3(d, o) : output_4_3(d, o);
    else if (family == DT_WINOGRAD_4_5)
        small ? output_3_5(d, o) : output_4_5(d, o);
    else
        output_2_5(d, o);
}

DT_INLINE void to_gradient(dt_winograd_family family, bool small, const vector *d, vector *o) {
    if (family == DT_WINOGRAD_4_3)
        small ? gradient_3_3(d, o) : gradient_4_3(d, o);
    else
        small ? gradient_3_5(d, o) : gradient_4_5(d, o);
}

DT_INLINE void to_input_gradient(dt_winograd_family family, bool small, const vector *d, vector *o) {
    if (family == DT_WINOGRAD_4_3)
        small ? input_gradient_3_3(d, o) : input_gradient_4_3(d, o);
    else
        small ? input_gradient_3_5(d, o) : input_gradient_4_5(d, o);
}

DT_INLINE void to_filter(dt_winograd_family family, const vector *d, vector *o) {
    if (family == DT_WINOGRAD_4_3)
        filter_4_3(d, o);
    else if (family == DT_WINOGRAD_4_5)
        filter_4_5(d, o);
    else
        filter_2_5(d, o);
}

DT_INLINE void to_filter_gradient(dt_winograd_family family, const vector *d, vector *o) {
    family == DT_WINOGRAD_4_3 ? filter_gradient_4_3(d, o) : filter_gradient_4_5(d, o);
}

/* Calls body(family, ...) with the family as a constant. */
#define FOR_FAMILY(family, body, ...)       \
    switch (family) {                       \
    case DT_WINOGRAD_4_3:                   \
        body(DT_WINOGRAD_4_3, __VA_ARGS__); \
        break;                              \
    case DT_WINOGRAD_4_5:                   \
        body(DT_WINOGRAD_4_5, __VA_ARGS__); \
        break;                              \
    default:                                \
        body(DT_WINOGRAD_2_5, __VA_ARGS__); \
    }

/* The same for a transform of spectra: body(n, ...). */
#define FOR_SIDE(family, body, ...)     \
    {                                   \
        if ((family) == DT_FOURIER_8_3) \
            body(8, __VA_ARGS__);       \
        else                            \
            body(16, __VA_ARGS__);      \
    }

/* And where the margin of the filter matters: body(n, margin, ...). */
#define FOR_MARGIN(family, body, ...)   \
    {                                   \
        if ((family) == DT_FOURIER_8_3) \
            body(8, 1, __VA_ARGS__);    \
        else                            \
            body(16, 2, __VA_ARGS__);   \
    }

/* Values of a row of tiles, after the transform of the columns: [point][pixel]. */
typedef vector tile_lines[POINTS][LINE];

/* The place of a tile: its position's values at point 0. */
DT_INLINE float *tile_place(const dt_winograd_grid *grid, dt_winograd_place place, int row, int column) {
    return place.base + (size_t)grid->position[row][column] * place.position_stride;
}

/* Transforms the rows of one row of tiles; the last step of input and gradient. */
DT_INLINE void spread_lines(dt_winograd_family family, bool of_input, bool small_row,
                            const dt_winograd_grid *grid, int row, dt_winograd_place to, tile_lines lines) {
    const int points = dt_winograd_points(family);
    const dt_winograd_side *columns = &grid->columns;
    for (int column = 0; column < columns->tiles; column++) {
        float *place = tile_place(grid, to, row, column);
        int start = dt_winograd_start(columns, column);
        bool small = small_tile(family, columns, column);
        for (int i = 0; i < points; i++) {
            vector o[POINTS];
            if (!has_point(family, small_row, i))
                continue;
            if (of_input)
                small ? to_input(family, true, lines[i] + start, o)
                      : to_input(family, false, lines[i] + start, o);
            else
                small ? to_gradient(family, true, lines[i] + start, o)
                      : to_gradient(family, false, lines[i] + start, o);
            DT_UNROLL
            for (int j = 0; j < points; j++)
                if (has_point(family, small, j))
                    store_operands(place + (size_t)(i * points + j) * to.point_stride, o[j]);
        }
    }
}

/* What the input transform does to a value: a factor and a summand for each row of a tile, or for each
 * channel. */
typedef struct input_lines {
    const float *from[POINTS]; /* NULL outside of the image */
    vector scale[POINTS], shift[POINTS];
} input_lines;

DT_INLINE void find_lines(dt_winograd_family family, const dt_winograd_grid *grid, dt_winograd_pixels pixels,
                          const dt_conv_input *input, int v, int row, input_lines *lines) {
    const int points = dt_winograd_points(family);
    int first = dt_winograd_start(&grid->rows, row) - dt_winograd_taps(family) / 2;
    for (int i = 0; i < points; i++) {
        int line = first + i;
        lines->from[i] = NULL;
        if (line < 0 || line >= grid->rows.size)
            continue;
        lines->from[i] = input->x + (size_t)(line * grid->columns.size) * pixels.stride + v * DT_WIDTH;
        lines->scale[i] = splat(1.0f);
        lines->shift[i] = splat(0.0f);
        if (!input->scale)
            continue;
        size_t channels = channels_from(pixels.channels, v);
        lines->scale[i] =
            input->by_rows ? splat(input->scale[line]) : load_some(input->scale + v * DT_WIDTH, channels);
        lines->shift[i] =
            input->by_rows ? splat(input->shift[line]) : load_some(input->shift + v * DT_WIDTH, channels);
    }
}

DT_INLINE void input_row(dt_winograd_family family, bool small, const dt_winograd_grid *grid,
                         dt_winograd_pixels pixels, size_t count, int row, const input_lines *from,
                         dt_winograd_place to, tile_lines lines) {
    const int points = dt_winograd_points(family);
    for (int x = 0; x < grid->columns.size; x++) {
        vector d[POINTS], o[POINTS];
        DT_UNROLL
        for (int i = 0; i < points - small; i++) {
            d[i] = (vector){0};
            if (from->from[i])
                d[i] = from->scale[i] * load_some(from->from[i] + (size_t)x * pixels.stride, count) +
                       from->shift[i];
        }
        to_input(family, small, d, o);
        DT_UNROLL
        for (int i = 0; i < points; i++)
            if (has_point(family, small, i))
                lines[i][x + dt_winograd_taps(family) / 2] = o[i];
    }
    spread_lines(family, true, small, grid, row, to, lines);
}

/* What lies beside the image is zero. */
DT_INLINE void clear_margins(dt_winograd_family family, const dt_winograd_grid *grid, tile_lines lines) {
    for (int i = 0; i < dt_winograd_points(family); i++) {
        for (int x = 0; x < dt_winograd_taps(family) / 2; x++)
            lines[i][x] = (vector){0};
        for (int x = grid->columns.size + dt_winograd_taps(family) / 2;
             x < LINE && x < grid->columns.size + 8; x++)
            lines[i][x] = (vector){0};
    }
}

DT_INLINE void input_block(dt_winograd_family family, const dt_winograd_grid *grid, dt_winograd_pixels pixels,
                           const dt_conv_input *input, dt_winograd_place to) {
    tile_lines lines;
    clear_margins(family, grid, lines);
    for (int v = 0; v < 2; v++, to.base += DT_WIDTH / PAIR)
        for (int row = 0; row < grid->rows.tiles; row++) {
            size_t channels = channels_from(pixels.channels, v);
            bool small = small_tile(family, &grid->rows, row), whole = channels >= DT_WIDTH;
            input_lines from;
            find_lines(family, grid, pixels, input, v, row, &from);
            if (small)
                whole ? input_row(family, true, grid, pixels, DT_WIDTH, row, &from, to, lines)
                      : input_row(family, true, grid, pixels, channels, row, &from, to, lines);
            else
                whole ? input_row(family, false, grid, pixels, DT_WIDTH, row, &from, to, lines)
                      : input_row(family, false, grid, pixels, channels, row, &from, to, lines);
        }
}

/* A whole image of one vector of channels, with what tiles overhang it. */
typedef struct image {
    size_t line; /* pixels of a row */
    vector pixel[(DT_WINOGRAD_SIDE + 3) * (DT_WINOGRAD_SIDE + 3)];
} image;

#include "kernels/vector_spectrum.h"

static void input(const dt_winograd_grid *grid, dt_winograd_pixels pixels, dt_conv_input from,
                  dt_winograd_place to) {
    if (dt_winograd_is_fourier(grid->family))
        FOR_SIDE(grid->family, fourier_input, grid, pixels, &from, to)
    else
        FOR_FAMILY(grid->family, input_block, grid, pixels, &from, to)
}

/* The points of one tile to its part of the image. */
DT_INLINE void output_tile(dt_winograd_family family, bool small_row, bool small_column, const float *from,
                           size_t point_stride, size_t line, vector *to) {
    const int points = dt_winograd_points(family), outputs = dt_winograd_outputs(family);
    vector half[OUTPUTS][POINTS];
    DT_UNROLL
    for (int j = 0; j < points; j++) {
        vector d[POINTS], o[OUTPUTS];
        if (!has_point(family, small_column, j))
            continue;
        DT_UNROLL
        for (int i = 0; i < points; i++)
            if (has_point(family, small_row, i))
                d[i] = load(from + (size_t)(i * points + j) * point_stride);
        to_output(family, small_row, d, o);
        DT_UNROLL
        for (int y = 0; y < outputs - small_row; y++)
            half[y][j] = o[y];
    }
    DT_UNROLL
    for (int y = 0; y < outputs - small_row; y++, to += line) {
        vector o[OUTPUTS];
        to_output(family, small_column, half[y], o);
        DT_UNROLL
        for (int x = 0; x < outputs - small_column; x++)
            to[x] = o[x];
    }
}

DT_INLINE void output_image(dt_winograd_family family, const dt_winograd_grid *grid, dt_winograd_place from,
                            image *to) {
    for (int row = 0; row < grid->rows.tiles; row++)
        for (int column = 0; column < grid->columns.tiles; column++) {
            const float *tile = tile_place(grid, from, row, column);
            vector *pixel = to->pixel + (size_t)dt_winograd_start(&grid->rows, row) * to->line +
                            dt_winograd_start(&grid->columns, column);
            bool small_column = small_tile(family, &grid->columns, column);
            if (small_tile(family, &grid->rows, row))
                small_column ? output_tile(family, true, true, tile, from.point_stride, to->line, pixel)
                             : output_tile(family, true, false, tile, from.point_stride, to->line, pixel);
            else
                small_column ? output_tile(family, false, true, tile, from.point_stride, to->line, pixel)
                             : output_tile(family, false, false, tile, from.point_stride, to->line, pixel);
        }
}

/* Whether the ReLU of a pixel passes a gradient is a bit of a word for each lane and image row. */
DT_INLINE mask bit_of(int column) {
    return (mask){0} + (int32_t)(1u << column);
}

DT_INLINE vector finish_value(vector value, vector bias, int column, mask *passes) {
    value = relu_of(value + bias);
    *passes |= (mask)(value > (vector){0}) & bit_of(column);
    return value;
}

DT_INLINE void store_passes(int32_t *to, int row, mask passes) {
    if (to)
        memcpy(to + row * DT_WIDTH, &passes, sizeof passes);
}

DT_INLINE mask load_passes(const int32_t *from, int row) {
    mask passes;
    memcpy(&passes, from + row * DT_WIDTH, sizeof passes);
    return passes;
}

DT_INLINE void store_pixels(const dt_winograd_grid *grid, size_t stride, size_t count, const image *from,
                            vector bias, int32_t *words, float *y) {
    for (int row = 0; row < grid->rows.size; row++) {
        const vector *pixel = from->pixel + (size_t)row * from->line;
        mask passes = {0};
        for (int x = 0; x < grid->columns.size; x++, y += stride)
            store_some(y, count, finish_value(pixel[x], bias, x, &passes));
        store_passes(words, row, passes);
    }
}

DT_INLINE void store_windows(const dt_winograd_grid *grid, size_t stride, size_t count, const image *from,
                             vector bias, int32_t *words, float *y) {
    for (int row = 0; row + 2 <= grid->rows.size; row += 2) {
        const vector *upper = from->pixel + (size_t)row * from->line, *lower = upper + from->line;
        mask above = {0}, below = {0};
        for (int x = 0; x + 2 <= grid->columns.size; x += 2, y += stride) {
            vector a = finish_value(upper[x], bias, x, &above);
            vector b = finish_value(upper[x + 1], bias, x + 1, &above);
            vector c = finish_value(lower[x], bias, x, &below);
            vector d = finish_value(lower[x + 1], bias, x + 1, &below);
            store_some(y, count, ((a + b) + (c + d)) * 0.25f);
        }
        store_passes(words, row, above);
        store_passes(words, row + 1, below);
    }
}

static void output(const dt_winograd_grid *grid, dt_winograd_pixels pixels, dt_winograd_place from, bool pool,
                   const float *bias, int32_t *words, float *y) {
    image whole;
    whole.line = (size_t)grid->columns.size + 3;
    for (int v = 0; v < 2; v++, from.base += DT_WIDTH, bias += DT_WIDTH, y += DT_WIDTH) {
        size_t count = channels_from(pixels.channels, v);
        if (count == 0)
            break;
        vector summand = load_some(bias, count);
        if (dt_winograd_is_fourier(grid->family))
            FOR_SIDE(grid->family, fourier_output_image, grid, from, &whole)
        else
            FOR_FAMILY(grid->family, output_image, grid, from, &whole)
        if (pool)
            store_windows(grid, pixels.stride, count, &whole, summand, words, y);
        else
            store_pixels(grid, pixels.stride, count, &whole, summand, words, y);
        words += words ? grid->rows.size * DT_WIDTH : 0;
    }
}

DT_INLINE vector gate(mask passes, int column, vector value) {
    return keep_where((passes & bit_of(column)) != (mask){0}, value);
}

DT_INLINE vector load_gradient_pixels(const dt_winograd_grid *grid, size_t stride, size_t count,
                                      const int32_t *words, const float *dy, image *to) {
    vector sum = {0};
    for (int row = 0; row < grid->rows.size; row++) {
        vector *pixel = to->pixel + (size_t)row * to->line, row_sum = {0};
        mask passes = load_passes(words, row);
        for (int x = 0; x < grid->columns.size; x++, dy += stride) {
            pixel[x] = gate(passes, x, load_some(dy, count));
            row_sum += pixel[x];
        }
        sum += row_sum;
    }
    return sum;
}

/* Pixels that no window reaches are zero already. */
DT_INLINE vector load_gradient_windows(const dt_winograd_grid *grid, size_t stride, size_t count,
                                       const int32_t *words, const float *dy, image *to) {
    vector sum = {0};
    for (int row = 0; row + 2 <= grid->rows.size; row += 2) {
        vector *upper = to->pixel + (size_t)row * to->line, *lower = upper + to->line, row_sum = {0};
        mask above = load_passes(words, row), below = load_passes(words, row + 1);
        for (int x = 0; x + 2 <= grid->columns.size; x += 2, dy += stride) {
            vector value = load_some(dy, count) * 0.25f;
            upper[x] = gate(above, x, value);
            upper[x + 1] = gate(above, x + 1, value);
            lower[x] = gate(below, x, value);
            lower[x + 1] = gate(below, x + 1, value);
            row_sum += (upper[x] + upper[x + 1]) + (lower[x] + lower[x + 1]);
        }
        sum += row_sum;
    }
    return sum;
}

DT_INLINE void gradient_row(dt_winograd_family family, bool small, const dt_winograd_grid *grid, int row,
                            const image *from, dt_winograd_place to, tile_lines lines) {
    const int points = dt_winograd_points(family);
    const vector *pixel = from->pixel + (size_t)dt_winograd_start(&grid->rows, row) * from->line;
    for (size_t x = 0; x < from->line; x++) {
        vector d[OUTPUTS], o[POINTS];
        DT_UNROLL
        for (size_t i = 0; i < (size_t)(dt_winograd_outputs(family) - small); i++)
            d[i] = pixel[i * from->line + x];
        to_gradient(family, small, d, o);
        DT_UNROLL
        for (int i = 0; i < points; i++)
            if (has_point(family, small, i))
                lines[i][x] = o[i];
    }
    spread_lines(family, false, small, grid, row, to, lines);
}

DT_INLINE void gradient_image(dt_winograd_family family, const dt_winograd_grid *grid, const image *from,
                              dt_winograd_place to) {
    tile_lines lines;
    for (int row = 0; row < grid->rows.tiles; row++)
        row < grid->rows.large ? gradient_row(family, false, grid, row, from, to, lines)
                               : gradient_row(family, true, grid, row, from, to, lines);
}

static void gradient(const dt_winograd_grid *grid, dt_winograd_pixels pixels, bool pool, const int32_t *words,
                     const float *dy, float *bias_sum, dt_winograd_place to) {
    image whole;
    whole.line = (size_t)grid->columns.size + 3;
    memset(whole.pixel, 0, sizeof(vector) * whole.line * (size_t)(grid->rows.size + 3));
    for (int v = 0; v < 2;
         v++, to.base += DT_WIDTH / PAIR, dy += DT_WIDTH, words += grid->rows.size * DT_WIDTH) {
        size_t count = channels_from(pixels.channels, v);
        vector sum;
        if (pool)
            sum = load_gradient_windows(grid, pixels.stride, count, words, dy, &whole);
        else
            sum = load_gradient_pixels(grid, pixels.stride, count, words, dy, &whole);
        store(bias_sum + v * DT_WIDTH, sum);
        if (dt_winograd_is_fourier(grid->family))
            FOR_SIDE(grid->family, fourier_gradient_image, grid, &whole, to)
        else if (grid->family == DT_WINOGRAD_4_3)
            gradient_image(DT_WINOGRAD_4_3, grid, &whole, to);
        else
            gradient_image(DT_WINOGRAD_4_5, grid, &whole, to);
    }
}

/* The columns' way back, of all tiles: [row, a margin of 2 before it][points of all tile columns]. */
typedef struct input_lines_sum {
    size_t line;
    vector value[LINE * (DT_WINOGRAD_SIDE / OUTPUTS) * POINTS];
} input_lines_sum;

DT_INLINE void add_tile_columns(dt_winograd_family family, bool small_row, bool small_column,
                                const float *from, size_t point_stride, size_t line, vector *to) {
    const int points = dt_winograd_points(family);
    for (int j = 0; j < points; j++) {
        vector d[POINTS], o[POINTS];
        if (!has_point(family, small_column, j))
            continue;
        DT_UNROLL
        for (int i = 0; i < points; i++)
            if (has_point(family, small_row, i))
                d[i] = load(from + (size_t)(i * points + j) * point_stride);
        to_input_gradient(family, small_row, d, o);
        DT_UNROLL
        for (size_t i = 0; i < (size_t)(points - small_row); i++)
            to[i * line + (size_t)j] += o[i];
    }
}

DT_INLINE void add_columns(dt_winograd_family family, const dt_winograd_grid *grid, dt_winograd_place from,
                           input_lines_sum *sums) {
    const int points = dt_winograd_points(family);
    for (int row = 0; row < grid->rows.tiles; row++)
        for (int column = 0; column < grid->columns.tiles; column++) {
            const float *tile = tile_place(grid, from, row, column);
            vector *to =
                sums->value + (size_t)dt_winograd_start(&grid->rows, row) * sums->line + column * points;
            if (row < grid->rows.large)
                column < grid->columns.large
                    ? add_tile_columns(family, false, false, tile, from.point_stride, sums->line, to)
                    : add_tile_columns(family, false, true, tile, from.point_stride, sums->line, to);
            else
                column < grid->columns.large
                    ? add_tile_columns(family, true, false, tile, from.point_stride, sums->line, to)
                    : add_tile_columns(family, true, true, tile, from.point_stride, sums->line, to);
        }
}

DT_INLINE void add_tile_row(dt_winograd_family family, bool small, const vector *from, vector *to) {
    vector o[POINTS];
    to_input_gradient(family, small, from, o);
    DT_UNROLL
    for (int i = 0; i < dt_winograd_points(family) - small; i++)
        to[i] += o[i];
}

/* One row of the input's gradient. */
DT_INLINE void store_input_row(dt_winograd_family family, const dt_winograd_grid *grid, const vector *from,
                               size_t stride, size_t count, float *dx) {
    vector pixel[LINE];
    for (int x = 0; x < grid->columns.size + 8 && x < LINE; x++)
        pixel[x] = (vector){0};
    for (int column = 0; column < grid->columns.tiles; column++, from += dt_winograd_points(family)) {
        vector *to = pixel + dt_winograd_start(&grid->columns, column);
        column < grid->columns.large ? add_tile_row(family, false, from, to)
                                     : add_tile_row(family, true, from, to);
    }
    for (int x = 0; x < grid->columns.size; x++, dx += stride)
        store_some(dx, count, pixel[x + dt_winograd_taps(family) / 2]);
}

DT_INLINE void input_gradient_block(dt_winograd_family family, const dt_winograd_grid *grid,
                                    dt_winograd_pixels pixels, dt_winograd_place from, float *dx) {
    input_lines_sum sums;
    size_t row_stride = (size_t)grid->columns.size * pixels.stride;
    int rows = dt_winograd_start(&grid->rows, grid->rows.tiles - 1) + dt_winograd_points(family);
    sums.line = (size_t)(grid->columns.tiles * dt_winograd_points(family));
    for (int v = 0; v < 2; v++, from.base += DT_WIDTH, dx += DT_WIDTH) {
        size_t count = channels_from(pixels.channels, v);
        if (count == 0)
            break;
        memset(sums.value, 0, sizeof(vector) * sums.line * (size_t)rows);
        add_columns(family, grid, from, &sums);
        for (int row = 0; row < grid->rows.size; row++)
            store_input_row(family, grid,
                            sums.value + (size_t)(row + dt_winograd_taps(family) / 2) * sums.line,
                            pixels.stride, count, dx + (size_t)row * row_stride);
    }
}

static void input_gradient(const dt_winograd_grid *grid, dt_winograd_pixels pixels, dt_winograd_place from,
                           float *dx) {
    if (dt_winograd_is_fourier(grid->family))
        FOR_SIDE(grid->family, fourier_input_gradient, grid, pixels, from, dx)
    else if (grid->family == DT_WINOGRAD_4_3)
        input_gradient_block(DT_WINOGRAD_4_3, grid, pixels, from, dx);
    else
        input_gradient_block(DT_WINOGRAD_4_5, grid, pixels, from, dx);
}

/* One vector of a filter's taps, transformed along its columns. */
DT_INLINE void filter_columns(dt_winograd_family family, size_t count, const float *taps, size_t tap_stride,
                              vector half[][TAPS]) {
    const int points = dt_winograd_points(family), side = dt_winograd_taps(family);
    for (int s = 0; s < side; s++) {
        vector d[TAPS], o[POINTS];
        DT_UNROLL
        for (int r = 0; r < side; r++)
            d[r] = load_some(taps + (size_t)(r * side + s) * tap_stride, count);
        to_filter(family, d, o);
        DT_UNROLL
        for (int i = 0; i < points; i++)
            half[i][s] = o[i];
    }
}

#ifndef DT_BF16

DT_INLINE void filter_vector(dt_winograd_family family, size_t count, const float *taps, size_t tap_stride,
                             float *to, size_t point_stride) {
    const int points = dt_winograd_points(family);
    vector half[POINTS][TAPS];
    filter_columns(family, count, taps, tap_stride, half);
    for (int i = 0; i < points; i++) {
        vector o[POINTS];
        to_filter(family, half[i], o);
        DT_UNROLL
        for (int j = 0; j < points; j++)
            store(to + (size_t)(i * points + j) * point_stride, o[j]);
    }
}

DT_INLINE void filter_rows(dt_winograd_family family, size_t rows, int channels, const float *taps,
                           size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    for (size_t row = 0; row < rows; row++, taps += row_stride, to += BLOCK)
        for (int v = 0; v < 2; v++) {
            size_t count = channels_from(channels, v);
            if (count >= DT_WIDTH)
                filter_vector(family, DT_WIDTH, taps + v * DT_WIDTH, tap_stride, to + v * DT_WIDTH,
                              point_stride);
            else
                filter_vector(family, count, taps + v * DT_WIDTH, tap_stride, to + v * DT_WIDTH,
                              point_stride);
        }
}

#else

/* One vector of a filter's taps to the points: to[i * points + j]. */
DT_INLINE void filter_points(dt_winograd_family family, size_t count, const float *taps, size_t tap_stride,
                             vector *to) {
    const int points = dt_winograd_points(family);
    vector half[POINTS][TAPS];
    filter_columns(family, count, taps, tap_stride, half);
    for (int i = 0; i < points; i++)
        to_filter(family, half[i], to + i * points);
}

/* One vector of two rows, of which the second may not exist. */
DT_INLINE void filter_vector(dt_winograd_family family, size_t rows, size_t count, const float *taps,
                             size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    const int points = dt_winograd_points(family);
    vector row[2][POINTS * POINTS];
    if (rows < 2)
        memset(row[1], 0, sizeof row[1]);
    for (size_t i = 0; i < 2 && i < rows; i++)
        filter_points(family, count, taps + i * row_stride, tap_stride, row[i]);
    for (int point = 0; point < points * points; point++)
        store(to + (size_t)point * point_stride, pair_up(row[0][point], row[1][point]));
}

DT_INLINE void filter_rows(dt_winograd_family family, size_t rows, int channels, const float *taps,
                           size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    for (size_t row = 0; row < rows; row += PAIR, taps += PAIR * row_stride, to += BLOCK)
        for (int v = 0; v < 2; v++) {
            size_t count = channels_from(channels, v);
            if (count >= DT_WIDTH)
                filter_vector(family, rows - row, DT_WIDTH, taps + v * DT_WIDTH, tap_stride, row_stride,
                              to + v * DT_WIDTH, point_stride);
            else
                filter_vector(family, rows - row, count, taps + v * DT_WIDTH, tap_stride, row_stride,
                              to + v * DT_WIDTH, point_stride);
        }
}

#endif

static void filter(const dt_winograd_grid *grid, int portion, size_t rows, int channels, const float *taps,
                   size_t tap_stride, size_t row_stride, float *to, size_t point_stride) {
    if (dt_winograd_is_fourier(grid->family))
        FOR_MARGIN(grid->family, fourier_filter, portion, rows, channels, taps, tap_stride, row_stride, to,
                   point_stride)
    else
        FOR_FAMILY(grid->family, filter_rows, rows, channels, taps, tap_stride, row_stride, to, point_stride)
}

DT_INLINE void filter_gradient_vector(dt_winograd_family family, const float *from, size_t point_stride,
                                      int merges, float *slot, size_t slot_floats) {
    const int points = dt_winograd_points(family), side = dt_winograd_taps(family);
    vector half[TAPS][POINTS];
    for (int j = 0; j < points; j++) {
        vector d[POINTS], o[TAPS];
        DT_UNROLL
        for (int i = 0; i < points; i++)
            d[i] = load(from + (size_t)(i * points + j) * point_stride);
        to_filter_gradient(family, d, o);
        DT_UNROLL
        for (int r = 0; r < side; r++)
            half[r][j] = o[r];
    }
    for (int r = 0; r < side; r++) {
        vector o[TAPS];
        to_filter_gradient(family, half[r], o);
        float *to = slot + (size_t)(r * side) * BLOCK * BLOCK;
        for (int merge = 0; merge < merges; merge++) {
            to -= slot_floats;
            DT_UNROLL
            for (size_t s = 0; s < (size_t)side; s++)
                o[s] = load(to + s * BLOCK * BLOCK) + o[s];
        }
        DT_UNROLL
        for (size_t s = 0; s < (size_t)side; s++)
            store(to + s * BLOCK * BLOCK, o[s]);
    }
}

DT_INLINE void filter_gradient_rows(dt_winograd_family family, size_t rows, const float *from,
                                    size_t point_stride, int merges, float *slot) {
    const int side = dt_winograd_taps(family);
    size_t slot_floats = (size_t)(side * side) * BLOCK * BLOCK;
    for (size_t i = 0; i < rows * BLOCK; i += DT_WIDTH)
        filter_gradient_vector(family, from + i, point_stride, merges, slot + i, slot_floats);
}

static void filter_gradient(const dt_winograd_grid *grid, size_t rows, const float *from, size_t point_stride,
                            int merges, float *slot) {
#ifdef DT_BF16
    if (dt_winograd_is_fourier(grid->family)) {
        FOR_MARGIN(grid->family, fourier_filter_gradient, rows, from, point_stride, merges, slot)
        return;
    }
#endif
    if (grid->family == DT_WINOGRAD_4_3)
        filter_gradient_rows(DT_WINOGRAD_4_3, rows, from, point_stride, merges, slot);
    else
        filter_gradient_rows(DT_WINOGRAD_4_5, rows, from, point_stride, merges, slot);
}

#ifndef DT_BF16

static void leaf_gradient(const dt_winograd_grid *grid, size_t rows, size_t samples, const float *in,
                          size_t in_point, const float *out, size_t out_point, int merges, float *slot) {
    leaf_operands operands = {samples, in, out, in_point, out_point};
    FOR_MARGIN(grid->family, fourier_leaf_gradient, rows, &operands, merges, slot)
}

#define LEAF_GRADIENT leaf_gradient
#else
#define LEAF_GRADIENT NULL
#endif

const dt_winograd_bodies DT_WINOGRAD_BODIES = {
    .block = BLOCK,
    .pair = PAIR,
    .multiply_tiles = multiply_tiles,
    .multiply_channels = multiply_channels,
    .input = input,
    .output = output,
    .gradient = gradient,
    .input_gradient = input_gradient,
    .filter = filter,
    .filter_gradient = filter_gradient,
    .leaf_gradient = LEAF_GRADIENT,
};
