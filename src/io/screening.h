/* SPDX-License-Identifier: BSD-3-Clause */
/* What a file of weights may be made of. HDF5 can name other files as the place of values, run code of others
 * to decode them, and claim more values than it holds: all that is refused before a value is used. Local. */
#ifndef DTRAIN_IO_SCREENING_H
#define DTRAIN_IO_SCREENING_H

#include "io/library.h"

/* Goes through all groups and datasets of a file. Errors, DT_FILE with the place of the first one: a link
 * that is not a plain name (soft, external, user-defined), external storage, a virtual dataset, a committed
 * datatype, references, a filter other than deflate, shuffle and fletcher32, a dataset that claims more than
 * the file holds, groups nested too deeply. With `values` all values are read once, and thrown away. */
dt_status dt_screening_check(const dt_library_file *file, bool values);

#endif
