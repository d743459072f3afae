/* SPDX-License-Identifier: BSD-3-Clause */
/* mnist.npz. Each array is read as it is into a block of its own; when both halves are known, their common
 * pixel kind is, and they are laid into the data set. */
#include "data/npz.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/npy.h"
#include "data/storage.h"
#include "data/zip.h"

static const char *const pixel_names[DT_HALVES] = {"x_train", "x_test"};
static const char *const label_names[DT_HALVES] = {"y_train", "y_test"};

/* An array on its way in. */
typedef struct array {
    char subject[DT_PATH_ROOM + 32]; /* "FILE: array x_train" */
    dt_stream *stream;
    dt_npy_header header;
    int count; /* the first dimension, as the header says and the size allows */
} array;

/* One half as it stands in the file. */
typedef struct half_content {
    int count;
    bool floats;    /* pixels are float, else bytes */
    bool all_bytes; /* floats that are all k/255 */
    dt_slab pixels, labels;
} half_content;

/* "(none)", or the members' names with commas between them. */
static void list_members(const dt_zip *zip, char *text, size_t text_bytes) {
    size_t used = (size_t)snprintf(text, text_bytes, "%s", zip->count == 0 ? "(none)" : "");
    for (int i = 0; i < zip->count && used + 1 < text_bytes; i++) {
        char name[sizeof zip->members->name];
        snprintf(name, sizeof name, "%s", zip->members[i].name);
        size_t length = strlen(name);
        if (length > 4 && strcmp(name + length - 4, ".npy") == 0)
            name[length - 4] = '\0';
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%s", i ? ", " : "", name);
    }
}

/* An archive of the four IDX files. */
static bool holds_idx(const dt_zip *zip) {
    for (int i = 0; i < zip->count; i++)
        if (strstr(zip->members[i].name, "-ubyte"))
            return true;
    return false;
}

static dt_status find_member(const dt_zip *zip, const char *name, const dt_zip_member **member) {
    char file_name[32], found[256];
    snprintf(file_name, sizeof file_name, "%s.npy", name);
    *member = dt_zip_find(zip, file_name);
    if (*member)
        return dt_ok();
    list_members(zip, found, sizeof found);
    return dt_fail(DT_DATA, "%s: array %s is missing: there must be %s, %s, %s and %s; found: %s%s",
                   zip->file.path, name, pixel_names[0], label_names[0], pixel_names[1], label_names[1],
                   found, holds_idx(zip) ? ". It holds IDX files: unpack it, and name their folder" : "");
}

static bool is_pixel_shape(const dt_npy_header *header) {
    const uint64_t *shape = header->shape;
    if (header->dimensions == 2)
        return shape[1] == DT_IMAGE_PIXELS;
    return (header->dimensions == 3 || (header->dimensions == 4 && shape[3] == 1)) &&
           shape[1] == DT_IMAGE_SIDE && shape[2] == DT_IMAGE_SIDE;
}

static bool is_one_hot(const dt_npy_header *header) {
    return header->dimensions == 2 && header->shape[1] == DT_CLASSES;
}

static dt_status check_pixel_form(const array *in) {
    const dt_npy_header *header = &in->header;
    if (!is_pixel_shape(header))
        return dt_fail(DT_DATA, "%s: has shape %s; images must be (n, 28, 28), (n, 28, 28, 1) or (n, 784)",
                       in->subject, header->shape_text);
    if (header->type.kind != 'f' && (header->type.kind != 'u' || header->type.bytes != 1))
        return dt_fail(DT_DATA,
                       "%s: dtype '%s' is not supported for pixels; they must be uint8 (0..255), or "
                       "float32 or float64 (0..1)",
                       in->subject, header->type_text);
    return dt_ok();
}

static dt_status check_label_form(const array *in) {
    const dt_npy_header *header = &in->header;
    bool plain = header->dimensions == 1 || (header->dimensions == 2 && header->shape[1] == 1);
    if (!plain && !is_one_hot(header))
        return dt_fail(DT_DATA, "%s: has shape %s; labels must be (n) or one-hot (n, 10)", in->subject,
                       header->shape_text);
    if (plain && header->type.kind != 'u' && header->type.kind != 'i')
        return dt_fail(DT_DATA, "%s: dtype '%s' is not supported for labels 0..9; they must be integers",
                       in->subject, header->type_text);
    return dt_ok();
}

