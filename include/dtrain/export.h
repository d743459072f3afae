/* SPDX-License-Identifier: BSD-3-Clause */
/* What others read, made from a file of weights or a checkpoint: whole models for Keras (network, weights and
 * the optimizer's settings in one HDF5 file that keras.models.load_model opens without any code of the
 * model), or the weights alone. Local. */
#ifndef DTRAIN_EXPORT_H
#define DTRAIN_EXPORT_H

#include "dtrain/status.h"

/* Reads a file of weights or a checkpoint that dtrain wrote and writes `out` in the format that the ending of
 * its name means: .h5 and .hdf5 a model, .weights.h5 weights alone. An existing file is replaced only with
 * `force`, and only by a complete one; a link, a folder, a device or `in` itself never. *what receives a name
 * of what was written, static. The model is compiled with categorical cross-entropy and Adam, with learning
 * rate, betas and epsilon of a checkpoint's run, or dtrain's defaults for weights alone. Adam's state is not
 * part of it: Keras reads that with load_weights, from the checkpoint. Errors: DT_USAGE, an unknown ending,
 * with the known ones; DT_FILE, naming the path; DT_MEMORY. */
dt_status dt_export_model(const char *in, const char *out, bool force, const char **what);

#endif
