#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_resume.sh DTRAIN CASE: a run that is cut into pieces, each on another number of ranks or threads, ends with the bits of
# the whole one; what may change and what not; folders with nothing in them, or with something else.
# shellcheck disable=SC2154 # dtrain, folder, code and launcher are set in common.sh
. "$(dirname "$0")/common.sh"
case=$2
options=(--epochs 4)

# said PATTERN: and exit code 0.
said() {
    [ "$code" -eq 0 ] || fail "exit code $code: $(cat "$folder/log")"
    expect "$folder/log" "$1"
}

# refused CODE PATTERN
refused() {
    [ "$code" -eq "$1" ] || fail "exit code $code, not $1: $(cat "$folder/log")"
    expect "$folder/log" "dtrain: error: .*$2"
}

run 2 "$folder/log" "${options[@]}" --out "$folder/whole"
expected=$(result "$folder/whole")

# 1. 1 -> 4 -> 3 -> 2 -> 1 ranks, in the middle of epochs and at the end of one (steps 70), with 1 and 2 threads; the
#    epoch's losses are those of the whole epoch. At the end there is nothing left to do.
run 1 "$folder/log" "${options[@]}" --out "$folder/run" --resume --max-steps 10
said '^--resume: no checkpoint in .*: a fresh start'
for piece in "4 50 1" "3 70 2" "2 93 1" "1 94 2"; do
    read -r count steps threads <<<"$piece"
    run "$count" "$folder/log" "${options[@]}" --out "$folder/run" --resume --max-steps "$steps" --threads "$threads"
    said '^resumed: .*weights.h5: epoch [1-4], after step [0-9]+'
done
run 3 "$folder/log" "${options[@]}" --out "$folder/run" --resume
said '^resumed: .*: epoch 3, after step 94'
[ "$(result "$folder/run")" = "$expected" ] || fail "in pieces: $(result "$folder/run"), not $expected"
lines=$(wc -l <"$folder/run/metrics.jsonl")
run 2 "$folder/log" "${options[@]}" --out "$folder/run" --resume
said '^nothing to do: .*epoch 4 of 4, step 140'
[ "$(wc -l <"$folder/run/metrics.jsonl")" -eq "$lines" ] || fail "a run with nothing to do wrote something"

# 2. From a file or folder into another folder; an epoch more than there were.
run 1 "$folder/log" "${options[@]}" --epochs 5 --out "$folder/more" --resume "$folder/run"
said '^epoch 5/5'
run 1 "$folder/log" "${options[@]}" --out "$folder/again" --resume="$folder/more/step-00000105.weights.h5"
refused 4 'step-00000105'
run 2 "$folder/log" "${options[@]}" --out "$folder/again" --resume="$folder/run/step-00000105.weights.h5"
said '^resumed: '
[ "$(result "$folder/again")" = "$expected" ] || fail "from a file: $(result "$folder/again")"

# 3. Options that change the mathematics.
run 2 "$folder/log" "${options[@]}" --epochs 6 --out "$folder/run" --resume --lr 0.002 --batch 32 --seed 2
refused 2 '--resume: .* is of another run: .*--batch 16 then, 32 now; --lr 0.001 then, 0.002 now; --seed 1 then, 2 now'
run 1 "$folder/log" "${options[@]}" --epochs 6 --out "$folder/run" --resume --width 0.06
refused 2 '--width 0.05 then, 0.06 now. Give the same options, or start without --resume: --override does not'
run 1 "$folder/log" "${options[@]}" --epochs 6 --out "$folder/run" --resume --data synthetic:700
refused 2 'fingerprint of the data'
run 1 "$folder/log" "${options[@]}" --epochs 6 --out "$folder/run" --resume --engine direct --max-steps 145
said 'warning: the last bits will not be those .*: --engine auto then, direct now'
run 2 "$folder/log" "${options[@]}" --epochs 6 --out "$folder/run" --resume --lr 0.002 --batch 32 --override
said 'warning: --override: .*--batch 16 then, 32 now; --lr 0.001 then, 0.002 now'
expect "$folder/log" '^epoch 6/6'


