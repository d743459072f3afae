/* SPDX-License-Identifier: BSD-3-Clause */
/* Checkpoints: all that a run is, in one file that Keras reads as weights. HDF5; the layout is weights.h's,
 * with Adam's state where Keras 3 keeps it (optimizer/vars/<i>) and all that Keras does not know in the group
 * "dtrain", which it ignores.
 *
 * A checkpoint is written to a temporary name in its folder, read back and compared, flushed, renamed, and
 * the folder flushed: at no instant is a file under a checkpoint's name incomplete. Each tensor has a
 * checksum (dt_hash) that every reader verifies. Local: one rank writes or reads; thread safe as long as no
 * two threads are in this module at once. */
#ifndef DTRAIN_CHECKPOINT_H
#define DTRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "dtrain/parameters.h"
#include "dtrain/path.h"
#include "dtrain/status.h"

enum { DT_MOST_REWINDS = 3 }; /* of a run */

/* Where a run stands, at the end of a step. */
typedef struct dt_checkpoint_position {
    int64_t step;       /* steps done since the start of the run; Keras' `iteration` */
    int epoch;          /* epochs done */
    int batch;          /* batches done of the epoch after those */
    int64_t train_loss; /* sums over the samples of that epoch so far, as dt_totals has them */
    int64_t train_correct;
    int64_t train_samples;
    double best_loss;     /* the least validation loss so far; infinity: none yet */
    double learning_rate; /* in force (a rewind may have halved it) */
    int rewinds;          /* how often the run went back because of a value that is not finite */
    int ranks;            /* of the run that wrote the file */
    uint64_t data_fingerprint;
} dt_checkpoint_position;

/* What a checkpoint holds. Arrays as the tensor table lays them out, gaps zero. The texts are JSON: `options`
 * an object with the settings of the run, `history` an array with one object for each epoch done. */
typedef struct dt_checkpoint {
    dt_checkpoint_position position;
    float *weights, *m, *v; /* parameters.floats each */
    float *states;          /* parameters.state_floats */
    char *options, *history;
} dt_checkpoint;

typedef struct dt_checkpoint_result {
    double seconds; /* to write, check and flush */
    uint64_t bytes;
} dt_checkpoint_result;

/* Writes the checkpoint under `path`; an older file of that name is replaced only by a complete one. Reads
 * the arrays, changes nothing. Errors: DT_FILE with path and cause, the folder as it was before but for a
 * temporary file that could not be removed; DT_MEMORY. */
dt_status dt_checkpoint_save(const char *path, const dt_network *network, const dt_parameters *parameters,
                             const dt_checkpoint *checkpoint, dt_checkpoint_result *result);

/* Fills the caller's arrays and the position; options and history are new strings that the caller frees.
 * Everything is read and checked before the call returns DT_OK. Errors: DT_FILE, naming path and the first
 * tensor that is missing, has another shape, or fails its checksum; a format newer than this program's; a
 * file with weights but no state of a run. DT_USAGE: the file is of a network of another shape; the options
 * that differ are named. DT_MEMORY. */
dt_status dt_checkpoint_load(const char *path, const dt_parameters *parameters, dt_checkpoint *checkpoint);

/* Position and options alone, without the tensors: cheap. Ownership of the texts as above. */
dt_status dt_checkpoint_peek(const char *path, dt_checkpoint *checkpoint);

/* The folder of a run: checkpoints are named step-NNNNNNNN.weights.h5 (8 digits, more when needed);
 * last.weights.h5 is a symbolic link to the newest, best.weights.h5 the best by validation loss (a hard link
 * or a copy, so that it outlives the pruning). */
enum { DT_CHECKPOINT_PATH = DT_PATH_ROOM };
#define DT_CHECKPOINT_LAST "last.weights.h5"
#define DT_CHECKPOINT_BEST "best.weights.h5"

/* "FOLDER/step-NNNNNNNN.weights.h5". Errors: DT_FILE, too long. */
dt_status dt_checkpoint_name(const char *folder, int64_t step, char path[DT_CHECKPOINT_PATH]);

/* The step in such a file's name (without its folder); -1 for any other name. */
int64_t dt_checkpoint_step(const char *name);

/* The step of a checkpoint in a folder: the one that the file itself states, whatever it is called; where
 * that cannot be read, the one in its name; else -1. */
int64_t dt_checkpoint_step_of(const char *folder, const char *name);

/* After a save: points last.weights.h5 at `path` (replaced by rename), and with `best` makes best.weights.h5
 * the same content, atomically. Then removes the oldest checkpoints until `keep` are left (never `path`,
 * never what `last` points to) and temporary files of ended processes. Errors: DT_FILE; the checkpoint itself
 * stays. */
dt_status dt_checkpoint_publish(const char *folder, const char *path, bool best, int keep);

/* Loads the newest checkpoint of a folder that is whole, from the highest step down, by the steps that the
 * files state: numbered ones, and last and best where they are files of their own. What is passed over is
 * handed to `passed_over` with its trouble. DT_OK and *found false when there is none. `source` (a file or a
 * folder) may name a file itself: then only that one is tried and its trouble is the result. Errors: those of
 * dt_checkpoint_load but DT_FILE end the search. */
dt_status dt_checkpoint_load_newest(const char *source, const dt_parameters *parameters,
                                    void (*passed_over)(void *context, const char *path, const char *trouble),
                                    void *context, dt_checkpoint *checkpoint, char path[DT_CHECKPOINT_PATH],
                                    bool *found);

#endif
