/* SPDX-License-Identifier: BSD-3-Clause */
/* Small HDF5 files. `path` is where they are made; nothing stays there. */
#ifndef DTRAIN_TESTS_FUZZ_HDF5_SEEDS_H
#define DTRAIN_TESTS_FUZZ_HDF5_SEEDS_H

#include "unit/samples.h"

/* A file of dtrain as it is, without its seal, or copied object by object by the HDF5 library. */
typedef enum seed_form { SEED_SEALED, SEED_OPEN, SEED_REPACKED, SEED_FORMS } seed_form;

buffer seed_weights(const char *path, seed_form form);
buffer seed_checkpoint(const char *path, seed_form form);

/* Of another program: plain, packed and compact datasets; in the oldest format or the newest. */
buffer seed_foreign(const char *path, bool newest);

#endif
