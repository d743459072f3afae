/* SPDX-License-Identifier: BSD-3-Clause */
/* The cores that this process may use, and how many threads a rank should have on them. Reading is local; the
 * decisions are pure functions of what all ranks of a node have read. */
#ifndef DTRAIN_TOPOLOGY_H
#define DTRAIN_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtrain/quota.h"
#include "dtrain/status.h"

enum { DT_CORE_WORDS = 16, DT_CORES = 64 * DT_CORE_WORDS };

/* Physical cores, not hardware threads. A plain value: ranks exchange it as bytes. */
typedef struct dt_cores {
    int count;                    /* cores that this process is bound to: the bits of mask */
    int machine;                  /* cores of the machine, without those that a container or job withholds */
    uint64_t mask[DT_CORE_WORDS]; /* bit i: logical core i of the whole machine; cores above DT_CORES are left
                                     out */
    char cpu[96];                 /* the processor's model name */
    dt_quota quota;               /* of processor time */
    uint64_t boot;                /* tells machines apart, also where their names are equal; 0: unknown */
} dt_cores;

/* Reads the binding of this process: before it starts threads. The binding is the launcher's: where GCC's
 * OpenMP has pinned the main thread before main, as OMP_PROC_BIND and its like tell it, that is undone before
 * main. Where the machine's cores cannot be seen, the processors of the affinity mask count as cores. Errors,
 * DT_MACHINE: neither can be read. */
dt_status dt_topology_read(dt_cores *cores);

/* The set in the style of "0-3,8"; "none" for the empty set; what does not fit is left out. */
void dt_topology_cores_text(const dt_cores *cores, char *text, size_t size);

/* What the user asked for; 0 where nothing was said. */
typedef struct dt_thread_wish {
    int threads_option;  /* --threads */
    int omp_num_threads; /* OMP_NUM_THREADS */
} dt_thread_wish;

/* The launcher whose options place the ranks. */
typedef enum dt_launcher {
    DT_LAUNCHER_NONE, /* by hand, or by a launcher whose options are not known here */
    DT_LAUNCHER_OPEN_MPI,
    DT_LAUNCHER_HYDRA, /* mpiexec of MPICH and its relatives */
    DT_LAUNCHER_SRUN
} dt_launcher;

/* How the ranks of a node were started. A plain value. */
typedef struct dt_launch_facts {
    dt_launcher launcher;
    bool unbound;   /* the launcher was told not to bind */
    int cores_each; /* cores of its own that it was told to give each rank; 0: not told */
} dt_launch_facts;

/* The threads of node rank `me` when the cores of `count` ranks of one node are divided fairly: a core that n
 * ranks may use gives each of them 1/n; the sum is rounded down, and is at least 1. Whole cores that the
 * rounding leaves over go to the ranks with a fraction, lower ranks first. The threads of ranks that share
 * cores exceed those cores only where a rank would have none otherwise. */
int dt_topology_fair_threads(const dt_cores *ranks_of_node, int count, int me);

/* The decision for one rank. */
typedef struct dt_placement {
    int threads;
    double quota;        /* the CPU quota that sets the threads, 0: cores or the user do */
    bool oversubscribed; /* a group of ranks of this node that share cores has more threads than cores */
    char warnings[2048]; /* one a line, with the remedy; empty if there is none */
} dt_placement;

/* A CPU quota lets its ranks have no more threads together than its cores, rounded up for each of them.
 * --threads is obeyed; OMP_NUM_THREADS up to the fair share; the fair share is the default. All ranks of a
 * node have the same wish. Warnings: --threads above the cores of this rank, or above its CPU quota;
 * OMP_NUM_THREADS ignored; this rank pinned to one core while the node has idle ones; and, in the same words
 * on all ranks of the node, ranks that crowd on too few cores or whose cores overlap in part. The remedies
 * are options of the ranks' own launcher, without those that it was given already. All ranks of a node have
 * the same launch facts. */
dt_placement dt_topology_place(const dt_cores *ranks_of_node, int count, int me, dt_thread_wish wish,
                               dt_launch_facts launch);

#endif
