/* SPDX-License-Identifier: BSD-3-Clause */
/* Temporary file, flush, comparison, rename, flush of the folder. */
#include "io/replacement.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char mark[] = ".partial-";

/* A replacement under way. */
typedef struct replacement {
    const char *path;
    char *temporary;
    int handle;
    const dt_piece *pieces;
    int count;
} replacement;

static dt_status cannot_write(const char *path, int error) {
    return dt_fail(DT_FILE, "%s: cannot be written: %s", path, strerror(error));
}

/* A rename would replace a pipe or a device by a file, and would refuse a folder only after all was written.
 */
static dt_status check_target(const char *path) {
    struct stat found;
    if (stat(path, &found) != 0)
        return errno == ENOENT ? dt_ok() : cannot_write(path, errno);
    if (S_ISDIR(found.st_mode))
        return dt_fail(DT_FILE, "%s: cannot be written: it is a folder", path);
    if (!S_ISREG(found.st_mode))
        return dt_fail(DT_FILE, "%s: cannot be written: it is not a regular file", path);
    return dt_ok();
}

enum { HOST_BYTES = 65 };

/* The name of this machine, without characters that a file name or the parsing of one could not bear. */
static void host_name(char host[HOST_BYTES]) {
    if (gethostname(host, HOST_BYTES) != 0)
        snprintf(host, HOST_BYTES, "unknown");
    host[HOST_BYTES - 1] = '\0';
    for (char *letter = host; *letter; letter++)
        if (*letter == '/')
            *letter = '_';
}

char *dt_replacement_name(const char *path) {
    char host[HOST_BYTES], *name;
    host_name(host);
    return asprintf(&name, "%s%s%s-%ld", path, mark, host, (long)getpid()) < 0 ? NULL : name;
}

