/* SPDX-License-Identifier: BSD-3-Clause */
/* Datasets with checksums. */
#include "io/tensors.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/hash.h"

static const char checksums_group[] = "dtrain/checksums";

enum { MAX_RANK = 4, WHAT_BYTES = 240 };

dt_status dt_checksums_begin(const dt_image *image, dt_group *checksums) {
    *checksums = (dt_group){image->file.path, checksums_group, H5I_INVALID_HID};
    checksums->handle =
        H5Gcreate2(image->file.handle, checksums_group, image->links, H5P_DEFAULT, H5P_DEFAULT);
    return checksums->handle < 0 ? dt_library_failure(image->file.path, "the group of checksums") : dt_ok();
}

dt_status dt_checksums_open(const dt_library_file *file, dt_group *checksums) {
    *checksums = (dt_group){file->path, checksums_group, H5I_INVALID_HID};
    if (H5Lexists(file->handle, "dtrain", H5P_DEFAULT) <= 0 ||
        H5Lexists(file->handle, checksums_group, H5P_DEFAULT) <= 0)
        return dt_ok();
    checksums->handle = H5Gopen2(file->handle, checksums_group, H5P_DEFAULT);
    return checksums->handle < 0 ? dt_library_failure(file->path, "the group of checksums") : dt_ok();
}

dt_status dt_tensors_add(dt_image *image, const dt_group *checksums, const char *place, hid_t type, int rank,
                         const hsize_t *dims, const void *values) {
    DT_TRY(dt_image_add(image, place, type, rank, dims, values));
    uint64_t hash = dt_hash(0, values, image->payload[image->count - 1].values.bytes);
    return dt_attribute_write(checksums, place, H5T_NATIVE_UINT64, &hash);
}

/* The shape of a tensor in the library's type; returns its rank. */
static int tensor_dims(const dt_tensor *tensor, hsize_t dims[MAX_RANK]) {
    for (int i = 0; i < tensor->rank; i++)
        dims[i] = (hsize_t)tensor->dims[i];
    return tensor->rank;
}

dt_status dt_tensors_add_all(dt_image *image, const dt_group *checksums, const dt_catalogue *catalogue) {
    for (int i = 0; i < catalogue->count; i++) {
        const dt_entry *entry = &catalogue->entries[i];
        hsize_t dims[MAX_RANK];
        int rank = tensor_dims(entry->tensor, dims);
        DT_TRY(dt_tensors_add(image, checksums, entry->place, H5T_NATIVE_FLOAT, rank, dims, entry->values));
    }
    return dt_ok();
}

dt_status dt_tensors_add_text(dt_image *image, const dt_group *checksums, const char *place,
                              const char *text) {
    hid_t type = dt_attribute_text_type(strlen(text) + 1);
    if (type < 0)
        return dt_library_failure(image->file.path, place);
    dt_status status = dt_tensors_add(image, checksums, place, type, 0, NULL, text);
    dt_library_close(type, H5Tclose, image->file.path, &status);
    return status;
}

dt_status dt_checksum_compare(const dt_group *checksums, const char *place, const char *what, uint64_t hash,
                              bool *known) {
    uint64_t expected;
    *known = checksums->handle >= 0 && dt_attribute_exists(checksums, place);
    if (!*known)
        return dt_ok();
    DT_TRY(dt_attribute_read(checksums, place, H5T_INTEGER, H5T_NATIVE_UINT64, &expected));
    if (hash != expected)
        return dt_fail(DT_FILE, "%s: %s fails its checksum: the file is damaged", checksums->path, what);
    return dt_ok();
}

static dt_status check_checksum(const dt_group *checksums, const char *place, const char *what,
                                const void *values, size_t bytes) {
    bool known;
    return dt_checksum_compare(checksums, place, what, dt_hash(0, values, bytes), &known);
}

void dt_shape_describe(int rank, const hsize_t *dims, char text[DT_SHAPE_BYTES]) {
    int length = snprintf(text, DT_SHAPE_BYTES, "(");
    for (int i = 0; i < rank && length < DT_SHAPE_BYTES; i++)
        length += snprintf(text + length, (size_t)(DT_SHAPE_BYTES - length), i ? ", %llu" : "%llu",
                           (unsigned long long)dims[i]);
    if (length < DT_SHAPE_BYTES)
        snprintf(text + length, (size_t)(DT_SHAPE_BYTES - length), ")");
}

/* "tensor conv1/kernel (layers/conv2d/vars/0)". */
static void describe(const dt_entry *entry, char what[WHAT_BYTES]) {
    snprintf(what, WHAT_BYTES, "tensor %s (%s)", entry->label, entry->place);
}

static dt_status failure(const dt_library_file *file, const dt_entry *entry, const char *trouble) {
    char what[WHAT_BYTES], sentence[WHAT_BYTES + 40];
    describe(entry, what);
    snprintf(sentence, sizeof sentence, "%s %s", what, trouble);
    return dt_library_failure(file->path, sentence);
}

static dt_status check_shape(const dt_library_file *file, const dt_entry *entry, hid_t space) {
    hsize_t dims[MAX_RANK], found[H5S_MAX_RANK];
    int expected = tensor_dims(entry->tensor, dims), rank = H5Sget_simple_extent_dims(space, found, NULL);
    if (rank < 0)
        return failure(file, entry, "has no shape");
    if (rank == expected && memcmp(dims, found, sizeof dims[0] * (size_t)rank) == 0)
        return dt_ok();
    char what[WHAT_BYTES], expected_text[DT_SHAPE_BYTES], found_text[DT_SHAPE_BYTES];
    describe(entry, what);
    dt_shape_describe(expected, dims, expected_text);
    dt_shape_describe(rank, found, found_text);
    return dt_fail(DT_FILE,
                   "%s: %s has shape %s in the file and %s in the network: --width, --bn-axis and "
                   "--bn-layers must be those of the file",
                   file->path, what, found_text, expected_text);
}

