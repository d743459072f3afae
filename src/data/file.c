/* SPDX-License-Identifier: BSD-3-Clause */
/* Regular files, read by position. */
#include "data/file.h"

#include <ctype.h>
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
    DT_TRY(dt_path_write(DT_DATA, file->path, "%s", path));
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

/* Numbers with commas, semicolons or tabs between them, perhaps with names above them. */
static bool looks_like_table(const char *text, size_t length) {
    int separators = 0;
    for (size_t i = 0; i < length; i++) {
        if (!isprint((unsigned char)text[i]) && !isspace((unsigned char)text[i]))
            return false;
        separators += strchr(",;\t", text[i]) != NULL;
    }
    return separators >= 3;
}

static const struct {
    dt_file_form form;
    size_t length;
    const char *mark;
} marks[] = {{DT_FORM_ZIP, 4, "PK\3\4"},
             {DT_FORM_GZIP, 2, "\x1F\x8B"},
             {DT_FORM_IDX_IMAGES, 4, "\0\0\x08\x03"},
             {DT_FORM_IDX_LABELS, 4, "\0\0\x08\x01"},
             {DT_FORM_NPY, 6, "\x93NUMPY"},
             {DT_FORM_HDF5, 4, "\x89HDF"}};

static dt_file_form form_of(const char *start, size_t length) {
    if (length == 0)
        return DT_FORM_EMPTY;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (length >= marks[i].length && memcmp(start, marks[i].mark, marks[i].length) == 0)
            return marks[i].form;
    if (looks_like_markup(start))
        return DT_FORM_MARKUP;
    return looks_like_table(start, length) ? DT_FORM_TABLE : DT_FORM_OTHER;
}

enum { START_BYTES = 64 };

/* The file's first bytes, zeros behind them. */
static dt_file_form read_start(const dt_file *file, char start[START_BYTES]) {
    size_t got;
    memset(start, 0, START_BYTES);
    dt_status status = dt_file_read(file, 0, start, START_BYTES - 1, &got);
    return dt_failed(&status) ? DT_FORM_UNREADABLE : form_of(start, got);
}

dt_file_form dt_file_form_of(const dt_file *file) {
    char start[START_BYTES];
    return read_start(file, start);
}

void dt_file_describe(const dt_file *file, char *text, size_t text_bytes) {
    static const char *const clauses[] = {
        [DT_FORM_UNREADABLE] = "it cannot be read",
        [DT_FORM_EMPTY] = "it is empty",
        [DT_FORM_MARKUP] = "it looks like a web page, as a failed download leaves behind",
        [DT_FORM_ZIP] = "it is a zip file",
        [DT_FORM_GZIP] = "it is a gzip file",
        [DT_FORM_IDX_IMAGES] = "it is an IDX file of images",
        [DT_FORM_IDX_LABELS] = "it is an IDX file of labels",
        [DT_FORM_NPY] = "it is a single numpy array (.npy)",
        [DT_FORM_HDF5] = "it is an HDF5 file",
        [DT_FORM_TABLE] = "it looks like a table of text (CSV)",
    };
    char start[START_BYTES];
    dt_file_form form = read_start(file, start);
    const unsigned char *byte = (const unsigned char *)start;
    if (form == DT_FORM_OTHER)
        snprintf(text, text_bytes, "it begins with the bytes %02x %02x %02x %02x", byte[0], byte[1], byte[2],
                 byte[3]);
    else
        snprintf(text, text_bytes, "%s", clauses[form]);
}
