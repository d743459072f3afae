#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_files.sh DTRAIN CASE: the commands for files of weights. inspect tells what a checkpoint and weights hold, and ends
# with 4 when a checksum fails; export makes a model and refuses what it cannot; eval reads a checkpoint.
set -euo pipefail
dtrain=$1 case=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

expect() { # exit code, text, command...
    local expected=$1 text=$2 code=0
    shift 2
    "$@" >"$folder/out" 2>"$folder/err" || code=$?
    [ "$code" -eq "$expected" ] || fail "$*: exit code $code, not $expected: $(cat "$folder/err")"
    grep -qF -- "$text" "$folder/out" "$folder/err" || fail "$*: '$text' is not in: $(cat "$folder/out" "$folder/err")"
}

"$case" save "$folder" 7 0.03
file=$folder/step-00000007.weights.h5

# 1. inspect: a file, a folder, as tables and as JSON.
expect 0 "kind          checkpoint, " "$dtrain" inspect "$file"
expect 0 "position      7 steps: 7 epochs and 0 batches of the next" "$dtrain" inspect "$folder"
expect 0 "options       seed 1" "$dtrain" inspect "$folder"
expect 0 "optimizer/vars/53" "$dtrain" inspect "$folder"
grep -q "^layers/dense_2/vars/0 .* fc3/kernel .* 122x10 .* holds$" "$folder/out" || fail "no line for fc3/kernel"
expect 0 '"failed_checksums": 0' "$dtrain" inspect "$file" --json
python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$folder/out" 2>/dev/null || ! command -v python3 >/dev/null ||
    fail "inspect --json is not JSON"

# 2. A checkpoint is a file of weights: eval reads it, on any number of ranks.
expect 0 "test" "$dtrain" eval "$folder" --data synthetic:200 --validation 20 --test-limit 30

# 3. export.
expect 0 "a model for keras.models.load_model" "$dtrain" export "$folder" "$folder/model.h5"
expect 0 "Keras model" "$dtrain" inspect "$folder/model.h5"
expect 4 "would be replaced by the model made from it" "$dtrain" export "$folder" "$file"
expect 4 "$folder: cannot be written: it is a folder" "$dtrain" export "$file" "$folder"
expect 4 "/dev/null: cannot be written: it is not a regular file" "$dtrain" export "$file" /dev/null
expect 4 "$folder/none.h5: cannot be read: No such file" "$dtrain" export "$folder/none.h5" "$folder/model.h5"
expect 4 "has no group \"dtrain\"" "$dtrain" export "$folder/model.h5" "$folder/again.h5"
expect 2 "export: which file?" "$dtrain" export "$file"

# 4. Damage: the last dataset's last byte stands in front of the seal; a byte of it changed is named, with code 4.
size=$(stat -c %s "$file")
seal=$(tail -c 24 "$file" | head -c 8 | od -An -tu8 | tr -d ' ')
place=$((size - 32 - 16 * seal - 3))
cp "$file" "$folder/damaged.h5"
printf '\377' | dd of="$folder/damaged.h5" bs=1 seek=$place conv=notrunc 2>/dev/null
expect 4 "is damaged: 1 checksum fails: dtrain/history" "$dtrain" inspect "$folder/damaged.h5"
head -c 5000 "$file" >"$folder/cut.h5"
expect 4 "$folder/cut.h5: cannot be opened: truncated file" "$dtrain" inspect "$folder/cut.h5"
printf '\377' | dd of="$folder/damaged.h5" bs=1 seek=2000 conv=notrunc 2>/dev/null
expect 4 "the checksum of its internal tables does not hold" "$dtrain" inspect "$folder/damaged.h5"
echo "all files were told, made and refused as they should be"
