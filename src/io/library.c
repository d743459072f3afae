/* SPDX-License-Identifier: BSD-3-Clause */
/* HDF5's errors, handles and files. */
#include "io/library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

dt_library_voice dt_library_silence(void) {
    dt_library_voice voice = {0};
    if (H5Eget_auto2(H5E_DEFAULT, &voice.print, &voice.context) < 0)
        voice = (dt_library_voice){0};
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return voice;
}

void dt_library_restore(dt_library_voice voice) {
    (void)H5Eset_auto2(H5E_DEFAULT, voice.print, voice.context);
}

enum { CAUSE_BYTES = 512 };

/* Called with the innermost error first; the positive result ends the walk. */
static herr_t take_first(unsigned number, const H5E_error2_t *error, void *text) {
    (void)number;
    snprintf(text, CAUSE_BYTES, "%s", error->desc);
    return 1;
}

dt_status dt_library_failure(const char *path, const char *what) {
    char cause[CAUSE_BYTES] = "HDF5 gives no reason";
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, cause);
    return dt_fail(DT_FILE, "%s: %s: %s", path, what, cause);
}

void dt_library_close(hid_t handle, herr_t (*close)(hid_t), const char *path, dt_status *status) {
    if (handle >= 0 && close(handle) < 0 && !dt_failed(status))
        *status = dt_library_failure(path, "cannot be closed");
}

static dt_status check_regular(const char *path, const struct stat *found) {
    if (S_ISDIR(found->st_mode))
        return dt_fail(DT_FILE, "%s: is a folder, not a file of weights", path);
    if (!S_ISREG(found->st_mode))
        return dt_fail(DT_FILE, "%s: is not a regular file", path);
    if (found->st_size == 0)
        return dt_fail(DT_FILE, "%s: is empty", path);
    return dt_ok();
}

/* What the system says about a path, in its own plain words, before the library tries. */
static dt_status check_readable(const char *path) {
    /* O_NONBLOCK: a pipe without a writer would be waited for. */
    int handle = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (handle < 0)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    struct stat found;
    dt_status status = fstat(handle, &found) == 0
                           ? check_regular(path, &found)
                           : dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    (void)close(handle);
    return status;
}

/* Access without file locks: network file systems may lack them, and no file is read while it is written,
 * since it gets its name when it is complete. */
static herr_t without_locks(hid_t access) {
    return H5Pset_file_locking(access, false, true);
}

/* Memory that grows by a megabyte at a time, and no file behind it. */
static herr_t in_memory(hid_t access) {
    return H5Pset_fapl_core(access, 1 << 20, false);
}

/* The properties of access to a file that `adjust` makes; negative when it fails. */
static hid_t access_properties(herr_t (*adjust)(hid_t)) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && adjust(access) < 0) {
        (void)H5Pclose(access);
        return H5I_INVALID_HID;
    }
    return access;
}

dt_status dt_library_open(const char *path, hid_t *file) {
    *file = H5I_INVALID_HID;
    DT_TRY(check_readable(path));
    if (H5Fis_hdf5(path) == 0)
        return dt_fail(DT_FILE, "%s: is not an HDF5 file", path);
    hid_t access = access_properties(without_locks);
    if (access < 0)
        return dt_library_failure(path, "cannot be opened");
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    dt_status status = *file < 0 ? dt_library_failure(path, "cannot be opened") : dt_ok();
    (void)H5Pclose(access);
    return status;
}

dt_status dt_library_create(const char *name, const char *path, hid_t *file) {
    *file = H5I_INVALID_HID;
    hid_t access = access_properties(in_memory);
    if (access < 0)
        return dt_library_failure(path, "cannot be made");
    *file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    dt_status status = *file < 0 ? dt_library_failure(path, "cannot be made") : dt_ok();
    (void)H5Pclose(access);
    return status;
}

dt_status dt_library_image(hid_t file, const char *path, const void **image, size_t *bytes) {
    void **memory;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&memory) < 0)
        return dt_library_failure(path, "cannot be made");
    ssize_t length = H5Fget_file_image(file, NULL, 0);
    if (length < 0)
        return dt_library_failure(path, "cannot be made");
    *image = *memory;
    *bytes = (size_t)length;
    return dt_ok();
}
