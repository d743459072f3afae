#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_measures.sh DTRAIN MPIEXEC SHIM: what a run says of its communication. SHIM makes every sum over ranks slow.
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
    "$mpiexec" --bind-to none -np 2 -x LD_PRELOAD="$shim" -x DT_TEST_SUM_MS -x DTRAIN_NODE_RANKS "$dtrain" "${common[@]}" \
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
echo "all as measured"
