#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_files.sh DTRAIN CASE: the commands for files of weights. inspect tells what a checkpoint and weights hold, and ends
# with 4 when a checksum fails; export makes a model and refuses what it cannot; eval scores the images of the run.
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
# A sound HDF5 file with nothing in it is no file of weights.
base64 -d >"$folder/empty.gz" <<<"H4sIAAAAAAACA+v0cHHj5ZLiYuLgYICB/1BwGMo3gNKr49+a+Xu4BDEpWOjwZiPjCiYhZI0wwMXEwAgUjmCgGWA1nZIHAEDApLnDAAAA"
gunzip -c "$folder/empty.gz" >"$folder/empty.h5"
expect 4 "$folder/empty.h5: no tensor is in it: give a file of weights or a checkpoint" "$dtrain" inspect "$folder/empty.h5"
expect 4 "no tensor is in it" "$dtrain" inspect "$folder/empty.h5" --json

# 2. eval scores the images that the run was validated and tested on, on any number of ranks, and says which; the command line
#    goes before the file; other data are said to be others.
"$dtrain" --data synthetic:300 --seed 5 --validation 60 --test-limit 40 --width 0.05 --bn-layers first2 --batch 16 --epochs 1 \
    --threads 1 --quiet --out "$folder/trained" >"$folder/out" 2>&1 || fail "training: $(cat "$folder/out")"
loss() { # key of the run's record
    sed -nE "s/.*\"event\":\"epoch\".*\"$1\":([0-9.]{7}).*/\1/p" "$folder/trained/metrics.jsonl"
}
scored() { # images of the validation set, loss
    grep -qE "^validation +loss $2[0-9.]* .*of $1\)$" "$folder/out" "$folder/err" ||
        fail "no loss $2 of $1 images: $(cat "$folder/out" "$folder/err")"
}
validation=$(loss val_loss)
[ -n "$validation" ] || fail "no loss in $(cat "$folder/trained/metrics.jsonl")"
expect 0 "options of the run: --data synthetic:300 --seed 5 --validation 60 --test-limit 40" "$dtrain" eval "$folder/trained" --threads 1
scored 60 "${validation%?}"
grep -hqE "^test +loss .* of 40\)$" "$folder/out" "$folder/err" || fail "not 40 test images: $(cat "$folder/out")"
! grep -hq "other data" "$folder/out" "$folder/err" || fail "the run's own data are called others"
expect 0 "options of the run: --data synthetic:300 --seed 5 --test-limit 40" "$dtrain" eval "$folder/trained" --validation 20
scored 20 ""
expect 0 "warning: other data than the run's: fingerprint " "$dtrain" eval "$folder/trained" --data synthetic:301
expect 0 "warning: other data than the run's: fingerprint " "$dtrain" eval "$folder/trained" --seed 6
expect 2 "of another shape: --width 0.05 then, 0.1 now; --bn-layers first2 then, all now. Leave the options of the network out" \
    "$dtrain" eval "$folder/trained" --width 0.1 --bn-layers all
cp "$folder/trained/last.weights.h5" "$folder/keras.weights.h5"
"$case" strip "$folder/keras.weights.h5" dtrain
expect 0 "network: --width 0.05 --bn-axis rows --bn-layers first2: $folder/keras.weights.h5 does not tell it" "$dtrain" eval \
    "$folder/keras.weights.h5" --width 0.05 --bn-layers first2 --data synthetic:300 --seed 5 --validation 60
scored 60 "${validation%?}"
expect 4 "in the network: --width, --bn-axis and --bn-layers must be those of the file" "$dtrain" eval "$folder/keras.weights.h5" \
    --width 0.1 --bn-layers first2 --data synthetic:300 --validation 60
printf 'PK\003\004model' >"$folder/model.keras"
for command in "eval $folder/model.keras" "inspect $folder/model.keras" "export $folder/model.keras $folder/never.h5" \
    "--init $folder/model.keras --data synthetic:300 --validation 60 --out $folder/never" "--resume $folder/model.keras --data synthetic:300 --validation 60"; do
    # shellcheck disable=SC2086 # words of a command
    expect 4 'model.save_weights("x.weights.h5") writes what dtrain reads' "$dtrain" $command
done

# 3. export: an ending says what is written; nothing that exists is replaced without --force, and links, folders and devices
#    never are.
expect 0 "a model for keras.models.load_model" "$dtrain" export "$folder" "$folder/model.h5"
expect 0 "Keras model" "$dtrain" inspect "$folder/model.h5"
expect 4 'is a whole model of Keras: load it there, and save what dtrain reads with model.save_weights' "$dtrain" eval \
    "$folder/model.h5" --width 0.03 --data synthetic:300 --validation 60
