/* SPDX-License-Identifier: BSD-3-Clause */
/* An HDF5 file in the making. The library builds its tables in memory; the values of the datasets never pass
 * through it: they are written from where they lie, so that a file of hundreds of megabytes costs no copy.
 * Memory and not the disk, too, because the library does not recover from a write that failed: its own
 * clean-up at the end of the process then ends in a segmentation fault. Local. */
#ifndef DTRAIN_IO_IMAGE_H
#define DTRAIN_IO_IMAGE_H

#include "io/library.h"
#include "io/replacement.h"

enum { DT_IMAGE_DATASETS = 128 };

typedef struct dt_image_dataset {
    uint64_t first; /* its place in the file */
    dt_piece values;
} dt_image_dataset;

/* An owner from begin to write or discard. */
typedef struct dt_image {
    dt_library_file file;
    dt_library_voice voice;
    hid_t links, datasets; /* creation properties: with the groups above; without the time of day, so that
                              equal contents make equal files */
    int count;
    dt_image_dataset payload[DT_IMAGE_DATASETS];
    unsigned char *tables; /* the library's memory: the file up to the last byte that it wrote */
    size_t table_bytes;
} dt_image;

/* Silences the library until write or discard. `path` is borrowed. Errors: DT_FILE; nothing to discard then.
 */
dt_status dt_image_begin(const char *path, dt_image *image);

/* Adds an empty group. Errors: DT_FILE. */
dt_status dt_image_add_group(dt_image *image, const char *place);

/* Adds a dataset of `type`, the type that `values` have in memory. They must stand until the image is
 * written. Rank 0: a single value. Errors: DT_FILE. */
dt_status dt_image_add(dt_image *image, const char *place, hid_t type, int rank, const hsize_t *dims,
                       const void *values);

/* Writes the file, with a seal behind it, in place of what stands at the path; *bytes (unless NULL) receives
 * its length. Ends the image, whether it succeeds or not. Errors: those of dt_replacement_write. */
dt_status dt_image_write(dt_image *image, uint64_t *bytes);

void dt_image_discard(dt_image *image);

#endif
