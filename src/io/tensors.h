/* SPDX-License-Identifier: BSD-3-Clause */
/* Tensors as datasets with checksums. A checksum is dt_hash of a dataset's bytes; it stands as an attribute
 * of the group dtrain/checksums that has the dataset's place as its name. Local. */
#ifndef DTRAIN_IO_TENSORS_H
#define DTRAIN_IO_TENSORS_H

#include "io/attributes.h"
#include "io/image.h"
#include "io/layout.h"

enum { DT_SHAPE_BYTES = 160 };

/* Creates the group of checksums. Errors: DT_FILE. Close with dt_library_close(.., H5Gclose, ..). */
dt_status dt_checksums_begin(const dt_image *image, dt_group *checksums);

/* Opens the group of checksums; handle negative in a file without one. */
dt_status dt_checksums_open(const dt_library_file *file, dt_group *checksums);

/* Adds a dataset and its checksum. Errors: DT_FILE. */
dt_status dt_tensors_add(dt_image *image, const dt_group *checksums, const char *place, hid_t type, int rank,
                         const hsize_t *dims, const void *values);

/* Adds all tensors of a catalogue. */
dt_status dt_tensors_add_all(dt_image *image, const dt_group *checksums, const dt_catalogue *catalogue);

/* Adds a text. It must stand until the image is written. */
dt_status dt_tensors_add_text(dt_image *image, const dt_group *checksums, const char *place,
                              const char *text);

/* Reads all tensors of a catalogue and compares the checksums that the file has. Errors: DT_FILE, naming the
 * first tensor that is missing, has another shape (both are told), fails its checksum, or has a value that is
 * not finite or, where squares are kept, below 0. */
dt_status dt_tensors_read_all(const dt_library_file *file, const dt_catalogue *catalogue);

/* Reads a single number as `type`, the type that it was added with. Errors: DT_FILE. */
dt_status dt_tensors_read_number(const dt_library_file *file, const char *place, hid_t type, void *value);

/* Reads a text; the caller frees it. Errors: DT_FILE, DT_MEMORY. */
dt_status dt_tensors_read_text(const dt_library_file *file, const char *place, char **text);

/* Compares the hash of values that were read with the file's checksum of that place, if it has one; *known
 * tells whether. `what` is how a message calls them. Errors: DT_FILE. */
dt_status dt_checksum_compare(const dt_group *checksums, const char *place, const char *what, uint64_t hash,
                              bool *known);

/* "(11, 11, 1, 64)". */
void dt_shape_describe(int rank, const hsize_t *dims, char text[DT_SHAPE_BYTES]);

#endif
