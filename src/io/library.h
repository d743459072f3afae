/* SPDX-License-Identifier: BSD-3-Clause */
/* HDF5 as the rest of this folder wants it: silent, its errors as a dt_status, every handle closed. Local. */
#ifndef DTRAIN_IO_LIBRARY_H
#define DTRAIN_IO_LIBRARY_H

#include <stddef.h>

#include <hdf5.h>

#include "dtrain/status.h"

/* The library's own error printing, as it was before. */
typedef struct dt_library_voice {
    H5E_auto2_t print;
    void *context;
} dt_library_voice;

/* Silences the library, and keeps it from loading plugins; give the result to dt_library_restore when done.
 */
dt_library_voice dt_library_silence(void);
void dt_library_restore(dt_library_voice voice);

/* The library call that failed just now: DT_FILE, "PATH: WHAT: CAUSE", the cause in the words of the
 * innermost library function. */
dt_status dt_library_failure(const char *path, const char *what);

/* Calls `close` on a handle, unless it is none (negative). A failure goes to `status` if that stands at
 * success. */
void dt_library_close(hid_t handle, herr_t (*close)(hid_t), const char *path, dt_status *status);

/* An open file, and the name that messages call it by. */
typedef struct dt_library_file {
    const char *path;
    hid_t handle;
    bool sealed; /* it has a seal, which holds (seal.h) */
} dt_library_file;

/* Opens a file to read; a seal is checked first. A file without a seal is read from end to end in a child
 * process before this one opens it (rehearsal.h). Errors: DT_FILE: not there, a folder, not readable, not
 * HDF5, cut short, damaged, made of what a file of weights may not be made of (screening.h); DT_MEMORY. */
dt_status dt_library_open(const char *path, dt_library_file *file);

/* Whether every link of a place is there, from the root: "layers/conv2d/vars/0". */
bool dt_library_has(const dt_library_file *file, const char *place);

/* Called with the path of a dataset, from the root. */
typedef dt_status (*dt_library_visitor)(void *context, const char *place);

/* Calls `visitor` once for each dataset of the file, and ends with its first error. The same for every
 * version of the library. */
dt_status dt_library_visit_datasets(const dt_library_file *file, dt_library_visitor visitor, void *context);

#endif
