/* SPDX-License-Identifier: BSD-3-Clause */
/* Weights in an HDF5 file, laid out as Keras 3 lays out `.weights.h5`: layers/<keras name>/vars/<i>, names
 * counted by kind (conv2d, conv2d_1, .. batch_normalization, .. dense, ..), float32 in Keras' own shapes.
 * weights.c is the one file that knows the layout. Local: one rank writes or reads. */
#ifndef DTRAIN_WEIGHTS_H
#define DTRAIN_WEIGHTS_H

#include "dtrain/linked.h"
#include "dtrain/parameters.h"
#include "dtrain/path.h"
#include "dtrain/status.h"

/* Writes to a temporary name beside `path`, flushes it to the disk and renames it: an older file of that name
 * is replaced only by a complete one. The options of the network stand as attributes of the group "dtrain",
 * which Keras ignores. Errors: DT_FILE with the path and the cause. */
dt_status dt_weights_save(const char *path, const dt_network *network, const dt_parameters *parameters,
                          const float *weights, const float *states);

enum { DT_WEIGHTS_PATH = DT_PATH_ROOM };

/* The file that a user means: itself, or last.weights.h5 in a folder. Errors: DT_FILE, too long. */
dt_status dt_weights_resolve(const char *name, char path[DT_WEIGHTS_PATH]);

/* What a file of weights tells beside them. */
typedef enum dt_weights_kind {
    DT_WEIGHTS_FOREIGN,   /* Keras wrote it: nothing */
    DT_WEIGHTS_ALONE,     /* dtrain wrote it: its network */
    DT_WEIGHTS_CHECKPOINT /* and where a run stands, with its options (checkpoint.h) */
} dt_weights_kind;

/* Errors: DT_FILE (missing, not HDF5, a newer format). */
dt_status dt_weights_find_kind(const char *path, dt_weights_kind *kind);

/* Reads the options of the network that a file was written for. Errors: DT_FILE (missing, not HDF5, no such
 * group). */
dt_status dt_weights_network(const char *path, dt_network_config *config);

/* Fills weights and states. Errors: DT_FILE; a tensor that is missing or has another shape is named with both
 * shapes. DT_USAGE: dtrain wrote the file for a network of another shape; the options that differ are named.
 */
dt_status dt_weights_load(const char *path, const dt_parameters *parameters, float *weights, float *states);

enum { DT_UNUSED_TEXT = 400 };

/* Datasets of a file that dt_weights_load makes no use of; those of the group "dtrain" do not count. */
typedef struct dt_weights_unused {
    int optimizer;             /* of the optimizer's state */
    int others;                /* layers that the network has not, and the like */
    char text[DT_UNUSED_TEXT]; /* places of the first few others: "layers/gru/vars/0, .. and 3 more" */
} dt_weights_unused;

/* Errors: as dt_weights_load. */
dt_status dt_weights_find_unused(const char *path, const dt_parameters *parameters,
                                 dt_weights_unused *unused);

/* HDF5, which would end the process by itself, at the first file, when its two versions do not fit. */
dt_linked dt_weights_linked(void);

#endif
