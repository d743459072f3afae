#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_scripts.sh: what can be seen without a cluster. The scripts parse; they name no account, partition or folder of a site;
# outside a job they say what they are for.
set -euo pipefail
cd "$DT_TEST_SOURCE_DIR/slurm"
unset SLURM_JOB_ID
failures=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

complain() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

command -v shellcheck >/dev/null || echo "skipped: shellcheck is not here"
for script in *.sbatch *.sh ../tests/cluster/{hosts,slurm,ssh,sandbox.sh}; do
    bash -n "$script" || complain "$script does not parse"
    ! command -v shellcheck >/dev/null || shellcheck -S warning "$script" || complain "$script: shellcheck"
done
for script in *.sbatch; do
    ! grep -nE '^#SBATCH.*(--account|--partition|--qos|-A |-p |/)' "$script" || complain "$script: belongs to one site"
    ! grep -nE '(^|[ "=])/(home|scratch|work|opt|lustre|gpfs|usr|tmp)/' "$script" || complain "$script: has a path of one site"
    grep -q '^#SBATCH --signal=B:USR1@' "$script" || complain "$script: is not told of its end"
    status=0
    DTRAIN_SLURM=$PWD bash "$script" >/dev/null 2>"$output" </dev/null || status=$?
    [ "$status" -eq 2 ] || complain "$script outside a job: exit code $status"
    grep -qE 'sbatch' "$output" || complain "$script outside a job: $(cat "$output")"
done
[ "$failures" -eq 0 ] && echo "all scripts are clean"
exit "$((failures > 0))"
