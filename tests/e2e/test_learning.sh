#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_learning.sh DTRAIN: a quarter-width network learns to read digits within seconds: better than nine in ten.
# On real MNIST where it lies beside the checkout, on synthetic digits otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
data=synthetic:12000
[ ! -d "$DT_TEST_SOURCE_DIR/../shared/data/mnist" ] || data=$DT_TEST_SOURCE_DIR/../shared/data/mnist
mpirun --oversubscribe --bind-to none -np 2 "$1" --data "$data" --width 0.25 --batch 32 --train-limit 8192 --validation 500 \
    --test-limit 1000 --epochs 2 --out "$folder"
accuracy=$(grep '"event":"epoch"' "$folder/metrics.jsonl" | tail -n 1 | sed -E 's/.*"test_accuracy":([0-9.]*).*/\1/')
echo "test accuracy $accuracy on $data"
awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy > 0.9) }'
