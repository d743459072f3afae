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

# The strategy that ran.
chosen() { # name of the run
    grep '"event":"start"' "$folder/$1/metrics.jsonl" | tail -1 | sed 's/.*"strategy":"\([a-z-]*\)","plan".*/\1/'
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

# Four nodes of one rank, two of two, one of three and one of one, one of four; hybrid over all ranks and over each node.
for nodes in "2 all hybrid" "1 node hybrid-node" "2 node hybrid-node" "3 node hybrid-node" "4 node hybrid"; do
    read -r node_ranks grid expected <<<"$nodes"
    name=nodes-$node_ranks-$grid
    DTRAIN_NODE_RANKS=$node_ranks run "$name" 4 --strategy hybrid --grid "$grid" --threads 1 --check-replicas 2
    expect_same "$name"
    [ "$(chosen "$name")" = "$expected" ] || { echo "$name: $(chosen "$name"), not $expected"; exit 1; }
    rm -f "$folder/$name"/*.h5
done
if [ "$length" = long ]; then
    DTRAIN_NODE_RANKS=4 run nodes-2x4 8 --strategy hybrid --grid node --threads 1
    expect_same nodes-2x4
fi

# allreduce and sharded on two nodes of two: these send together what two ranks send, each half of it.
for strategy in allreduce sharded; do
    DTRAIN_NODE_RANKS=2 run "pairs-$strategy" 4 --strategy "$strategy" --threads 1 --check-replicas 3
    expect_same "pairs-$strategy"
    rm -f "$folder/pairs-$strategy"/*.h5
done
DTRAIN_NODE_RANKS=1 run lone 2 --strategy sharded --threads 1
expect_same lone
awk -v pairs="$(field pairs-sharded bytes_sent_a_step)" -v lone="$(field lone bytes_sent_a_step)" \
    'BEGIN { exit !(pairs > 0.45 * lone && pairs < 0.55 * lone) }'

# A system that gives the ranks no memory to share, here for a limit on the size of files: they say so and go on.
if [ "$length" = short ]; then
    (
        trap '' XFSZ
        ulimit -f 5000
        exec "$mpiexec" --bind-to none -np 3 "$dtrain" "${common[@]}" --out "$folder/refused" --strategy sharded --threads 1
    ) >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    grep -q 'share no memory, each holds its own copies: rank 0 on .* MB that the ranks of a node share (ftruncate)' "$folder/log"
    expect_same refused
fi

# Messages over sockets.
OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo run tcp 3 --strategy sharded --threads 1
expect_same tcp

# The choice by measuring is written down.
run auto 2 --strategy auto --threads 1
expect_same auto
grep -q '"plan":\[{"strategy":"allreduce","compute_s":' "$folder/auto/metrics.jsonl"

# On several nodes of several ranks hybrid chooses its grid, and auto among all.
DTRAIN_NODE_RANKS=2 run grid 3 --strategy hybrid --threads 1
expect_same grid
grep -q '"plan":\[{"strategy":"hybrid","compute_s":.*{"strategy":"hybrid-node","compute_s":' "$folder/grid/metrics.jsonl"
[[ "$(chosen grid)" =~ ^hybrid(-node)?$ ]]
DTRAIN_NODE_RANKS=2 run auto-grid 3 --strategy auto --grid node --threads 1
expect_same auto-grid
grep -q '"plan":\[{"strategy":"allreduce".*{"strategy":"sharded".*},{"strategy":"hybrid-node",[^{]*\],' "$folder/auto-grid/metrics.jsonl"

if [ "$length" = long ]; then
    awk -v sent="$(field hybrid-4 bytes_sent_a_step)" 'BEGIN { exit !(sent > 0 && sent <= 32e6) }'
    awk -v sent="$(field nodes-2-node bytes_sent_a_step)" 'BEGIN { exit !(sent > 0 && sent <= 73e6) }'
    # Inside a node gradients are read where they lie; as messages:
    DTRAIN_NODE_RANKS=1 run lone-4 4 --strategy allreduce --threads 1
    expect_same lone-4
    awk -v sent="$(field lone-4 bytes_sent_a_step)" 'BEGIN { exit !(sent > 0 && sent <= 2 * 3 / 4 * 117.83e6) }'
    awk -v sent="$(field allreduce-4 bytes_sent_a_step)" 'BEGIN { exit sent != 0 }'
    exit 0
fi

# The same over a bf16 wire, whose bits are its own; between nodes of two ranks, of three and one, and over sockets.
run wire-reference 1 --threads 2 --wire bf16
if diff -q <(answer "$folder/reference") <(answer "$folder/wire-reference") >/dev/null; then
    echo "--wire bf16 rounds nothing"
    exit 1
fi
mv "$folder/reference" "$folder/fp32-reference"
mv "$folder/wire-reference" "$folder/reference"
run wire-allreduce 2 --strategy allreduce --threads 1 --wire bf16 --check-replicas 2
expect_same wire-allreduce
for nodes in "2 all" "3 node"; do
    read -r node_ranks grid <<<"$nodes"
    DTRAIN_NODE_RANKS=$node_ranks run "wire-nodes-$node_ranks" 4 --strategy hybrid --grid "$grid" --threads 1 --wire bf16
    expect_same "wire-nodes-$node_ranks"
done
OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo run wire-tcp 3 --strategy sharded --threads 1 --wire bf16
expect_same wire-tcp
run wire-cut 3 --strategy sharded --threads 1 --max-steps 5 --wire bf16
run wire-cut 2 --strategy hybrid --threads 1 --wire bf16 --resume "$folder/wire-cut"
[ "$(answer "$folder/wire-cut" | tail -1)" = "$(answer "$folder/reference" | tail -1)" ]
awk -v half="$(field wire-nodes-2 bytes_sent_a_step)" -v whole="$(field nodes-2-all bytes_sent_a_step)" \
    'BEGIN { exit !(half > 0 && 2 * half == whole) }'
mv "$folder/reference" "$folder/wire-reference"
mv "$folder/fp32-reference" "$folder/reference"

# Stopped under one strategy, finished under another on other ranks.
run cut 3 --strategy hybrid --threads 1 --max-steps 5
run cut 2 --strategy sharded --threads 1 --resume "$folder/cut"
[ "$(answer "$folder/cut" | tail -1)" = "$(answer "$folder/reference" | tail -1)" ]
DTRAIN_NODE_RANKS=2 run other 5 --strategy hybrid --grid node --threads 1 --max-steps 3
DTRAIN_NODE_RANKS=3 run other 4 --strategy hybrid --grid node --threads 1 --max-steps 5 --resume "$folder/other"
run other 3 --strategy allreduce --threads 1 --max-steps 6 --resume "$folder/other"
DTRAIN_NODE_RANKS=1 run other 2 --strategy hybrid --grid node --threads 1 --resume "$folder/other"
[ "$(answer "$folder/other" | tail -1)" = "$(answer "$folder/reference" | tail -1)" ]

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
refuse 2 "--grid: 'nodes' is not allowed" "${one[@]}" --grid nodes
for grid in node auto; do
    DTRAIN_NODE_RANKS=2 refuse 2 "at most 1 ranks a node" "$mpiexec" --bind-to none -np 3 "${one[@]}" --strategy hybrid --width 0.002 --grid $grid
done
refuse 2 "rank 1 on" "$mpiexec" --bind-to none -np 1 "${one[@]}" : -np 1 "${one[@]}" --lr 0.5
refuse 2 "--lr is 0.5 here, but 0.001 on rank 0" "$mpiexec" --bind-to none -np 1 "${one[@]}" : -np 1 "${one[@]}" --lr 0.5

"$mpiexec" --bind-to none -np 2 "$dtrain" plan --width 0.05 --batch 50 --threads 1 >"$folder/plan"
grep -q 'fastest' "$folder/plan"
"$dtrain" plan --width 0.05 --threads 1 --ranks 2,5 --link-gbits 1 --link-us 50 >"$folder/plan"
[ "$(grep -c 'plan: batch 64 on [25] ranks, 1 a node' "$folder/plan")" = 2 ]
grid=$("$mpiexec" --bind-to none -np 2 "$dtrain" plan --width 0.05 --threads 1 --ranks 4,8 --node-ranks 4 --link-gbits 1 --link-us 50)
[ "$(grep -c ' hybrid-node ' <<<"$grid")" = 1 ] || { echo "$grid"; exit 1; }
refuse 2 "start the plan on 2 ranks or more" "$dtrain" plan --width 0.05 --threads 1 --ranks 8 --node-ranks 4 --link-gbits 1
"$dtrain" plan --width 0.05 --threads 1 -N 2 5 --link-gbits 1 --link-us 50 >"$folder/plan"
[ "$(grep -c 'plan: batch 64 on [25] ranks, 1 a node' "$folder/plan")" = 2 ]
"$dtrain" plan --width 0.05 --threads 1 --strategy sharded >"$folder/plan"
grep -q '^  sharded .*fastest' "$folder/plan"
! grep -qE '^  (allreduce|hybrid)' "$folder/plan" || { cat "$folder/plan"; exit 1; }
refuse 2 "numbers of ranks" "$dtrain" plan --width 0.05 --ranks 2,,3
refuse 2 "start the plan on 2 ranks or more" "$dtrain" plan --width 0.05 --ranks 2 --threads 1
