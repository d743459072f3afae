/* SPDX-License-Identifier: BSD-3-Clause */
/* What a file of weights holds, ours or Keras', told without loading it into a model. Local. */
#ifndef DTRAIN_INSPECT_H
#define DTRAIN_INSPECT_H

#include <stdint.h>

#include "dtrain/checkpoint.h"
#include "dtrain/network.h"
#include "dtrain/status.h"

typedef enum dt_file_kind {
    DT_FILE_CHECKPOINT,    /* of a run of dtrain */
    DT_FILE_WEIGHTS,       /* of dtrain */
    DT_FILE_KERAS_WEIGHTS, /* `.weights.h5` of Keras 3 */
    DT_FILE_KERAS_MODEL,   /* `.h5` with a whole model */
    DT_FILE_OTHER          /* any other HDF5 file */
} dt_file_kind;

typedef enum dt_checksum_state {
    DT_CHECKSUM_NONE, /* the file has none */
    DT_CHECKSUM_HOLDS,
    DT_CHECKSUM_FAILS
} dt_checksum_state;

enum { DT_INSPECT_RANK = 8 };

/* A dataset of numbers. The statistics leave out what is not finite; sd is that of the values themselves, not
 * an estimate from a sample. All are 0 when there is no finite value. */
typedef struct dt_inspected_tensor {
    char *place;   /* in the file */
    char name[48]; /* "conv1/kernel momentum"; empty when it is not one of a network of dtrain */
    int rank;
    int64_t dims[DT_INSPECT_RANK];
    int64_t count, not_finite;
    double mean, sd, min, max;
    dt_checksum_state checksum;
    uint64_t address; /* of its first byte in the file */
} dt_inspected_tensor;

/* An owner: release with dt_inspection_release. */
typedef struct dt_inspection {
    dt_file_kind kind;
    uint64_t bytes;
    bool sealed;      /* the internal tables have a checksum, and it holds */
    int format;       /* 0: not written by dtrain, as all that follows up to the tensors */
    char program[96]; /* what wrote it */
    dt_network_config network;
    dt_checkpoint_position position; /* of a checkpoint */
    char *options, *history;         /* of a checkpoint: JSON */
    dt_checksum_state options_state, history_state;
    int count;
    dt_inspected_tensor *tensors; /* in the order in which they lie in the file */
    int failures;                 /* checksums that fail */
    int missing;                  /* tensors that a file of dtrain's must have and this one has not */
    char first_missing[80];       /* the place of one of them */
} dt_inspection;

/* Reads the whole file. A checksum that fails and a missing tensor are no errors here. Errors: DT_FILE: not
 * readable, not HDF5, damaged internal tables, a newer format; DT_MEMORY. */
dt_status dt_inspect_file(const char *path, dt_inspection *inspection);
void dt_inspection_release(dt_inspection *inspection);

#endif
