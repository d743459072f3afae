/* SPDX-License-Identifier: BSD-3-Clause */
/* Columns, a few rows at a time. */
#include "parallel/passage.h"

#include <assert.h>
#include <string.h>

#include "parallel/numbers.h"

/* 1 MB: large enough that a broadcast's latency does not count. */
enum { PASSAGE_FLOATS = 1 << 18 };

dt_status dt_passage_create(dt_comm *group, const dt_network *network, const dt_parameters *parameters,
                            dt_passage *passage) {
    *passage = (dt_passage){.group = group, .network = network, .parameters = parameters};
    return dt_slab_reserve(PASSAGE_FLOATS * sizeof(float), "columns on their way", &passage->memory);
}

void dt_passage_release(dt_passage *passage) {
    dt_slab_release(&passage->memory);
}

static dt_split_layout layout_of(const dt_passage *passage, int rank) {
    return dt_split_layout_of(passage->network, passage->parameters, dt_comm_size(passage->group), rank);
}

/* Rows of `columns` values that fit. */
static int rows_at_once(int columns) {
    assert(columns <= PASSAGE_FLOATS);
    return columns > 0 ? PASSAGE_FLOATS / columns : PASSAGE_FLOATS;
}

/* Some rows of a tensor, seen as a matrix. */
typedef struct rows {
    int first, count;
    dt_share units;
} rows;

static void put_rows(rows part, const float *values, float *tensor) {
    size_t columns = (size_t)part.units.samples, stride = (size_t)part.units.batch;
    float *to = tensor + (size_t)part.first * stride + part.units.first_sample;
    for (int row = 0; row < part.count; row++)
        memcpy(to + (size_t)row * stride, values + (size_t)row * columns, columns * sizeof(float));
}

static void gather_tensor(dt_passage *passage, int rank, const dt_split_tensor *tensor, const float *columns,
                          float *whole) {
    float *values = passage->memory.base;
    size_t width = (size_t)tensor->units.samples;
    int step = rows_at_once(tensor->units.samples);
    for (int row = 0; row < tensor->rows; row += step) {
        rows part = {row, smaller(step, tensor->rows - row), tensor->units};
        size_t count = (size_t)part.count * width;
        if (rank == dt_comm_rank(passage->group))
            memcpy(values, columns + tensor->offset + (size_t)row * width, count * sizeof(float));
        dt_comm_broadcast(passage->group, values, count * sizeof(float), rank);
        if (whole)
            put_rows(part, values, whole + passage->parameters->tensors[tensor->tensor].offset);
    }
}

void dt_passage_gather(dt_passage *passage, const float *columns, float *whole) {
    for (int rank = 0; rank < dt_comm_size(passage->group); rank++) {
        dt_split_layout layout = layout_of(passage, rank);
        for (int i = 0; i < layout.count; i++)
            gather_tensor(passage, rank, &layout.tensors[i], columns, whole);
    }
}

static void take_rows(rows part, const float *values, float *columns) {
    size_t width = (size_t)part.units.samples, stride = (size_t)part.units.batch;
    for (int row = 0; row < part.count; row++)
        memcpy(columns + (size_t)(part.first + row) * width,
               values + (size_t)row * stride + part.units.first_sample, width * sizeof(float));
}

void dt_passage_scatter(dt_passage *passage, dt_comm *comm, const float *whole, float *columns) {
    dt_split_layout layout = layout_of(passage, dt_comm_rank(passage->group));
    float *values = passage->memory.base;
    for (int i = 0; i < layout.count; i++) {
        const dt_split_tensor *tensor = &layout.tensors[i];
        size_t offset = passage->parameters->tensors[tensor->tensor].offset;
        size_t stride = (size_t)tensor->units.batch;
        int step = rows_at_once(tensor->units.batch);
        for (int row = 0; row < tensor->rows; row += step) {
            rows part = {row, smaller(step, tensor->rows - row), tensor->units};
            size_t count = (size_t)part.count * stride;
            if (whole)
                memcpy(values, whole + offset + (size_t)row * stride, count * sizeof(float));
            dt_comm_broadcast(comm, values, count * sizeof(float), 0);
            take_rows(part, values, columns + tensor->offset);
        }
    }
}
