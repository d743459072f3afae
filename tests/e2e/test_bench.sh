#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The benchmarks run, refuse what they do not know, and bench/kernels finds every kernel near its plain twin.
# Usage: test_bench.sh FOLDER MPIEXEC
set -euo pipefail
folder=$1
mpiexec=$2
output=$(mktemp)
trap 'rm -f "$output"' EXIT

fail() {
  echo "FAILED: $*"
  tail -n 5 "$output"
  exit 1
}

refuse() { # message, command...
  local message=$1
  shift
  if "$@" >"$output" 2>&1; then fail "accepted: $*"; fi
  grep -qF -- "$message" "$output" || fail "no '$message': $*"
}

refuse "no such mode: trian" "$folder/step" --mode trian
refuse "methods: 'fast' is not allowed" "$folder/step" --methods fast,fast,fast,fast,fast
refuse "not a number above 0" "$folder/step" --width 0
refuse "no such instruction set: sse9" "$folder/kernels" --isa sse9
refuse "no such precision: fp64" "$folder/kernels" --precision fp64
refuse "not a whole number from 1 to 4096: 0" "$folder/kernels" --batch 64,0

for mode in train infer; do
  "$mpiexec" -np 2 --bind-to none "$folder/step" --mode "$mode" --width 0.05 --batch 32 --steps 2 --rounds 1 --warmup 1 \
    --threads 1 --json >"$output" 2>&1 || fail "step --mode $mode"
  grep -qE "^\{\"images_per_s\":[0-9.]+,.*\"ranks\":2,\"batch\":32,\"mode\":\"$mode\",.*\}$" "$output" || fail "step's JSON"
done

links=$(dirname "$0")/../../bench/links
bash "$links" --build "$folder/.." --repeats 2 --steps 1 --places memory --strategies hybrid --wires fp32,bf16 -- --width 0.05 --rounds 1 \
  --warmup 1 >"$output" 2>&1 || fail "links"
[ "$(grep -cE '^\| dtrain, wire (fp32|bf16)(, hybrid, tests \| memory| \| one) \| [0-9.]+ \| [0-9.]+ \|$' "$output")" -eq 4 ] || fail "links' table"
grep -qE '^\| dtrain, wire fp32 \| one \| [0-9.]+ \| 1.00 \|$' "$output" || fail "links' base"

# 5 convolutions with 15 methods by 3 calls, 3 dense layers by 4, and the passes over memory; errors of sums in float.
"$folder/kernels" --width 0.05 --batch 1,9 --repeats 1 --threads 2 --json --isa all >"$output" 2>&1 || fail "kernels"
for isa in $(grep '"event":"machine"' "$output" | sed -E 's/.*"isa":"([a-z0-9_]*)".*/\1/'); do
  rows=$(grep '"event":"kernel"' "$output" | grep -c "\"isa\":\"$isa\"")
  [ "$rows" -eq 191 ] || fail "$isa has $rows rows"
done
worst=$(sed -nE 's/.*"error":([0-9.e+-]*).*/\1/p' "$output" | sort -g | tail -n 1)
awk -v worst="$worst" 'BEGIN { exit !(worst > 0 && worst < 1e-5) }' || fail "the largest error is $worst"
if grep -qE ':-?(nan|inf)' "$output"; then fail "not a number"; fi

# In bfloat16 two operands of a product are rounded by up to 2^-8 of their size, by 2^-8/sqrt(3) in the mean square: sums of
# products are wrong by up to 3.2e-3, here of so few values by half as much again. Winograd enlarges that twenty times.
"$folder/kernels" --width 0.05 --batch 9 --repeats 1 --threads 2 --json --isa all --precision bf16 >"$output" 2>&1 || fail "kernels in bf16"
errors() { # pattern of names: the errors of these kernels
  grep -E "\"precision\":\"bf16\".*\"kernel\":\"($1)\"" "$output" | sed -nE 's/.*"error":([0-9.e+-]*).*/\1/p'
}
! grep -q '"isa":"amx_bf16"' "$output" || [ "$(errors 'conv[1-5]\.[a-z]*\.tiles' | wc -l)" -eq 15 ] || fail "no tiles"
[ "$(errors 'fc[1-3]\.(forward|data|weights)' | wc -l)" -eq $((9 * $(grep -c '"event":"machine"' "$output"))) ] || fail "bf16: dense layers"
errors 'conv[1-5]\.[a-z]*\.tiles|fc[1-3]\.(forward|data|weights)' | awk '!($1 > 5e-4 && $1 < 5e-3) { exit 1 }' || fail "bf16: errors of sums"
errors '[^"]*' | awk '!($1 < 0.1) { exit 1 }' || fail "bf16: the largest error"
if grep -qE ':-?(nan|inf)' "$output"; then fail "bf16: not a number"; fi

"$folder/kernels" --width 0.05 --kernel fc1.update --repeats 1 >"$output" 2>&1 || fail "kernels --kernel"
[ "$(wc -l <"$output")" -eq 3 ] || fail "--kernel does not filter"
echo "benchmarks as expected"
