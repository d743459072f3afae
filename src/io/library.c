/* SPDX-License-Identifier: BSD-3-Clause */
/* HDF5's errors, handles and files. */
#include "io/library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/weights.h"
#include "io/header.h"
#include "io/rehearsal.h"
#include "io/screening.h"
#include "io/seal.h"
#include "io/tensors.h"

/* What makes the library load the code of others. Some of it is obeyed at the first call of all, and no
 * thread may change the environment while another one reads it: hence before main. */
__attribute__((constructor)) static void ignore_environment(void) {
    static const char *const names[] = {"HDF5_PLUGIN_PATH", "HDF5_PLUGIN_PRELOAD", "HDF5_DRIVER",
                                        "HDF5_DRIVER_CONFIG", "HDF5_VOL_CONNECTOR"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unsetenv(names[i]);
}

dt_library_voice dt_library_silence(void) {
    (void)H5PLset_loading_state(0);

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

/* What the system says about a path, in its own plain words, and the seal, before the library tries. */
static dt_status check_content(const char *path, int handle, bool *sealed) {
    struct stat found;
    if (fstat(handle, &found) != 0)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    DT_TRY(check_regular(path, &found));
    return dt_seal_check(path, handle, sealed);
}

static dt_status check_readable(const char *path, bool *sealed) {
    /* O_NONBLOCK: a pipe without a writer would be waited for. */
    int handle = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (handle < 0)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    dt_status status = check_content(path, handle, sealed);
    (void)close(handle);
    return status;
}

/* Files are opened without locks: network file systems may lack them, and no file is read while it is
 * written, since it gets its name when it is complete. Versions without this call heed HDF5_USE_FILE_LOCKING
 * alone. */
static herr_t leave_locks_out(hid_t access) {
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0))
    return H5Pset_file_locking(access, false, true);
#else
    return access < 0 ? -1 : 0;
#endif
}

static dt_status open_file(const char *path, dt_library_file *file) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && leave_locks_out(access) >= 0)
        file->handle = H5Fopen(path, H5F_ACC_RDONLY, access);
    dt_status status = file->handle < 0 ? dt_library_failure(path, "cannot be opened") : dt_ok();
    dt_library_close(access, H5Pclose, path, &status);
    return status;
}

static dt_status open_and_screen(const char *path, dt_library_file *file, bool values) {
    DT_TRY(open_file(path, file));
    dt_status status = dt_screening_check(file, values);
    if (dt_failed(&status)) {
        (void)H5Fclose(file->handle);
        file->handle = H5I_INVALID_HID;
    }
    return status;
}

static void ask_for_checksum(const dt_library_file *file, const char *place) {
    dt_group checksums;
    bool known;
    dt_status status = dt_checksums_open(file, &checksums);
    if (dt_failed(&status))
        return;
    (void)dt_checksum_compare(&checksums, place, place, 0, &known);
    dt_library_close(checksums.handle, H5Gclose, file->path, &status);
}

static dt_status visit_dataset(void *context, const char *place) {
    ask_for_checksum(context, place);
    return dt_ok();
}

/* Attributes that a reader could ask for. Whether they please it is its own matter. */
static void rehearse_header(dt_library_file *file) {
    dt_group group;
    dt_network_config config;
    dt_checkpoint_position position;
    char program[128];
    dt_status status = dt_header_open(file, &group);
    if (dt_failed(&status))
        return;
    (void)dt_attribute_read_text(&group, "program", program, sizeof program);
    (void)dt_header_read_network(&group, &config);
    if (dt_header_has_position(&group))
        (void)dt_header_read_position(&group, &position);
    dt_library_close(group.handle, H5Gclose, file->path, &status);
    (void)dt_library_visit_datasets(file, visit_dataset, file);
}

/* All that a reader of this folder could ask of the file. */
static dt_status rehearse(const char *path) {
    dt_library_file file = {.path = path, .handle = H5I_INVALID_HID};
    dt_status status = open_and_screen(path, &file, true);
    if (!dt_failed(&status))
        rehearse_header(&file);
    dt_library_close(file.handle, H5Fclose, path, &status);
    return status;
}

