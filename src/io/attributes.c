/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of a group. */
#include "io/attributes.h"

#include <stdio.h>
#include <string.h>

enum { WHAT_BYTES = 200 };

static dt_status failure(const dt_group *group, const char *name) {
    char what[WHAT_BYTES];
    snprintf(what, sizeof what, "the attribute %s/%s", group->name, name);
    return dt_library_failure(group->path, what);
}

dt_status dt_attribute_write(const dt_group *group, const char *name, hid_t type, const void *value) {
    dt_status status = dt_ok();
    hid_t attribute = H5I_INVALID_HID, space = H5Screate(H5S_SCALAR);
    if (space >= 0)
        attribute = H5Acreate2(group->handle, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0)
        status = failure(group, name);
    dt_library_close(attribute, H5Aclose, group->path, &status);
    dt_library_close(space, H5Sclose, group->path, &status);
    return status;
}

hid_t dt_attribute_text_type(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, bytes) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        (void)H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

dt_status dt_attribute_write_text(const dt_group *group, const char *name, const char *text) {
    hid_t type = dt_attribute_text_type(strlen(text) + 1);
    if (type < 0)
        return failure(group, name);
    dt_status status = dt_attribute_write(group, name, type, text);
    dt_library_close(type, H5Tclose, group->path, &status);
    return status;
}

dt_status dt_attribute_read(const dt_group *group, const char *name, H5T_class_t class, hid_t type,
                            void *value) {
    hid_t attribute = H5Aopen(group->handle, name, H5P_DEFAULT);
    if (attribute < 0)
        return failure(group, name);
    dt_status status = dt_ok();
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool known = stored >= 0 && space >= 0;
    if (known && (H5Tget_class(stored) != class || H5Tis_variable_str(stored) > 0 ||
                  H5Sget_simple_extent_npoints(space) != 1))
        status = dt_fail(DT_FILE, "%s: the attribute %s/%s is not one value of the expected kind",
                         group->path, group->name, name);
    else if (!known || H5Aread(attribute, type, value) < 0)
        status = failure(group, name);
    dt_library_close(space, H5Sclose, group->path, &status);
    dt_library_close(stored, H5Tclose, group->path, &status);
    dt_library_close(attribute, H5Aclose, group->path, &status);
    return status;
}

/* Files of format 1 have ASCII texts, and the library converts no character sets. */
static dt_status read_text_as(const dt_group *group, const char *name, size_t bytes, H5T_cset_t set,
                              char *text) {
    hid_t type = dt_attribute_text_type(bytes);
    if (type < 0 || H5Tset_cset(type, set) < 0)
        return failure(group, name);
    dt_status status = dt_attribute_read(group, name, H5T_STRING, type, text);
    dt_library_close(type, H5Tclose, group->path, &status);
    return status;
}

dt_status dt_attribute_read_text(const dt_group *group, const char *name, char *text, size_t bytes) {
    memset(text, 0, bytes);
    dt_status status = read_text_as(group, name, bytes, H5T_CSET_UTF8, text);
    if (dt_failed(&status))
        status = read_text_as(group, name, bytes, H5T_CSET_ASCII, text);
    text[bytes - 1] = '\0';
    return status;
}

bool dt_attribute_exists(const dt_group *group, const char *name) {
    return H5Aexists(group->handle, name) > 0;
}
