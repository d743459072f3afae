/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether all ranks do the same work: what would make them differ is compared with rank 0 before the first
 * step. Collective; errors, agreed on, name the rank, its host, and both values. */
#ifndef DTRAIN_TRAIN_FINGERPRINT_H
#define DTRAIN_TRAIN_FINGERPRINT_H

#include "dtrain/kernels.h"
#include "dtrain/train.h"
#include "train/corpus.h"

/* Program version and build, and every option but --threads, which may differ from node to node. Errors:
 * DT_USAGE for an option, DT_MACHINE for the program, DT_MEMORY. */
dt_status dt_fingerprint_check_program(dt_comm *comm, const char *version, const dt_options *options);

/* The instruction set: bits hold within one. Errors: DT_MACHINE. */
dt_status dt_fingerprint_check_isa(dt_comm *comm, dt_isa isa);

/* The images and labels as each rank sees them. Errors: DT_DATA. */
dt_status dt_fingerprint_check_data(dt_comm *comm, uint64_t hash);
uint64_t dt_fingerprint_of_data(const dt_corpus *corpus);

#endif
