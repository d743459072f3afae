#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_scaling.sh DTRAIN: slurm/scaling.sbatch over two nodes, by srun and by mpirun.
# shellcheck disable=SC1091,SC2034,SC2154 # common.sh gives and takes variables
. "$(dirname "$0")/common.sh"
DTRAIN=$1
[ -n "${DT_CLUSTER_MODE:-}" ] || enter_slurm "$@"
start_test

tiny=(--experiments strong --batches 16 --repeats 1 --blocks 1 --steps 2 --width 0.05 --ranks 2)
by_srun=$(submit -o srun.out "$scripts/scaling.sbatch" "${tiny[@]}")
by_mpirun=$(DTRAIN_LAUNCHER=mpirun DTRAIN_WRAP="env DT_WRAPPED=1" submit -o mpirun.out "$scripts/scaling.sbatch" "${tiny[@]}")
ended "$by_srun" 150 COMPLETED 0
ended "$by_mpirun" 150 COMPLETED 0
for way in srun mpirun; do
    says $way.out "2 ranks x 1 threads by $way"
    says $way.out '^ +16 +allreduce +2 +1 .* VALID$'
    says $way.out 'exit code 0: all runs are valid'
done
says "runs/$by_srun/scaling.jsonl" '"launcher": *"srun'
says "runs/$by_mpirun/scaling.jsonl" '"launcher": *"mpirun'
[ -s "runs/$by_srun/scaling.csv" ] || fail "no scaling.csv"
echo "scaling.sbatch ($DT_CLUSTER_MODE): valid runs over 2 nodes by srun and by mpirun"
