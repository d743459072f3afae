/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines that are written whole. */
#include "train/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct dt_journal {
    int file;
    bool within; /* the file ends within a line */
    char *path;
};

/* More than any line has. */
enum { TAIL = 1 << 20 };

/* What stands behind the last line break, at most TAIL bytes, as a string; `begin`: where in the file. NULL
 * with the cause in errno. */
static char *read_tail(int file, off_t size, off_t *begin) {
    off_t from = size > TAIL ? size - TAIL : 0;
    char *text = malloc((size_t)(size - from) + 1);
    ssize_t length = text ? pread(file, text, (size_t)(size - from), from) : -1;
    if (length < 0) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    char *last = memrchr(text, '\n', (size_t)length);
    size_t skipped = last ? (size_t)(last - text) + 1 : 0;
    memmove(text, text + skipped, (size_t)length - skipped + 1);
    *begin = from + (off_t)skipped;
    return text;
}

/* The first part of a line of ours; a whole one that lacks its line break alone is none. */
static bool is_cut(const char *tail) {
    json_t *whole = json_loads(tail, 0, NULL);
    json_decref(whole);
    return !whole && strncmp(tail, "{\"event\":", strnlen(tail, 9)) == 0;
}

static int mend_end(dt_journal *journal) {
    struct stat facts;
    off_t begin = 0;
    if (fstat(journal->file, &facts) != 0)
        return -1;
    if (facts.st_size == 0)
        return 0;
    char *tail = read_tail(journal->file, facts.st_size, &begin);
    if (!tail)
        return -1;
    bool cut = *tail && is_cut(tail);
    journal->within = *tail && !cut;
    free(tail);
    return cut ? ftruncate(journal->file, begin) : 0;
}

/* Not through a link, which somebody else may have planted, and nothing but a regular file: a pipe would be
 * waited for. */
static dt_status open_file(dt_journal *journal) {
    struct stat facts;
    const char *path = journal->path;
    journal->file = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (journal->file < 0 && errno == ELOOP)
        return dt_fail(DT_FILE, "%s: is a symbolic link: remove it, or choose another --out", path);
    if (journal->file >= 0 && fstat(journal->file, &facts) == 0 && !S_ISREG(facts.st_mode))
        return dt_fail(DT_FILE, "%s: is not a regular file: remove it, or choose another --out", path);
    if (journal->file < 0 || mend_end(journal) != 0)
        return dt_fail(DT_FILE, "%s: cannot open this file for writing: %s", path, strerror(errno));
    return dt_ok();
}

dt_status dt_journal_open(const char *path, dt_journal **journal) {
    dt_journal *opened = calloc(1, sizeof *opened);
    *journal = NULL;
    if (opened)
        *opened = (dt_journal){.file = -1, .path = strdup(path)};
    dt_status status =
        opened && opened->path ? open_file(opened) : dt_fail(DT_MEMORY, "no memory for the file %s", path);
    if (dt_failed(&status)) {
        dt_journal_close(opened);
        return status;
    }
    *journal = opened;
    return dt_ok();
}

void dt_journal_close(dt_journal *journal) {
    if (!journal)
        return;
    if (journal->file >= 0)
        close(journal->file);
    free(journal->path);
    free(journal);
}

bool dt_journal_is_gone(const dt_journal *journal) {
    struct stat facts;
    return fstat(journal->file, &facts) != 0 || facts.st_nlink == 0;
}

enum { PARTS = 3 };

/* Moves `count` bytes behind the beginning of what is left. */
static void advance(struct iovec parts[PARTS], size_t count) {
    for (int i = 0; i < PARTS; i++) {
        size_t step = count < parts[i].iov_len ? count : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + step;
        parts[i].iov_len -= step;
        count -= step;
    }
}

/* One call where the file takes all, so that a process that ends between two leaves no half line. */
static bool write_whole(int file, const char *line, bool within) {
    char breaks[] = "\n";
    struct iovec parts[PARTS] = {{breaks, within ? 1 : 0}, {(char *)line, strlen(line)}, {breaks, 1}};
    while (parts[0].iov_len + parts[1].iov_len + parts[2].iov_len > 0) {
        ssize_t written = writev(file, parts, PARTS);
        if (written < 0 && errno != EINTR)
            return false;
        advance(parts, written > 0 ? (size_t)written : 0);
    }
    return true;
}

dt_status dt_journal_append(dt_journal *journal, const char *line) {
    struct stat facts;
    bool known = fstat(journal->file, &facts) == 0;
    if (write_whole(journal->file, line, journal->within)) {
        journal->within = false;
        return dt_ok();
    }
    int cause = errno;
    if (!known || ftruncate(journal->file, facts.st_size) != 0)
        journal->within = true;
    return dt_fail(DT_FILE, "%s: cannot write: %s", journal->path, strerror(cause));
}
