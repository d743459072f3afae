#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What a run draws on a terminal: one line of progress, never wider than the window, drawn over by the next; long lines end
# at words. Usage: test_terminal.sh DTRAIN MPIEXEC
set -u
dtrain=$1
mpiexec=$2
if ! command -v script >/dev/null; then
  echo "SKIPPED: script makes the terminals of this test"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0
small=(--data synthetic:2000 --validation 10 --test-limit 10 --width 0.05 --batch 16 --threads 1 --epochs 200 --max-time 4s)

complain() {
  echo "FAILED: $*"
  cat -v "$folder/screen"
  failures=$((failures + 1))
}

# draw COLUMNS COMMAND: runs it on a terminal of so many columns; the screen's lines, drawn over or not, go to `lines`.
draw() {
  script -qec "stty cols $1; $2" "$folder/screen" >/dev/null 2>&1 </dev/null
  tr '\r' '\n' <"$folder/screen" | sed 's/\x1b\[K//g' | sed '/^Script /d' >"$folder/lines"
}

# widest PATTERN: columns of the widest line that has it.
widest() {
  grep -E "$1" "$folder/lines" | awk '{ if (length($0) > w) w = length($0) } END { print w + 0 }'
}

# expect_fit COLUMNS NAME: there is progress, and no line is wider than the terminal.
expect_fit() {
  [ "$(grep -cE 'step [0-9]+/125.*left' "$folder/lines")" -ge 1 ] || complain "$2: no progress"
  [ "$(widest 'left$')" -lt "$1" ] || complain "$2: progress is $(widest 'left$') columns wide"
  # What is one word, such as a name of a file, may stand out.
  [ "$(widest '[^ ] [^ ]')" -le "$1" ] || complain "$2: a line is $(widest '[^ ] [^ ]') columns wide"
}

run="$dtrain ${small[*]} --out run"
for columns in 80 40; do
  draw "$columns" "$run"
  expect_fit "$columns" "$columns columns"
  rm -rf run
done
grep -q '^step [0-9]*/125 loss [0-9.]* [0-9smh]* left$' "$folder/lines" || complain "40 columns: other fields"
grep -q 'moving statistics' "$folder/lines" || complain "no word of moving statistics that are not settled"

# A window that is drawn smaller while the run goes on: what comes next fits.
draw 120 "(sleep 2; stty -F /dev/tty cols 40) & $run"
grep 'left$' "$folder/lines" >"$folder/progress"
[ "$(head -n 1 "$folder/progress" | wc -c)" -gt 41 ] || complain "a smaller window: progress is narrow before"
[ "$(tail -n 1 "$folder/progress" | wc -c)" -le 40 ] || complain "a smaller window: progress stays wide"
rm -rf run

# A terminal that does not know its width: $COLUMNS.
draw 0 "COLUMNS=50 $run"
expect_fit 50 'COLUMNS=50'
rm -rf run

# mpirun's own terminal counts.
draw 60 "$mpiexec -np 2 --bind-to none $run"
sed -i '/^---/,$d' "$folder/lines" # what mpirun itself says
expect_fit 60 'mpirun'

# No terminal: whole lines, and nothing is drawn over.
$run >"$folder/screen" 2>&1
! grep -q $'\r' "$folder/screen" || complain "a plain file is drawn on"
grep -q '.\{100\}' "$folder/screen" || complain "lines of a plain file are broken"

[ "$failures" -eq 0 ] && echo "terminals are drawn on within their width"
exit "$((failures > 0))"
