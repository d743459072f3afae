#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What a site or a user sets. Every script of this folder reads it first. A value that is set in the environment wins:
#     DTRAIN_LAUNCHER=mpirun sbatch slurm/train.sbatch

# Modules: those that dtrain was built with, as a rule a compiler and its MPI. Where batch jobs do not know `module`, read
# the site's /etc/profile.d/modules.sh (or lmod.sh) first.
# module purge
# module load gcc openmpi

# The program. Empty: build/dtrain beside this folder, else the first in PATH.
: "${DTRAIN:=}"

# What to put in front of the program, for a container: "apptainer exec dtrain.sif", with DTRAIN set to the program's name
# inside. The container's MPI must be of the same kind and version as the launcher's outside.
: "${DTRAIN_WRAP:=}"

# Folder for results; all nodes must see it. Empty: runs/JOBID below the folder that sbatch was called in. The option --out
# wins.
: "${DTRAIN_OUT:=}"

# Data: see --data; one rank reads it.
# export DTRAIN_DATA=...

# srun or mpirun. Empty: srun, where it speaks PMIx.
: "${DTRAIN_LAUNCHER:=}"

# The dialect between srun and MPI: a word of `srun --mpi=list`. Open MPI: pmix. MPICH and Intel MPI: pmi2.
: "${DTRAIN_SRUN_MPI:=pmix}"

# Further options of the launchers. mpirun binds each rank to as many cores as it has CPUs (-c); where CPUs are hardware
# threads, say `#SBATCH --hint=nomultithread`, or DTRAIN_MPIRUN_BIND="--bind-to none".
: "${DTRAIN_SRUN_OPTIONS:=}"
: "${DTRAIN_MPIRUN_OPTIONS:=}"
: "${DTRAIN_MPIRUN_BIND:=}"

# Seconds that mpirun lets its ranks save after a SIGTERM to itself before it kills them; a save that is cut off leaves the
# last checkpoint as it was. mpirun (Open MPI 4) also takes about four times as long to end whenever a rank leaves with an
# exit code, so it must be well below the 120 s of `#SBATCH --signal`. srun has no such clock, only Slurm's KillWait.
: "${OMPI_MCA_odls_base_sigkill_timeout:=5}"
export OMPI_MCA_odls_base_sigkill_timeout
