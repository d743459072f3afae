/* SPDX-License-Identifier: BSD-3-Clause */
/* Launchers and the variables that they set. */
#include "comm/launch.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Launchers that tell how many ranks they started; those with a family of their own in its order. */
static const struct {
    dt_launch_family family;
    const char *launcher, *size;
} launchers[] = {
    {DT_LAUNCH_OPEN_MPI, "mpirun of Open MPI", "OMPI_COMM_WORLD_SIZE"},
    {DT_LAUNCH_HYDRA, "mpiexec of MPICH or Intel MPI", "PMI_SIZE"},
    {DT_LAUNCH_OTHER, "mpiexec of MPICH or Intel MPI", "MPI_LOCALNRANKS"},
    {DT_LAUNCH_OTHER, "mpirun of MVAPICH", "MV2_COMM_WORLD_SIZE"},
};

static const char *const family_names[] = {
    [DT_LAUNCH_OPEN_MPI] = "Open MPI", [DT_LAUNCH_HYDRA] = "MPICH", [DT_LAUNCH_OTHER] = "another MPI"};

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

/* Tasks of the Slurm job step that this process is a task of, 0 outside of steps. A batch script has
 * SLURM_PROCID without a step, and a shell in an allocation is a step of one task in a job of many. */
static int step_tasks(dt_launch_variable variable) {
    if (!variable("SLURM_PROCID") || !(variable("SLURM_STEP_ID") || variable("SLURM_STEPID")))
        return 0;
    return read_number(variable, "SLURM_STEP_NUM_TASKS", read_number(variable, "SLURM_NTASKS", 0));
}

dt_launch dt_launch_read(dt_launch_variable variable, dt_launch_family family) {
    const char *server = variable("PMIX_NAMESPACE");
    dt_launch launch = {.family = family,
                        .rank = dt_launch_rank(variable),
                        .pmix = server || variable("PMIX_RANK"),
                        .slurm_pmix = server && strncmp(server, "slurm.", 6) == 0,
                        .pmi_rank = variable("PMI_RANK") != NULL,
                        .step_tasks = step_tasks(variable)};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        int size = read_number(variable, launchers[i].size, 0);
        if (launchers[i].family == family && family != DT_LAUNCH_OTHER) {
            launch.own_size = size;
        } else if (size > launch.foreign.size) {
            launch.foreign.launcher = launchers[i].launcher;
            launch.foreign.name = launchers[i].size;
            launch.foreign.size = size;
        }
    }
    return launch;
}

/* Slurm's steps come last: mpirun and mpiexec inside a job start their helpers by srun. */
static dt_launcher find_launcher(dt_launch_variable variable) {
    if (variable("OMPI_COMM_WORLD_SIZE"))
        return DT_LAUNCHER_OPEN_MPI;
    if (variable("MV2_COMM_WORLD_SIZE"))
        return DT_LAUNCHER_NONE;
    if (variable("MPI_LOCALNRANKS"))
        return DT_LAUNCHER_HYDRA;
    if (step_tasks(variable) > 0)
        return DT_LAUNCHER_SRUN;
    return variable("PMI_SIZE") ? DT_LAUNCHER_HYDRA : DT_LAUNCHER_NONE;
}

/* Variables in which launchers tell the ranks their binding. */
static const struct {
    dt_launcher launcher;
    const char *binding, *cores; /* cores a rank: a number, or a mapping with PE=number; NULL: not told */
} given[] = {
    {DT_LAUNCHER_OPEN_MPI, "OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_rmaps_base_mapping_policy"},
    {DT_LAUNCHER_OPEN_MPI, "PRTE_MCA_hwloc_default_binding_policy", "PRTE_MCA_rmaps_default_mapping_policy"},
    {DT_LAUNCHER_HYDRA, "HYDRA_BINDING", NULL},
    {DT_LAUNCHER_SRUN, "SLURM_CPU_BIND_TYPE", "SLURM_CPUS_PER_TASK"},
};

static int read_cores_each(const char *text) {
    const char *mapping = text ? strcasestr(text, "pe=") : NULL;
    long cores = text ? strtol(mapping ? mapping + 3 : text, NULL, 10) : 0;
    return cores > 0 && cores <= DT_CORES ? (int)cores : 0;
}

dt_launch_facts dt_launch_facts_read(dt_launch_variable variable) {
    dt_launch_facts facts = {.launcher = find_launcher(variable)};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        if (given[i].launcher != facts.launcher)
            continue;
        const char *binding = variable(given[i].binding);
        facts.unbound |= binding && strncmp(binding, "none", 4) == 0;
        int cores = given[i].cores ? read_cores_each(variable(given[i].cores)) : 0;
        if (cores > 0)
            facts.cores_each = cores;
    }
    return facts;
}

static dt_status refuse_own(const dt_launch *launch) {
    return dt_fail(
        DT_MACHINE,
        "%s started %d processes, but each of them sees one rank: the launcher and the MPI library "
        "of this program are of different versions, or the launcher's connection was lost on the "
        "way. Start with the launcher that was installed with the library",
        launchers[launch->family].launcher, launch->own_size);
}

static dt_status refuse_foreign(const dt_launch *launch) {
    const char *name = family_names[launch->family];
    return dt_fail(DT_MACHINE,
                   "%s (%s) started %d processes, but this program was built with %s, so that each of them "
                   "would be a run of its own with one rank: start with the mpirun of %s. For separate runs "
                   "unset %s",
                   launch->foreign.launcher, launch->foreign.name, launch->foreign.size, name, name,
                   launch->foreign.name);
}

static dt_status refuse_step(const dt_launch *launch) {
    bool hydra = launch->family == DT_LAUNCH_HYDRA;
    const char *lack = launch->slurm_pmix ? "through a PMIx that its MPI does not understand"
                       : hydra            ? "without PMI-2"
                                          : "without PMIx";
    return dt_fail(DT_MACHINE,
                   "srun started %d tasks %s, so that each of them would be a run of its own with one "
                   "rank: start with `srun --mpi=%s -n %d dtrain` or, inside the allocation, `mpirun dtrain`",
                   launch->step_tasks, lack, hydra ? "pmi2" : "pmix", launch->step_tasks);
}

/* Before MPI has been asked, each launcher that it may understand is given the chance. */
static bool may_be_joined(const dt_launch *launch) {
    return launch->own_size > 0 || launch->foreign.size > 0 || launch->pmix || launch->pmi_rank;
}

/* MPI sees one rank, and its own launcher says nothing of the number. */
static dt_status check_singleton(const dt_launch *launch) {
    bool in_step = launch->step_tasks > 1;
    /* A PMIx server that is not Slurm's was started inside the step, and MPI has asked it. */
    if (launch->family == DT_LAUNCH_OPEN_MPI && launch->pmix && !launch->slurm_pmix)
        return dt_ok();
    if (launch->foreign.size == 1)
        return dt_ok();
    /* srun sets PMI_SIZE too. */
    if (launch->foreign.size > 1 && launch->foreign.size != launch->step_tasks)
        return refuse_foreign(launch);
    return in_step ? refuse_step(launch) : dt_ok();
}

dt_status dt_launch_check(const dt_launch *launch, int mpi_size) {
    if (mpi_size > 1)
        return dt_ok();
    if (mpi_size == 0)
        return launch->step_tasks > 1 && !may_be_joined(launch) ? refuse_step(launch) : dt_ok();
    if (launch->own_size > 1)
        return refuse_own(launch);
    return launch->own_size == 1 ? dt_ok() : check_singleton(launch);
}
