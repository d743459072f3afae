/* SPDX-License-Identifier: BSD-3-Clause */
/* Launchers and the variables that they set. */
#include "comm/launch.h"

#include <stddef.h>
#include <stdlib.h>

/* The variable's number, or `missing` when it is not set or is no number from 0 up. */
static int read_number(dt_launch_variable variable, const char *name, int missing) {
    const char *text = variable(name);
    if (!text)
        return missing;
    char *end;
    long value = strtol(text, &end, 10);
    return end != text && *end == '\0' && value >= 0 && value <= 1 << 30 ? (int)value : missing;
}

int dt_launch_rank(dt_launch_variable variable) {
    /* mpirun inside a Slurm step sets its own variables and leaves Slurm's, so the inner launcher comes
     * first.
     */
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int rank = read_number(variable, names[i], -1);
        if (rank >= 0)
            return rank;
    }
    return 0;
}

/* Whether a launcher that tells MPI the number of ranks has left a trace. */
static bool has_mpi_launcher(dt_launch_variable variable, int mpi_size) {
    static const char *const names[] = {"PMIX_RANK", "PMIX_NAMESPACE", "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_MCA_orte_ess_num_procs", "MPI_LOCALNRANKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (variable(names[i]))
            return true;
    /* srun --mpi=pmi2 sets PMI_RANK: MPI may understand it, and has not done so when it sees one rank. */
    return mpi_size == 0 && variable("PMI_RANK");
}

/* Tasks of the Slurm job step that this process is a task of, 0 outside of steps. A batch script has
 * SLURM_PROCID without a step, and a shell in an allocation is a step of one task in a job of many. */
static int step_tasks(dt_launch_variable variable) {
    if (!variable("SLURM_PROCID") || !(variable("SLURM_STEP_ID") || variable("SLURM_STEPID")))
        return 0;
    return read_number(variable, "SLURM_STEP_NUM_TASKS", read_number(variable, "SLURM_NTASKS", 0));
}

dt_status dt_launch_check(dt_launch_variable variable, int mpi_size) {
    int tasks = step_tasks(variable);
    if (mpi_size > 1 || tasks <= 1 || has_mpi_launcher(variable, mpi_size))
        return dt_ok();
    return dt_fail(
        DT_MACHINE,
        "srun started %d tasks without PMIx, so that each of them would be a run of its own with one "
        "rank: start with `srun --mpi=pmix -n %d dtrain` or, inside the allocation, `mpirun dtrain`",
        tasks, tasks);
}
