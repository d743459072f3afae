/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole models for Keras: network, weights and the optimizer's settings in one HDF5 file that
 * keras.models.load_model opens without any code of the model. Local. */
#ifndef DTRAIN_EXPORT_H
#define DTRAIN_EXPORT_H

#include "dtrain/status.h"

/* Reads a file of weights or a checkpoint that dtrain wrote and writes the model to `out`, which may replace
 * a regular file, but not `in` itself. The model is compiled with categorical cross-entropy and Adam, with
 * learning rate, betas and epsilon of a checkpoint's run, or dtrain's defaults for weights alone. Adam's
 * state is not part of it: Keras reads that with load_weights, from the checkpoint. Errors: DT_FILE, naming
 * the path; DT_MEMORY. */
dt_status dt_export_model(const char *in, const char *out);

#endif
