#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_measures.sh DTRAIN MPIEXEC SHIM: what a run says of its communication and of its plan. SHIM makes sums over ranks, or
# messages, slow.
set -euo pipefail
dtrain=$1
mpiexec=$2
shim=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
    echo "FAILED: $*" >&2
    cat log >&2
    exit 1
}

common=(--data synthetic:128 --validation 0 --test-limit 8 --batch 16 --width 0.05 --epochs 1 --seed 3 --threads 1)
run() { # name, options
    local name=$1
    shift
    "$mpiexec" --bind-to none -np 2 -x LD_PRELOAD="$shim" -x DT_TEST_SUM_MS -x DT_TEST_SEND_MS -x DTRAIN_NODE_RANKS "$dtrain" "${common[@]}" \
        --out "$name" "$@" >log 2>&1 || fail "$name"
}

value() { # name, event, key
    sed -nE "/\"event\":\"$2\"/s/.*\"$3\":([^,}]*).*/\1/p" "$1/metrics.jsonl"
}

holds() { # expression of awk
    awk "BEGIN { exit !($1) }" || fail "not so: $1"
}

# Sums of 10 ms: two for each of five normalisations and one of losses make 110 ms a step, all of it exposed, while
# gradients are on their way between two nodes. 8 steps.
export DTRAIN_NODE_RANKS=1
for strategy in allreduce hybrid; do
    DT_TEST_SUM_MS=10 run slow-$strategy --strategy $strategy
    exposed=$(value slow-$strategy epoch exposed_communication_s)
    all=$(value slow-$strategy epoch communication_s)
    overlap=$(value slow-$strategy epoch overlap)
    holds "$exposed >= 0.88 && $exposed <= $all && $overlap >= 0 && $overlap < 0.3"
    holds "(1 - $exposed / $all - $overlap)^2 < 1e-12"
done
# One rank communicates with none.
"$dtrain" "${common[@]}" --out alone >log 2>&1 || fail alone
[ "$(value alone epoch overlap)" = null ] || fail "the overlap of one rank is $(value alone epoch overlap)"
holds "$(value alone epoch communication_s) == 0 && $(value alone epoch exposed_communication_s) == 0"

# A plan is set beside what came of it, in one line and in the record, and all ranks have taken the same strategy.
unset DTRAIN_NODE_RANKS
run planned --strategy auto
grep -qE '^step: predicted [0-9.]+ ms, measured [0-9.]+ ms$' log || fail "no line on the step"
holds "$(value planned end predicted_step_s) > 0 && $(value planned end step_s) > 0"
said=$(sed -nE 's/^step: predicted .* measured ([0-9.]+) ms/\1/p' log)
holds "($said - 1000 * $(value planned end step_s))^2 < 0.01"
run fixed --strategy sharded
! grep -q '^step: ' log || fail "a step is predicted without a plan"
[ "$(value fixed end predicted_step_s)" = null ] || fail "predicted without a plan"
holds "$(value fixed end step_s) > 0"

# Messages of 12 ms inside a node are measured three times, and said to be doubtful; also where they decide.
DT_TEST_SEND_MS=12 run doubtful --strategy auto --max-steps 1
grep -qE '^  doubtful: a message inside a node takes 1[0-9]\.[0-9] ms \(measured 3 times\)' log || fail "no doubt"
echo "all as measured"
