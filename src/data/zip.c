/* SPDX-License-Identifier: BSD-3-Clause */
/* Zip files (APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16). Sizes come from the central directory:
 * those in front of a member may be missing or in zip64 form, as numpy writes them. */
#include "data/zip.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22, LONGEST_COMMENT = 65535 };
enum { METHOD_STORED = 0, METHOD_DEFLATED = 8, FLAG_ENCRYPTED = 1 };

static const uint32_t local_mark = 0x04034B50, central_mark = 0x02014B50, end_mark = 0x06054B50;

/* What the record at the end says of the directory. */
typedef struct directory {
    uint32_t offset, bytes;
    int count;
} directory;

static dt_status fail_damaged(const dt_zip *zip, const char *cause) {
    return dt_fail(DT_DATA, "%s: damaged or cut short: %s" DT_DOWNLOAD_AGAIN, zip->file.path, cause);
}

static dt_status fail_no_end(const dt_zip *zip, const unsigned char *start) {
    if (dt_file_little32(start) == local_mark)
        return fail_damaged(zip, "it begins as a zip file, but the directory at its end is missing");
    char what[128];
    dt_file_describe(&zip->file, what, sizeof what);
    return dt_fail(DT_DATA, "%s: not an .npz (zip) file: %s", zip->file.path, what);
}

static dt_status parse_end(const dt_zip *zip, const unsigned char *record, uint64_t record_offset,
                           directory *found) {
    found->count = dt_file_little16(record + 10);
    found->bytes = dt_file_little32(record + 12);
    found->offset = dt_file_little32(record + 16);
    if (found->count == 0xFFFF || found->offset == 0xFFFFFFFF)
        return dt_fail(DT_DATA, "%s: a zip64 file (4 GB or more) cannot be read", zip->file.path);
    if ((uint64_t)found->offset + found->bytes > record_offset)
        return fail_damaged(zip, "its directory does not lie within the file");
    return dt_ok();
}

/* Looks for the end record from the back: a comment of any length may follow it. */
static dt_status find_end(const dt_zip *zip, directory *found) {
    uint64_t tail_bytes = END_BYTES + LONGEST_COMMENT;
    if (tail_bytes > zip->file.bytes)
        tail_bytes = zip->file.bytes;
    unsigned char start[4] = {0};
    unsigned char *tail = malloc((size_t)tail_bytes + 1);
    if (!tail)
        return dt_fail(DT_MEMORY, "no memory for reading %s", zip->file.path);
    uint64_t tail_offset = zip->file.bytes - tail_bytes;
    size_t got, start_got;
    dt_status status = dt_file_read(&zip->file, tail_offset, tail, (size_t)tail_bytes, &got);
    if (!dt_failed(&status))
        status = dt_file_read(&zip->file, 0, start, sizeof start, &start_got);
    if (!dt_failed(&status)) {
        long i = (long)got - END_BYTES;
        while (i >= 0 && dt_file_little32(tail + i) != end_mark)
            i--;
        status = i < 0 ? fail_no_end(zip, start) : parse_end(zip, tail + i, tail_offset + (uint64_t)i, found);
    }
    free(tail);
    return status;
}

static void copy_name(dt_zip_member *member, const unsigned char *name, size_t length) {
    if (length > sizeof member->name - 1)
        length = sizeof member->name - 1;
    for (size_t i = 0; i < length; i++)
        member->name[i] = isprint(name[i]) ? (char)name[i] : '?';
    member->name[length] = '\0';
}