static bool begins_as_zip(const char *path) {
    char letters[4] = "";
    int handle = open(path, O_RDONLY | O_CLOEXEC);
    bool whole = handle >= 0 && read(handle, letters, sizeof letters) == (ssize_t)sizeof letters;
    if (handle >= 0)
        (void)close(handle);
    return whole && memcmp(letters, "PK\3\4", sizeof letters) == 0;
}

dt_status dt_library_open(const char *path, dt_library_file *file) {
    *file = (dt_library_file){.path = path, .handle = H5I_INVALID_HID};
    DT_TRY(check_readable(path, &file->sealed));
    if (H5Fis_hdf5(path) == 0)
        return dt_fail(DT_FILE, "%s: is not an HDF5 file%s", path,
                       begins_as_zip(path)
                           ? ", but a zip archive, as whole models of Keras (.keras) and PyTorch are. "
                             "In Keras, model.save_weights(\"x.weights.h5\") writes what dtrain reads"
                           : "");
    if (file->sealed)
        return open_and_screen(path, file, false);
    DT_TRY(dt_rehearsal_run(path, rehearse));
    return open_file(path, file);
}

bool dt_library_has(const dt_library_file *file, const char *place) {
    return H5Lexists(file->handle, place, H5P_DEFAULT) > 0;
}

/* HDF5 1.12 gave visitors another type. Names that end in a number mean the same whichever of its interfaces
 * the library or a compiler flag makes the default (H5_USE_18_API). */
#if H5_VERSION_GE(1, 12, 0)
typedef H5O_info2_t object_info;
#define VISIT_OBJECTS H5Ovisit3
#else
typedef H5O_info_t object_info;
#define VISIT_OBJECTS H5Ovisit2
#endif

/* A visit under way. */
typedef struct visit {
    dt_library_visitor visitor;
    void *context;
    dt_status status;
} visit;

/* Positive ends the visit. */
static herr_t visit_object(hid_t root, const char *place, const object_info *info, void *context) {
    (void)root;
    visit *held = context;
    if (info->type == H5O_TYPE_DATASET)
        held->status = held->visitor(held->context, place);
    return dt_failed(&held->status) ? 1 : 0;
}

dt_status dt_library_visit_datasets(const dt_library_file *file, dt_library_visitor visitor, void *context) {
    visit held = {visitor, context, dt_ok()};
    herr_t ended =
        VISIT_OBJECTS(file->handle, H5_INDEX_NAME, H5_ITER_NATIVE, visit_object, &held, H5O_INFO_BASIC);
    DT_TRY(held.status);
    return ended < 0 ? dt_library_failure(file->path, "its datasets cannot be listed") : dt_ok();
}

/* The library's own rule (H5check_version): any difference, from 1.14 on one in the first two numbers. Its
 * variable turns the rule off. */
static bool versions_fit(unsigned major, unsigned minor, unsigned release) {
    const char *off = getenv("HDF5_DISABLE_VERSION_CHECK");
    bool same = major == H5_VERS_MAJOR && minor == H5_VERS_MINOR;
    return (same && (release == H5_VERS_RELEASE || H5_VERSION_GE(1, 14, 0))) || (off && atoi(off) > 0);
}

dt_linked dt_weights_linked(void) {
    dt_linked library = {.name = "HDF5"};
    unsigned major = 0, minor = 0, release = 0;
    (void)H5get_libversion(&major, &minor, &release);
    snprintf(library.headers, sizeof library.headers, "%d.%d.%d", H5_VERS_MAJOR, H5_VERS_MINOR,
             H5_VERS_RELEASE);
    snprintf(library.loaded, sizeof library.loaded, "%u.%u.%u", major, minor, release);
    library.fits = versions_fit(major, minor, release);
    return library;
}
