/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding of plain, gzip and zip content. gzip's frame (RFC 1952) is read here and not by zlib, so that a
 * file cut short, one with a wrong CRC and one that is no gzip get different messages. */
#include "data/stream.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "dtrain/dataset.h"

enum { INPUT_BYTES = 1 << 16 };

/* Deflate's densest code: a match of 258 bytes from two bits, 1 for the length and 1 for the distance. */
enum { DEFLATE_MOST_RATIO = 258 * 8 / 2 };

/* Flags of a gzip header. */
enum { GZIP_HEADER_CRC = 2, GZIP_EXTRA = 4, GZIP_NAME = 8, GZIP_COMMENT = 16, GZIP_RESERVED = 0xE0 };

struct dt_stream {
    dt_stream_config config;
    uint64_t taken; /* encoded bytes that were read from the file */
    z_stream inflater;
    bool inflating; /* inside deflate data, not before it or at its end */
    bool ended;
    int members;           /* gzip members begun */
    uint32_t crc;          /* of this member's content so far */
    uint64_t decoded;      /* bytes of this member's content so far */
    uint64_t beyond_bytes; /* bytes after the last gzip member */
    unsigned char input[INPUT_BYTES];
};

static bool uses_deflate(dt_encoding encoding) {
    return encoding == DT_ENCODING_GZIP || encoding == DT_ENCODING_ZIP_DEFLATED;
}

static bool is_zip(dt_encoding encoding) {
    return encoding == DT_ENCODING_ZIP_STORED || encoding == DT_ENCODING_ZIP_DEFLATED;
}

dt_status dt_stream_create(const dt_stream_config *config, dt_stream **stream) {
    *stream = calloc(1, sizeof **stream);
    if (!*stream)
        return dt_fail(DT_MEMORY, "no memory for reading %s", config->subject);
    (*stream)->config = *config;
    (*stream)->crc = (uint32_t)crc32(0, NULL, 0);
    (*stream)->inflating = config->encoding == DT_ENCODING_ZIP_DEFLATED;
    if (uses_deflate(config->encoding) && inflateInit2(&(*stream)->inflater, -MAX_WBITS) != Z_OK) {
        free(*stream);
        *stream = NULL;
        return dt_fail(DT_MEMORY, "no memory for inflating %s", config->subject);
    }
    return dt_ok();
}

void dt_stream_destroy(dt_stream *stream) {
    if (stream && uses_deflate(stream->config.encoding))
        inflateEnd(&stream->inflater);
    free(stream);
}

uint64_t dt_stream_capacity(const dt_stream *stream) {
    const dt_stream_config *config = &stream->config;
    uint64_t most = config->bytes * (uses_deflate(config->encoding) ? DEFLATE_MOST_RATIO : 1);
    return is_zip(config->encoding) && config->content_bytes < most ? config->content_bytes : most;
}

/* Takes the next encoded bytes from the file, as far as the stretch and the file go. */
static dt_status take(dt_stream *stream, void *data, size_t bytes, size_t *got) {
    uint64_t left = stream->config.bytes - stream->taken;
    if (bytes > left)
        bytes = (size_t)left;
    DT_TRY(dt_file_read(stream->config.file, stream->config.offset + stream->taken, data, bytes, got));
    stream->taken += *got;
    return dt_ok();
}

static dt_status fail_cut_short(const dt_stream *stream) {
    return dt_fail(
        DT_DATA,
        "%s: cut short: its compressed data break off after %llu bytes (%llu unpacked)" DT_DOWNLOAD_AGAIN,
        stream->config.subject, (unsigned long long)stream->taken, (unsigned long long)stream->decoded);
}

/* Makes sure that the inflater has input; none is left at the end of the stretch. */
static dt_status refill(dt_stream *stream) {
    if (stream->inflater.avail_in > 0)
        return dt_ok();
    size_t got;
    DT_TRY(take(stream, stream->input, INPUT_BYTES, &got));
    stream->inflater.next_in = stream->input;
    stream->inflater.avail_in = (unsigned)got;
    return dt_ok();
}

