/* SPDX-License-Identifier: BSD-3-Clause */
/* For LD_PRELOAD: every sum over the ranks takes DT_TEST_SUM_MS milliseconds more, as over a slow link. */
#include <mpi.h>
#include <stdlib.h>
#include <time.h>

int MPI_Iallreduce(const void *source, void *target, int count, MPI_Datatype type, MPI_Op operation,
                   MPI_Comm comm, MPI_Request *request) {
    const char *text = getenv("DT_TEST_SUM_MS");
    long delay = text ? strtol(text, NULL, 10) : 0;
    nanosleep(&(struct timespec){delay / 1000, delay % 1000 * 1000000}, NULL);
    return PMPI_Iallreduce(source, target, count, type, operation, comm, request);
}
