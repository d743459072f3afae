/* SPDX-License-Identifier: BSD-3-Clause */
/* IDX files. All four headers are checked against each other and against the files' sizes before memory is
 * taken. */
#include "data/idx.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/file.h"
#include "data/storage.h"
#include "data/stream.h"

/* Magic numbers: type 8 (unsigned byte), then the number of dimensions. */
enum { IMAGES_MAGIC = 0x0803, LABELS_MAGIC = 0x0801 };

enum { TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS, FILES };

static const struct kind {
    const char *stem;
    bool images;
} kinds[FILES] = {
    [TRAIN_IMAGES] = {"train-images", true},
    [TRAIN_LABELS] = {"train-labels", false},
    [TEST_IMAGES] = {"t10k-images", true},
    [TEST_LABELS] = {"t10k-labels", false},
};

typedef struct idx_file {
    dt_file file;
    dt_stream *stream;
    int count; /* items, as the header says and the size allows */
} idx_file;

static int dimensions(struct kind kind) {
    return kind.images ? 3 : 1;
}

static size_t item_bytes(struct kind kind) {
    return kind.images ? DT_IMAGE_PIXELS : 1;
}

/* Writes the path of the file of this kind; false if there is none. Where only a folder has the name, that
 * is the path: opening it says so. */
static bool find(const char *folder, struct kind kind, char *path, size_t path_bytes) {
    static const struct {
        char separator;
        const char *suffix;
    } forms[] = {{'-', ""}, {'-', ".gz"}, {'.', ""}, {'.', ".gz"}};
    bool found = false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char candidate[DT_PATH_BYTES];
        int length = snprintf(candidate, sizeof candidate, "%s/%s%cidx%d-ubyte%s", folder, kind.stem,
                              forms[i].separator, dimensions(kind), forms[i].suffix);
        if (length < 0 || length >= (int)sizeof candidate)
            continue;
        dt_path_kind there = dt_file_kind(candidate);
        if (there == DT_PATH_FILE || (there == DT_PATH_FOLDER && !found)) {
            snprintf(path, path_bytes, "%s", candidate);
            found = true;
        }
        if (there == DT_PATH_FILE)
            break;
    }
    return found;
}

