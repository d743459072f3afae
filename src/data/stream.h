/* SPDX-License-Identifier: BSD-3-Clause */
/* The content of a file, or of one stretch of it, decoded from front to back: plain, gzip, or a member of a
 * zip. What gzip and zip say about their content (CRC, length) is checked when its end is reached. Local. */
#ifndef DTRAIN_DATA_STREAM_H
#define DTRAIN_DATA_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "data/file.h"
#include "dtrain/status.h"

typedef enum dt_encoding {
    DT_ENCODING_PLAIN,
    DT_ENCODING_GZIP,        /* one or more gzip members */
    DT_ENCODING_ZIP_STORED,  /* as it is, with a CRC */
    DT_ENCODING_ZIP_DEFLATED /* raw deflate, with a CRC */
} dt_encoding;

typedef struct dt_stream_config {
    const dt_file *file; /* borrowed for the life of the stream */
    const char *subject; /* how messages name the content; borrowed too */
    dt_encoding encoding;
    uint64_t offset;        /* where the encoded bytes begin in the file */
    uint64_t bytes;         /* how many there are */
    uint64_t content_bytes; /* zip only: how many the content must have */
    uint32_t crc;           /* zip only: the CRC-32 that it must have */
} dt_stream_config;

typedef struct dt_stream dt_stream;

/* Errors: DT_MEMORY. */
dt_status dt_stream_create(const dt_stream_config *config, dt_stream **stream);
void dt_stream_destroy(dt_stream *stream);

/* The most bytes that the whole content can have, from the size of its encoded form. */
uint64_t dt_stream_capacity(const dt_stream *stream);

/* Delivers the next `bytes` bytes of the content; *got is less only at its end. Errors, DT_DATA: not gzip,
 * cut short, damaged, wrong CRC or length. */
dt_status dt_stream_read(dt_stream *stream, void *data, size_t bytes, size_t *got);

/* As dt_stream_read, but the end of the content is an error too: it is shorter than its header says. */
dt_status dt_stream_read_all(dt_stream *stream, void *data, size_t bytes);

/* Goes on to the end. *extra counts the bytes of content met on the way, and those behind the last gzip
 * member that are no gzip. */
dt_status dt_stream_drain(dt_stream *stream, uint64_t *extra);

#endif