bool dt_replacement_is_abandoned(const char *name, double age_seconds) {
    const char *writer = strstr(name, mark), *number = strrchr(name, '-');
    if (!writer)
        return false;
    writer += strlen(mark);
    char host[HOST_BYTES], *end;
    long process = strtol(number + 1, &end, 10);
    if (number < writer || *end || process <= 0)
        return false;
    host_name(host);
    if (strlen(host) != (size_t)(number - writer) || strncmp(writer, host, strlen(host)) != 0)
        return age_seconds > 3600.0;
    return kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

static size_t total_bytes(const replacement *held) {
    size_t bytes = 0;
    for (int i = 0; i < held->count; i++)
        bytes += held->pieces[i].bytes;
    return bytes;
}

/* Takes the room on the disk, so that a full one shows before anything is written; file systems that cannot
 * promise room say so. */
static dt_status take_room(const replacement *held) {
    while (fallocate(held->handle, 0, 0, (off_t)total_bytes(held)) != 0) {
        if (errno == EINTR)
            continue;
        return errno == EOPNOTSUPP || errno == ENOSYS ? dt_ok() : cannot_write(held->path, errno);
    }
    return dt_ok();
}

/* So many bytes are handed to the disk at a time, while the next are copied. */
enum { PORTION = 8 << 20, VECTORS = 64 };

/* A place in the pieces. */
typedef struct cursor {
    const replacement *held;
    int piece;
    size_t done; /* bytes of that piece */
} cursor;

/* Lists what follows, at most PORTION bytes and VECTORS ranges, without moving on; returns the number of
 * ranges. */
static int list_ahead(const cursor *at, struct iovec *vectors) {
    int count = 0;
    size_t room = PORTION, done = at->done;
    for (int i = at->piece; i < at->held->count && count < VECTORS && room > 0; i++) {
        size_t rest = at->held->pieces[i].bytes - done, bytes = rest < room ? rest : room;
        vectors[count++] = (struct iovec){(char *)at->held->pieces[i].data + done, bytes};
        room -= bytes;
        done = 0;
    }
    return count;
}

static void move_on(cursor *at, size_t bytes) {
    while (at->piece < at->held->count && bytes >= at->held->pieces[at->piece].bytes - at->done) {
        bytes -= at->held->pieces[at->piece].bytes - at->done;
        at->piece++;
        at->done = 0;
    }
    at->done += bytes;
}

static dt_status write_pieces(const replacement *held) {
    cursor at = {.held = held};
    off_t place = 0;
    while (at.piece < held->count) {
        struct iovec vectors[VECTORS];
        ssize_t written = writev(held->handle, vectors, list_ahead(&at, vectors));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return cannot_write(held->path, errno);
        /* Advice only: what counts is fsync's answer. */
        (void)sync_file_range(held->handle, place, written, SYNC_FILE_RANGE_WRITE);
        place += written;
        move_on(&at, (size_t)written);
    }
    return dt_ok();
}

static dt_status flush_file(const replacement *held) {
    while (fsync(held->handle) != 0)
        if (errno != EINTR)
            return cannot_write(held->path, errno);
    return dt_ok();
}

static dt_status differs(const replacement *held, off_t place, const char *how) {
    return dt_fail(DT_FILE, "%s: what was written cannot be read back: at byte %lld %s", held->path,
                   (long long)place, how);
}

/* Whether the bytes are those that follow. */
static bool same_bytes(const cursor *start, const char *data, size_t bytes) {
    cursor at = *start;
    while (bytes > 0) {
        const dt_piece *piece = &at.held->pieces[at.piece];
        size_t rest = piece->bytes - at.done, count = rest < bytes ? rest : bytes;
        if (memcmp(data, (const char *)piece->data + at.done, count) != 0)
            return false;
        data += count;
        bytes -= count;
        move_on(&at, count);
    }
    return true;
}

static dt_status compare_pieces(const replacement *held, int handle, char *buffer) {
    cursor at = {.held = held};
    size_t total = total_bytes(held);
    for (size_t done = 0; done < total;) {
        size_t rest = total - done;
        ssize_t got = pread(handle, buffer, rest < PORTION ? rest : PORTION, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return differs(held, (off_t)done, got < 0 ? strerror(errno) : "the file ends");
        if (!same_bytes(&at, buffer, (size_t)got))
            return differs(held, (off_t)done, "and the next ones, other bytes come back from the disk");
        move_on(&at, (size_t)got);
        done += (size_t)got;
    }
    return dt_ok();
}

/* A flushed page may be dropped, and what is read then comes from the disk. Advice: a file system without a
 * page cache, or in memory, has nothing to drop. */
static dt_status check_file(const replacement *held) {
    int handle = open(held->temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (handle < 0)
        return differs(held, 0, strerror(errno));
    (void)posix_fadvise(handle, 0, 0, POSIX_FADV_DONTNEED);
    (void)posix_fadvise(handle, 0, 0, POSIX_FADV_SEQUENTIAL);
    char *buffer = malloc(PORTION);
    dt_status status = buffer ? compare_pieces(held, handle, buffer)
                              : dt_fail(DT_MEMORY, "no memory to read %s back", held->path);
    free(buffer);
    (void)close(handle);
    return status;
}

dt_status dt_replacement_flush_folder(const char *path) {
    char *copy = strdup(path);
    if (!copy)
        return dt_fail(DT_MEMORY, "no memory to flush the folder of %s", path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system that keeps no folders to flush. */
    int error = folder < 0 || (fsync(folder) != 0 && errno != EINVAL) ? errno : 0;
    if (folder >= 0)
        (void)close(folder);
    free(copy);
    if (error)
        return dt_fail(DT_FILE, "%s: is written, but its folder cannot be flushed to the disk: %s", path,
                       strerror(error));
    return dt_ok();
}

static dt_status fill_file(const replacement *held) {
    DT_TRY(take_room(held));
    DT_TRY(write_pieces(held));
    return flush_file(held);
}

static dt_status make_file(replacement *held) {
    /* A name left behind by a process of the same number goes; what appears in its place is not written to.
     */
    (void)unlink(held->temporary);
    held->handle = open(held->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (held->handle < 0)
        return cannot_write(held->path, errno);
    dt_status status = fill_file(held);
    if (close(held->handle) != 0 && !dt_failed(&status))
        status = cannot_write(held->path, errno);
    if (!dt_failed(&status))
        status = check_file(held);
    if (!dt_failed(&status) && rename(held->temporary, held->path) != 0)
        status = cannot_write(held->path, errno);
    /* Nothing more can be done when this fails: the caller has an error to tell already. */
    if (dt_failed(&status))
        (void)unlink(held->temporary);
    return status;
}

dt_status dt_replacement_write(const char *path, const dt_piece *pieces, int count) {
    DT_TRY(check_target(path));
    replacement held = {
        .path = path, .temporary = dt_replacement_name(path), .pieces = pieces, .count = count};
    if (!held.temporary)
        return dt_fail(DT_MEMORY, "no memory to write %s", path);
    dt_status status = make_file(&held);
    free(held.temporary);
    return dt_failed(&status) ? status : dt_replacement_flush_folder(path);
}
