#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# dtrain info's table of ranks, cores and threads, and its warnings, on two processors of this machine.
# Usage: test_placement.sh DTRAIN MPIEXEC
set -u
dtrain=$1
mpiexec=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
unset OMP_NUM_THREADS
failures=0

complain() {
  echo "FAILED: $*"
  cat output warnings
  failures=$((failures + 1))
}

# run COMMAND...: standard output to output, warnings to warnings.
run() {
  timeout 60 "$@" >output 2>warnings </dev/null || complain "exit code $?: $*"
}

# expect PATTERN: just one line of the output matches.
expect() {
  [ "$(grep -cE -- "$1" output)" -eq 1 ] || complain "not one line like '$1'"
}

# warned PATTERN COUNT
warned() {
  [ "$(grep -c 'dtrain: warning: ' warnings)" -eq "$2" ] || complain "not $2 warnings"
  [ "$2" -eq 0 ] || grep -qE -- "dtrain: warning: .*$1" warnings || complain "no warning like '$1'"
}

# The first two processors that this shell may use; they may be one core.
processors=$(taskset -pc $$ | sed 's/.*: //' | tr ',' '\n' |
  while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done | head -n 2 | paste -sd,)
two=(taskset -c "$processors")
info=("$dtrain" info --data synthetic:60)

run "${two[@]}" "${info[@]}"
cores=$(sed -nE 's/^rank 0 .* cores? .* ([0-9]+) threads?$/\1/p' output)
[ -n "$cores" ] || { complain "no line for rank 0"; exit 1; }
echo "processors $processors: $cores core(s)"
for row in build CPU memory MPI BLAS ISA 'FMA peak' bandwidth data; do
  expect "^$row  +[^ ]"
done
expect '^FMA peak +[1-9][0-9.]* GFLOP/s on [12] thread'
expect '^bandwidth +[0-9.]*[1-9][0-9.]* GB/s$'
expect '^data +synthetic digits'
expect '1 rank on 1 host'
warned '' 0

run "${two[@]}" "${info[@]}" --threads $((cores + 1))
expect "^rank 0  .*  $((cores + 1)) threads\$"
warned "--threads $((cores + 1)) is more than the $cores core" 1

OMP_NUM_THREADS=1 run "${two[@]}" "${info[@]}"
expect '^rank 0  .*  1 thread$'

OMP_NUM_THREADS=$((cores + 1)) run "${two[@]}" "${info[@]}"
expect "^rank 0  .*  $cores threads?\$"
warned "OMP_NUM_THREADS=$((cores + 1)) is ignored" 1

run "${two[@]}" "$mpiexec" -np 2 --bind-to none "${info[@]}"
expect "^ranks 0-1  .*  cores? [0-9,-]+ \\(shared by 2\\)  1 thread each\$"
expect '2 ranks on 1 host'
warned 'will take turns' $((cores < 2))

# What GCC's OpenMP makes of these before main is not the binding that the launcher gave.
for setting in OMP_PROC_BIND=true GOMP_CPU_AFFINITY="${processors%,*}"; do
  run "${two[@]}" env "$setting" "${info[@]}"
  expect "^rank 0  .*  $cores threads?\$"
  warned '' 0
done

# One machine that MPI takes for two.
DTRAIN_NODE_RANKS=1 run "${two[@]}" "$mpiexec" -np 2 --bind-to none "${info[@]}"
[ "$(grep -cE '^rank [01]  .*  cores? [0-9,-]+ \(shared by 2\)  1 thread$' output)" -eq 2 ] || expect '^ranks 0-1  .*\(shared by 2\)  1 thread each$'
warned 'MPI takes this machine for several nodes: its 2 ranks share its cores' 1

run "${two[@]}" "$mpiexec" -np 4 --bind-to none "${info[@]}"
expect "^ranks 0-3  .*  cores? [0-9,-]+ \\(shared by 4\\)  1 thread each\$"
warned '4 ranks of this node, with 4 threads in all, share' 1

# The processors are withheld from outside: what mpirun was told already is no advice.
run taskset -c "${processors%,*}" "$mpiexec" -np 2 --bind-to none "${info[@]}"
warned '2 ranks of this node, with 2 threads in all, share 1 core .* will take turns: use at most 1 rank on these cores$' 1
grep -q 'bind-to' warnings && complain "advice that was followed already"

# Plain mpirun pins a few ranks to one core each.
if [ "$cores" -eq 2 ] && [ "$(nproc)" -ge 2 ]; then
  run "$mpiexec" -np 1 --bind-to core "${info[@]}"
  expect '^rank 0  .*  core [0-9]+  1 thread$'
  warned 'this rank is bound to 1 of the node.s [0-9]+ cores' 1
  run "$mpiexec" -np 2 --bind-to core "${info[@]}"
  expect '^ranks 0-1  .*  cores [0-9,-]+ \(1 each\)  1 thread each$'
fi

[ "$failures" -eq 0 ] && echo "all tables as expected"
exit "$((failures > 0))"
