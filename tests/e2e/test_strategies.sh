#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_strategies.sh DTRAIN MPIEXEC short|long: the table of cuts. Whatever the strategy, the ranks, the threads and
# the nodes, and also for a run that is stopped and goes on under another strategy: the same weights and losses to the
# last bit. long: at full width, with the bytes that were sent.
set -euo pipefail
dtrain=$1
mpiexec=$2
length=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

common=(--data synthetic:700 --validation 40 --test-limit 32 --batch 50 --seed 5 --epochs 2 --max-steps 8)
if [ "$length" = long ]; then
    common+=(--width 1 --batch 64 --max-steps 3)
    ranks_list="1 2 3 4 6 8"
else
    common+=(--width 0.05)
    ranks_list="2 3 4 6 8"
fi

# Losses and hash of a run: all that may not differ.
answer() { # folder
    grep '"event":"epoch"' "$1/metrics.jsonl" | grep -o '"\(loss\|accuracy\|test_loss\|val_loss\)":[^,]*'
    grep '"event":"end"' "$1/metrics.jsonl" | tail -1 | grep -o '"weights_hash":"[0-9a-f]*"'
}

run() { # name, ranks, options
    local name=$1 ranks=$2
    shift 2
    "$mpiexec" --bind-to none -np "$ranks" "$dtrain" "${common[@]}" --quiet --out "$folder/$name" "$@" >"$folder/log" 2>&1 ||
        { cat "$folder/log"; echo "$name failed"; exit 1; }
}

expect_same() { # name
    if ! diff <(answer "$folder/reference") <(answer "$folder/$1"); then
        echo "$1 differs from one rank"
        exit 1
    fi
}

field() { # name of the run, field of its last epoch line
    grep '"event":"epoch"' "$folder/$1/metrics.jsonl" | tail -1 | sed "s/.*\"$2\":\([0-9.e+-]*\).*/\1/"
}

run reference 1 --threads 1
[ "$(answer "$folder/reference" | wc -l)" -ge 4 ]
for ranks in $ranks_list; do
    for strategy in allreduce sharded hybrid; do
        run "$strategy-$ranks" "$ranks" --strategy "$strategy" --threads $((ranks % 2 + 1)) --check-replicas 2
        expect_same "$strategy-$ranks"
        rm -f "$folder/$strategy-$ranks"/*.h5
    done
done

# Four nodes of one rank, and two of two.
for node_ranks in 1 2; do
    DTRAIN_NODE_RANKS=$node_ranks run "nodes-$node_ranks" 4 --strategy hybrid --threads 1
    expect_same "nodes-$node_ranks"
done

# Messages over sockets.
OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo run tcp 3 --strategy sharded --threads 1
expect_same tcp

# The choice by measuring is written down.
run auto 2 --strategy auto --threads 1
expect_same auto
grep -q '"plan":\[{"strategy":"allreduce","compute_s":' "$folder/auto/metrics.jsonl"

if [ "$length" = long ]; then
    awk -v sent="$(field hybrid-4 bytes_sent_a_step)" 'BEGIN { exit !(sent > 0 && sent <= 32e6) }'
    awk -v sent="$(field allreduce-4 bytes_sent_a_step)" 'BEGIN { exit !(sent > 0 && sent <= 2 * 3 / 4 * 117.83e6) }'
    exit 0
fi

# Stopped under one strategy, finished under another on other ranks.
run cut 3 --strategy hybrid --threads 1 --max-steps 5
run cut 2 --strategy sharded --threads 1 --resume "$folder/cut"
[ "$(answer "$folder/cut" | tail -1)" = "$(answer "$folder/reference" | tail -1)" ]

refuse() { # exit code, part of the message, then the command
    local code=0
    "${@:3}" >"$folder/log" 2>&1 || code=$?
    if [ "$code" != "$1" ] || ! grep -qF -- "$2" "$folder/log"; then
        cat "$folder/log"
        echo "expected exit code $1 (was $code) and: $2"
        exit 1
    fi
}
one=("$dtrain" "${common[@]}" --quiet --threads 1 --out "$folder/refused")
refuse 2 "--strategy: 'ring' is not allowed" "${one[@]}" --strategy ring
refuse 2 "at most 1 ranks" "$mpiexec" --bind-to none -np 2 "${one[@]}" --strategy hybrid --width 0.002
refuse 2 "rank 1 on" "$mpiexec" --bind-to none -np 1 "${one[@]}" : -np 1 "${one[@]}" --lr 0.5
refuse 2 "--lr is 0.5 here, but 0.001 on rank 0" "$mpiexec" --bind-to none -np 1 "${one[@]}" : -np 1 "${one[@]}" --lr 0.5

"$mpiexec" --bind-to none -np 2 "$dtrain" plan --width 0.05 --batch 50 --threads 1 >"$folder/plan"
grep -q 'fastest' "$folder/plan"
"$dtrain" plan --width 0.05 --threads 1 --ranks 2,5 --link-gbits 1 --link-us 50 >"$folder/plan"
[ "$(grep -c 'plan: batch 64 on [25] ranks, 1 a node' "$folder/plan")" = 2 ]
refuse 2 "numbers of ranks" "$dtrain" plan --width 0.05 --ranks 2,,3
refuse 2 "start the plan on 2 ranks or more" "$dtrain" plan --width 0.05 --ranks 2 --threads 1
