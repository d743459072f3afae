/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the ranks run: hosts, cores, threads; gathered once at start. */
#ifndef DTRAIN_PLACEMENT_H
#define DTRAIN_PLACEMENT_H

#include "dtrain/comm.h"
#include "dtrain/status.h"
#include "dtrain/topology.h"

/* One rank's place. */
typedef struct dt_place {
    char host[64];
    char cpu[96];   /* model name */
    char cores[64]; /* cores this rank may use, "0-3,8" */
    int core_count; /* their number */
    int machine_cores;
    int node;
    int machine; /* the lowest rank of its machine: MPI may take one machine for several nodes */
    int threads;
    double quota;        /* the CPU quota that sets the threads, 0: none does */
    bool oversubscribed; /* ranks of its machine that share cores have more threads than cores */
    dt_cores set;        /* the cores themselves */
    char warnings[2048]; /* one a line */
} dt_place;

/* Every rank's place; an owner. places[rank]. */
typedef struct dt_placement_table {
    int ranks;
    dt_place *places;
} dt_placement_table;

/* Gathers the places of all ranks; threads as dt_topology_place decides for the ranks
 * of one machine, also where MPI takes it for several nodes (then with a warning), from --threads (0: not
 * given) and OMP_NUM_THREADS. Makes the communicator polite where the node is oversubscribed. Collective;
 * call it before this process starts threads. Errors, agreed on: DT_MACHINE, DT_MEMORY. */
dt_status dt_placement_gather(dt_comm *comm, int threads_option, dt_placement_table *table);
void dt_placement_release(dt_placement_table *table);

/* Prints the table (ranks, host, cores, threads), like ranks folded into one line; then, as warnings, each
 * different one once with the ranks it concerns, and different processor models. Local; the log decides who
 * speaks. */
void dt_placement_print(const dt_placement_table *table);

#endif
