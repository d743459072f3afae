/* SPDX-License-Identifier: BSD-3-Clause */
/* The group "dtrain". */
#include "io/header.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "dtrain/limits.h"
#include "dtrain/model.h"
#include "dtrain/version.h"

/* Rises when a reader of the old number would misread the file. 1: weights alone; 2: checksums, a seal, and
 * in a checkpoint the state of the run. */
enum { FORMAT_VERSION = 2 };

static const char group_name[] = "dtrain";
const char dt_header_options[] = "dtrain/options", dt_header_history[] = "dtrain/history";

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

typedef enum field_kind { FIELD_INT, FIELD_INT64, FIELD_UINT64, FIELD_DOUBLE } field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset;
    dt_limits limits; /* what a file may claim */
} field;

/* No epoch has more images, and none more steps than images. */
#define COUNT_MOST ((double)INT_MAX)

#define PLACE(member) offsetof(dt_checkpoint_position, member)

/* The attributes of a position. A run's best loss is infinite until it has one. */
static const field fields[] = {
    {"step", FIELD_INT64, PLACE(step), {.low = 0, .high = DT_EPOCHS_MOST * COUNT_MOST}},
    {"epoch", FIELD_INT, PLACE(epoch), {.low = 0, .high = DT_EPOCHS_MOST}},
    {"batch", FIELD_INT, PLACE(batch), {.low = 0, .high = COUNT_MOST}},
    {"train_loss", FIELD_INT64, PLACE(train_loss), {.low = 0, .high = 0x1p62}},
    {"train_correct", FIELD_INT64, PLACE(train_correct), {.low = 0, .high = COUNT_MOST}},
    {"train_samples", FIELD_INT64, PLACE(train_samples), {.low = 0, .high = COUNT_MOST}},
    {"best_loss", FIELD_DOUBLE, PLACE(best_loss), {.low = 0, .high = INFINITY}},
    {"learning_rate", FIELD_DOUBLE, PLACE(learning_rate), DT_LIMITS_RATE},
    {"rewinds", FIELD_INT, PLACE(rewinds), {.low = 0, .high = DT_MOST_REWINDS}},
    {"ranks", FIELD_INT, PLACE(ranks), {.low = 1, .high = COUNT_MOST}},
    {"data_fingerprint", FIELD_UINT64, PLACE(data_fingerprint), {.low = 0, .high = 0x1p64}},
};

static hid_t field_type(field_kind kind) {
    switch (kind) {
    case FIELD_INT:
        return H5T_NATIVE_INT;
    case FIELD_INT64:
        return H5T_NATIVE_INT64;
    case FIELD_UINT64:
        return H5T_NATIVE_UINT64;
    case FIELD_DOUBLE:
        return H5T_NATIVE_DOUBLE;
    }
    assert(false);
    return H5I_INVALID_HID;
}

static dt_status write_network(const dt_group *group, const dt_network_config *config) {
    const int format = FORMAT_VERSION;
    DT_TRY(dt_attribute_write(group, "format_version", H5T_NATIVE_INT, &format));
    DT_TRY(dt_attribute_write_text(group, "program", dt_version_text()));
    DT_TRY(dt_attribute_write_text(group, "bn_axis", dt_bn_axis_names[config->bn_axis]));
    DT_TRY(dt_attribute_write_text(group, "bn_layers", dt_bn_layers_names[config->bn_layers]));
    DT_TRY(dt_attribute_write(group, "width", H5T_NATIVE_DOUBLE, &config->width));
    return dt_attribute_write(group, "dropout", H5T_NATIVE_FLOAT, &config->dropout);
}

static dt_status write_position(const dt_group *group, const dt_checkpoint_position *position) {
    for (int i = 0; i < COUNT(fields); i++)
        DT_TRY(dt_attribute_write(group, fields[i].name, field_type(fields[i].kind),
                                  (const char *)position + fields[i].offset));
    return dt_ok();
}

