/* SPDX-License-Identifier: BSD-3-Clause */
/* The mark behind an HDF5 file. */
#include "io/seal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/hash.h"

enum { BLOCK = 1 << 16 };

typedef struct mark {
    char letters[8];
    uint64_t count, length, hash;
} mark;

static const char letters[] = "dtr-seal";

/* False when a byte cannot be read. The blocks, whose size is a part of the seal's definition, are too large
 * for the stack of a thread. */
static bool hash_gap(uint64_t first, uint64_t end, dt_seal_read read, void *context, unsigned char *block,
                     uint64_t *hash) {
    while (first < end) {
        size_t bytes = end - first < BLOCK ? (size_t)(end - first) : BLOCK;
        if (!read(context, first, bytes, block))
            return false;
        *hash = dt_hash(*hash, block, bytes);
        first += bytes;
    }
    return true;
}

static bool compute_hash(const dt_seal *seal, dt_seal_read read, void *context, unsigned char *block,
                         uint64_t *hash) {
    uint64_t place = 0;
    *hash = 0;
    for (uint64_t i = 0; i < seal->count; i++) {
        if (!hash_gap(place, seal->extents[i].first, read, context, block, hash))
            return false;
        place = seal->extents[i].first + seal->extents[i].bytes;
    }
    if (!hash_gap(place, seal->length, read, context, block, hash))
        return false;
    *hash = dt_hash(*hash, seal->extents, seal->count * sizeof(dt_extent));
    *hash = dt_hash(*hash, &seal->length, sizeof seal->length);
    return true;
}

size_t dt_seal_bytes(const dt_seal *seal) {
    return seal->count * sizeof(dt_extent) + sizeof(mark);
}

bool dt_seal_write(const dt_seal *seal, dt_seal_read read, void *context, void *bytes) {
    unsigned char *block = malloc(BLOCK);
    if (!block)
        return false;
    assert(seal->count <= DT_SEAL_EXTENTS);
    mark end = {.count = seal->count, .length = seal->length};
    memcpy(end.letters, letters, sizeof end.letters);
    bool complete = compute_hash(seal, read, context, block, &end.hash);
    free(block);
    assert(complete);
    (void)complete;
    memcpy(bytes, seal->extents, seal->count * sizeof(dt_extent));
    memcpy((char *)bytes + seal->count * sizeof(dt_extent), &end, sizeof end);
    return true;
}

static bool read_file(void *context, uint64_t first, size_t bytes, void *buffer) {
    const int *handle = context;
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(*handle, (char *)buffer + done, bytes - done, (off_t)(first + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Whether the runs lie in rising order in front of the seal. */
static bool in_order(const dt_seal *seal) {
    uint64_t place = 0;
    for (uint64_t i = 0; i < seal->count; i++) {
        const dt_extent *extent = &seal->extents[i];
        if (extent->first < place || extent->first > seal->length ||
            extent->bytes > seal->length - extent->first)
            return false;
        place = extent->first + extent->bytes;
    }
    return true;
}

static bool holds(const mark *end, uint64_t length, int handle, unsigned char *block) {
    dt_seal seal = {.count = end->count, .length = end->length};
    size_t table = end->count * sizeof(dt_extent);
    uint64_t hash;
    return end->count <= DT_SEAL_EXTENTS && length >= table + sizeof *end &&
           end->length == length - table - sizeof *end &&
           read_file(&handle, end->length, table, seal.extents) && in_order(&seal) &&
           compute_hash(&seal, read_file, &handle, block, &hash) && hash == end->hash;
}

dt_status dt_seal_check(const char *path, int handle, bool *sealed) {
    struct stat found;
    mark end;
    *sealed = false;
    if (fstat(handle, &found) != 0)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    uint64_t length = (uint64_t)found.st_size;
    if (length < sizeof end || !read_file(&handle, length - sizeof end, sizeof end, &end) ||
        memcmp(end.letters, letters, sizeof end.letters) != 0)
        return dt_ok();
    *sealed = true;
    unsigned char *block = malloc(BLOCK);
    if (!block)
        return dt_fail(DT_MEMORY, "no memory to check %s", path);
    bool whole = holds(&end, length, handle, block);
    free(block);
    if (!whole)
        return dt_fail(DT_FILE, "%s: is damaged: the checksum of its internal tables does not hold", path);
    return dt_ok();
}
