#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_locale.sh DTRAIN BENCH_STEP COMMA_LOCALE: a library that sets a locale with a decimal comma changes no number.
set -euo pipefail
dtrain=$1
step=$2
shim=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

mkdir locales
localedef -i de_DE -f UTF-8 "$work/locales/de_DE.UTF-8" >log 2>&1 || true
if [ ! -e locales/de_DE.UTF-8 ]; then
    echo "skipped: no locale with a decimal comma can be made: $(cat log)"
    exit 77
fi

# comma COMMAND...: the command beside the library.
comma() {
    LOCPATH=$work/locales DT_TEST_MARK=$work/mark LD_PRELOAD=$shim "$@"
}
comma env true # not the builtin of the shell
[ "$(cat mark)" = 0,5 ] || fail "the library set no decimal comma, but wrote $(cat mark)"

options=(--data synthetic:300 --width 0.05 --batch 16 --validation 40 --test-limit 40 --threads 1 --seed 4
    --lr 0.0015 --beta1 0.85 --beta2 0.995 --dropout 0.25)
train() { # folder, epochs; the second time it goes on
    "${@:3}" "$dtrain" "${options[@]}" --out "$1" --epochs "$2" --resume >>"$1.log" 2>&1 || fail "$(cat "$1.log")"
}
train plain 1
train plain 2
train beside 1 comma
train beside 2 comma

# What a run computed, and what it was asked for.
facts() {
    grep -oE '"(weights_hash|loss|accuracy|val_loss|test_loss|lr|beta1|beta2|dropout|width)":[^,}]*' "$1/metrics.jsonl"
}
facts plain >plain.facts
facts beside >beside.facts
grep -q '"lr":0.0015' plain.facts || fail "the options are not recorded: $(cat plain.facts)"
grep -q '"weights_hash"' plain.facts || fail "no hash is recorded"
diff plain.facts beside.facts || fail "another result beside a locale with a decimal comma"

# A number with a comma would be two: the lines have the same form.
form() {
    sed -E 's/:"[^"]*"/:S/g; s/-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?/N/g' "$1/metrics.jsonl"
}
diff <(form plain) <(form beside) || fail "metrics.jsonl has another form"
! grep -E '[0-9],[0-9]' beside.log || fail "a decimal comma on the terminal"

same() { # what a command prints
    "$@" >plain.out 2>&1 || fail "$*: $(cat plain.out)"
    comma "$@" >beside.out 2>&1 || fail "$*: $(cat beside.out)"
    diff plain.out beside.out || fail "another output: $*"
}
same "$dtrain" report plain
same "$dtrain" inspect plain/last.weights.h5
same "$dtrain" --help
comma "$dtrain" plan --width 0.05 --threads 1 >plan.out 2>&1 || fail "$(cat plan.out)"
comma "$dtrain" eval plain --threads 1 --data synthetic:300 --validation 40 >eval.out 2>&1 || fail "$(cat eval.out)"
if [ -x "$step" ]; then
    comma "$step" --json --width 0.05 --threads 1 --steps 1 --rounds 1 --warmup 0 >step.out 2>&1 || fail "$(cat step.out)"
fi
! grep -sHE '(^|[ (:])[0-9]+,[0-9]' plan.out eval.out step.out || fail "a decimal comma on the terminal"
echo "numbers are those of any locale"
