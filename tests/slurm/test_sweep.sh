#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_sweep.sh DTRAIN: slurm/sweep.sbatch over seeds and over lines of options, and the report at the end.
# shellcheck disable=SC1091,SC2034,SC2154 # common.sh gives and takes variables
. "$(dirname "$0")/common.sh"
DTRAIN=$1
[ -n "${DT_CLUSTER_MODE:-}" ] || enter_slurm "$@"
start_test

tiny=(--data synthetic:300 --validation 44 --epochs 1 --width 0.05)
printf '%s\n' '--lr 0.003' '--lr 0.001 --batch 32' >options.txt
seeds=$(submit --array=7-9 -o seeds-%a.out "$scripts/sweep.sbatch" "${tiny[@]}")
lines=$(DTRAIN_SWEEP=$work/options.txt DTRAIN_OUT=$work/mine submit --array=1-3%2 -o lines-%a.out "$scripts/sweep.sbatch" "${tiny[@]}")
await 120 "the end of job $seeds" has_ended "$seeds"
await 120 "the end of job $lines" has_ended "$lines"

for seed in 7 8 9; do
    says "seeds-$seed.out" "task $seed: --seed $seed"
    says "runs/$seeds/$seed/metrics.jsonl" "\"seed\": *${seed}[,}]"
done
[ "$(for seed in 7 8 9; do weights_hash "runs/$seeds/$seed"; done | sort -u | wc -l)" -eq 3 ] || fail "seeds do not differ"
says "runs/$seeds/report.txt" '3'
says mine/1/metrics.jsonl '"lr": *0.003'
says mine/2/metrics.jsonl '"batch": *32[,}]'
says lines-3.out 'error: .*options.txt has no line 3'
echo "sweep.sbatch ($DT_CLUSTER_MODE): seeds and lines of options; report:"
cat "runs/$seeds/report.txt"
