/* SPDX-License-Identifier: BSD-3-Clause */
/* How runs end that cannot go on. The argument names the trouble; check_failures.sh reads what is printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dtrain/comm.h"

/* A message to a rank that does not exist. */
static void send_astray(dt_comm *comm) {
    dt_transfers *transfers;
    dt_status status = dt_transfers_create(comm, 1, &transfers);
    if (!dt_failed(&status) && dt_comm_rank(comm) == dt_comm_size(comm) - 1)
        dt_transfers_send(transfers, 99, 0, &(float){1}, 1);
    dt_comm_barrier(comm);
}

int main(int count, char **arguments) {
    const char *trouble = count > 1 ? arguments[1] : "";
    dt_comm *comm;
    if (strcmp(trouble, "singletons") == 0) {
        setenv("SLURM_PROCID", "0", 1);
        setenv("SLURM_STEP_ID", "0", 1);
        setenv("SLURM_STEP_NUM_TASKS", "3", 1);
    }
    dt_status status = dt_comm_create(&comm);
    if (dt_failed(&status)) {
        printf("launcher rank %d, code %d: %s\n", dt_comm_launcher_rank(), status.code, status.text);
        return (int)status.code;
    }
    if (strcmp(trouble, "astray") == 0)
        send_astray(comm);
    if (strcmp(trouble, "abort") == 0 && dt_comm_rank(comm) == dt_comm_size(comm) - 1)
        dt_comm_abort(comm, DT_NOT_FINITE);
    /* As a process does that some library ends: no error, no farewell to MPI. */
    if (strcmp(trouble, "early") == 0 && dt_comm_rank(comm) == dt_comm_size(comm) - 1)
        _exit(0);
    dt_comm_barrier(comm);
    puts("went on");
    dt_comm_destroy(comm);
    return 0;
}
