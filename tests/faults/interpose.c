/* SPDX-License-Identifier: BSD-3-Clause */
/* A library to preload: stands between a program and the system calls with which it changes files, and makes
 * the n-th of them fail, or ends the process in its place, as SIGKILL or a power failure would. Only files
 * below DT_FAULT_FOLDER count.
 *
 *   DT_FAULT_AT=n      the number of the call, from 1; 0 or unset: none, all are counted
 *   DT_FAULT_ERROR=e   what it fails with, a number of errno; 0 or unset: the process ends in place of the
 * call DT_FAULT_CALL=c    count only calls of this name DT_FAULT_HALF=1    writev: half of the pieces are
 * written first DT_FAULT_COUNT=f   a file that receives the number of calls at the end
 *
 * Names of files tell whether a call counts; handles are looked up in /proc/self/fd. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int below_folder(const char *path) {
    const char *folder = getenv("DT_FAULT_FOLDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int handle_below_folder(int handle) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return below_folder(path);
}

/* Whether this call is the one. */
static int strikes(const char *name) {
    const char *only = getenv("DT_FAULT_CALL");
    if (only && strcmp(only, name) != 0)
        return 0;
    return ++calls == number("DT_FAULT_AT");
}

/* Ends the process, or tells the caller to fail. */
static int fault(void) {
    int error = (int)number("DT_FAULT_ERROR");
    if (error == 0)
        syscall(SYS_exit_group, 99);
    errno = error;
    return -1;
}

__attribute__((destructor)) static void tell_count(void) {
    const char *name = getenv("DT_FAULT_COUNT");
    FILE *stream = name ? fopen(name, "w") : NULL;
    if (!stream)
        return;
    fprintf(stream, "%ld\n", calls);
    fclose(stream);
}

#define NEXT(name, ...) ((__VA_ARGS__)dlsym(RTLD_NEXT, name))

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (below_folder(path) && strikes("open"))
        return fault();
    return NEXT("open", int (*)(const char *, int, ...))(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return open(path, flags, mode);
}

ssize_t writev(int handle, const struct iovec *vectors, int count) {
    ssize_t (*next)(int, const struct iovec *, int) =
        NEXT("writev", ssize_t(*)(int, const struct iovec *, int));
    if (!handle_below_folder(handle) || !strikes("writev"))
        return next(handle, vectors, count);
    if (number("DT_FAULT_HALF"))
        (void)!next(handle, vectors, count / 2);
    return fault();
}

int fallocate(int handle, int mode, off_t offset, off_t length) {
    if (handle_below_folder(handle) && strikes("fallocate"))
        return fault();
    return NEXT("fallocate", int (*)(int, int, off_t, off_t))(handle, mode, offset, length);
}

int fsync(int handle) {
    if (handle_below_folder(handle) && strikes("fsync"))
        return fault();
    return NEXT("fsync", int (*)(int))(handle);
}

int flock(int handle, int operation) {
    if (handle_below_folder(handle) && strikes("flock"))
        return fault();
    return NEXT("flock", int (*)(int, int))(handle, operation);
}

/* No file of a folder. */
int memfd_create(const char *name, unsigned flags) {
    const char *only = getenv("DT_FAULT_CALL");
    if (only && strcmp(only, "memfd_create") == 0 && strikes("memfd_create"))
        return fault();
    return (int)syscall(SYS_memfd_create, name, flags);
}

ssize_t pread(int handle, void *data, size_t bytes, off_t offset) {
    if (handle_below_folder(handle) && strikes("pread"))
        return fault();
    return NEXT("pread", ssize_t(*)(int, void *, size_t, off_t))(handle, data, bytes, offset);
}

/* The handle is closed in any case, as Linux does. */
int close(int handle) {
    int (*next)(int) = NEXT("close", int (*)(int));
    if (!handle_below_folder(handle) || !strikes("close"))
        return next(handle);
    int error = fault();
    int kept = errno;
    next(handle);
    errno = kept;
    return error;
}

int rename(const char *from, const char *to) {
    if (below_folder(to) && strikes("rename"))
        return fault();
    return NEXT("rename", int (*)(const char *, const char *))(from, to);
}

int link(const char *from, const char *to) {
    if (below_folder(to) && strikes("link"))
        return fault();
    return NEXT("link", int (*)(const char *, const char *))(from, to);
}

int symlink(const char *from, const char *to) {
    if (below_folder(to) && strikes("symlink"))
        return fault();
    return NEXT("symlink", int (*)(const char *, const char *))(from, to);
}

int unlink(const char *path) {
    if (below_folder(path) && strikes("unlink"))
        return fault();
    return NEXT("unlink", int (*)(const char *))(path);
}

int unlinkat(int folder, const char *path, int flags) {
    if (handle_below_folder(folder) && strikes("unlinkat"))
        return fault();
    return NEXT("unlinkat", int (*)(int, const char *, int))(folder, path, flags);
}
