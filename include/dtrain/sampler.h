/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of samples in an epoch: a pure function of (seed, epoch, count), so every rank works it out by
 * itself. Local. */
#ifndef DTRAIN_SAMPLER_H
#define DTRAIN_SAMPLER_H

#include <stdint.h>

/* Writes a uniformly random permutation of 0 .. count-1 (Fisher-Yates with bounded draws of dt_random_draw).
 */
void dt_sampler_shuffle(uint64_t seed, uint32_t epoch, int count, int *order);

/* Batches of `batch` in an epoch of `count` samples, a last short one included. */
int dt_sampler_batches(int count, int batch);

/* Samples in batch number `number`: `batch`, or less in the last. */
int dt_sampler_batch_samples(int count, int batch, int number);

#endif