/* The next bytes of a gzip frame. */
static dt_status next_bytes(dt_stream *stream, unsigned char *bytes, int count) {
    for (int i = 0; i < count; i++) {
        DT_TRY(refill(stream));
        if (stream->inflater.avail_in == 0)
            return fail_cut_short(stream);
        bytes[i] = *stream->inflater.next_in++;
        stream->inflater.avail_in--;
    }
    return dt_ok();
}

static dt_status skip_text(dt_stream *stream) {
    unsigned char byte;
    do
        DT_TRY(next_bytes(stream, &byte, 1));
    while (byte != 0);
    return dt_ok();
}

static dt_status skip_optional_fields(dt_stream *stream, int flags) {
    unsigned char bytes[2] = {0};
    if (flags & GZIP_EXTRA) {
        DT_TRY(next_bytes(stream, bytes, 2));
        for (int left = dt_file_little16(bytes); left > 0; left--)
            DT_TRY(next_bytes(stream, bytes, 1));
    }
    if (flags & GZIP_NAME)
        DT_TRY(skip_text(stream));
    if (flags & GZIP_COMMENT)
        DT_TRY(skip_text(stream));
    if (flags & GZIP_HEADER_CRC)
        DT_TRY(next_bytes(stream, bytes, 2));
    return dt_ok();
}

static dt_status fail_not_gzip(const dt_stream *stream) {
    char what[128];
    dt_file_describe(stream->config.file, what, sizeof what);
    return dt_fail(DT_DATA, "%s: not a gzip file: %s" DT_DOWNLOAD_AGAIN, stream->config.subject, what);
}

/* Whether the next two bytes are gzip's mark; takes them if so. */
static dt_status meets_mark(dt_stream *stream, bool *meets) {
    static const unsigned char mark[2] = {0x1F, 0x8B};
    *meets = true;
    for (int i = 0; i < 2 && *meets; i++) {
        DT_TRY(refill(stream));
        *meets = stream->inflater.avail_in > 0 && *stream->inflater.next_in == mark[i];
        if (*meets) {
            stream->inflater.next_in++;
            stream->inflater.avail_in--;
        }
    }
    return dt_ok();
}

/* Begins the next member; what is no member ends the stream, except in first place. */
static dt_status begin_member(dt_stream *stream) {
    bool meets;
    DT_TRY(meets_mark(stream, &meets));
    if (!meets && stream->members == 0)
        return fail_not_gzip(stream);
    if (!meets) {
        stream->beyond_bytes = stream->config.bytes - stream->taken + stream->inflater.avail_in;
        stream->ended = true;
        return dt_ok();
    }
    unsigned char header[8] = {0}; /* method, flags, time (4), extra flags, system */
    DT_TRY(next_bytes(stream, header, (int)sizeof header));
    if (header[0] != Z_DEFLATED || header[1] & GZIP_RESERVED)
        return dt_fail(DT_DATA, "%s: damaged: its gzip header has method %d and flags 0x%02x",
                       stream->config.subject, header[0], header[1]);
    DT_TRY(skip_optional_fields(stream, header[1]));
    if (stream->members++ > 0)
        (void)inflateReset(&stream->inflater);
    stream->inflating = true;
    stream->crc = (uint32_t)crc32(0, NULL, 0);
    stream->decoded = 0;
    return dt_ok();
}

static dt_status check_crc(const dt_stream *stream, uint32_t expected) {
    if (stream->crc == expected)
        return dt_ok();
    return dt_fail(DT_DATA,
                   "%s: damaged: wrong CRC: its content has %08x, the file says %08x" DT_DOWNLOAD_AGAIN,
                   stream->config.subject, (unsigned)stream->crc, (unsigned)expected);
}

static dt_status check_length(const dt_stream *stream, uint64_t decoded, uint64_t expected) {
    if (decoded == expected)
        return dt_ok();
    return dt_fail(
        DT_DATA,
        "%s: damaged: wrong length: its content has %llu bytes, the file says %llu" DT_DOWNLOAD_AGAIN,
        stream->config.subject, (unsigned long long)decoded, (unsigned long long)expected);
}

/* The end of content whose length and CRC stand in the zip's directory. */
static dt_status end_zip(dt_stream *stream) {
    stream->ended = true;
    DT_TRY(check_length(stream, stream->decoded, stream->config.content_bytes));
    return check_crc(stream, stream->config.crc);
}

