/* SPDX-License-Identifier: BSD-3-Clause */
/* Keras' mnist.npz: the arrays x_train, y_train, x_test, y_test. Local. */
#ifndef DTRAIN_DATA_NPZ_H
#define DTRAIN_DATA_NPZ_H

#include "dtrain/dataset.h"

/* Fills the memory, views and warnings of a data set that is all zero. Pixels: [n, 28, 28], [n, 28, 28, 1] or
 * [n, 784] of uint8, or of float32 or float64 within 0..1. Labels: [n] or [n, 1] of an integer type, or
 * one-hot [n, 10] of any type. Floats are stored as bytes when all pixels of both halves are k/255. Errors:
 * those of dt_dataset_read that concern npz files. On failure nothing is owned. */
dt_status dt_npz_read(const char *path, dt_dataset *dataset);

#endif