cp "$folder/model.h5" "$folder/before"
expect 4 "$folder/model.h5: exists: choose another name, or write over it with --force" "$dtrain" export "$folder" "$folder/model.h5"
cmp "$folder/model.h5" "$folder/before" || fail "a refused export changed the file"
printf 'old' >"$folder/model.h5"
expect 0 "a model for keras.models.load_model" "$dtrain" export "$folder" "$folder/model.h5" --force
cmp "$folder/model.h5" "$folder/before" || fail "--force made another model"
expect 0 "weights for keras.Model.load_weights" "$dtrain" export "$folder" "$folder/alone.weights.h5"
expect 0 "kind          weights, " "$dtrain" inspect "$folder/alone.weights.h5"
for name in m.onnx m.keras m.pt m h5 .h5 m.H5 m.h5.gz m.h5/; do
    expect 2 "known are .weights.h5 (weights for keras.Model.load_weights), .h5 (a model for" "$dtrain" export "$folder" "$folder/$name"
    [ ! -e "$folder/$name" ] || fail "export made $name"
done
ln -s alone.weights.h5 "$folder/link.h5"
ln -s nothing "$folder/dangling.h5"
for link in link dangling; do
    expect 4 "$folder/$link.h5: is a symbolic link to '" "$dtrain" export "$folder" "$folder/$link.h5" --force
    [ -L "$folder/$link.h5" ] || fail "export replaced a link"
done
[ ! -e "$folder/nothing" ] || fail "export followed a link"
mkfifo "$folder/pipe.h5"
expect 4 "$folder/pipe.h5: cannot be written: it is not a regular file" "$dtrain" export "$file" "$folder/pipe.h5" --force
expect 4 "would be replaced by the model made from it" "$dtrain" export "$folder" "$file" --force
expect 4 "$folder: cannot be written: it is a folder" "$dtrain" export "$file" "$folder"
expect 4 "/dev/null: cannot be written: it is not a regular file" "$dtrain" export "$file" /dev/null
expect 4 "$folder/none.h5: cannot be read: No such file" "$dtrain" export "$folder/none.h5" "$folder/new.h5"
expect 4 "$folder/none/m.h5: cannot be written: No such file" "$dtrain" export "$folder" "$folder/none/m.h5"
expect 4 "has no group \"dtrain\"" "$dtrain" export "$folder/model.h5" "$folder/again.h5"
expect 2 "export: which file?" "$dtrain" export "$file"
[ -z "$(find "$folder" -name '*.partial-*')" ] || fail "a temporary file is left"

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

# 5. No code of others: what makes the HDF5 library load some is not obeyed. Records are not written through a link or into
#    a pipe, which would be waited for.
expect 0 "kind          checkpoint, " env HDF5_PLUGIN_PATH="$folder" HDF5_DRIVER=foreign HDF5_VOL_CONNECTOR=foreign "$dtrain" inspect "$file"
mkdir "$folder/run"
ln -s ../before "$folder/run/metrics.jsonl"
run=("$dtrain" --data synthetic:60 --validation 0 --batch 16 --width 0.05 --max-steps 1 --out "$folder/run")
expect 4 "$folder/run/metrics.jsonl: is a symbolic link" "${run[@]}"
rm "$folder/run/metrics.jsonl"
mkfifo "$folder/run/metrics.jsonl"
expect 4 "$folder/run/metrics.jsonl: is not a regular file" timeout 60 "${run[@]}"
cmp "$folder/before" "$folder/model.h5" || fail "a record was written through a link"
mkfifo "$folder/pipe.weights.h5"
expect 4 "pipe.weights.h5: is not a regular file" timeout 60 "$dtrain" eval "$folder/pipe.weights.h5" --data synthetic:60

# 6. Long paths: one that Linux takes is used as it is, a longer one is refused with the limit, and none is cut.
name=$(printf 'd%.0s' {1..220})
long=$folder/$name/$name/$name/$name/$name
run=("$dtrain" --data synthetic:60 --validation 0 --batch 16 --width 0.02 --max-steps 1 --quiet)
"${run[@]}" --out "$long" || fail "--out of ${#long} bytes"
[ -e "$long/metrics.jsonl" ] && [ -e "$long/last.weights.h5" ] || fail "--out of ${#long} bytes: not there"
expect 0 "kind          checkpoint, " "$dtrain" inspect "$long"
for _ in {1..13}; do long=$long/$name; done
expect 4 "--out: the name has ${#long} bytes, more than 3840" "${run[@]}" --out "$long"
[ ! -e "$folder/$name/$name/$name/$name/$name/$name" ] || fail "a part of a long --out was made"
for _ in {1..3}; do long=$long/$name; done
expect 3 "more than 4095" "$dtrain" train --data "$long" --out "$folder/unused"
expect 4 "more than 4095" "$dtrain" inspect "$long"
echo "all files were told, made and refused as they should be"