/* Whether the file can hold what the header promises; nothing is allocated on a header's word alone. */
static dt_status check_count(array *in, size_t item_bytes) {
    uint64_t count = in->header.shape[0], capacity = dt_stream_capacity(in->stream);
    if (count == 0)
        return dt_fail(DT_DATA, "%s: holds 0 items (shape %s)", in->subject, in->header.shape_text);
    if (count > INT_MAX || count > capacity / item_bytes)
        return dt_fail(DT_DATA,
                       "%s: shorter than its header says: shape %s of '%s' does not fit into the file",
                       in->subject, in->header.shape_text, in->header.type_text);
    in->count = (int)count;
    return dt_ok();
}

static dt_status begin(const dt_zip *zip, const char *name, array *in) {
    const dt_zip_member *member;
    *in = (array){0};
    snprintf(in->subject, sizeof in->subject, "%s: array %s", zip->file.path, name);
    DT_TRY(find_member(zip, name, &member));
    DT_TRY(dt_zip_stream(zip, member, in->subject, &in->stream));
    return dt_npy_read_header(in->stream, in->subject, &in->header);
}

static dt_status finish(array *in, dt_dataset *dataset) {
    uint64_t extra;
    DT_TRY(dt_stream_drain(in->stream, &extra));
    if (extra > 0)
        dt_storage_warn(dataset, "%s: %llu bytes after the last item are ignored", in->subject,
                        (unsigned long long)extra);
    return dt_ok();
}

/* The whole k of a pixel that is k/255 to float rounding, or -1. Dividing by 255 in float is off by half a
 * unit in the last place (2^-24), multiplying by a rounded 1/255 by two halves (2^-23). */
static int byte_of(double pixel) {
    double scaled = 255.0 * pixel;
    int whole = (int)(scaled + 0.5);
    return fabs(scaled - whole) <= 0x1p-23 * whole ? whole : -1;
}

static dt_status fail_pixel(const array *in, int image, int pixel, double value) {
    return dt_fail(DT_DATA, "%s: image %d, pixel %d (counted from 0) is %g; float pixels must be %s",
                   in->subject, image, pixel, value, isfinite(value) ? "within 0..1" : "finite");
}

static dt_status read_float_image(array *in, int image, float *out, bool *all_bytes) {
    unsigned char raw[DT_IMAGE_PIXELS * sizeof(double)];
    size_t width = (size_t)in->header.type.bytes;
    DT_TRY(dt_stream_read_all(in->stream, raw, DT_IMAGE_PIXELS * width));
    for (int i = 0; i < DT_IMAGE_PIXELS; i++) {
        double value = dt_npy_number(in->header.type, raw + (size_t)i * width);
        if (!(value >= 0.0 && value <= 1.0))
            return fail_pixel(in, image, i, value);
        *all_bytes = *all_bytes && byte_of(value) >= 0;
        out[i] = (float)value;
    }
    return dt_ok();
}

static dt_status read_pixels(array *in, half_content *half, dt_dataset *dataset) {
    DT_TRY(check_pixel_form(in));
    DT_TRY(check_count(in, (size_t)DT_IMAGE_PIXELS * (size_t)in->header.type.bytes));
    if (in->count != half->count)
        return dt_fail(DT_DATA, "%s has %d images, but there are %d labels", in->subject, in->count,
                       half->count);
    half->floats = in->header.type.kind == 'f';
    half->all_bytes = true;
    size_t pixels = (size_t)in->count * DT_IMAGE_PIXELS;
    DT_TRY(dt_slab_reserve(pixels * (half->floats ? sizeof(float) : 1), in->subject, &half->pixels));
    if (!half->floats)
        DT_TRY(dt_stream_read_all(in->stream, half->pixels.base, pixels));
    for (int i = 0; half->floats && i < in->count; i++)
        DT_TRY(read_float_image(in, i, (float *)half->pixels.base + (size_t)i * DT_IMAGE_PIXELS,
                                &half->all_bytes));
    return finish(in, dataset);
}

/* The label of one row: its number, or the place of its only 1. */
static dt_status parse_label(const array *in, int row, const unsigned char *raw, uint8_t *label) {
    dt_npy_type type = in->header.type;
    if (!is_one_hot(&in->header)) {
        double value = dt_npy_number(type, raw);
        if (value < 0.0 || value >= DT_CLASSES)
            return dt_fail(DT_DATA, "%s: label number %d (counted from 0) is %.0f; labels are 0..%d",
                           in->subject, row, value, DT_CLASSES - 1);
        *label = (uint8_t)value;
        return dt_ok();
    }
    int ones = 0, zeros = 0;
    for (int i = 0; i < DT_CLASSES; i++) {
        double value = dt_npy_number(type, raw + i * type.bytes);
        zeros += value == 0.0;
        ones += value == 1.0;
        if (value == 1.0)
            *label = (uint8_t)i;
    }
    if (ones != 1 || zeros != DT_CLASSES - 1)
        return dt_fail(DT_DATA,
                       "%s: row %d (counted from 0) is not one-hot: it must have a single 1 and nine 0",
                       in->subject, row);
    return dt_ok();
}

