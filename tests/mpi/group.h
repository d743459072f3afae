/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands around a group of tests that all ranks run. */
#ifndef DTRAIN_TESTS_MPI_GROUP_H
#define DTRAIN_TESTS_MPI_GROUP_H

#include "dtrain/comm.h"

/* Whether the ranks stand; they wait politely. */
static inline bool group_begins(dt_comm **comm) {
    dt_status status = dt_comm_create(comm);
    if (dt_failed(&status))
        return false;
    dt_comm_set_polite(*comm, true);
    return true;
}

/* What main returns. A rank whose tests failed ends the others, which may wait for it. */
static inline int group_ends(dt_comm *comm, int failed) {
    if (failed)
        dt_comm_abort(comm, 1);
    dt_comm_destroy(comm);
    return 0;
}

#endif
