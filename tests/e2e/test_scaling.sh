#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_scaling.sh DTRAIN: bench/scaling with a tiny network. Right runs are VALID, wrong ones INVALID, broken ones FAILED, and
# the rest goes on; what it writes can be read; wrong calls are refused.
set -euo pipefail
dtrain=$1
scaling=$DT_TEST_SOURCE_DIR/bench/scaling
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset DTRAIN DTRAIN_LAUNCHER SLURM_JOB_ID

fail() {
    echo "FAILED: $*" >&2
    [ ! -e output ] || cat output >&2
    exit 1
}

# run CODE ARGUMENT...: bench/scaling must end with this code; what it says goes to output.
run() {
    local expected=$1 code=0
    shift
    timeout 200 bash "$scaling" --dtrain "${program:-$dtrain}" "$@" >output 2>&1 </dev/null || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code, not $expected: $*"
}

expect() { # pattern, file
    grep -qE -- "$1" "${2:-output}" || fail "'$1' is not in ${2:-the output}"
}

# A program that does everything right, except what the test wants wrong.
cat >wrapper <<TEXT
#!/usr/bin/env bash
size=\${OMPI_COMM_WORLD_SIZE:-1}
[[ "\$*" != *"info "* ]] || exec "$dtrain" "\$@"
[[ "\$*" != *"report "* ]] || exec "$dtrain" "\$@"
# Two ranks train with another seed.
[ "\$size" != 2 ] || exec "$dtrain" "\$@" --seed 2
[ "\$size" != 3 ] || exec "$dtrain" "\$@" --lr 0
exec "$dtrain" "\$@"
TEXT
chmod +x wrapper

tiny=(--width 0.05 --steps 1 --blocks 1 --repeats 1 --batches 16)

# 1. All is right: VALID lines for 1 and 2 ranks and for 2 threads; strong, weak and cores.
run 0 "${tiny[@]}" --cores 2 --per-rank 8 --out good
expect '^ +16 +allreduce +1 +1 +[0-9.]+ +[0-9.]+ +1\.00 +100 .* 1/1 +VALID$'
expect '^ +16 +allreduce +2 +1 +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+ +[0-9.]+ .* -?[0-9.]+ +1/1 +VALID$'
expect '^batch +strategy +N +threads +images/s +\+-% +speed-up +efficiency % +exposed ms +MB a step +of peak % +serial +runs'
for title in 'Strong scaling' 'Weak scaling' 'The same cores as ranks or as threads'; do
    expect "^$title"
done
! grep -qE 'INVALID|FAILED' <(grep -v ' 0 INVALID, 0 FAILED$' output) || fail "a run is not VALID"
# As a pattern: a name may have brackets, as in "Intel(R)".
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | sed 's/[][(){}.*+?^$|\\]/\\&/g')
for file in scaling.jsonl scaling.csv; do
    for word in 'Open MPI' 'dtrain [0-9.]+ \(' '--width' "$processor"; do
        expect "$word" "good/$file"
    done
done
[ "$(grep -c '"event":"run".*"state":"VALID"' good/scaling.jsonl)" -eq "$(ls -d good/runs/0* | wc -l)" ] || fail "scaling.jsonl"
[ "$(head -n 1 good/scaling.jsonl | grep -c '"event":"setup"')" -eq 1 ] || fail "scaling.jsonl does not begin with its setup"
awk -F, '/^#/ { next } !columns { columns = NF; for (i = 1; i <= NF; i++) at[$i] = i; next }
    NF != columns || $at["state"] != "VALID" || !($at["images_per_s"] > 0) || !($at["speedup"] > 0) ||
        !($at["peak_share"] > 0) || $at["exposed_ms"] == "" { exit 1 }
    { rows++ } END { exit !(rows > 4) }' good/scaling.csv || fail "$(cat good/scaling.csv)"
[ -z "$(find good -name '*.h5')" ] || fail "weights are left over"
if command -v gnuplot >/dev/null; then
    for plot in speedup efficiency phases-16; do
        expect '</svg>' "good/$plot.svg"
        [ "$(head -c 4 "good/$plot.png" | tail -c 3)" = PNG ] || fail "good/$plot.png is no PNG"
    done
else
    echo "skipped: the plots, because there is no gnuplot here"
fi

