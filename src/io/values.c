/* SPDX-License-Identifier: BSD-3-Clause */
/* Pieces of whole rows. */
#include "io/values.h"

#include <stdlib.h>

/* A reading under way. A piece is some rows along one dimension, the first behind which a row fits a piece;
 * in front of it each index is taken by itself. */
typedef struct reading {
    const dt_library_file *file;
    const char *place;
    hid_t dataset, type, space;
    int rank, along;
    hsize_t dims[H5S_MAX_RANK];
    hsize_t fronts, rows, row; /* indices in front; rows along the dimension; values of a row */
    void *values;
    dt_values_visitor visitor;
    void *context;
} reading;

static dt_status failure(const reading *held) {
    return dt_library_failure(held->file->path, held->place);
}

static void find_pieces(reading *held, hsize_t count) {
    held->fronts = held->rows = 1;
    held->row = count;
    held->along = -1;
    while (++held->along < held->rank) {
        held->rows = held->dims[held->along];
        held->row /= held->rows;
        if (held->row <= DT_VALUES_PIECE)
            return;
        held->fronts *= held->rows;
    }
}

static dt_status find_shape(reading *held) {
    held->space = H5Dget_space(held->dataset);
    held->rank = held->space < 0 ? -1 : H5Sget_simple_extent_dims(held->space, held->dims, NULL);
    hssize_t count = held->rank < 0 ? -1 : H5Sget_simple_extent_npoints(held->space);
    if (count < 0)
        return failure(held);
    if (count > 0)
        find_pieces(held, (hsize_t)count);
    return dt_ok();
}

static herr_t select_rows(const reading *held, hsize_t front, hsize_t first, hsize_t rows) {
    hsize_t start[H5S_MAX_RANK] = {0}, count[H5S_MAX_RANK];
    if (held->rank == 0)
        return 0;
    for (int i = held->along - 1; i >= 0; i--) {
        start[i] = front % held->dims[i];
        front /= held->dims[i];
        count[i] = 1;
    }
    start[held->along] = first;
    count[held->along] = rows;
    for (int i = held->along + 1; i < held->rank; i++)
        count[i] = held->dims[i];
    return H5Sselect_hyperslab(held->space, H5S_SELECT_SET, start, NULL, count, NULL);
}

static dt_status read_rows(const reading *held, hsize_t front, hsize_t first, hsize_t rows) {
    hsize_t values = rows * held->row;
    hid_t memory = H5Screate_simple(1, &values, NULL);
    dt_status status = dt_ok();
    if (memory < 0 || select_rows(held, front, first, rows) < 0 ||
        H5Dread(held->dataset, held->type, memory, held->space, H5P_DEFAULT, held->values) < 0)
        status = failure(held);
    dt_library_close(memory, H5Sclose, held->file->path, &status);
    return dt_failed(&status) ? status : held->visitor(held->context, held->values, (size_t)values);
}

static dt_status read_all(reading *held) {
    DT_TRY(find_shape(held));
    if (held->fronts == 0)
        return dt_ok();
    hsize_t portion = DT_VALUES_PIECE / held->row;
    if (portion > held->rows)
        portion = held->rows;
    size_t size = H5Tget_size(held->type), room = size > sizeof(double) ? size : sizeof(double);
    held->values = calloc((size_t)(portion * held->row), room);
    if (!held->values)
        return dt_fail(DT_MEMORY, "%s: no memory for %s", held->file->path, held->place);
    for (hsize_t front = 0; front < held->fronts; front++)
        for (hsize_t done = 0; done < held->rows; done += portion) {
            hsize_t rest = held->rows - done;
            DT_TRY(read_rows(held, front, done, rest < portion ? rest : portion));
        }
    return dt_ok();
}

dt_status dt_values_read(const dt_library_file *file, const char *place, hid_t dataset, hid_t type,
                         dt_values_visitor visitor, void *context) {
    reading held = {.file = file,
                    .place = place,
                    .dataset = dataset,
                    .type = type,
                    .space = H5I_INVALID_HID,
                    .visitor = visitor,
                    .context = context};
    dt_status status = read_all(&held);
    free(held.values);
    dt_library_close(held.space, H5Sclose, file->path, &status);
    return status;
}
