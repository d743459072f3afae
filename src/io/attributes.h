/* SPDX-License-Identifier: BSD-3-Clause */
/* Single values as attributes of a group. Local. */
#ifndef DTRAIN_IO_ATTRIBUTES_H
#define DTRAIN_IO_ATTRIBUTES_H

#include "io/library.h"

/* A group of a file and what messages call it. */
typedef struct dt_group {
    const char *path, *name;
    hid_t handle;
} dt_group;

/* One value of `type`. Errors of all functions: DT_FILE, naming path, group and attribute. */
dt_status dt_attribute_write(const dt_group *group, const char *name, hid_t type, const void *value);
dt_status dt_attribute_write_text(const dt_group *group, const char *name, const char *text);

/* Reads one value whose stored type is of this class, as `type`. */
dt_status dt_attribute_read(const dt_group *group, const char *name, H5T_class_t class, hid_t type,
                            void *value);

/* A text, cut at bytes - 1. */
dt_status dt_attribute_read_text(const dt_group *group, const char *name, char *text, size_t bytes);

/* Whether the group has the attribute. */
bool dt_attribute_exists(const dt_group *group, const char *name);

/* A type for texts of at most `bytes` bytes, the ending 0 included; negative when it fails. */
hid_t dt_attribute_text_type(size_t bytes);

#endif
