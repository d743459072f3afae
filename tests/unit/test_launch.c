/* SPDX-License-Identifier: BSD-3-Clause */
/* How a process was started, on invented environments. */
#include "test.h"

#include <string.h>

#include "comm/launch.h"

/* Lines of NAME=value. */
static const char *const *environment;

static const char *look_up(const char *name) {
    size_t length = strlen(name);
    for (const char *const *line = environment; *line; line++)
        if (strncmp(*line, name, length) == 0 && (*line)[length] == '=')
            return *line + length + 1;
    return NULL;
}

enum { MOST_LINES = 8 };

typedef struct launch_case {
    const char *what;
    const char *environment[MOST_LINES];
    int mpi_size; /* 0: MPI has not been asked */
    int rank;
    const char *refused; /* a part of the message; NULL: not refused */
    dt_launch_family family;
} launch_case;

#define SRUN "srun --mpi=pmix -n "

static const launch_case cases[] = {
    {"by hand", {"HOME=/"}, 1, 0, NULL, DT_LAUNCH_OPEN_MPI},
    {"mpirun -np 1",
     {"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0", "PMIX_RANK=0"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"mpirun -np 4",
     {"OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=3", "PMIX_RANK=3"},
     4,
     3,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"srun -n 4 --mpi=none",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "SLURM_NTASKS=4"},
     1,
     2,
     SRUN,
     DT_LAUNCH_OPEN_MPI},
    {"the same before MPI starts",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "SLURM_NTASKS=4"},
     0,
     2,
     SRUN,
     DT_LAUNCH_OPEN_MPI},
    {"the same with an MPI that found the others",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "SLURM_NTASKS=4"},
     4,
     2,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"older names", {"SLURM_PROCID=1", "SLURM_STEPID=0", "SLURM_NTASKS=2"}, 1, 1, SRUN, DT_LAUNCH_OPEN_MPI},
    {"srun --mpi=pmix -n 4",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=2",
      "PMIX_NAMESPACE=slurm.1.0"},
     4,
     2,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"srun --mpi=pmi2, not asked yet",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMI_RANK=2"},
     0,
     2,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"srun --mpi=pmi2, not understood",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMI_RANK=2"},
     1,
     2,
     SRUN,
     DT_LAUNCH_OPEN_MPI},
    {"srun -n 1",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=1", "SLURM_NTASKS=1"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"a batch script of a job of 4", {"SLURM_PROCID=0", "SLURM_NTASKS=4"}, 1, 0, NULL, DT_LAUNCH_OPEN_MPI},
    {"a shell in an allocation of 4",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=4294967290", "SLURM_STEP_NUM_TASKS=1", "SLURM_NTASKS=4"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"mpirun -np 1 in a batch script of 4",
     {"SLURM_PROCID=0", "SLURM_NTASKS=4", "OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"mpirun -np 1 under a step of 2 daemons",
     {"SLURM_PROCID=1", "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=2", "OMPI_COMM_WORLD_SIZE=1",
      "OMPI_COMM_WORLD_RANK=0"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"Hydra's mpirun -np 1 in a step",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=2", "PMI_RANK=0", "MPI_LOCALNRANKS=1"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"numbers that are none",
     {"SLURM_PROCID=x", "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=many", "OMPI_COMM_WORLD_RANK="},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"mpiexec of MPICH, program of Open MPI",
     {"PMI_SIZE=4", "PMI_RANK=1", "PMI_FD=8", "MPI_LOCALNRANKS=4", "MPI_LOCALRANKID=1"},
     1,
     1,
     "mpiexec of MPICH or Intel MPI (PMI_SIZE) started 4 processes, but this program was built with Open MPI",
     DT_LAUNCH_OPEN_MPI},
    {"the same before MPI starts",
     {"PMI_SIZE=4", "PMI_RANK=1", "MPI_LOCALNRANKS=4"},
     0,
     1,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"the same with a rank a host",
     {"PMI_SIZE=4", "PMI_RANK=1", "MPI_LOCALNRANKS=1"},
     1,
     1,
     "(PMI_SIZE) started 4",
     DT_LAUNCH_OPEN_MPI},
    {"the ranks of the host alone are known",
     {"MPI_LOCALNRANKS=2"},
     1,
     0,
     "(MPI_LOCALNRANKS) started 2",
     DT_LAUNCH_OPEN_MPI},
    {"mpiexec -n 1 of MPICH, program of Open MPI",
     {"PMI_SIZE=1", "PMI_RANK=0", "MPI_LOCALNRANKS=1"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"its own mpirun -np 1 in each process of a foreign mpiexec",
     {"PMI_SIZE=4", "PMI_RANK=1", "OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0", "PMIX_RANK=0",
      "PMIX_NAMESPACE=1"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"mpiexec of MPICH, program of MPICH",
     {"PMI_SIZE=4", "PMI_RANK=1", "MPI_LOCALNRANKS=4"},
     4,
     1,
     NULL,
     DT_LAUNCH_HYDRA},
    {"mpiexec -n 1 of MPICH, program of MPICH",
     {"PMI_SIZE=1", "PMI_RANK=0", "MPI_LOCALNRANKS=1"},
     1,
     0,
     NULL,
     DT_LAUNCH_HYDRA},
    {"mpiexec of MPICH whose connection was lost",
     {"PMI_SIZE=4", "PMI_RANK=1"},
     1,
     1,
     "mpiexec of MPICH or Intel MPI started 4 processes, but each of them sees one rank",
     DT_LAUNCH_HYDRA},
    {"mpirun of Open MPI, program of MPICH",
     {"OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=2", "PMIX_RANK=2", "PMIX_NAMESPACE=1"},
     1,
     2,
     "mpirun of Open MPI (OMPI_COMM_WORLD_SIZE) started 4 processes, but this program was built with MPICH",
     DT_LAUNCH_HYDRA},
    {"mpirun -np 1 of Open MPI, program of MPICH",
     {"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0", "PMIX_RANK=0"},
     1,
     0,
     NULL,
     DT_LAUNCH_HYDRA},
    {"mpirun of another Open MPI",
     {"OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=2", "PMIX_RANK=2"},
     1,
     2,
     "mpirun of Open MPI started 4 processes, but each of them sees one rank",
     DT_LAUNCH_OPEN_MPI},
    {"mpirun of MVAPICH",
     {"MV2_COMM_WORLD_SIZE=2"},
     1,
     0,
     "(MV2_COMM_WORLD_SIZE) started 2",
     DT_LAUNCH_OPEN_MPI},
    {"an MPI that is not known, its ranks joined", {"PMI_SIZE=4", "PMI_RANK=1"}, 4, 1, NULL, DT_LAUNCH_OTHER},
    {"an MPI that is not known, its ranks not joined",
     {"PMI_SIZE=4", "PMI_RANK=1"},
     1,
     1,
     "built with another MPI",
     DT_LAUNCH_OTHER},
    {"srun --mpi=pmix, not understood",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=2",
      "PMIX_NAMESPACE=slurm.pmix.7.0"},
     1,
     2,
     "through a PMIx that its MPI does not understand",
     DT_LAUNCH_OPEN_MPI},
    {"srun --mpi=pmix, program of MPICH",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=2",
      "PMIX_NAMESPACE=slurm.pmix.7.0"},
     1,
     2,
     "`srun --mpi=pmi2 -n 4 dtrain`",
     DT_LAUNCH_HYDRA},
    {"srun --mpi=pmi2, program of Open MPI that does not know it",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMI_RANK=2", "PMI_SIZE=4"},
     1,
     2,
     SRUN,
     DT_LAUNCH_OPEN_MPI},
    {"prterun -np 1 in a step of 4",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=0",
      "PMIX_NAMESPACE=prterun-node-1@1"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
    {"a foreign mpiexec in a batch script",
     {"SLURM_PROCID=0", "SLURM_NTASKS=4", "PMI_SIZE=4", "PMI_RANK=3"},
     1,
     3,
     "(PMI_SIZE) started 4",
     DT_LAUNCH_OPEN_MPI},
    {"a foreign mpiexec in a step of one task",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=4294967290", "SLURM_STEP_NUM_TASKS=1", "PMI_SIZE=4", "PMI_RANK=3"},
     1,
     3,
     "(PMI_SIZE) started 4",
     DT_LAUNCH_OPEN_MPI},
    {"sizes that are none",
     {"PMI_SIZE=-4", "OMPI_COMM_WORLD_SIZE=99999999999999999999", "MPI_LOCALNRANKS=2x"},
     1,
     0,
     NULL,
     DT_LAUNCH_OPEN_MPI},
};

static void test_launchers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *lines[MOST_LINES + 1] = {0};
        memcpy(lines, cases[i].environment, sizeof cases[i].environment);
        environment = lines;
        print_message("%s\n", cases[i].what);
        assert_int_equal(dt_launch_rank(look_up), cases[i].rank);
        dt_launch launch = dt_launch_read(look_up, cases[i].family);
        if (cases[i].refused)
            assert_fails(dt_launch_check(&launch, cases[i].mpi_size), DT_MACHINE, cases[i].refused);
        else
            assert_ok(dt_launch_check(&launch, cases[i].mpi_size));
    }
}

typedef struct facts_case {
    const char *environment[MOST_LINES];
    dt_launch_facts facts;
} facts_case;

#define MPIRUN "OMPI_COMM_WORLD_SIZE=2"
#define STEP   "SLURM_PROCID=1", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2"

static const facts_case all_facts[] = {
    {{"HOME=/"}, {DT_LAUNCHER_NONE, false, 0}},
    {{"SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_CPUS_PER_TASK=2"}, {DT_LAUNCHER_NONE, false, 0}},
    {{MPIRUN}, {DT_LAUNCHER_OPEN_MPI, false, 0}},
    {{MPIRUN, "OMPI_MCA_hwloc_base_binding_policy=none"}, {DT_LAUNCHER_OPEN_MPI, true, 0}},
    {{MPIRUN, "PRTE_MCA_hwloc_default_binding_policy=none"}, {DT_LAUNCHER_OPEN_MPI, true, 0}},
    {{MPIRUN, "OMPI_MCA_hwloc_base_binding_policy=core", "OMPI_MCA_rmaps_base_mapping_policy=slot:PE=4"},
     {DT_LAUNCHER_OPEN_MPI, false, 4}},
    {{MPIRUN, "PRTE_MCA_rmaps_default_mapping_policy=slot:pe=2"}, {DT_LAUNCHER_OPEN_MPI, false, 2}},
    {{MPIRUN, STEP, "SLURM_CPU_BIND_TYPE=none", "SLURM_CPUS_PER_TASK=4"}, {DT_LAUNCHER_OPEN_MPI, false, 0}},
    {{"PMI_SIZE=2", "MPI_LOCALNRANKS=2"}, {DT_LAUNCHER_HYDRA, false, 0}},
    {{"PMI_SIZE=2", "HYDRA_BINDING=none"}, {DT_LAUNCHER_HYDRA, true, 0}},
    {{"PMI_SIZE=2", "MPI_LOCALNRANKS=2", STEP}, {DT_LAUNCHER_HYDRA, false, 0}},
    {{"MV2_COMM_WORLD_SIZE=2", STEP}, {DT_LAUNCHER_NONE, false, 0}},
    {{"PMI_SIZE=2", STEP}, {DT_LAUNCHER_SRUN, false, 0}},
    {{STEP, "SLURM_CPU_BIND_TYPE=none", "SLURM_CPUS_PER_TASK=4"}, {DT_LAUNCHER_SRUN, true, 4}},
    {{STEP, "SLURM_CPU_BIND_TYPE=mask_cpu:", "SLURM_CPUS_PER_TASK=x"}, {DT_LAUNCHER_SRUN, false, 0}},
};

static void test_facts_for_advice(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof all_facts / sizeof *all_facts; i++) {
        const char *lines[MOST_LINES + 1] = {0};
        memcpy(lines, all_facts[i].environment, sizeof all_facts[i].environment);
        environment = lines;
        print_message("facts %zu\n", i);
        dt_launch_facts facts = dt_launch_facts_read(look_up);
        assert_int_equal(facts.launcher, all_facts[i].facts.launcher);
        assert_int_equal(facts.unbound, all_facts[i].facts.unbound);
        assert_int_equal(facts.cores_each, all_facts[i].facts.cores_each);
    }
}

static void test_refusal_names_values(void **state) {
    (void)state;
    static const char *const lines[] = {"SLURM_PROCID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=12", NULL};
    environment = lines;
    dt_launch launch = dt_launch_read(look_up, DT_LAUNCH_OPEN_MPI);
    assert_fails(dt_launch_check(&launch, 1), DT_MACHINE, "srun started 12 tasks without PMIx");
    assert_fails(dt_launch_check(&launch, 1), DT_MACHINE, "`srun --mpi=pmix -n 12 dtrain`");
    assert_fails(dt_launch_check(&launch, 1), DT_MACHINE, "`mpirun dtrain`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launchers),
        cmocka_unit_test(test_facts_for_advice),
        cmocka_unit_test(test_refusal_names_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
