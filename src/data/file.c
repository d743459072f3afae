/* SPDX-License-Identifier: BSD-3-Clause */
/* Regular files, read by position. */
#include "data/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

dt_path_kind dt_file_kind(const char *path) {
    struct stat found;
    if (stat(path, &found) != 0)
        return errno == ENOENT || errno == ENOTDIR ? DT_PATH_NONE : DT_PATH_FILE;
    return S_ISDIR(found.st_mode) ? DT_PATH_FOLDER : DT_PATH_FILE;
}

static dt_status check_regular(const dt_file *file, const struct stat *found) {
    if (S_ISDIR(found->st_mode))
        return dt_fail(DT_DATA, "%s: is a folder, not a file", file->path);
    if (!S_ISREG(found->st_mode))
        return dt_fail(DT_DATA, "%s: is not a regular file", file->path);
    return dt_ok();
}

dt_status dt_file_open(const char *path, dt_file *file) {
    file->handle = -1;
    int length = snprintf(file->path, sizeof file->path, "%s", path);
    if (length < 0 || length >= (int)sizeof file->path)
        return dt_fail(DT_DATA, "a path is longer than %zu bytes: %s", sizeof file->path - 1, path);
    /* O_NONBLOCK: a pipe without a writer would be waited for. */
    file->handle = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->handle < 0)
        return dt_fail(DT_DATA, "%s: cannot be read: %s", path, strerror(errno));
    struct stat found;
    dt_status status = dt_ok();
    if (fstat(file->handle, &found) != 0)
        status = dt_fail(DT_DATA, "%s: cannot be read: %s", path, strerror(errno));
    else
        status = check_regular(file, &found);
    if (dt_failed(&status))
        dt_file_close(file);
    else
        file->bytes = (uint64_t)found.st_size;
    return status;
}

void dt_file_close(dt_file *file) {
    /* Read only: nothing can be lost by a failing close. */
    if (file->handle >= 0)
        (void)close(file->handle);
    file->handle = -1;
}

dt_status dt_file_read(const dt_file *file, uint64_t offset, void *data, size_t bytes, size_t *got) {
    *got = 0;
    while (*got < bytes) {
        ssize_t count = pread(file->handle, (char *)data + *got, bytes - *got, (off_t)(offset + *got));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return dt_fail(DT_DATA, "%s: cannot be read at byte %llu: %s", file->path,
                           (unsigned long long)(offset + *got), strerror(errno));
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return dt_ok();
}

/* Markup begins with '<' after an optional byte order mark and white space, and goes on with a name, '!' or
 * '?'. */
static bool looks_like_markup(const char *text) {
    if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3;
    text += strspn(text, " \t\r\n");
    return strncasecmp(text, "<!", 2) == 0 || strncasecmp(text, "<?xml", 5) == 0 ||
           strncasecmp(text, "<html", 5) == 0 || strncasecmp(text, "<head", 5) == 0 ||
           strncasecmp(text, "<body", 5) == 0 || strncasecmp(text, "<error", 6) == 0;
}

void dt_file_describe(const dt_file *file, char *text, size_t text_bytes) {
    char start[64] = {0};
    size_t got;
    dt_status status = dt_file_read(file, 0, start, sizeof start - 1, &got);
    const unsigned char *byte = (const unsigned char *)start;
    if (dt_failed(&status))
        snprintf(text, text_bytes, "it cannot be read");
    else if (got == 0)
        snprintf(text, text_bytes, "it is empty");
    else if (looks_like_markup(start))
        snprintf(text, text_bytes, "it looks like a web page, as a failed download leaves behind");
    else
        snprintf(text, text_bytes, "it begins with the bytes %02x %02x %02x %02x", byte[0], byte[1], byte[2],
                 byte[3]);
}
