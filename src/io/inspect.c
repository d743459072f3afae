/* SPDX-License-Identifier: BSD-3-Clause */
/* A walk through all datasets of a file. */
#include "dtrain/inspect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/hash.h"
#include "io/header.h"
#include "io/tensors.h"
#include "io/values.h"

/* A walk under way. */
typedef struct walk {
    const dt_library_file *file;
    dt_group checksums;
    dt_catalogue catalogue; /* names of tensors; empty for a file of another program */
    dt_parameters parameters;
    int expected; /* the first entries of the catalogue: what this kind of file has */
    dt_inspection *made;
    int room;
} walk;

static const char *name_of_place(const walk *held, const char *place) {
    for (int i = 0; i < held->catalogue.count; i++)
        if (strcmp(held->catalogue.entries[i].place, place) == 0)
            return held->catalogue.entries[i].label;
    return "";
}

/* Values on their way in. */
typedef struct measuring {
    hid_t type; /* as they are stored */
    dt_hasher *hasher;
    dt_inspected_tensor *tensor;
    int64_t finite;
    double sum, squares;
} measuring;

static dt_status make_doubles(const measuring *made, void *values, size_t count) {
    if (H5Tconvert(made->type, H5T_NATIVE_DOUBLE, count, values, NULL, H5P_DEFAULT) < 0)
        return dt_library_failure(made->tensor->place, "its values cannot be converted");
    return dt_ok();
}

/* A checksum is one of the values as they are stored; the statistics want doubles. */
static dt_status add_values(void *context, void *data, size_t count) {
    measuring *made = context;
    dt_inspected_tensor *tensor = made->tensor;
    const double *values = data;
    dt_hasher_add(made->hasher, data, count * H5Tget_size(made->type));
    DT_TRY(make_doubles(made, data, count));
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            continue;
        tensor->min = made->finite == 0 || values[i] < tensor->min ? values[i] : tensor->min;
        tensor->max = made->finite == 0 || values[i] > tensor->max ? values[i] : tensor->max;
        made->sum += values[i];
        made->finite++;
    }
    return dt_ok();
}

static dt_status add_squares(void *context, void *data, size_t count) {
    measuring *made = context;
    const double *values = data;
    DT_TRY(make_doubles(made, data, count));
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            made->squares += (values[i] - made->tensor->mean) * (values[i] - made->tensor->mean);
    return dt_ok();
}

static dt_checksum_state judge(const walk *held, const char *place, uint64_t hash) {
    bool known;
    dt_status status = dt_checksum_compare(&held->checksums, place, place, hash, &known);
    return dt_failed(&status) ? DT_CHECKSUM_FAILS : known ? DT_CHECKSUM_HOLDS : DT_CHECKSUM_NONE;
}

/* The largest dataset that is looked into; a damaged file may name any size. */
static const int64_t count_limit = INT64_C(1) << 33;

/* Two passes: the mean first, so that the squares do not cancel. */
static dt_status read_values(walk *held, hid_t dataset, hid_t type, dt_inspected_tensor *tensor) {
    measuring made = {.type = type, .hasher = dt_hasher_create(), .tensor = tensor};
    if (!made.hasher)
        return dt_fail(DT_MEMORY, "%s: no memory for %s", held->file->path, tensor->place);
    dt_status status = dt_values_read(held->file, tensor->place, dataset, type, add_values, &made);
    tensor->checksum = judge(held, tensor->place, dt_hasher_end(made.hasher));
    tensor->not_finite = tensor->count - made.finite;
    if (dt_failed(&status) || made.finite == 0)
        return status;
    tensor->mean = made.sum / (double)made.finite;
    status = dt_values_read(held->file, tensor->place, dataset, type, add_squares, &made);
    tensor->sd = sqrt(made.squares / (double)made.finite);
    return status;
}

static dt_status set_shape(const walk *held, hid_t dataset, dt_inspected_tensor *tensor) {
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    dt_status status = dt_ok();
    tensor->rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    tensor->count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (tensor->rank < 0 || tensor->count < 0)
        status = dt_library_failure(held->file->path, tensor->place);
    else if (tensor->rank > DT_INSPECT_RANK || tensor->count > count_limit)
        status = dt_fail(DT_FILE, "%s: %s has %d dimensions and %lld values, which is too much to look into",
                         held->file->path, tensor->place, tensor->rank, (long long)tensor->count);
    for (int i = 0; i < tensor->rank && !dt_failed(&status); i++)
        tensor->dims[i] = (int64_t)dims[i];
    dt_library_close(space, H5Sclose, held->file->path, &status);
    return status;
}

/* Texts are no tensors. */
static dt_status inspect_dataset(walk *held, hid_t dataset, dt_inspected_tensor *tensor, bool *numbers) {
    hid_t stored = H5Dget_type(dataset);
    hid_t type = stored < 0 ? stored : H5Tget_native_type(stored, H5T_DIR_ASCEND);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    dt_status status = dt_ok();
    *numbers = class == H5T_FLOAT || class == H5T_INTEGER;
    if (*numbers) {
        tensor->address = H5Dget_offset(dataset);
        status = set_shape(held, dataset, tensor);
        if (!dt_failed(&status))
            status = read_values(held, dataset, type, tensor);
    }
    dt_library_close(type, H5Tclose, held->file->path, &status);
    dt_library_close(stored, H5Tclose, held->file->path, &status);
    return status;
}

static dt_status append(walk *held, const dt_inspected_tensor *tensor) {
    dt_inspection *made = held->made;
    if (made->count == held->room) {
        int room = 2 * held->room + 64;
        dt_inspected_tensor *tensors = realloc(made->tensors, (size_t)room * sizeof *tensors);
        if (!tensors)
            return dt_fail(DT_MEMORY, "%s: no memory for its list of tensors", held->file->path);
        made->tensors = tensors;
        held->room = room;
    }
    made->failures += tensor->checksum == DT_CHECKSUM_FAILS;
    made->tensors[made->count++] = *tensor;
    return dt_ok();
}

