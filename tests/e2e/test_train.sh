#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_train.sh DTRAIN: whole runs. The same bits for 1 to 5 ranks, also where batches do not divide and ranks have no
# sample; records that are complete; evaluation that agrees with training; a run that diverges stops everywhere.
# On real MNIST where it lies beside the checkout, on synthetic digits otherwise.
set -euo pipefail
dtrain=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

data=synthetic:3000
[ ! -d "$DT_TEST_SOURCE_DIR/../shared/data/mnist" ] || data=$DT_TEST_SOURCE_DIR/../shared/data/mnist
echo "data: $data"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

run() { # ranks, options...
    local ranks=$1
    shift
    mpirun --oversubscribe --bind-to none -np "$ranks" "$dtrain" "$@"
}

value() { # file, event, key: of the last such line
    grep "\"event\":\"$2\"" "$1" | tail -n 1 | sed -E "s/.*\"$3\":\"?([^,\"}]*).*/\1/"
}

# 1. Any number of ranks and threads: the same losses and weights. 100 of 1250 samples a batch: a last short batch of 50,
#    13 leaves, which 2, 3, 4 and 5 ranks cut unevenly.
common=(--data "$data" --width 0.125 --batch 100 --train-limit 1250 --validation 200 --test-limit 203 --epochs 2)
expected=""
for ranks in 1 2 3 4 5; do
    run "$ranks" "${common[@]}" --threads $((ranks == 1 ? 2 : 1)) --out "$folder/np$ranks" >"$folder/np$ranks.log"
    metrics=$folder/np$ranks/metrics.jsonl
    # A save ends when it ends: its line may stand behind that of the next epoch.
    events=$(sed -E 's/^\{"event":"([a-z]*)".*/\1/' "$metrics" | tr '\n' ' ')
    [ "$(tr ' ' '\n' <<<"$events" | grep -cx checkpoint)" -eq 2 ] && [ "${events//checkpoint /}" = "start epoch epoch end " ] ||
        fail "np $ranks: $metrics has the lines $events"
    found="$(value "$metrics" end weights_hash) $(value "$metrics" epoch loss) $(value "$metrics" epoch test_loss)"
    found+=" $(value "$metrics" epoch val_accuracy)"
    echo "np $ranks: $found"
    [ -n "$expected" ] || expected=$found
    [ "$found" = "$expected" ] || fail "np $ranks differs from np 1: $expected"
done

# The same in bfloat16, with other bits.
whole=$expected expected=""
for ranks in 1 2 3 4; do
    run "$ranks" "${common[@]}" --epochs 1 --precision bf16 --threads $((ranks == 1 ? 2 : 1)) --out "$folder/bf$ranks" \
        >"$folder/bf$ranks.log"
    metrics=$folder/bf$ranks/metrics.jsonl
    found="$(value "$metrics" end weights_hash) $(value "$metrics" epoch loss) $(value "$metrics" epoch test_loss)"
    echo "np $ranks, bf16: $found"
    [ -n "$expected" ] || expected=$found
    [ "$found" = "$expected" ] || fail "bf16: np $ranks differs from np 1: $expected"
done
[ "${whole%% *}" != "${expected%% *}" ] || fail "bf16 has the bits of fp32"

# 2. Nothing that a file could not bear: no control characters in the log of a run that is no terminal.
if LC_ALL=C grep -q $'[\001-\010\013-\037]' "$folder/np4.log"; then
    fail "control characters in the output"
fi
grep -q '^epoch 2/2 ' "$folder/np4.log" || fail "no line for epoch 2"

# 3. The saved weights give the test loss of the last epoch, on another number of ranks.
run 3 eval --data "$data" --validation 200 --test-limit 203 "$folder/np1" >"$folder/eval.log"
loss=$(printf '%.6f' "$(value "$folder/np1/metrics.jsonl" epoch test_loss)")
grep -q "^test  *loss $loss " "$folder/eval.log" || fail "eval has not the test loss $loss: $(cat "$folder/eval.log")"

# 4. More ranks than leaves in any batch: some ranks never have a sample.
run 4 --data "$data" --width 0.05 --batch 16 --train-limit 48 --validation 16 --test-limit 16 --epochs 1 \
    --out "$folder/idle" >/dev/null 2>"$folder/idle.err"
grep -q 'warning: 2 of 4 ranks never have a sample: a batch of 16 is 2 leaves' "$folder/idle.err" ||
    fail "no warning of idle ranks: $(cat "$folder/idle.err")"

# 5. A run that diverges stops with exit code 6 on all ranks, naming epoch, step and tensor, and saves no weights.
status=0
run 2 "${common[@]}" --lr 1000 --bn-layers none --out "$folder/diverged" >/dev/null 2>"$folder/diverged.err" || status=$?
[ "$status" -eq 6 ] || fail "diverged: exit code $status"
grep -q 'error: epoch 1, step 2: not finite: .* first gradient concerned: conv1/kernel' "$folder/diverged.err" ||
    fail "diverged: $(cat "$folder/diverged.err")"
[ "$(grep -c 'dtrain: error' "$folder/diverged.err")" -eq 1 ] || fail "diverged: more than one message"
[ ! -e "$folder/diverged/last.weights.h5" ] || fail "diverged: weights were saved"

# 6. A folder for results that cannot be: said before the first step.
status=0
: >"$folder/file"
run 2 "${common[@]}" --out "$folder/file/run" >/dev/null 2>"$folder/out.err" || status=$?
[ "$status" -eq 4 ] || fail "--out below a file: exit code $status"
grep -q "$folder/file" "$folder/out.err" || fail "--out below a file: $(cat "$folder/out.err")"

# 7. Batch and limits that the data cannot serve.
for options in "--batch 1251" "--validation 100000" "--train-limit 100000" "--test-limit 100000"; do
    status=0
    # shellcheck disable=SC2086
    run 2 "${common[@]}" $options --out "$folder/limits" >/dev/null 2>"$folder/limits.err" || status=$?
    [ "$status" -eq 2 ] || fail "$options: exit code $status"
    grep -q -- "error: .*${options%% *}" "$folder/limits.err" || fail "$options: $(cat "$folder/limits.err")"
done
echo "all runs as they should be"