# 2. All kinds once a repeat, in an order that the seed decides; a folder that holds results is not touched.
plan=(--dry-run --cores 4 --repeats 4 --batches "64,256" --strategies allreduce)
run 0 "${plan[@]}" --seed 1
mv output order1
run 0 "${plan[@]}" --seed 1
cmp -s output order1 || fail "the same seed gives another order"
run 0 "${plan[@]}" --seed 2
! cmp -s output order1 || fail "another seed gives the same order"
kinds() { # repeat
    grep "repeat $1 " order1 | cut -c 17-
}
[ "$(kinds 1 | sort -u | wc -l)" -ge 8 ] || fail "kinds are missing: $(cat order1)"
for repeat in 1 2 3 4; do
    [ "$(kinds $repeat | sort)" = "$(kinds 1 | sort -u)" ] || fail "repeat $repeat has not each kind once: $(cat order1)"
done
[ "$(kinds 1)" != "$(kinds 2)" ] || fail "two repeats have the same order"
expect 'allreduce +1 x 1 +batch 64 +8 steps an epoch +strong weak cores$' order1
expect 'allreduce +4 x 1 +batch 256 +2 steps an epoch +strong weak$' order1
run 2 "${tiny[@]}" --out good
expect 'good is there already'
run 0 --report good

# 3. Another seed on two ranks is INVALID, a refused option on three FAILED; one rank stays VALID. More ranks than cores are said.
program=$folder/wrapper
run 1 "${tiny[@]}" --strategies allreduce --experiments strong --ranks 2,3 --cores 2 --out bad
expect ' 1 +1 .* 1/1 +VALID$'
expect ' 2 +1 +- +- +- .* 0/1 +INVALID$'
expect ' 3 +1 +- +- +- .* 0/1 +FAILED, oversubscribed$'
expect '^run [0-9] \(allreduce, 2 x 1, batch 16\) INVALID: epoch 1: loss [0-9.]+ instead of [0-9.]+$'
expect '^run [0-9] \(allreduce, 3 x 1, batch 16\) FAILED: exit code 2: .*--lr: .0. is not allowed'
expect '^1 runs VALID, 1 INVALID, 1 FAILED$'
program=$dtrain

# What is not VALID shows in the exit code also where scaling.jsonl cannot be written; a run of which nothing is known is left out.
ln -s elsewhere link
rm bad/scaling.jsonl
mv link bad/scaling.jsonl
run 1 --report bad
expect 'scaling.jsonl: cannot be written: it is a symbolic link'
expect '^1 runs VALID, 1 INVALID, 1 FAILED$'
[ ! -e elsewhere ] || fail "written through a link"
cp -r good torn
mkdir torn/runs/9999
run 1 --report torn
expect 'runs/9999/asked.json: cannot be read'
expect '^[0-9]+ runs VALID, 0 INVALID, 0 FAILED$'

# 4. Without gnuplot tables come, and how to plot later is said.
mkdir bin
for tool in bash env timeout awk sed grep sort seq ls tr cut cat date mktemp rm mkdir head tail dirname; do
    ln -s "$(command -v "$tool")" bin/
done
PATH=$folder/bin run 0 --plot good
expect 'gnuplot is missing.*bench/scaling --plot'

# 5. Broken off by hand: what has been measured is printed, and nothing else is begun.
bash "$scaling" --dtrain "$dtrain" "${tiny[@]}" --experiments strong --ranks 1 --repeats 500 --out cut >output 2>&1 </dev/null &
pid=$!
for ((i = 0; i < 600; i++)); do
    ! grep -q 'run 2/500' output || break
    sleep 0.1
done
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
[ "$code" -eq 130 ] || fail "broken off: exit code $code"
expect '^[0-9]+ runs VALID, 0 INVALID, 0 FAILED$'
expect 'stopped by hand'
! grep -q 'FAILED with' output || fail "what was stopped is said to have failed"

# 6. No launcher, no program, wrong calls: nothing is begun.
DTRAIN_LAUNCHER="no-such-launcher -x" run 7 --out none
expect 'there is no launcher no-such-launcher'
program=$folder/nothing run 7 --out none
expect "there is no program $folder/nothing"
run 2 --batches 64,x --out none
expect "batches: 'x' is not allowed"
run 2 --experiments string --out none
expect "'string' is not allowed: strong, weak, cores"
run 2 --strategies allreduce,none --out none
expect "'none' is not allowed: .*allreduce"
run 2 --hostfile missing --out none
run 2 --speed
run 2 --plot none
run 2 --report bin
expect 'bin holds no results'
run 0 --dry-run --cores 1 --threads 2 --experiments strong --batches 64 --repeats 1
expect '^ +1 +repeat 1 +[a-z]+ +1 x 2 +batch 64 '
[ "$(wc -l <output)" -eq 1 ] || fail "more than one kind"
[ ! -e none ] || fail "something was written"
echo "all benchmarks as they should be"
