/* SPDX-License-Identifier: BSD-3-Clause */
/* What the environment says about how this process was started. Pure functions of a variable look-up, so that
 * tests can invent launchers. Private to comm. */
#ifndef DTRAIN_COMM_LAUNCH_H
#define DTRAIN_COMM_LAUNCH_H

#include "dtrain/status.h"

/* Looks up an environment variable as getenv does. */
typedef const char *(*dt_launch_variable)(const char *name);

/* The rank that the launcher gave this process, 0 if none did. */
int dt_launch_rank(dt_launch_variable variable);

/* Refuses to be one of several singletons that srun started without PMIx. mpi_size is the size of MPI's
 * world, 0 before MPI knows it. Errors: DT_MACHINE. */
dt_status dt_launch_check(dt_launch_variable variable, int mpi_size);

#endif
