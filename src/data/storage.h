/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of a data set while it is being filled. Local. */
#ifndef DTRAIN_DATA_STORAGE_H
#define DTRAIN_DATA_STORAGE_H

#include "dtrain/dataset.h"

/* Index of a half. */
enum { DT_HALF_TRAIN, DT_HALF_TEST, DT_HALVES };

/* Where the pixels and labels of a half are written. */
typedef struct dt_half {
    void *pixels;
    uint8_t *labels;
} dt_half;

/* Takes memory for both halves, points dataset->train and dataset->test at it, and gives the writable ends.
 * Errors: DT_MEMORY. */
dt_status dt_storage_reserve(dt_dataset *dataset, dt_pixel_kind kind, const int counts[DT_HALVES],
                             dt_half halves[DT_HALVES]);

/* Adds a line to dataset->warnings, as far as there is room. */
void dt_storage_warn(dt_dataset *dataset, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fails with index and value if a label is above 9. */
dt_status dt_storage_check_labels(const char *subject, const uint8_t *labels, int count);

#endif