static dt_status read_dataset(const dt_library_file *file, const dt_entry *entry, hid_t dataset) {
    dt_status status = dt_ok();
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    char what[WHAT_BYTES];
    describe(entry, what);
    if (type < 0 || space < 0)
        status = failure(file, entry, "cannot be read");
    else if (H5Tget_class(type) != H5T_FLOAT)
        status = dt_fail(DT_FILE, "%s: %s does not hold floating-point numbers", file->path, what);
    else
        status = check_shape(file, entry, space);
    if (!dt_failed(&status) &&
        H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, entry->values) < 0)
        status = failure(file, entry, "cannot be read");
    dt_library_close(space, H5Sclose, file->path, &status);
    dt_library_close(type, H5Tclose, file->path, &status);
    return status;
}

/* Checked like an option: with one value that is none, every loss is none. */
static dt_status check_range(const dt_library_file *file, const dt_entry *entry) {
    for (size_t i = 0; i < entry->tensor->count; i++) {
        float value = entry->values[i];
        if (isfinite(value) && !(entry->squares && value < 0.0f))
            continue;
        char what[WHAT_BYTES];
        describe(entry, what);
        return dt_fail(DT_FILE, "%s: %s has the value %g at place %zu, which must be %s", file->path, what,
                       (double)value, i, entry->squares ? "finite and not below 0" : "finite");
    }
    return dt_ok();
}

static dt_status read_entry(const dt_library_file *file, const dt_group *checksums, const dt_entry *entry) {
    hid_t dataset = H5Dopen2(file->handle, entry->place, H5P_DEFAULT);
    if (dataset < 0)
        return failure(file, entry, "is missing");
    dt_status status = read_dataset(file, entry, dataset);
    dt_library_close(dataset, H5Dclose, file->path, &status);
    if (dt_failed(&status))
        return status;
    char what[WHAT_BYTES];
    describe(entry, what);
    DT_TRY(
        check_checksum(checksums, entry->place, what, entry->values, entry->tensor->count * sizeof(float)));
    return check_range(file, entry);
}

dt_status dt_tensors_read_all(const dt_library_file *file, const dt_catalogue *catalogue) {
    dt_group checksums;
    DT_TRY(dt_checksums_open(file, &checksums));
    dt_status status = dt_ok();
    for (int i = 0; i < catalogue->count && !dt_failed(&status); i++)
        status = read_entry(file, &checksums, &catalogue->entries[i]);
    dt_library_close(checksums.handle, H5Gclose, file->path, &status);
    return status;
}

/* No text of a run is longer; a damaged file may ask for anything. */
static const size_t text_limit = (size_t)1 << 28;

static dt_status read_string(const dt_library_file *file, const char *place, hid_t dataset, char **text) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    size_t bytes = type < 0 ? 0 : H5Tget_size(type);
    dt_status status = dt_ok();
    if (type < 0 || space < 0)
        status = dt_library_failure(file->path, place);
    else if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0 || bytes == 0 ||
             bytes > text_limit || H5Sget_simple_extent_npoints(space) != 1)
        status = dt_fail(DT_FILE, "%s: %s is not a text", file->path, place);
    else if (!(*text = calloc(bytes + 1, 1)))
        status = dt_fail(DT_MEMORY, "%s: no memory for %s (%zu bytes)", file->path, place, bytes);
    else if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0)
        status = dt_library_failure(file->path, place);
    dt_library_close(space, H5Sclose, file->path, &status);
    dt_library_close(type, H5Tclose, file->path, &status);
    return status;
}

static dt_status check_values(const dt_library_file *file, const char *place, const void *values,
                              size_t bytes) {
    dt_group checksums;
    DT_TRY(dt_checksums_open(file, &checksums));
    dt_status status = check_checksum(&checksums, place, place, values, bytes);
    dt_library_close(checksums.handle, H5Gclose, file->path, &status);
    return status;
}

static dt_status read_one(const dt_library_file *file, const char *place, hid_t dataset, hid_t type,
                          void *value) {
    hid_t space = H5Dget_space(dataset);
    dt_status status = dt_ok();
    if (space >= 0 && H5Sget_simple_extent_npoints(space) != 1)
        status = dt_fail(DT_FILE, "%s: %s is not a single number", file->path, place);
    else if (space < 0 || H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) < 0)
        status = dt_library_failure(file->path, place);
    dt_library_close(space, H5Sclose, file->path, &status);
    return status;
}

dt_status dt_tensors_read_number(const dt_library_file *file, const char *place, hid_t type, void *value) {
    hid_t dataset = H5Dopen2(file->handle, place, H5P_DEFAULT);
    if (dataset < 0)
        return dt_library_failure(file->path, place);
    dt_status status = read_one(file, place, dataset, type, value);
    dt_library_close(dataset, H5Dclose, file->path, &status);
    return dt_failed(&status) ? status : check_values(file, place, value, H5Tget_size(type));
}

dt_status dt_tensors_read_text(const dt_library_file *file, const char *place, char **text) {
    *text = NULL;
    hid_t dataset = H5Dopen2(file->handle, place, H5P_DEFAULT);
    if (dataset < 0)
        return dt_library_failure(file->path, place);
    dt_status status = read_string(file, place, dataset, text);
    dt_library_close(dataset, H5Dclose, file->path, &status);
    assert(*text || dt_failed(&status));
    if (!dt_failed(&status))
        status = check_values(file, place, *text, strlen(*text) + 1);
    if (dt_failed(&status)) {
        free(*text);
        *text = NULL;
    }
    return status;
}
