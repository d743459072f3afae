/* SPDX-License-Identifier: BSD-3-Clause */
/* What the environment says about how this process was started. Pure functions of a variable look-up, so that
 * tests can invent launchers. Private to comm. */
#ifndef DTRAIN_COMM_LAUNCH_H
#define DTRAIN_COMM_LAUNCH_H

#include "dtrain/status.h"
#include "dtrain/topology.h"

/* Looks up an environment variable as getenv does. */
typedef const char *(*dt_launch_variable)(const char *name);

/* The MPI that the program was built with, by the launcher that belongs to it. */
typedef enum dt_launch_family {
    DT_LAUNCH_OPEN_MPI,
    DT_LAUNCH_HYDRA, /* MPICH and its relatives */
    DT_LAUNCH_OTHER
} dt_launch_family;

/* What launchers have left in the environment. MPI_Init adds variables of its own: to be read before it. */
typedef struct dt_launch {
    dt_launch_family family;
    int rank;     /* dt_launch_rank */
    int own_size; /* as told by the launcher that belongs to the MPI library; 0: nothing */
    struct {
        const char *launcher, *name; /* the variable's */
        int size;
    } foreign;             /* of another MPI's launcher, the largest size; 0: none */
    bool pmix, slurm_pmix; /* a PMIx server is named; it is Slurm's */
    bool pmi_rank;
    int step_tasks; /* tasks of the Slurm job step that this process is a task of; 0 outside of steps */
} dt_launch;

dt_launch dt_launch_read(dt_launch_variable variable, dt_launch_family family);

/* The rank that the launcher gave this process, 0 if none did. */
int dt_launch_rank(dt_launch_variable variable);

/* The innermost launcher, and what it was told of cores, as far as it passes that on. */
dt_launch_facts dt_launch_facts_read(dt_launch_variable variable);

/* Refuses to be one of several singletons: processes that a launcher started together and that MPI did not
 * join. The launcher that belongs to the MPI library has the last word: it is the inner one, where a launcher
 * starts another. mpi_size is the size of MPI's world, 0 before MPI knows it. Errors: DT_MACHINE. */
dt_status dt_launch_check(const dt_launch *launch, int mpi_size);

#endif