dt_status dt_header_write(const dt_image *image, const dt_network_config *config,
                          const dt_checkpoint_position *position) {
    dt_group group = {image->file.path, group_name, H5I_INVALID_HID};
    group.handle = H5Gcreate2(image->file.handle, group_name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group.handle < 0)
        return dt_library_failure(group.path, "the group \"dtrain\" cannot be written");
    dt_status status = write_network(&group, config);
    if (!dt_failed(&status) && position)
        status = write_position(&group, position);
    dt_library_close(group.handle, H5Gclose, group.path, &status);
    return status;
}

bool dt_header_exists(const dt_library_file *file) {
    return H5Lexists(file->handle, group_name, H5P_DEFAULT) > 0;
}

/* A file that another program changed has lost its seal; one that goes on behind its last dataset has a
 * damaged one. */
static dt_status check_end(const dt_library_file *file) {
    haddr_t end;
    hsize_t length;
    if (file->sealed)
        return dt_ok();
    if (H5Fget_eoa(file->handle, &end) < 0 || H5Fget_filesize(file->handle, &length) < 0)
        return dt_library_failure(file->path, "its length cannot be found");
    if (length > end)
        return dt_fail(DT_FILE, "%s: is damaged or cut short: the seal at its end is not whole", file->path);
    return dt_ok();
}

static dt_status check_format(const dt_library_file *file, const dt_group *group) {
    int format = 0;
    DT_TRY(dt_attribute_read(group, "format_version", H5T_INTEGER, H5T_NATIVE_INT, &format));
    if (format > FORMAT_VERSION)
        return dt_fail(DT_FILE, "%s: has format %d, of a newer dtrain; this program reads formats up to %d",
                       group->path, format, FORMAT_VERSION);
    if (format < 1)
        return dt_fail(DT_FILE, "%s: has format %d; this program reads formats 1 to %d", group->path, format,
                       FORMAT_VERSION);
    return format < 2 ? dt_ok() : check_end(file);
}

dt_status dt_header_open(const dt_library_file *file, dt_group *group) {
    *group = (dt_group){file->path, group_name, H5I_INVALID_HID};
    if (!dt_header_exists(file))
        return dt_fail(DT_FILE, "%s: has no group \"%s\": dtrain did not write this file", file->path,
                       group_name);
    group->handle = H5Gopen2(file->handle, group_name, H5P_DEFAULT);
    if (group->handle < 0)
        return dt_library_failure(file->path, "the group \"dtrain\" cannot be read");
    dt_status status = check_format(file, group);
    if (dt_failed(&status)) {
        (void)H5Gclose(group->handle);
        group->handle = H5I_INVALID_HID;
    }
    return status;
}

/* The index of the attribute's text among `names`. */
static dt_status read_choice(const dt_group *group, const char *name, const char *const *names, int count,
                             int *choice) {
    char text[32];
    DT_TRY(dt_attribute_read_text(group, name, text, sizeof text));
    for (*choice = 0; *choice < count; ++*choice)
        if (strcmp(names[*choice], text) == 0)
            return dt_ok();
    return dt_fail(DT_FILE, "%s: the attribute %s/%s is \"%s\", which this program does not know",
                   group->path, group_name, name, text);
}

static dt_status refuse(const dt_group *group, const char *name, double value, dt_limits limits, bool whole) {
    char allowed[96];
    return dt_fail(DT_FILE, "%s: the attribute %s/%s is %.10g: it must be %s", group->path, group_name, name,
                   value, dt_limits_describe(limits, whole, allowed, sizeof allowed));
}

/* The limits of the options that these were. The dropout is stored as a float, which may be a little above
 * its limit. */
static dt_status check_network(const dt_group *group, const dt_network_config *config) {
    static const dt_limits width = DT_LIMITS_WIDTH, dropout = DT_LIMITS_DROPOUT;
    if (!dt_limits_hold(width, config->width))
        return refuse(group, "width", config->width, width, false);
    if (!dt_limits_hold(dropout, config->dropout) && config->dropout != (float)dropout.high)
        return refuse(group, "dropout", (double)config->dropout, dropout, false);
    return dt_ok();
}

