/* SPDX-License-Identifier: BSD-3-Clause */
/* Temporary file, flush, rename, flush of the folder. */
#include "io/replacement.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

dt_status dt_replacement_begin(const char *path, dt_replacement *replacement) {
    *replacement = (dt_replacement){.path = path, .handle = -1};
    DT_TRY(check_target(path));
    if (asprintf(&replacement->temporary, "%s.partial-%ld", path, (long)getpid()) < 0)
        return dt_fail(DT_MEMORY, "no memory to write %s", path);
    replacement->handle = open(replacement->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (replacement->handle >= 0)
        return dt_ok();
    dt_status status = cannot_write(path, errno);
    free(replacement->temporary);
    return status;
}

dt_status dt_replacement_write(dt_replacement *replacement, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t written = write(replacement->handle, (const char *)data + done, bytes - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return cannot_write(replacement->path, errno);
        done += (size_t)written;
    }
    return dt_ok();
}

static dt_status flush_file(dt_replacement *replacement) {
    dt_status status = dt_ok();
    if (fsync(replacement->handle) != 0)
        status = cannot_write(replacement->path, errno);
    if (close(replacement->handle) != 0 && !dt_failed(&status))
        status = cannot_write(replacement->path, errno);
    replacement->handle = -1;
    return status;
}

/* The new name outlives a power failure only when the folder is on the disk too. EINVAL: a file system that
 * keeps no folders to flush. */
static dt_status flush_folder(const char *path) {
    char *copy = strdup(path);
    if (!copy)
        return dt_fail(DT_MEMORY, "no memory to flush the folder of %s", path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = folder < 0 || (fsync(folder) != 0 && errno != EINVAL) ? errno : 0;
    if (folder >= 0)
        (void)close(folder);
    free(copy);
    if (error)
        return dt_fail(DT_FILE, "%s: is written, but its folder cannot be flushed to the disk: %s", path,
                       strerror(error));
    return dt_ok();
}

dt_status dt_replacement_commit(dt_replacement *replacement) {
    dt_status status = flush_file(replacement);
    if (!dt_failed(&status) && rename(replacement->temporary, replacement->path) != 0)
        status = cannot_write(replacement->path, errno);
    if (dt_failed(&status)) {
        dt_replacement_discard(replacement);
        return status;
    }
    free(replacement->temporary);
    return flush_folder(replacement->path);
}

void dt_replacement_discard(dt_replacement *replacement) {
    if (replacement->handle >= 0)
        (void)close(replacement->handle);
    /* Nothing more can be done when this fails: the caller has an error to tell already. */
    (void)unlink(replacement->temporary);
    free(replacement->temporary);
}
