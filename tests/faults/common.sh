# SPDX-License-Identifier: BSD-3-Clause
# What the tests of this folder share; sourced with the path of dtrain as the first argument. Sets dtrain, folder (made,
# and removed at the end) and small: the options of a run of a few milliseconds a step.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
dtrain=$1
folder=$(mktemp -d)
launcher=
trap clean EXIT
small=(--data synthetic:600 --width 0.05 --batch 16 --validation 40 --test-limit 40 --threads 1)

# A test that fails leaves no run behind: mpirun ends its ranks, stopped ones too.
clean() {
    [ -z "$launcher" ] || kill -TERM "$launcher" 2>/dev/null || true
    rm -rf "$folder"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect FILE PATTERN: a line of the file matches.
expect() {
    grep -Eq -- "$2" "$1" || fail "no line like '$2' in $1: $(cat "$1")"
}

# run RANKS LOG OPTION...: dtrain under mpirun; sets code.
run() {
    local ranks=$1 log=$2
    shift 2
    code=0
    timeout 120 mpirun --oversubscribe --bind-to none -np "$ranks" "$dtrain" "${small[@]}" "$@" >"$log" 2>&1 </dev/null ||
        code=$?
}

# again FOLDER: goes on with the run in it up to the step that its newest checkpoint has, so that nothing is left to do.
again() {
    local last
    last=$(find "$1" -name 'step-*.weights.h5' | sort | tail -n 1)
    last=${last##*step-}
    run 1 "$folder/log" --epochs 100000 --max-steps $((10#${last%%.*})) --out "$1" --resume
}

# launch RANKS LOG OPTION...: the same in the background; sets launcher, its process.
launch() {
    local ranks=$1 log=$2
    shift 2
    : >"$log"
    mpirun --oversubscribe --bind-to none -np "$ranks" "$dtrain" "${small[@]}" "$@" >"$log" 2>&1 </dev/null &
    launcher=$!
}

# await SECONDS COMMAND...: until the command succeeds.
await() {
    local tries=$(($1 * 50))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.02
    done
}

# await_line LOG PATTERN: until a line of the log matches.
await_line() {
    await 60 grep -Eq -- "$2" "$1" || fail "$(cat "$1")"
}

# more_lines PATTERN NUMBER: more than so many lines of the log have it.
more_lines() {
    [ "$(grep -c -- "$1" "$folder/log")" -gt "$2" ]
}

# ranks: the processes of the launcher's ranks, in their order.
ranks() {
    pgrep -P "$launcher" -f "$dtrain" | sort -n
}

# finish SECONDS: waits for the launcher to end by itself; sets code.
finish() {
    await "$1" gone "$launcher"
    code=0
    wait "$launcher" || code=$?
    launcher=
}

gone() {
    ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]
}

# value FILE EVENT KEY: of the last such line of a metrics file.
value() {
    grep "\"event\":\"$2\"" "$1" | tail -n 1 | sed -E "s/.*\"$3\":\"?([^,\"}]*).*/\1/"
}

# result FOLDER: what must not depend on how a run was cut: the weights, and the losses of its last epoch.
result() {
    local metrics=$1/metrics.jsonl key
    value "$metrics" end weights_hash
    for key in epoch step loss accuracy val_loss test_loss; do
        value "$metrics" epoch "$key"
    done
}
