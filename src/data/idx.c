/* SPDX-License-Identifier: BSD-3-Clause */
/* IDX files. All four headers are checked against each other and against the files' sizes before memory is
 * taken. */
#include "data/idx.h"

#include <ctype.h>
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
    char other[DT_PATH_ROOM]; /* a second file of its kind, which is not read; or empty */
    dt_stream *stream;
    int count; /* items, as the header says and the size allows */
} idx_file;

static int dimensions(struct kind kind) {
    return kind.images ? 3 : 1;
}

static size_t item_bytes(struct kind kind) {
    return kind.images ? DT_IMAGE_PIXELS : 1;
}

/* Names that a file may have, the first that exists is read. */
static const struct {
    char separator;
    const char *suffix;
} forms[] = {{'-', ""}, {'-', ".gz"}, {'.', ""}, {'.', ".gz"}};

enum { FORMS = sizeof forms / sizeof *forms };

static dt_path_kind look_for(const char *folder, struct kind kind, int form, char path[DT_PATH_ROOM]) {
    int length = snprintf(path, DT_PATH_ROOM, "%s/%s%cidx%d-ubyte%s", folder, kind.stem,
                          forms[form].separator, dimensions(kind), forms[form].suffix);
    return length < 0 || length >= DT_PATH_ROOM ? DT_PATH_NONE : dt_file_kind(path);
}

/* Writes the path of the file of this kind; false if there is none. Where only a folder has the name, that
 * is the path: opening it says so. `other`: a second file of this kind, or empty. */
static bool find(const char *folder, struct kind kind, char path[DT_PATH_ROOM], char other[DT_PATH_ROOM]) {
    dt_path_kind found = DT_PATH_NONE;
    other[0] = '\0';
    for (int form = 0; form < FORMS && !other[0]; form++) {
        char candidate[DT_PATH_ROOM];
        dt_path_kind there = look_for(folder, kind, form, candidate);
        if (there == DT_PATH_FILE && found == DT_PATH_FILE)
            memcpy(other, candidate, sizeof candidate);
        else if (there == DT_PATH_FILE || (there == DT_PATH_FOLDER && found == DT_PATH_NONE)) {
            memcpy(path, candidate, sizeof candidate);
            found = there;
        }
    }
    return found != DT_PATH_NONE;
}

int dt_idx_count(const char *folder) {
    char path[DT_PATH_ROOM], other[DT_PATH_ROOM];
    int count = 0;
    for (int i = 0; i < FILES; i++)
        count += find(folder, kinds[i], path, other);
    return count;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Small letters and digits alone; "test" reads as the "t10k" that it is meant for. */
static void reduce(const char *name, char *text, size_t room) {
    size_t used = 0;
    for (; *name && used + 1 < room; name++)
        if (isalnum((unsigned char)*name))
            text[used++] = (char)tolower((unsigned char)*name);
    text[used] = '\0';
    char *test = strstr(text, "test");
    if (test)
        memcpy(test, "t10k", 4);
}

bool dt_idx_resembles(const char *name, char *proper, size_t room) {
    char reduced[128], stem[32];
    reduce(name, reduced, sizeof reduced);
    for (int i = 0; i < FILES; i++) {
        reduce(kinds[i].stem, stem, sizeof stem);
        snprintf(proper, room, "%s-idx%d-ubyte%s", kinds[i].stem, dimensions(kinds[i]),
                 strstr(name, ".gz") ? ".gz" : "");
        if (strstr(reduced, stem) && strcmp(name, proper) != 0)
            return true;
    }
    return false;
}

/* By its bytes; a name in .gz counts where they tell nothing. */
static dt_encoding encoding_of(const dt_file *file) {
    switch (dt_file_form_of(file)) {
    case DT_FORM_GZIP:
        return DT_ENCODING_GZIP;
    case DT_FORM_IDX_IMAGES:
    case DT_FORM_IDX_LABELS:
        return DT_ENCODING_PLAIN;
    default:
        return ends_with(file->path, ".gz") ? DT_ENCODING_GZIP : DT_ENCODING_PLAIN;
    }
}

static dt_status begin(const char *folder, struct kind kind, idx_file *idx) {
    char path[DT_PATH_ROOM];
    if (!find(folder, kind, path, idx->other))
        return dt_fail(
            DT_DATA,
            "%s: the %s file is missing: tried %s-idx%d-ubyte and %s.idx%d-ubyte, each also with .gz", folder,
            kind.stem, kind.stem, dimensions(kind), kind.stem, dimensions(kind));
    DT_TRY(dt_file_open(path, &idx->file));
    return dt_stream_create(&(dt_stream_config){.file = &idx->file,
                                                .subject = idx->file.path,
                                                .encoding = encoding_of(&idx->file),
                                                .bytes = idx->file.bytes},
                            &idx->stream);
}

/* Files that are there under two names, as gunzip -k leaves them. */
static void say_choice(const idx_file files[FILES], dt_dataset *dataset) {
    const idx_file *first = NULL;
    int twice = 0;
    for (int i = 0; i < FILES; i++)
        if (files[i].other[0] && twice++ == 0)
            first = &files[i];
    if (first)
        dt_storage_warn(dataset, "%s is read, and not %s%s", first->file.path, strrchr(first->other, '/') + 1,
                        twice > 1 ? ", which is there too; so are others of the four files"
                                  : ", which is there too");
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
    bool page = dt_file_form_of(&idx->file) == DT_FORM_MARKUP;
    return dt_fail(DT_DATA, "%s: wrong magic number %u (0x%08x); a file of %s has %u (0x%08x); %s%s",
                   idx->file.path, magic, magic, wanted, expected, expected, what,
                   page ? DT_DOWNLOAD_AGAIN : "");
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
            "%llu at most" DT_DOWNLOAD_AGAIN,
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
        return dt_fail(DT_DATA, "%s: too short for an IDX file: %s" DT_DOWNLOAD_AGAIN, idx->file.path, what);
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
    say_choice(files, dataset);
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