/* What follows the deflate data of gzip: CRC, and length modulo 2^32. */
static dt_status end_gzip_member(dt_stream *stream) {
    unsigned char trailer[8] = {0};
    DT_TRY(next_bytes(stream, trailer, (int)sizeof trailer));
    DT_TRY(check_crc(stream, dt_file_little32(trailer)));
    return check_length(stream, (uint32_t)stream->decoded, dt_file_little32(trailer + 4));
}

static dt_status end_member(dt_stream *stream) {
    stream->inflating = false;
    return stream->config.encoding == DT_ENCODING_GZIP ? end_gzip_member(stream) : end_zip(stream);
}

/* Runs the inflater once. */
static dt_status inflate_some(dt_stream *stream, unsigned char *data, size_t bytes, size_t *got) {
    z_stream *inflater = &stream->inflater;
    DT_TRY(refill(stream));
    bool input_over = inflater->avail_in == 0;
    inflater->next_out = data;
    inflater->avail_out = bytes > UINT_MAX ? UINT_MAX : (unsigned)bytes;
    unsigned room = inflater->avail_out;
    int result = inflate(inflater, Z_NO_FLUSH);
    *got = room - inflater->avail_out;
    stream->crc = (uint32_t)crc32_z(stream->crc, data, *got);
    stream->decoded += *got;
    if (result == Z_STREAM_END)
        return end_member(stream);
    if (result == Z_MEM_ERROR)
        return dt_fail(DT_MEMORY, "no memory for inflating %s", stream->config.subject);
    if (result != Z_OK && result != Z_BUF_ERROR)
        return dt_fail(
            DT_DATA,
            "%s: damaged: its compressed data make no sense after %llu unpacked bytes (%s)" DT_DOWNLOAD_AGAIN,
            stream->config.subject, (unsigned long long)stream->decoded,
            inflater->msg ? inflater->msg : "no reason given");
    if (*got == 0 && input_over)
        return fail_cut_short(stream);
    return dt_ok();
}

static dt_status copy_some(dt_stream *stream, unsigned char *data, size_t bytes, size_t *got) {
    DT_TRY(take(stream, data, bytes, got));
    stream->decoded += *got;
    if (stream->config.encoding == DT_ENCODING_ZIP_STORED)
        stream->crc = (uint32_t)crc32_z(stream->crc, data, *got);
    if (*got == bytes)
        return dt_ok();
    stream->ended = true;
    return stream->config.encoding == DT_ENCODING_ZIP_STORED ? end_zip(stream) : dt_ok();
}

dt_status dt_stream_read(dt_stream *stream, void *data, size_t bytes, size_t *got) {
    *got = 0;
    while (*got < bytes && !stream->ended) {
        size_t some = 0;
        if (!uses_deflate(stream->config.encoding))
            DT_TRY(copy_some(stream, (unsigned char *)data + *got, bytes - *got, &some));
        else if (stream->inflating)
            DT_TRY(inflate_some(stream, (unsigned char *)data + *got, bytes - *got, &some));
        else
            DT_TRY(begin_member(stream));
        *got += some;
    }
    return dt_ok();
}

dt_status dt_stream_read_all(dt_stream *stream, void *data, size_t bytes) {
    size_t got;
    DT_TRY(dt_stream_read(stream, data, bytes, &got));
    if (got < bytes)
        return dt_fail(DT_DATA, "%s: shorter than its header says: it ends %zu bytes early" DT_DOWNLOAD_AGAIN,
                       stream->config.subject, bytes - got);
    return dt_ok();
}

dt_status dt_stream_drain(dt_stream *stream, uint64_t *extra) {
    unsigned char ignored[4096];
    *extra = 0;
    while (!stream->ended) {
        size_t got;
        DT_TRY(dt_stream_read(stream, ignored, sizeof ignored, &got));
        *extra += got;
    }
    *extra += stream->beyond_bytes;
    return dt_ok();
}

/* zlib.h: the first character tells what fits. */
dt_linked dt_dataset_linked(void) {
    dt_linked library = {
        .name = "zlib", .headers = ZLIB_VERSION, .fits = zlibVersion()[0] == ZLIB_VERSION[0]};
    snprintf(library.loaded, sizeof library.loaded, "%s", zlibVersion());
    return library;
}