static dt_status read_labels(array *in, half_content *half, dt_dataset *dataset) {
    DT_TRY(check_label_form(in));
    size_t row_bytes = (size_t)in->header.type.bytes * (is_one_hot(&in->header) ? DT_CLASSES : 1);
    DT_TRY(check_count(in, row_bytes));
    half->count = in->count;
    DT_TRY(dt_slab_reserve((size_t)in->count, in->subject, &half->labels));
    for (int row = 0; row < in->count; row++) {
        unsigned char raw[DT_CLASSES * sizeof(double)];
        DT_TRY(dt_stream_read_all(in->stream, raw, row_bytes));
        DT_TRY(parse_label(in, row, raw, (uint8_t *)half->labels.base + row));
    }
    return finish(in, dataset);
}

typedef dt_status (*array_reader)(array *in, half_content *half, dt_dataset *dataset);

static dt_status read_array(const dt_zip *zip, const char *name, array_reader reader, half_content *half,
                            dt_dataset *dataset) {
    array in;
    dt_status status = begin(zip, name, &in);
    if (!dt_failed(&status))
        status = reader(&in, half, dataset);
    dt_stream_destroy(in.stream);
    return status;
}

static dt_status read_halves(const dt_zip *zip, half_content halves[DT_HALVES], dt_dataset *dataset) {
    for (int i = 0; i < DT_HALVES; i++) {
        const dt_zip_member *member;
        DT_TRY(find_member(zip, pixel_names[i], &member));
        DT_TRY(find_member(zip, label_names[i], &member));
    }
    for (int i = 0; i < DT_HALVES; i++) {
        DT_TRY(read_array(zip, label_names[i], read_labels, &halves[i], dataset));
        DT_TRY(read_array(zip, pixel_names[i], read_pixels, &halves[i], dataset));
    }
    return dt_ok();
}

static void lay_pixels(const half_content *half, dt_pixel_kind kind, void *pixels) {
    size_t count = (size_t)half->count * DT_IMAGE_PIXELS;
    const float *floats = half->pixels.base;
    const uint8_t *bytes = half->pixels.base;
    if (half->floats == (kind == DT_PIXEL_FLOAT))
        memcpy(pixels, half->pixels.base, count * (half->floats ? sizeof(float) : 1));
    else if (half->floats)
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)pixels)[i] = (uint8_t)(255.0f * floats[i] + 0.5f);
    else
        for (size_t i = 0; i < count; i++)
            ((float *)pixels)[i] = (float)bytes[i] / 255.0f;
}

static dt_status lay_halves(const half_content content[DT_HALVES], dt_dataset *dataset) {
    dt_half halves[DT_HALVES];
    const int counts[DT_HALVES] = {content[DT_HALF_TRAIN].count, content[DT_HALF_TEST].count};
    bool bytes = content[DT_HALF_TRAIN].all_bytes && content[DT_HALF_TEST].all_bytes;
    dt_pixel_kind kind = bytes ? DT_PIXEL_BYTE : DT_PIXEL_FLOAT;
    DT_TRY(dt_storage_reserve(dataset, kind, counts, halves));
    for (int i = 0; i < DT_HALVES; i++) {
        lay_pixels(&content[i], kind, halves[i].pixels);
        memcpy(halves[i].labels, content[i].labels.base, (size_t)counts[i]);
    }
    return dt_ok();
}

dt_status dt_npz_read(const char *path, dt_dataset *dataset) {
    dt_zip zip;
    half_content halves[DT_HALVES] = {0};
    dt_status status = dt_zip_open(path, &zip);
    if (!dt_failed(&status))
        status = read_halves(&zip, halves, dataset);
    if (!dt_failed(&status))
        status = lay_halves(halves, dataset);
    for (int i = 0; i < DT_HALVES; i++) {
        dt_slab_release(&halves[i].pixels);
        dt_slab_release(&halves[i].labels);
    }
    dt_zip_close(&zip);
    return status;
}
