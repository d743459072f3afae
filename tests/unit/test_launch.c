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
    bool refused;
} launch_case;

static const launch_case cases[] = {
    {"by hand", {"HOME=/"}, 1, 0, false},
    {"mpirun -np 1", {"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0", "PMIX_RANK=0"}, 1, 0, false},
    {"mpirun -np 4", {"OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK=3", "PMIX_RANK=3"}, 4, 3, false},
    {"srun -n 4 --mpi=none",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "SLURM_NTASKS=4"},
     1,
     2,
     true},
    {"the same before MPI starts",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "SLURM_NTASKS=4"},
     0,
     2,
     true},
    {"the same with an MPI that found the others",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "SLURM_NTASKS=4"},
     4,
     2,
     false},
    {"older names", {"SLURM_PROCID=1", "SLURM_STEPID=0", "SLURM_NTASKS=2"}, 1, 1, true},
    {"srun --mpi=pmix -n 4",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMIX_RANK=2",
      "PMIX_NAMESPACE=slurm.1.0"},
     4,
     2,
     false},
    {"srun --mpi=pmi2, not asked yet",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMI_RANK=2"},
     0,
     2,
     false},
    {"srun --mpi=pmi2, not understood",
     {"SLURM_PROCID=2", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=4", "PMI_RANK=2"},
     1,
     2,
     true},
    {"srun -n 1",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=1", "SLURM_NTASKS=1"},
     1,
     0,
     false},
    {"a batch script of a job of 4", {"SLURM_PROCID=0", "SLURM_NTASKS=4"}, 1, 0, false},
    {"a shell in an allocation of 4",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=4294967290", "SLURM_STEP_NUM_TASKS=1", "SLURM_NTASKS=4"},
     1,
     0,
     false},
    {"mpirun -np 1 in a batch script of 4",
     {"SLURM_PROCID=0", "SLURM_NTASKS=4", "OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"},
     1,
     0,
     false},
    {"mpirun -np 1 under a step of 2 daemons",
     {"SLURM_PROCID=1", "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=2", "OMPI_COMM_WORLD_SIZE=1",
      "OMPI_COMM_WORLD_RANK=0"},
     1,
     0,
     false},
    {"Hydra's mpirun -np 1 in a step",
     {"SLURM_PROCID=0", "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=2", "PMI_RANK=0", "MPI_LOCALNRANKS=1"},
     1,
     0,
     false},
    {"numbers that are none",
     {"SLURM_PROCID=x", "SLURM_STEP_ID=1", "SLURM_STEP_NUM_TASKS=many", "OMPI_COMM_WORLD_RANK="},
     1,
     0,
     false},
};

static void test_launchers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *lines[MOST_LINES + 1] = {0};
        memcpy(lines, cases[i].environment, sizeof cases[i].environment);
        environment = lines;
        print_message("%s\n", cases[i].what);
        assert_int_equal(dt_launch_rank(look_up), cases[i].rank);
        if (cases[i].refused)
            assert_fails(dt_launch_check(look_up, cases[i].mpi_size), DT_MACHINE, "srun --mpi=pmix -n ");
        else
            assert_ok(dt_launch_check(look_up, cases[i].mpi_size));
    }
}

static void test_refusal_names_values(void **state) {
    (void)state;
    static const char *const lines[] = {"SLURM_PROCID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=12", NULL};
    environment = lines;
    assert_fails(dt_launch_check(look_up, 1), DT_MACHINE, "srun started 12 tasks without PMIx");
    assert_fails(dt_launch_check(look_up, 1), DT_MACHINE, "`srun --mpi=pmix -n 12 dtrain`");
    assert_fails(dt_launch_check(look_up, 1), DT_MACHINE, "`mpirun dtrain`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launchers),
        cmocka_unit_test(test_refusal_names_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
