#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Wrong command lines: one message, exit code 2, all ranks gone within seconds, nothing written.
# Usage: test_options.sh DTRAIN MPIEXEC
set -u
dtrain=$1
mpiexec=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/work"
cd "$folder/work" || exit 1
failures=0

complain() {
  echo "FAILED: $*"
  cat "$folder/output"
  failures=$((failures + 1))
}

# run RANKS ARGUMENT...: sets code; 0 ranks: without mpiexec.
run() {
  local ranks=$1
  shift
  local command=("$dtrain" "$@")
  if [ "$ranks" -gt 0 ]; then
    command=("$mpiexec" -np "$ranks" --bind-to none "${command[@]}")
  fi
  timeout 30 "${command[@]}" >"$folder/output" 2>&1 </dev/null
  code=$?
}

# refuse RANKS MESSAGE ARGUMENT...
refuse() {
  local ranks=$1 message=$2
  shift 2
  run "$ranks" "$@"
  [ "$code" -eq 2 ] || complain "exit code $code, not 2: $*"
  [ "$(grep -c 'dtrain: error: ' "$folder/output")" -eq 1 ] || complain "not one message: $*"
  grep -qF -- "$message" "$folder/output" || complain "the message lacks '$message': $*"
  [ -z "$(ls -A .)" ] || complain "something was written: $(ls -A .): $*"
}

refuse 2 "rank 0 on $(hostname): --batch: '0' is not allowed: a whole number from 1 to 65536" --batch 0
refuse 2 "--lr: 'nan' is not allowed: a number above 0, up to 1000" train --lr nan
refuse 2 "--bach: no such option; did you mean --batch?" --bach 64
refuse 0 "--batch: '-1' is not allowed" --batch -1
refuse 0 "--epochs: '3x' is not allowed" --epochs 3x
refuse 0 "--seed: '18446744073709551616' is not allowed" --seed 18446744073709551616
refuse 0 "--out: '' is not allowed" --out ''
refuse 0 "--max-steps: no value is given" --max-steps
refuse 0 "--ep: could be --epochs or --eps" --ep 1
refuse 0 "--quiet: '1' is not allowed" --quiet=1
refuse 0 "-x: no such option" -x
refuse 0 "'trian' is not a command: train, eval, info" trian
refuse 0 "'more': an argument too many" train more
refuse 0 "--bn-axis: 'row' is not allowed: rows or channels" --quiet --bn-axis row

refuse 2 "--tune: train does not use this option: leave it out (info)" train --tune
refuse 0 "--lr: report does not use this option: leave it out (train)" report . --lr 5
refuse 0 "--json: plan does not use this option: leave it out (inspect)" plan --json
refuse 0 "--json: train does not use this option" --resume --json
refuse 0 "--epochs: export does not use this option" export a b --epochs 3
refuse 2 "methods: 'fast' is not allowed" --data synthetic:100 --validation 0 --methods direct,winograd,fast,passes,passes
refuse 0 "methods: 'direct,winograd' is not allowed" --data synthetic:100 --validation 0 --methods direct,winograd
refuse 0 "the method direct cannot compute a 5x5 convolution" --data synthetic:100 --validation 0 --methods direct,direct,passes,passes,passes
refuse 0 "--methods tuned goes with --engine auto, not with direct" --data synthetic:100 --validation 0 --methods tuned --engine direct

export DTRAIN_ISA=sse9
refuse 2 "DTRAIN_ISA: 'sse9' is not allowed: auto, baseline, avx2, avx512, avx512_bf16 or amx_bf16" train --data synthetic:60
run 0 info --data synthetic:60 --isa baseline
grep -q '^ISA  *baseline' "$folder/output" || complain "--isa does not win over DTRAIN_ISA"
export DTRAIN_ISA=baseline
run 0 info --data synthetic:60
grep -q '^ISA  *baseline' "$folder/output" || complain "DTRAIN_ISA is not heeded"
grep -q '^denormals' "$folder/output" || complain "info does not say what becomes of denormals"
unset DTRAIN_ISA

for ranks in 0 2; do
  run "$ranks" --version
  [ "$code" -eq 0 ] || complain "--version: exit code $code"
  [ "$(grep -cE '^dtrain [0-9]+\.[0-9]+\.[0-9]+( \(.+\))?$' "$folder/output")" -eq 1 ] || complain "--version"
  [ "$(wc -l <"$folder/output")" -eq 1 ] || complain "--version prints more"
  run "$ranks" --help
  [ "$code" -eq 0 ] || complain "--help: exit code $code"
  [ "$(grep -c '^Usage: dtrain' "$folder/output")" -eq 1 ] || complain "--help is not printed once"
done

# Every option of the user's guide is there; the unit tests look at each default.
for option in data epochs batch lr beta1 beta2 eps seed bn-axis bn-layers dropout width validation train-limit \
  test-limit max-steps threads strategy grid engine isa precision wire methods tune out quiet checkpoint-every keep checkpoint-required resume override init max-time on-nan \
  stall-timeout version info help; do
  grep -qE -- "^ +--$option(=|\\[| |\$)" "$folder/output" || complain "--help lacks --$option"
done
for default in 'default: 64' 'default: 0.001' 'default: 10)' 'default: 5000'; do
  tr -s ' \n' ' ' <"$folder/output" | grep -qF "$default" || complain "--help lacks '$default'"
done

# Somebody stops reading, or never listened: no signal, no other exit code.
set -o pipefail
"$dtrain" info --data synthetic:60 2>"$folder/output" | head -n 1 >/dev/null || complain "info | head: code $?"
"$dtrain" info --data synthetic:60 >&- 2>"$folder/output" || complain "info without standard output: code $?"

[ "$failures" -eq 0 ] && echo "all command lines as expected"
exit "$((failures > 0))"
