/* SPDX-License-Identifier: BSD-3-Clause */
/* The group "dtrain". */
#include "io/header.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "dtrain/version.h"

/* Rises when a reader of the old number would misread the file. 1: weights alone; 2: checksums, a seal, and
 * in a checkpoint the state of the run. */
enum { FORMAT_VERSION = 2 };

/* No network wider than this fits a machine; a damaged file may ask for anything. */
static const double width_limit = 64.0;

static const char group_name[] = "dtrain";
const char dt_header_options[] = "dtrain/options", dt_header_history[] = "dtrain/history";

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

typedef enum field_kind { FIELD_INT, FIELD_INT64, FIELD_UINT64, FIELD_DOUBLE } field_kind;

/* The attributes of a position. */
static const struct {
    const char *name;
    field_kind kind;
    size_t offset;
} fields[] = {
    {"step", FIELD_INT64, offsetof(dt_checkpoint_position, step)},
    {"epoch", FIELD_INT, offsetof(dt_checkpoint_position, epoch)},
    {"batch", FIELD_INT, offsetof(dt_checkpoint_position, batch)},
    {"train_loss", FIELD_INT64, offsetof(dt_checkpoint_position, train_loss)},
    {"train_correct", FIELD_INT64, offsetof(dt_checkpoint_position, train_correct)},
    {"train_samples", FIELD_INT64, offsetof(dt_checkpoint_position, train_samples)},
    {"best_loss", FIELD_DOUBLE, offsetof(dt_checkpoint_position, best_loss)},
    {"learning_rate", FIELD_DOUBLE, offsetof(dt_checkpoint_position, learning_rate)},
    {"rewinds", FIELD_INT, offsetof(dt_checkpoint_position, rewinds)},
    {"ranks", FIELD_INT, offsetof(dt_checkpoint_position, ranks)},
    {"data_fingerprint", FIELD_UINT64, offsetof(dt_checkpoint_position, data_fingerprint)},
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

static dt_status check_network(const dt_group *group, const dt_network_config *config) {
    if (!(config->width > 0.0 && config->width <= width_limit))
        return dt_fail(DT_FILE, "%s: the attribute %s/width is %g: it must be above 0 and at most %g",
                       group->path, group_name, config->width, width_limit);
    if (!(config->dropout >= 0.0f && config->dropout < 1.0f))
        return dt_fail(DT_FILE, "%s: the attribute %s/dropout is %g: it must be at least 0 and below 1",
                       group->path, group_name, (double)config->dropout);
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

dt_status dt_header_read_position(const dt_group *group, dt_checkpoint_position *position) {
    for (int i = 0; i < COUNT(fields); i++)
        DT_TRY(dt_attribute_read(group, fields[i].name,
                                 fields[i].kind == FIELD_DOUBLE ? H5T_FLOAT : H5T_INTEGER,
                                 field_type(fields[i].kind), (char *)position + fields[i].offset));
    if (position->step < 0 || position->epoch < 0 || position->batch < 0)
        return dt_fail(DT_FILE, "%s: the position of the run is not one: step %lld, epoch %d, batch %d",
                       group->path, (long long)position->step, position->epoch, position->batch);
    return dt_ok();
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
