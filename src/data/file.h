/* SPDX-License-Identifier: BSD-3-Clause */
/* A regular file that is read at any place; its failures name it. Local. */
#ifndef DTRAIN_DATA_FILE_H
#define DTRAIN_DATA_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/path.h"
#include "dtrain/status.h"

typedef struct dt_file {
    char path[DT_PATH_ROOM];
    int handle; /* -1: not open */
    uint64_t bytes;
} dt_file;

typedef enum dt_path_kind { DT_PATH_NONE, DT_PATH_FILE, DT_PATH_FOLDER } dt_path_kind;

/* What stands at a path. Something that may not be looked at counts as a file: opening it tells why. */
dt_path_kind dt_file_kind(const char *path);

/* Errors, DT_DATA: not there, a folder or a device, no permission. On failure the file is not open. */
dt_status dt_file_open(const char *path, dt_file *file);

/* A file that was never opened, or is closed already, is fine if its handle is -1. */
void dt_file_close(dt_file *file);

/* Reads `bytes` bytes from `offset`; *got is less only at the end of the file. Errors, DT_DATA: the system's.
 */
dt_status dt_file_read(const dt_file *file, uint64_t offset, void *data, size_t bytes, size_t *got);

/* What a file seems to be, by its first bytes. */
typedef enum dt_file_form {
    DT_FORM_UNREADABLE,
    DT_FORM_EMPTY,
    DT_FORM_MARKUP, /* a web page, as a failed download leaves behind */
    DT_FORM_ZIP,
    DT_FORM_GZIP,
    DT_FORM_IDX_IMAGES,
    DT_FORM_IDX_LABELS,
    DT_FORM_NPY,
    DT_FORM_HDF5,
    DT_FORM_TABLE, /* text with numbers and separators, as a CSV file */
    DT_FORM_OTHER
} dt_file_form;

dt_file_form dt_file_form_of(const dt_file *file);

/* A clause on what the file seems to be instead of what was wanted, for the end of a message. */
void dt_file_describe(const dt_file *file, char *text, size_t text_bytes);

/* The remedy for a file that a download has spoilt, for the end of a message. */
#define DT_DOWNLOAD_AGAIN "; download it again (MNIST: tools/get-mnist)"

/* Little-endian and big-endian integers at any address. */
static inline uint16_t dt_file_little16(const unsigned char *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t dt_file_little32(const unsigned char *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline uint32_t dt_file_big32(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

#endif
