#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_train.sh DTRAIN: slurm/train.sbatch by srun and by mpirun, the same bits on any layout; what is wrong with an
# allocation, a cluster or a call is said.
# shellcheck disable=SC1091,SC2034,SC2154 # common.sh gives and takes variables
. "$(dirname "$0")/common.sh"
DTRAIN=$1
[ -n "${DT_CLUSTER_MODE:-}" ] || enter_slurm "$@"
start_test

tiny=(--data synthetic:600 --validation 88 --epochs 1 --width 0.05)
"$DTRAIN" "${tiny[@]}" --out reference >/dev/null 2>&1 || fail "the reference"
expected=$(weights_hash reference)
[ -n "$expected" ] || fail "the reference has no hash"

# On node2 another processor and a folder of its own at $work/local; only hosts can have that.
mkdir local
if [ "$DT_CLUSTER_MODE" = hosts ]; then
    sed 's/^model name.*/model name : Other Processor 9000/' /proc/cpuinfo >cpuinfo
    # shellcheck disable=SC1091,SC2016
    bash -c '. "$0/sandbox.sh"; sandbox_exec node2 sh -c "mount --bind $1/cpuinfo /proc/cpuinfo && mount -t tmpfs tmpfs $1/local"' \
        "$cluster" "$work" || fail "cannot change node2"
fi

layout=(--nodes=2 --ntasks-per-node=2 --cpus-per-task=1)
by_srun=$(submit "${layout[@]}" -o srun.out "$scripts/train.sbatch" "${tiny[@]}")
by_mpirun=$(DTRAIN_LAUNCHER=mpirun DTRAIN_WRAP="env DT_WRAPPED=1" submit "${layout[@]}" -o mpirun.out "$scripts/train.sbatch" "${tiny[@]}")
# Without its x86 part hwloc believes /proc/cpuinfo.
unshared=$(HWLOC_COMPONENTS=-x86 submit --nodes=2 --ntasks-per-node=1 --cpus-per-task=2 -o unshared.out "$scripts/train.sbatch" "${tiny[@]}" \
    --threads 3 --out "$work/local/run")
ended "$by_srun" 120 COMPLETED 0
ended "$by_mpirun" 120 COMPLETED 0
ended "$unshared" 120 COMPLETED 0

for way in srun mpirun; do
    says $way.out "2 nodes \(node\[1-2\]\), 4 ranks x 1 threads by $way"
    says $way.out 'exit code 0: done'
    [ "$DT_CLUSTER_MODE" = ports ] || says $way.out '^ranks 0-1 +node1 '
    [ "$DT_CLUSTER_MODE" = ports ] || says $way.out '^ranks 2-3 +node2 '
    says_not $way.out 'cannot see it'
done
for run in "$by_srun" "$by_mpirun"; do
    [ "$(weights_hash "runs/$run")" = "$expected" ] || fail "job $run: $(weights_hash "runs/$run"), not $expected"
done
says unshared.out 'warning: --threads 3, but each rank has 2 CPUs'
if [ "$DT_CLUSTER_MODE" = hosts ]; then
    says unshared.out 'local/run is not shared: node2 cannot see it'
    says unshared.out 'node1: .*; node2: Other Processor 9000'
    says unshared.out 'warning: the ranks run on different processors.*Other Processor 9000 \(rank 1\)'
fi

# Slurm's warning may come while the script still looks at the nodes, and finds a launcher that has only just started, and
# ranks that have no handler yet: the run saves and leaves all the same.
mkdir early
printf '#!/bin/sh\n[ "$1" != --mpi=none ] || scancel -b -s USR1 "$SLURM_JOB_ID"\nexec %s "$@"\n' "$(command -v srun)" >early/srun
chmod +x early/srun
for way in srun mpirun; do
    early=$(PATH=$work/early:$PATH DTRAIN_LAUNCHER=$way submit "${layout[@]}" -o "early-$way.out" "$scripts/train.sbatch" "${tiny[@]}" --epochs 100000)
    ended "$early" 60 FAILED 75
    says "early-$way.out" 'SIGUSR1 from Slurm: the run is asked'
    says "early-$way.out" '^stopped as asked \(SIGUSR1 at rank 0\)'
done

# Faults of the cluster and of the call: an srun that does not know PMIx, a program that does not exist, options that are
# wrong, a folder that cannot be.
mkdir bin
printf '#!/bin/sh\n[ "$1" != --mpi=list ] || { echo "MPI plugin types are... none pmi2"; exit 0; }\nexec %s "$@"\n' \
    "$(command -v srun)" >bin/srun
chmod +x bin/srun
: >file
quick=(--nodes=1 --ntasks-per-node=1)
no_pmix=$(PATH=$work/bin:$PATH DTRAIN_LAUNCHER=srun submit "${quick[@]}" -o no-pmix.out "$scripts/train.sbatch" "${tiny[@]}")
fallback=$(PATH=$work/bin:$PATH submit "${quick[@]}" -o fallback.out "$scripts/train.sbatch" "${tiny[@]}")
nothing=$(DTRAIN=/nowhere/dtrain submit "${quick[@]}" -o nothing.out "$scripts/train.sbatch" "${tiny[@]}")
wrong=$(submit "${quick[@]}" -o wrong.out "$scripts/train.sbatch" --batch -3)
nowhere=$(DTRAIN_OUT=$work/file/run submit "${quick[@]}" -o nowhere.out "$scripts/train.sbatch" "${tiny[@]}")
# srun without -K: a dead rank does not let the others wait, be it that Slurm ends them or that they see it themselves.
careless=$(submit --nodes=1 --ntasks-per-node=3 -o careless.out \
    --wrap "srun -K0 --mpi=pmix $DTRAIN ${tiny[*]} --epochs 100000 --checkpoint-every none --out careless")
kill_a_rank() {
    local rank
    grep -q '^epoch 1/' careless.out && rank=$(pgrep -n -f -- "^$DTRAIN .*--out careless") && kill -KILL "$rank"
}
await 60 "a rank to kill" kill_a_rank
ended "$no_pmix" 60 FAILED 7
ended "$fallback" 60 COMPLETED 0
ended "$nothing" 60 FAILED 2
ended "$wrong" 60 FAILED 2
ended "$nowhere" 60 FAILED 4
ended "$careless" 40 FAILED 137
says careless.out 'STEP .* CANCELLED|error: a rank on .* was lost'
says no-pmix.out 'error: srun on this cluster does not speak pmix .*DTRAIN_LAUNCHER=mpirun'
says fallback.out 'srun does not speak pmix here: mpirun starts the ranks'
says nothing.out 'error: there is no program /nowhere/dtrain'
says wrong.out 'exit code 2: wrong options'
says nowhere.out 'error: cannot make the folder'
echo "train.sbatch ($DT_CLUSTER_MODE): $expected by srun, by mpirun and without Slurm; 6 faults are said"
