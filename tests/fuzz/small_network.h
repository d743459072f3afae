/* SPDX-License-Identifier: BSD-3-Clause */
/* The network of the seeds of HDF5 files, small enough for files of some kilobytes. */
#ifndef DTRAIN_TESTS_FUZZ_SMALL_NETWORK_H
#define DTRAIN_TESTS_FUZZ_SMALL_NETWORK_H

#include "dtrain/parameters.h"

const dt_network *small_network(void);
const dt_parameters *small_parameters(void);

/* Zeros, from malloc. */
float *small_slab(size_t floats);

#endif
