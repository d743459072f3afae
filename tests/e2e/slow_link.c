/* SPDX-License-Identifier: BSD-3-Clause */
/* For LD_PRELOAD: every sum over the ranks takes DT_TEST_SUM_MS milliseconds more, and every message
 * DT_TEST_SEND_MS, as over a slow link. */
#include <mpi.h>
#include <stdlib.h>
#include <time.h>

static void delay(const char *variable) {
    const char *text = getenv(variable);
    long wait = text ? strtol(text, NULL, 10) : 0;
    nanosleep(&(struct timespec){wait / 1000, wait % 1000 * 1000000}, NULL);
}

int MPI_Iallreduce(const void *source, void *target, int count, MPI_Datatype type, MPI_Op operation,
                   MPI_Comm comm, MPI_Request *request) {
    delay("DT_TEST_SUM_MS");
    return PMPI_Iallreduce(source, target, count, type, operation, comm, request);
}

int MPI_Isend(const void *values, int count, MPI_Datatype type, int rank, int tag, MPI_Comm comm,
              MPI_Request *request) {
    delay("DT_TEST_SEND_MS");
    return PMPI_Isend(values, count, type, rank, tag, comm, request);
}
