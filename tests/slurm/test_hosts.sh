#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_hosts.sh DTRAIN: two hosts by tests/cluster/hosts. mpirun puts a rank on each, the limit of their link holds, the bits
# are those of one rank, and the exit code comes through.
set -euo pipefail
dtrain=$1
hosts=$DT_TEST_SOURCE_DIR/tests/cluster/hosts
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail() {
    echo "FAILED: $*" >&2
    cat "$folder"/*.log >&2
    exit 1
}

status=0
"$hosts" -- sh -c 'exit 42' 2>"$folder/hosts.log" || status=$?
if [ "$status" -eq 77 ]; then
    echo "NOT TESTED: hosts made of network namespaces: $(cat "$folder/hosts.log")" >&2
    exit 77
fi
[ "$status" -eq 42 ] || fail "exit code $status, not 42"

tiny=(--data synthetic:600 --validation 88 --epochs 1 --width 0.05)
"$dtrain" "${tiny[@]}" --out "$folder/one" >"$folder/one.log" 2>&1 || fail "one rank"
"$hosts" --rate 20mbit -- mpirun -np 2 "$dtrain" "${tiny[@]}" --out "$folder/two" >"$folder/two.log" 2>&1 || fail "two hosts"
grep -qE '^rank 0  node1 ' "$folder/two.log" || fail "rank 0 is not on node1"
grep -qE '^rank 1  node2 ' "$folder/two.log" || fail "rank 1 is not on node2"

hash_of() {
    sed -nE 's/^end: .* weights hash ([0-9a-f]+),.*/\1/p' "$folder/$1.log"
}
[ -n "$(hash_of one)" ] && [ "$(hash_of one)" = "$(hash_of two)" ] || fail "hash $(hash_of two), not $(hash_of one)"

# In each of 8 steps a rank receives half of the 74122 gradients for its sums and sums for the other half: 0.95 s in all, of
# which the bucket of 256 KiB takes 0.1 s.
seconds=$(sed -nE 's/^end: 8 steps in ([0-9.]+) s.*/\1/p' "$folder/two.log")
awk -v seconds="${seconds:-0}" 'BEGIN { exit !(seconds > 0.84) }' || fail "8 steps in $seconds s: the link was not limited"
echo "two hosts: $(hash_of two), 8 steps in $seconds s over 20 Mbit/s"
