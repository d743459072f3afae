/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading in a child process first. Files whose internal tables have no checksum can crash the HDF5 library,
 * or keep it busy for ever: then the child ends, and the caller gets a message. Local. */
#ifndef DTRAIN_IO_REHEARSAL_H
#define DTRAIN_IO_REHEARSAL_H

#include "dtrain/status.h"

/* Calls body(path) in a child with limits of memory and time, and returns what it returned. The child prints
 * nothing and calls nothing of MPI. Errors: those of `body`; DT_FILE when the child crashed or took too long;
 * DT_MEMORY when there is no room for it. */
dt_status dt_rehearsal_run(const char *path, dt_status (*body)(const char *path));

#endif