bool dt_idx_present(const char *folder) {
    char path[DT_PATH_BYTES];
    for (int i = 0; i < FILES; i++)
        if (find(folder, kinds[i], path, sizeof path))
            return true;
    return false;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static dt_status begin(const char *folder, struct kind kind, idx_file *idx) {
    char path[DT_PATH_BYTES];
    if (!find(folder, kind, path, sizeof path))
        return dt_fail(
            DT_DATA,
            "%s: the %s file is missing: tried %s-idx%d-ubyte and %s.idx%d-ubyte, each also with .gz", folder,
            kind.stem, kind.stem, dimensions(kind), kind.stem, dimensions(kind));
    DT_TRY(dt_file_open(path, &idx->file));
    unsigned char mark[2] = {0};
    size_t got;
    DT_TRY(dt_file_read(&idx->file, 0, mark, sizeof mark, &got));
    bool packed = ends_with(path, ".gz") || (mark[0] == 0x1F && mark[1] == 0x8B);
    return dt_stream_create(&(dt_stream_config){.file = &idx->file,
                                                .subject = idx->file.path,
                                                .encoding = packed ? DT_ENCODING_GZIP : DT_ENCODING_PLAIN,
                                                .bytes = idx->file.bytes},
                            &idx->stream);
}

static dt_status check_magic(const idx_file *idx, struct kind kind, uint32_t magic) {
    uint32_t expected = kind.images ? IMAGES_MAGIC : LABELS_MAGIC;
    uint32_t other = kind.images ? LABELS_MAGIC : IMAGES_MAGIC;
    const char *wanted = kind.images ? "images" : "labels";
    if (magic == expected)
        return dt_ok();
    if (magic == other)
        return dt_fail(
            DT_DATA, "%s: holds %s where %s belong (magic number %u, not %u): images and labels are swapped",
            idx->file.path, kind.images ? "labels" : "images", wanted, magic, expected);
    char what[128];
    dt_file_describe(&idx->file, what, sizeof what);
    return dt_fail(DT_DATA, "%s: wrong magic number %u (0x%08x); a file of %s has %u (0x%08x); %s",
                   idx->file.path, magic, magic, wanted, expected, expected, what);
}

/* Whether the file can hold what its header promises; nothing is allocated on a header's word alone. */
static dt_status check_count(idx_file *idx, struct kind kind, uint32_t count, size_t header_bytes) {
    const char *items = kind.images ? "images" : "labels";
    if (count == 0)
        return dt_fail(DT_DATA, "%s: holds 0 %s", idx->file.path, items);
    uint64_t needed = header_bytes + (uint64_t)count * item_bytes(kind);
    if (count > INT_MAX || needed > dt_stream_capacity(idx->stream))
        return dt_fail(
            DT_DATA,
            "%s: shorter than its header says: %u %s are %llu bytes; the file has %llu, which hold "
            "%llu at most",
            idx->file.path, count, items, (unsigned long long)needed, (unsigned long long)idx->file.bytes,
            (unsigned long long)dt_stream_capacity(idx->stream));
    idx->count = (int)count;
    return dt_ok();
}

static dt_status read_header(idx_file *idx, struct kind kind) {
    unsigned char header[16];
    size_t got, header_bytes = 4 + 4 * (size_t)dimensions(kind);
    DT_TRY(dt_stream_read(idx->stream, header, 4, &got));
    if (got < 4) {
        char what[128];
        dt_file_describe(&idx->file, what, sizeof what);
        return dt_fail(DT_DATA, "%s: too short for an IDX file: %s", idx->file.path, what);
    }
    DT_TRY(check_magic(idx, kind, dt_file_big32(header)));
    DT_TRY(dt_stream_read_all(idx->stream, header + 4, header_bytes - 4));
    uint32_t rows = kind.images ? dt_file_big32(header + 8) : 0;
    uint32_t columns = kind.images ? dt_file_big32(header + 12) : 0;
    if (kind.images && (rows != DT_IMAGE_SIDE || columns != DT_IMAGE_SIDE))
        return dt_fail(DT_DATA, "%s: its images are %u x %u pixels; they must be %d x %d", idx->file.path,
                       rows, columns, DT_IMAGE_SIDE, DT_IMAGE_SIDE);
    return check_count(idx, kind, dt_file_big32(header + 4), header_bytes);
}

static dt_status check_pair(const idx_file *images, const idx_file *labels) {
    if (images->count == labels->count)
        return dt_ok();
    return dt_fail(DT_DATA, "%s has %d images, but %s has %d labels", images->file.path, images->count,
                   labels->file.path, labels->count);
}

static dt_status read_items(idx_file *idx, struct kind kind, dt_half half, dt_dataset *dataset) {
    void *items = kind.images ? half.pixels : half.labels;
    uint64_t extra;
    DT_TRY(dt_stream_read_all(idx->stream, items, (size_t)idx->count * item_bytes(kind)));
    DT_TRY(dt_stream_drain(idx->stream, &extra));
    if (extra > 0)
        dt_storage_warn(dataset, "%s: %llu bytes after the last item are ignored", idx->file.path,
                        (unsigned long long)extra);
    return kind.images ? dt_ok() : dt_storage_check_labels(idx->file.path, half.labels, idx->count);
}

static dt_status read_files(const char *folder, idx_file files[FILES], dt_dataset *dataset) {
    for (int i = 0; i < FILES; i++)
        DT_TRY(begin(folder, kinds[i], &files[i]));
    for (int i = 0; i < FILES; i++)
        DT_TRY(read_header(&files[i], kinds[i]));
    DT_TRY(check_pair(&files[TRAIN_IMAGES], &files[TRAIN_LABELS]));
    DT_TRY(check_pair(&files[TEST_IMAGES], &files[TEST_LABELS]));
    dt_half halves[DT_HALVES];
    const int counts[DT_HALVES] = {files[TRAIN_IMAGES].count, files[TEST_IMAGES].count};
    DT_TRY(dt_storage_reserve(dataset, DT_PIXEL_BYTE, counts, halves));
    for (int i = 0; i < FILES; i++)
        DT_TRY(read_items(&files[i], kinds[i], halves[i / 2], dataset));
    return dt_ok();
}

dt_status dt_idx_read(const char *folder, dt_dataset *dataset) {
    idx_file files[FILES];
    for (int i = 0; i < FILES; i++)
        files[i] = (idx_file){.file.handle = -1};
    dt_status status = read_files(folder, files, dataset);
    for (int i = 0; i < FILES; i++) {
        dt_stream_destroy(files[i].stream);
        dt_file_close(&files[i].file);
    }
    if (dt_failed(&status))
        dt_slab_release(&dataset->memory);
    return status;
}
