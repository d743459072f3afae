/* SPDX-License-Identifier: BSD-3-Clause */
/* The members of a zip file, found by its central directory: stored or deflated, not encrypted, not zip64.
 * Local. */
#ifndef DTRAIN_DATA_ZIP_H
#define DTRAIN_DATA_ZIP_H

#include "data/file.h"
#include "data/stream.h"

typedef struct dt_zip_member {
    char name[64]; /* cut to fit; bytes that do not print are '?' */
    int method;
    bool encrypted;
    uint32_t crc;
    uint64_t packed_bytes, bytes;
    uint64_t header_offset;
} dt_zip_member;

typedef struct dt_zip {
    dt_file file;
    dt_zip_member *members;
    int count;
} dt_zip;

/* Owner: close with dt_zip_close, also after a failure. Errors, DT_DATA: unreadable, not a zip file,
 * directory damaged; DT_MEMORY. */
dt_status dt_zip_open(const char *path, dt_zip *zip);
void dt_zip_close(dt_zip *zip);

/* NULL if there is none of that name. */
const dt_zip_member *dt_zip_find(const dt_zip *zip, const char *name);

/* The member's content; subject names it in messages and is borrowed, like the zip. Errors, DT_DATA: its
 * header is damaged, or its encoding is none that can be read. */
dt_status dt_zip_stream(const dt_zip *zip, const dt_zip_member *member, const char *subject,
                        dt_stream **stream);

#endif
