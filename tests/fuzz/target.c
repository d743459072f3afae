/* SPDX-License-Identifier: BSD-3-Clause */
/* Files in memory, and folders of links to them: nothing is written to a disk. */
#include "target.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

void split_input(const uint8_t *data, size_t bytes, int count, piece *pieces) {
    size_t head = 2 * (size_t)(count - 1), at = head < bytes ? head : bytes;
    for (int i = 0; i < count; i++) {
        size_t left = bytes - at, wanted = left;
        if (i < count - 1)
            wanted = 2 * (size_t)i + 1 < bytes ? (size_t)(data[2 * i] | data[2 * i + 1] << 8) : 0;
        pieces[i] = (piece){data + at, wanted < left ? wanted : left};
        at += pieces[i].bytes;
    }
}

static void demand(int holds, const char *what) {
    if (!holds) {
        perror(what);
        abort();
    }
}

static struct {
    int handle;
    char path[32];
} files[MEMORY_FILES];

/* Without huge pages, to clear which would be most of the time of a call. */
static void open_memory_file(int number) {
    if (files[number].path[0])
        return;
    demand(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0, "prctl");
    files[number].handle = memfd_create("fuzz", MFD_CLOEXEC);
    demand(files[number].handle >= 0, "memfd_create");
    snprintf(files[number].path, sizeof files[number].path, "/proc/self/fd/%d", files[number].handle);
}

static void fill(int handle, piece content) {
    demand(ftruncate(handle, 0) == 0, "ftruncate");
    if (content.bytes > 0)
        demand(pwrite(handle, content.data, content.bytes, 0) == (ssize_t)content.bytes, "pwrite");
}

const char *memory_file(int number, piece content) {
    open_memory_file(number);
    fill(files[number].handle, content);
    return files[number].path;
}

static char scratch[64];

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place) {
    (void)about, (void)kind, (void)place;
    return remove(path);
}

static void remove_scratch(void) {
    (void)nftw(scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_folder(void) {
    if (scratch[0])
        return scratch;
    snprintf(scratch, sizeof scratch, "%s/dtrain-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    demand(mkdtemp(scratch) != NULL, "mkdtemp");
    demand(atexit(remove_scratch) == 0, "atexit");
    return scratch;
}

const char *scratch_file(piece content) {
    static char path[96];
    static int handle;
    if (!path[0]) {
        snprintf(path, sizeof path, "%s/file.h5", scratch_folder());
        handle = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        demand(handle >= 0, path);
    }
    fill(handle, content);
    return path;
}

void link_memory_file(const char *folder, const char *name, int number) {
    char path[PATH_MAX];
    demand(snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        (void)mkdir(path, 0777);
    }
    open_memory_file(number);
    demand(symlink(files[number].path, path) == 0, path);
}