static dt_status add_dataset(void *context, const char *place) {
    walk *held = context;
    dt_inspected_tensor tensor = {.place = strdup(place)};
    if (!tensor.place)
        return dt_fail(DT_MEMORY, "%s: no memory for %s", held->file->path, place);
    snprintf(tensor.name, sizeof tensor.name, "%s", name_of_place(held, place));
    bool numbers = false;
    hid_t dataset = H5Dopen2(held->file->handle, place, H5P_DEFAULT);
    dt_status status = dataset < 0 ? dt_library_failure(held->file->path, place)
                                   : inspect_dataset(held, dataset, &tensor, &numbers);
    dt_library_close(dataset, H5Dclose, held->file->path, &status);
    if (!dt_failed(&status) && numbers)
        status = append(held, &tensor);
    if (dt_failed(&status) || !numbers)
        free(tensor.place);
    return status;
}

static int by_address(const void *a, const void *b) {
    const dt_inspected_tensor *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

static bool is_listed(const dt_inspection *made, const char *place) {
    for (int i = 0; i < made->count; i++)
        if (strcmp(made->tensors[i].place, place) == 0)
            return true;
    return false;
}

/* What its kind of file has and this one has not. */
static void count_missing(walk *held) {
    dt_inspection *made = held->made;
    for (int i = 0; i < held->expected; i++) {
        if (is_listed(made, held->catalogue.entries[i].place))
            continue;
        if (made->missing++ == 0)
            snprintf(made->first_missing, sizeof made->first_missing, "%s", held->catalogue.entries[i].place);
    }
}

static dt_status visit_all(walk *held) {
    dt_inspection *made = held->made;
    DT_TRY(dt_library_visit_datasets(held->file, add_dataset, held));
    count_missing(held);
    if (made->count > 0)
        qsort(made->tensors, (size_t)made->count, sizeof made->tensors[0], by_address);
    return dt_ok();
}

/* A text whose checksum fails is not shown. */
static void inspect_text(const dt_library_file *file, const char *place, char **text,
                         dt_checksum_state *state, dt_inspection *made) {
    dt_status status = dt_tensors_read_text(file, place, text);
    *state = dt_failed(&status) ? DT_CHECKSUM_FAILS : DT_CHECKSUM_HOLDS;
    made->failures += dt_failed(&status);
}

static dt_status inspect_header(walk *held, const dt_group *group) {
    dt_inspection *made = held->made;
    DT_TRY(dt_attribute_read(group, "format_version", H5T_INTEGER, H5T_NATIVE_INT, &made->format));
    DT_TRY(dt_attribute_read_text(group, "program", made->program, sizeof made->program));
    DT_TRY(dt_header_read_network(group, &made->network));
    dt_network network = dt_network_build(made->network);
    held->parameters = dt_parameters_layout(&network);
    dt_catalogue_add_network(&held->catalogue, &held->parameters, NULL, NULL);
    held->expected = held->catalogue.count;
    dt_catalogue_add_adam(&held->catalogue, &held->parameters, NULL, NULL);
    made->kind = DT_FILE_WEIGHTS;
    if (!dt_header_has_position(group))
        return dt_ok();
    made->kind = DT_FILE_CHECKPOINT;
    held->expected = held->catalogue.count;
    DT_TRY(dt_header_read_position(group, &made->position));
    inspect_text(held->file, dt_header_options, &made->options, &made->options_state, made);
    inspect_text(held->file, dt_header_history, &made->history, &made->history_state, made);
    return dt_ok();
}

static bool has(const dt_library_file *file, const char *name) {
    return H5Lexists(file->handle, name, H5P_DEFAULT) > 0;
}

static dt_status inspect_kind(walk *held) {
    dt_group group;
    held->made->kind = has(held->file, "layers")          ? DT_FILE_KERAS_WEIGHTS
                       : has(held->file, "model_weights") ? DT_FILE_KERAS_MODEL
                                                          : DT_FILE_OTHER;
    if (!dt_header_exists(held->file))
        return dt_ok();
    DT_TRY(dt_header_open(held->file, &group));
    dt_status status = inspect_header(held, &group);
    dt_library_close(group.handle, H5Gclose, held->file->path, &status);
    return status;
}

static dt_status inspect_open_file(const dt_library_file *file, dt_inspection *made) {
    walk held = {.file = file, .made = made};
    hsize_t bytes;
    if (H5Fget_filesize(file->handle, &bytes) < 0)
        return dt_library_failure(file->path, "its length cannot be found");
    made->bytes = bytes;
    made->sealed = file->sealed;
    DT_TRY(inspect_kind(&held));
    DT_TRY(dt_checksums_open(file, &held.checksums));
    dt_status status = visit_all(&held);
    dt_library_close(held.checksums.handle, H5Gclose, file->path, &status);
    return status;
}

dt_status dt_inspect_file(const char *path, dt_inspection *inspection) {
    dt_library_file file;
    *inspection = (dt_inspection){.kind = DT_FILE_OTHER};
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file);
    if (!dt_failed(&status)) {
        status = inspect_open_file(&file, inspection);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    if (dt_failed(&status))
        dt_inspection_release(inspection);
    return status;
}

void dt_inspection_release(dt_inspection *inspection) {
    for (int i = 0; i < inspection->count; i++)
        free(inspection->tensors[i].place);
    free(inspection->tensors);
    free(inspection->options);
    free(inspection->history);
    *inspection = (dt_inspection){.kind = DT_FILE_OTHER};
}
