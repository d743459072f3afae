#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# How runs end that cannot go on: exit code and words. Arguments: the program failing_run, mpirun.
set -u
program=$1
mpirun=$2
failures=0
# What the two MPIs say and do otherwise. Hydra ends the others as well when a rank leaves without a farewell, but it says nothing.
invalid_rank='MPI_ERR_RANK' early_code=1 early_words='process rank 2'
srun_remedy='without PMIx.*srun --mpi=pmix'
if [ "${DT_MPIEXEC_KIND:-openmpi}" = hydra ]; then
  invalid_rank='Invalid rank' early_code=0 early_words=''
  srun_remedy='without PMI-2.*srun --mpi=pmi2'
fi

# expect CODE PATTERN COMMAND...
expect() {
  local code=$1 pattern=$2 output got
  shift 2
  output=$("$@" 2>&1)
  got=$?
  echo "\$ $*"
  echo "$output"
  if [ "$got" -ne "$code" ]; then
    echo "FAILED: exit code $got, not $code"
    failures=$((failures + 1))
  fi
  if ! grep -Eq -- "$pattern" <<<"$output"; then
    echo "FAILED: no line has $pattern"
    failures=$((failures + 1))
  fi
  if [ "$pattern" != 'went on' ] && grep -q "went on" <<<"$output"; then
    echo "FAILED: a rank went on"
    failures=$((failures + 1))
  fi
}

expect 0 'went on' "$mpirun" -np 2 --bind-to none "$program" none
expect 7 "dtrain: error: rank 1 on [^ ]+: MPI_Isend\\(.*\\): $invalid_rank" "$mpirun" -np 2 --bind-to none "$program" astray
expect 6 '' "$mpirun" -np 3 --bind-to none "$program" abort
expect "$early_code" "$early_words" "$mpirun" -np 3 --bind-to none "$program" early
expect 7 "launcher rank 0, code 7: srun started 3 tasks $srun_remedy -n 3 dtrain" "$program" singletons
# A real mpirun in a step of several tasks is fine.
expect 0 'went on' "$mpirun" -np 1 --bind-to none "$program" singletons
# Another MPI's launcher: every process is refused, and one of them says why.
expect 7 'code 7: mpiexec of MPICH .*started 4 processes' env PMI_SIZE=4 PMI_RANK=0 "$program" none
expect 7 'code 7: $' env PMI_SIZE=4 PMI_RANK=3 "$program" none
expect 0 'went on' env PMI_SIZE=1 PMI_RANK=0 "$program" none
expect 0 'went on' env PMI_SIZE=4 PMI_RANK=3 "$mpirun" -np 1 --bind-to none "$program" none
if command -v mpiexec.hydra >/dev/null && [ "${DT_MPIEXEC_KIND:-openmpi}" != hydra ]; then
  expect 7 'code 7: mpiexec of MPICH .*started 3 processes' mpiexec.hydra -n 3 "$program" none
else
  echo "skipped: the launcher of another MPI, which is not here (mpiexec.hydra)"
fi
exit $((failures > 0))