# 3a. Another shape of the network: no file is called damaged, none is passed over, and nothing moves.
before=$(ls -R "$folder/whole"; md5sum "$folder/whole"/*)
for source in "" "=$folder/whole" "=$folder/whole/step-00000105.weights.h5" "=$folder/whole/best.weights.h5"; do
    run 1 "$folder/log" "${options[@]}" --epochs 6 --out "$folder/whole" --resume"$source" --width 0.1 --override
    refused 2 'weights.h5 is of another shape: --width 0.05 then, 0.1 now. --override does not change the shape'
    ! grep -Eq 'passed over|damaged|not whole|emove' "$folder/log" || fail "sound files: $(cat "$folder/log")"
done
[ "$(ls -R "$folder/whole"; md5sum "$folder/whole"/*)" = "$before" ] || fail "a refused run changed the folder"

# 3b. Less than is done is refused with the numbers; exactly that is nothing to do.
run 1 "$folder/log" --epochs 3 --out "$folder/whole" --resume
refused 2 '--epochs: 3 is less than what .*/step-00000140.weights.h5 has done: 4 epochs. Give --epochs 5 or more'
run 2 "$folder/log" "${options[@]}" --max-steps 139 --out "$folder/whole" --resume
refused 2 '--max-steps: 139 is less than what .* has done: 140 steps'
run 1 "$folder/log" "${options[@]}" --max-steps 140 --out "$folder/whole" --resume
said '^nothing to do: '
run 1 "$folder/log" --epochs 2 --max-steps 40 --out "$folder/part"
run 1 "$folder/log" --epochs 1 --out "$folder/part" --resume
refused 2 '--epochs: 1 is less than what .* has done: 1 epoch and 5 steps. Give --epochs 2 or more'

# 3c. The step in the file counts, not its name; a run that goes on from an older one moves what is newer, whatever it is
#     called.
cp -r "$folder/whole" "$folder/names"
mv "$folder/names/step-00000140.weights.h5" "$folder/names/step-00000002.weights.h5"
cp "$folder/names/step-00000070.weights.h5" "$folder/names/step-99999999.weights.h5"
run 1 "$folder/log" "${options[@]}" --out "$folder/names" --resume
said '^nothing to do: .*/step-00000002.weights.h5 is at the end of the run: epoch 4 of 4, step 140'
run 1 "$folder/log" "${options[@]}" --out "$folder/names" --resume "$folder/names/step-99999999.weights.h5"
said '^resumed: .*step-99999999.weights.h5: epoch 3, after step 70'
[ -e "$folder/names/earlier-1/step-00000002.weights.h5" ] || fail "a newer one stayed: $(ls -R "$folder/names")"
[ "$(result "$folder/names")" = "$expected" ] || fail "from a copy: $(result "$folder/names")"

# 3d. What a file claims is checked like an option.
claimed=$folder/claimed.weights.h5
for claim in 'batch 5000 dtrain/batch is 5000: an epoch has 35 batches' \
    'learning_rate -1.0 dtrain/learning_rate is -1: it must be a number above 0, up to 1000' \
    'rewinds -5 dtrain/rewinds is -5: it must be a whole number from 0 to 3'; do
    read -r name number expected_text <<<"$claim"
    cp "$folder/whole/step-00000070.weights.h5" "$claimed"
    "$case" claim "$claimed" "$name" "$number"
    run 1 "$folder/log" "${options[@]}" --out "$folder/claims" --resume="$claimed"
    refused 4 "claimed.weights.h5: the attribute $expected_text"
done

# 3e. Another build, and ranks of several instruction sets: what changes the last bits is named.
! grep -q 'last bits' "$folder/log" || fail "the same build: $(cat "$folder/log")"
cp "$folder/whole/step-00000070.weights.h5" "$claimed"
LC_ALL=C sed -i -E 's/("build":").../\1old/' "$claimed"
"$case" strip "$claimed" dtrain/checksums
run 1 "$folder/log" "${options[@]}" --out "$folder/build" --resume="$claimed" --max-steps 71
said 'warning: the last bits will not be those .*: build old.* then, (gcc|.*[Cc]lang) ?.* now'
if ! "$dtrain" info --data synthetic:100 | grep -q "CPU's best: baseline"; then
    host=$(uname -n)
    code=0
    mpirun --oversubscribe --bind-to none -np 1 "$dtrain" "${small[@]}" --max-steps 1 --out "$folder/mixed" : \
        -np 2 env DTRAIN_ISA=baseline "$dtrain" "${small[@]}" --max-steps 1 --out "$folder/mixed" >"$folder/log" 2>&1 || code=$?
    said "warning: the ranks' instruction sets differ: all use baseline; baseline: ranks 1-2 \($host\); [a-z0-9_]+: rank 0 \($host\)"
fi

# 4. The newest is damaged: the one before is taken, and the damaged one is set aside. None is whole: no fresh start.
cp -r "$folder/whole" "$folder/damaged"
rm "$folder/damaged/best.weights.h5"
newest=$folder/damaged/step-00000140.weights.h5
printf 'damage' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") / 2)) conv=notrunc status=none
run 1 "$folder/log" "${options[@]}" --out "$folder/damaged" --resume
said 'warning: checkpoint passed over: .*step-00000140.*checksum'
said '^resumed: .*step-00000105'
[ "$(result "$folder/damaged")" = "$expected" ] || fail "after damage: $(result "$folder/damaged")"
[ -e "$folder/damaged/earlier-1/step-00000140.weights.h5" ] || fail "the damaged checkpoint is gone"
for file in "$folder/damaged"/*.weights.h5; do
    : >"$file"
done
run 1 "$folder/log" "${options[@]}" --out "$folder/damaged" --resume
refused 4 'none of the [0-9]+ checkpoints can be gone on from'

# 5. A fresh start in a folder with checkpoints keeps them, and a later --resume is not led astray by them.
run 1 "$folder/log" --epochs 2 --out "$folder/run"
said '[0-9]+ files of an earlier run were moved to .*/earlier-1'
run 1 "$folder/log" --epochs 3 --out "$folder/run" --resume
said '^resumed: .*step-00000070.weights.h5: epoch 3, after step 70'
run 1 "$folder/log" --out "$folder/nothing" --resume "$folder/not-there"
refused 4 'not-there'
mkdir "$folder/empty"
run 2 "$folder/log" --out "$folder/nothing" --resume "$folder/empty"
refused 4 'there is no checkpoint in .*/empty'

# 6. --keep, the best, and the records.
[ "$(find "$folder/whole" -name 'step-*.weights.h5' | wc -l)" -eq 3 ] || fail "not 3 checkpoints: $(ls "$folder/whole")"
run 1 "$folder/log" --epochs 3 --keep 1 --checkpoint-every 10steps --out "$folder/keep"
[ "$(find "$folder/keep" -name 'step-*.weights.h5' | wc -l)" -eq 1 ] || fail "not 1 checkpoint: $(ls "$folder/keep")"
[ "$(readlink "$folder/keep/last.weights.h5")" = step-00000105.weights.h5 ] || fail "last: $(ls -l "$folder/keep")"
[ -e "$folder/keep/best.weights.h5" ] || fail "no best.weights.h5"
[ "$(grep -c '"event":"checkpoint"' "$folder/keep/metrics.jsonl")" -ge 3 ] || fail "no lines about checkpoints"

# 7. --init: the weights of another run, from its step 0 on.
run 2 "$folder/log" --epochs 1 --init "$folder/whole/last.weights.h5" --out "$folder/init"
said '^epoch 1/1'
awk -v loss="$(value "$folder/init/metrics.jsonl" epoch loss)" 'BEGIN { exit !(loss < 1.2) }' ||
    fail "--init: loss $(value "$folder/init/metrics.jsonl" epoch loss)"
expect "$folder/log" "^--init: .*/last.weights.h5: the optimizer's state is not used \(54 tensors\)"
run 1 "$folder/log" --epochs 1 --width 0.06 --init "$folder/whole/last.weights.h5" --out "$folder/init"
refused 2 'is whole, but of another shape: --width 0.05 then, 0.06 now'
echo "all resumed as they should"
