/* SPDX-License-Identifier: BSD-3-Clause */
/* What is done with matrices beside their products: packing, finishing, sums of columns. Included by
 * vector_bodies.h only. */

static void pack_rows(size_t depth, const float *const *rows, float *packed) {
    for (size_t i = 0; i < DT_TILE_ROWS; i += 4)
        transpose_rows(depth, rows + i, packed + i, DT_TILE_ROWS);
}

static void pack_pixels(size_t height, size_t width, size_t line, size_t step, const size_t *offsets,
                        const float *source, float *packed) {
    bool contiguous = true;
    for (size_t i = 1; i < DT_TILE_ROWS; i++)
        contiguous = contiguous && offsets[i] == offsets[0] + i;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++, packed += DT_TILE_ROWS) {
            const float *pixel = source + y * line + x * step;
            if (contiguous)
                memcpy(packed, pixel + offsets[0], DT_TILE_ROWS * sizeof(float));
            else
                for (size_t i = 0; i < DT_TILE_ROWS; i++)
                    packed[i] = pixel[offsets[i]];
        }
}

static void store_row(size_t columns, const float *row, const float *bias, bool relu, float *to) {
    for (size_t j = 0; j < columns; j += DT_WIDTH) {
        size_t count = columns - j;
        vector value = load(row + j);
        if (bias)
            value += count >= DT_WIDTH ? load(bias + j) : load_part(bias + j, count);
        if (relu)
            value = relu_of(value);
        if (count >= DT_WIDTH)
            store(to + j, value);
        else
            store_part(to + j, count, value);
    }
}

static void store_tile(size_t rows, size_t columns, const float *from, const float *bias, bool relu,
                       float *matrix, size_t stride) {
    for (size_t i = 0; i < rows; i++)
        store_row(columns, from + i * TILE_COLUMNS, bias, relu, matrix + i * stride);
}

static void bias_relu(size_t rows, size_t columns, const float *bias, bool relu, float *y, size_t stride) {
    for (size_t i = 0; i < rows; i++, y += stride) {
        size_t j = 0;
        for (; j + DT_WIDTH <= columns; j += DT_WIDTH) {
            vector value = load(y + j) + load(bias + j);
            store(y + j, relu ? relu_of(value) : value);
        }
        if (j < columns) {
            vector value = load_part(y + j, columns - j) + load_part(bias + j, columns - j);
            store_part(y + j, columns - j, relu ? relu_of(value) : value);
        }
    }
}

static void column_sums(size_t rows, size_t columns, const float *x, size_t stride, float *sums) {
    size_t j = 0;
    for (; j + DT_WIDTH <= columns; j += DT_WIDTH) {
        vector sum = {0};
        for (size_t i = 0; i < rows; i++)
            sum += load(x + i * stride + j);
        store(sums + j, sum);
    }
    for (; j < columns; j++) {
        float sum = 0;
        for (size_t i = 0; i < rows; i++)
            sum += x[i * stride + j];
        sums[j] = sum;
    }
}
