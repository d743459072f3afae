/* SPDX-License-Identifier: BSD-3-Clause */
/* Communication between the ranks. comm_mpi.c is the one file that knows MPI; no MPI type appears here.
 *
 * "Collective" functions are called by all ranks in the same order; "node-collective" by all ranks of a node;
 * "local" ones by anybody. Main thread only. Setup functions return a dt_status. Once the communicator
 * stands, an MPI failure is not something a step can mend: the function prints rank, host, call and MPI's
 * message, and ends all ranks with MPI_Abort and exit code DT_MACHINE. */
#ifndef DTRAIN_COMM_H
#define DTRAIN_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/linked.h"
#include "dtrain/status.h"
#include "dtrain/topology.h"

typedef struct dt_comm dt_comm;

/* Starts MPI (once a process). Collective. Errors, DT_MACHINE: MPI before version 3, initialisation failed,
 * or this is one of several singletons: a launcher started them together, and MPI sees one rank. Such
 * launchers are srun without the dialect of the MPI library, and those of another MPI (launch.h); the message
 * names the right one, and is empty on all but the launcher's first rank. A real `mpirun -np 1` in a job of
 * several tasks is fine.
 * DTRAIN_NODE_RANKS=N, for tests, makes every N neighbouring ranks of a machine a node of their own. */
dt_status dt_comm_create(dt_comm **comm);

/* The same, guarded: where ranks do not answer one another for `timeout` seconds (0: for ever), from the end
 * of MPI's own start on, the process says which, and ends with exit code DT_STALLED. The guard stands until
 * dt_comm_end_guard. */
dt_status dt_comm_create_guarded(int timeout, dt_comm **comm);
void dt_comm_end_guard(dt_comm *comm);

/* A communicator of the ranks that gave the same color, ordered by key, then by their rank; NULL for a
 * negative color. Nodes keep their ranks (those that belong to it) and are numbered anew. Traffic is counted
 * with `comm`, manners are its too; it must outlive the part. Owner: dt_comm_destroy. Collective over `comm`.
 * Errors, agreed on: DT_MEMORY. */
dt_status dt_comm_split(dt_comm *comm, int color, int key, dt_comm **part);

/* Ends MPI, unless it is a part. Collective. NULL is fine. */
void dt_comm_destroy(dt_comm *comm);

/* The rank that the launcher gave this process, from its environment, before dt_comm_create; 0 if none.
 * Local. */
int dt_comm_launcher_rank(void);

/* How this process was started, as its environment said it before MPI's own start. Local. */
dt_launch_facts dt_comm_launch_facts(const dt_comm *comm);

/* Local facts. Node numbers run from 0 in the order of the nodes' lowest ranks. */
int dt_comm_rank(const dt_comm *comm);
int dt_comm_size(const dt_comm *comm);
int dt_comm_node(const dt_comm *comm);
int dt_comm_nodes(const dt_comm *comm);
int dt_comm_node_of(const dt_comm *comm, int rank); /* of any rank */
int dt_comm_node_rank(const dt_comm *comm);
int dt_comm_node_size(const dt_comm *comm);
const char *dt_comm_host(const dt_comm *comm);    /* this process' host name */
const char *dt_comm_library(const dt_comm *comm); /* MPI's name and version, one line */

/* What a rank does, as far as others wait for it. */
typedef enum dt_comm_doing {
    DT_COMM_WORKS, /* told by callers: on its own */
    DT_COMM_FILES, /* told by callers: rank 0 reads or writes files, or this rank waits for that */
    DT_COMM_WAITS, /* told by collectives and waits for transfers: for other ranks */
    DT_COMM_GOT_ON /* ... no more */
} dt_comm_doing;
typedef void (*dt_comm_observer)(void *context, dt_comm_doing doing);

/* From now on the observer is told; NULL: none. Also on behalf of parts. Local. */
void dt_comm_observe(dt_comm *comm, dt_comm_observer observer, void *context);
void dt_comm_tell(dt_comm *comm, dt_comm_doing doing);

/* MPI's name and versions. Before dt_comm_create, too. */
dt_linked dt_comm_linked(void);

/* When a rank's cores are shared with others it must not burn them while it waits: waits then test, yield and
 * sleep (tens of microseconds at a time). Collective or local; off at first. */
void dt_comm_set_polite(dt_comm *comm, bool polite);

/* All ranks receive the failure of the lowest rank that failed, its text prefixed with "rank R on HOST: "
 * (when there is more than one rank), or success if nobody failed. Collective. */
dt_status dt_comm_agree(dt_comm *comm, dt_status mine);

/* In-place sums over all ranks (integers: exact; doubles: use only where at most one rank contributes a value
 * other than 0 to each place, else the order of the sum is the library's). Collective. */
void dt_comm_sum_i64(dt_comm *comm, int64_t *values, int count);
void dt_comm_sum_f64(dt_comm *comm, double *values, int count);

/* In-place sum by one blocking call of the library, in its own order: to compare with, not to train with.
 * Collective. */
