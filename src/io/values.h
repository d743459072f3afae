/* SPDX-License-Identifier: BSD-3-Clause */
/* The values of a dataset, a bounded piece at a time, whatever the dataset claims to hold. Local. */
#ifndef DTRAIN_IO_VALUES_H
#define DTRAIN_IO_VALUES_H

#include "io/library.h"

/* Values of a piece, at most. */
enum { DT_VALUES_PIECE = 1 << 20 };

/* Receives `count` values, which it may convert where they stand: there is room for a double each. */
typedef dt_status (*dt_values_visitor)(void *context, void *values, size_t count);

/* Reads all values as `type` and hands them over in the order in which they lie. Errors: DT_FILE,
 * DT_MEMORY, those of the visitor. */
dt_status dt_values_read(const dt_library_file *file, const char *place, hid_t dataset, hid_t type,
                         dt_values_visitor visitor, void *context);

#endif
