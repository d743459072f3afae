/* SPDX-License-Identifier: BSD-3-Clause */
/* Digits drawn by the program: strokes under random shift, scale, rotation, shear, bending, thickness and
 * noise. Local, thread safe. */
#ifndef DTRAIN_DATA_SYNTHETIC_H
#define DTRAIN_DATA_SYNTHETIC_H

#include "dtrain/dataset.h"

/* Fills the memory and views of a data set that is all zero: training images are the digits 0 .. count-1, the
 * count/6 (at least 1) test images are the ones after them. Errors: DT_MEMORY. */
dt_status dt_synthetic_read(uint64_t seed, int count, dt_dataset *dataset);

/* The label of a digit: each ten indices from a multiple of ten on have each label once. */
uint8_t dt_synthetic_label(uint64_t seed, uint32_t index);

/* Draws a digit: 784 bytes. */
void dt_synthetic_draw(uint64_t seed, uint32_t index, uint8_t *pixels);

#endif