dt_status dt_header_read_network(const dt_group *group, dt_network_config *config) {
    int axis = 0, layers = 0;
    DT_TRY(read_choice(group, "bn_axis", dt_bn_axis_names, DT_BN_AXES, &axis));
    DT_TRY(read_choice(group, "bn_layers", dt_bn_layers_names, DT_BN_LAYERS, &layers));
    DT_TRY(dt_attribute_read(group, "width", H5T_FLOAT, H5T_NATIVE_DOUBLE, &config->width));
    DT_TRY(dt_attribute_read(group, "dropout", H5T_FLOAT, H5T_NATIVE_FLOAT, &config->dropout));
    config->bn_axis = (dt_bn_axis)axis;
    config->bn_layers = (dt_bn_layers)layers;
    return check_network(group, config);
}

bool dt_header_has_position(const dt_group *group) {
    return dt_attribute_exists(group, fields[0].name);
}

static dt_status read_real(const dt_group *group, const field *row, double *value) {
    DT_TRY(dt_attribute_read(group, row->name, H5T_FLOAT, H5T_NATIVE_DOUBLE, value));
    return dt_limits_hold(row->limits, *value) ? dt_ok()
                                               : refuse(group, row->name, *value, row->limits, false);
}

/* As the widest type, so that the value that is checked is the one that the file has. */
static dt_status read_whole(const dt_group *group, const field *row, void *place) {
    int64_t value;
    DT_TRY(dt_attribute_read(group, row->name, H5T_INTEGER, H5T_NATIVE_INT64, &value));
    if (!dt_limits_hold(row->limits, (double)value))
        return refuse(group, row->name, (double)value, row->limits, true);
    if (row->kind == FIELD_INT)
        *(int *)place = (int)value;
    else
        *(int64_t *)place = value;
    return dt_ok();
}

static dt_status read_field(const dt_group *group, const field *row, void *place) {
    if (row->kind == FIELD_DOUBLE)
        return read_real(group, row, place);
    if (row->kind == FIELD_UINT64)
        return dt_attribute_read(group, row->name, H5T_INTEGER, H5T_NATIVE_UINT64, place);
    return read_whole(group, row, place);
}

/* Sums over samples cannot exceed what so many samples have. */
static dt_status check_sums(const dt_group *group, const dt_checkpoint_position *at) {
    if (at->train_correct > at->train_samples)
        return dt_fail(DT_FILE, "%s: the attribute %s/train_correct is %lld, of %lld samples", group->path,
                       group_name, (long long)at->train_correct, (long long)at->train_samples);
    if ((double)at->train_loss > (double)at->train_samples * DT_LOSS_CAP * 0x1p32)
        return dt_fail(DT_FILE, "%s: the attribute %s/train_loss is %lld, too much for %lld samples",
                       group->path, group_name, (long long)at->train_loss, (long long)at->train_samples);
    return dt_ok();
}

dt_status dt_header_read_position(const dt_group *group, dt_checkpoint_position *position) {
    for (int i = 0; i < COUNT(fields); i++)
        DT_TRY(read_field(group, &fields[i], (char *)position + fields[i].offset));
    return check_sums(group, position);
}

static dt_status peek(const dt_library_file *file, dt_network_config *config, bool *has_position) {
    dt_group group;
    DT_TRY(dt_header_open(file, &group));
    *has_position = dt_header_has_position(&group);
    dt_status status = dt_header_read_network(&group, config);
    dt_library_close(group.handle, H5Gclose, file->path, &status);
    return status;
}

dt_status dt_header_peek(const char *path, dt_network_config *config, bool *has_position) {
    dt_library_file file;
    *config = (dt_network_config){0};
    *has_position = false;
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file);
    if (!dt_failed(&status)) {
        status = peek(&file, config, has_position);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    return status;
}