void dt_comm_sum_f32_at_once(dt_comm *comm, float *values, int count);

/* In-place maximum. Collective. */
void dt_comm_max_f64(dt_comm *comm, double *values, int count);

/* The lowest of all ranks' numbers; negative ones do not count. -1 if no rank has one. Collective. */
int dt_comm_lowest(dt_comm *comm, int mine);

/* From rank `root` to all. Any size (cut into pieces inside). Collective. */
void dt_comm_broadcast(dt_comm *comm, void *data, size_t bytes, int root);

/* Every rank's `bytes` bytes, in rank order, on all ranks: all has room for size * bytes. Collective. */
void dt_comm_allgather(dt_comm *comm, const void *mine, size_t bytes, void *all);

void dt_comm_barrier(dt_comm *comm);

/* A block of memory shared by the ranks of a node. Owner: release with dt_comm_window_release (collective).
 */
typedef struct dt_comm_window dt_comm_window;

/* Allocates `bytes` once a node (the same number on all ranks). The leader (node rank 0) owns the pages; data
 * is zero. Collective. Errors, agreed on by all ranks: DT_MEMORY. */
dt_status dt_comm_window_create(dt_comm *comm, size_t bytes, dt_comm_window **window);
void dt_comm_window_release(dt_comm_window *window);
void *dt_comm_window_data(dt_comm_window *window);

/* A block of as many parts as the node has ranks, in their order: each rank asks for `bytes` (the same on all
 * ranks of a node), rounded up to whole huge pages, and touches the pages of its part first, so that they lie
 * in its memory. The block has no gaps. Data is zero. Collective. Errors, agreed on by all ranks: DT_MEMORY.
 */
dt_status dt_comm_window_create_parts(dt_comm *comm, size_t bytes, dt_comm_window **window);
size_t dt_comm_window_part(const dt_comm_window *window); /* bytes from one part to the next */

/* Copies the block's content from the node of rank 0 to the other nodes' blocks, leader to leader, and makes
 * it visible to all ranks of each node. The writer on rank 0's node is rank 0. Collective. */
void dt_comm_window_publish(dt_comm *comm, dt_comm_window *window);

/* Copies `bytes` bytes of rank 0 to the ranks that lead the other nodes; every rank gives the same array of
 * its node's shared memory. All ranks see the bytes when it returns. Collective. */
void dt_comm_publish(dt_comm *comm, void *data, size_t bytes);

/* All ranks of this node have come here, and see what was written to shared memory before. Node-collective.
 */
void dt_comm_node_barrier(dt_comm *comm);

/* Between two looks at shared memory that another rank is to write: moves messages along, and gives the core
 * away where waits are to be polite. *idle belongs to one wait, zero at its start. Local. */
typedef struct dt_idle {
    double since;  /* of the first pause */
    long sleep_ns; /* of the next one */
} dt_idle;
void dt_comm_pause(dt_comm *comm, dt_idle *idle);

/* Messages that travel while the caller computes: a set of at most `capacity` sends and receives. Each is
 * identified by peer and tag (0 .. 32767); arrays stay untouched by the caller (sends: unwritten) until the
 * set is done. Local. */
typedef struct dt_transfers dt_transfers;
dt_status dt_transfers_create(dt_comm *comm, int capacity, dt_transfers **transfers);
void dt_transfers_destroy(dt_transfers *transfers);
void dt_transfers_send(dt_transfers *transfers, int rank, int tag, const float *values, size_t count);
void dt_transfers_receive(dt_transfers *transfers, int rank, int tag, float *values, size_t count);

/* The same with values of 16 bits. */
void dt_transfers_send_halves(dt_transfers *transfers, int rank, int tag, const uint16_t *halves,
                              size_t count);
void dt_transfers_receive_halves(dt_transfers *transfers, int rank, int tag, uint16_t *halves, size_t count);

/* Whether all transfers of the set are done; moves MPI along. A finished set is empty and may be filled
 * again. */
bool dt_transfers_test(dt_transfers *transfers);

/* Returns when all are done. */
void dt_transfers_wait(dt_transfers *transfers);

/* Traffic of this process since the start, the present moment included. Local. One rank alone has none.
 * sent, received: bytes of transfers.
 * seconds: of communication: at least one set of transfers was not found done, or the rank waited.
 * waited: those of them in which the rank waited for others and computed nothing: in collectives, in
 * dt_transfers_wait, and between dt_comm_wait_begin and dt_comm_wait_end. So 1 - waited / seconds is the
 * share of communication that is hidden behind computing. */
typedef struct dt_traffic {
    uint64_t sent, received;
    double seconds, waited;
} dt_traffic;
dt_traffic dt_comm_traffic(const dt_comm *comm);

/* Around what a rank does for communication alone, waiting in shared memory say. Pairs may lie within pairs.
 * Local. */
void dt_comm_wait_begin(dt_comm *comm);
void dt_comm_wait_end(dt_comm *comm);

/* Ends all ranks at once with this exit code. Does not return. */
_Noreturn void dt_comm_abort(dt_comm *comm, int exit_code);

#endif