static dt_status parse_directory(dt_zip *zip, const unsigned char *entries, size_t bytes, int count) {
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        const unsigned char *entry = entries + at;
        if (bytes - at < CENTRAL_BYTES || dt_file_little32(entry) != central_mark)
            return fail_damaged(zip, "its directory makes no sense");
        size_t name_bytes = dt_file_little16(entry + 28);
        size_t entry_bytes =
            CENTRAL_BYTES + name_bytes + dt_file_little16(entry + 30) + dt_file_little16(entry + 32);
        if (bytes - at < entry_bytes)
            return fail_damaged(zip, "its directory makes no sense");
        zip->members[i] = (dt_zip_member){.method = dt_file_little16(entry + 10),
                                          .encrypted = dt_file_little16(entry + 8) & FLAG_ENCRYPTED,
                                          .crc = dt_file_little32(entry + 16),
                                          .packed_bytes = dt_file_little32(entry + 20),
                                          .bytes = dt_file_little32(entry + 24),
                                          .header_offset = dt_file_little32(entry + 42)};
        copy_name(&zip->members[i], entry + CENTRAL_BYTES, name_bytes);
        zip->count++;
        at += entry_bytes;
    }
    return dt_ok();
}

static dt_status read_directory(dt_zip *zip, directory found) {
    unsigned char *entries = malloc((size_t)found.bytes + 1);
    zip->members = calloc((size_t)found.count + 1, sizeof *zip->members);
    dt_status status;
    size_t got = 0;
    if (!entries || !zip->members)
        status = dt_fail(DT_MEMORY, "no memory for reading %s", zip->file.path);
    else
        status = dt_file_read(&zip->file, found.offset, entries, found.bytes, &got);
    if (!dt_failed(&status))
        status = parse_directory(zip, entries, got, found.count);
    free(entries);
    return status;
}

dt_status dt_zip_open(const char *path, dt_zip *zip) {
    *zip = (dt_zip){.file.handle = -1};
    directory found = {0};
    DT_TRY(dt_file_open(path, &zip->file));
    DT_TRY(find_end(zip, &found));
    return read_directory(zip, found);
}

void dt_zip_close(dt_zip *zip) {
    free(zip->members);
    zip->members = NULL;
    zip->count = 0;
    dt_file_close(&zip->file);
}

const dt_zip_member *dt_zip_find(const dt_zip *zip, const char *name) {
    for (int i = 0; i < zip->count; i++)
        if (strcmp(zip->members[i].name, name) == 0)
            return &zip->members[i];
    return NULL;
}

static dt_status check_encoding(const dt_zip_member *member, const char *subject) {
    if (member->encrypted)
        return dt_fail(DT_DATA, "%s: is encrypted", subject);
    if (member->method != METHOD_STORED && member->method != METHOD_DEFLATED)
        return dt_fail(DT_DATA, "%s: zip compression method %d cannot be read; write it with numpy.savez",
                       subject, member->method);
    if (member->method == METHOD_STORED && member->bytes != member->packed_bytes)
        return dt_fail(DT_DATA, "%s: damaged: its sizes %llu and %llu differ though it is not compressed",
                       subject, (unsigned long long)member->bytes, (unsigned long long)member->packed_bytes);
    return dt_ok();
}

dt_status dt_zip_stream(const dt_zip *zip, const dt_zip_member *member, const char *subject,
                        dt_stream **stream) {
    unsigned char header[LOCAL_BYTES];
    size_t got;
    DT_TRY(check_encoding(member, subject));
    DT_TRY(dt_file_read(&zip->file, member->header_offset, header, sizeof header, &got));
    if (got < sizeof header || dt_file_little32(header) != local_mark)
        return dt_fail(DT_DATA, "%s: damaged: the zip's directory points to no member", subject);
    uint64_t offset =
        member->header_offset + LOCAL_BYTES + dt_file_little16(header + 26) + dt_file_little16(header + 28);
    if (offset + member->packed_bytes > zip->file.bytes)
        return dt_fail(DT_DATA, "%s: damaged or cut short: it does not lie within the file", subject);
    return dt_stream_create(&(dt_stream_config){.file = &zip->file,
                                                .subject = subject,
                                                .encoding = member->method == METHOD_STORED
                                                                ? DT_ENCODING_ZIP_STORED
                                                                : DT_ENCODING_ZIP_DEFLATED,
                                                .offset = offset,
                                                .bytes = member->packed_bytes,
                                                .content_bytes = member->bytes,
                                                .crc = member->crc},
                            stream);
}
