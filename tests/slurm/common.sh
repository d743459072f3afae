#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the tests of this folder with their arguments: starts the test again inside a Slurm of two nodes of four
# processors, in a folder of its own. DT_SLURM_MODE is the --mode of tests/cluster/slurm. Exit code 77, a skipped test, where
# Slurm is not installed; DT_REQUIRE_SLURM=1 makes that a failure.
# shellcheck disable=SC2034
set -euo pipefail

scripts=$DT_TEST_SOURCE_DIR/slurm
cluster=$DT_TEST_SOURCE_DIR/tests/cluster
cluster_options=()

# Runs the test again inside, with its arguments, and ends. The test may set cluster_options and seconds before.
enter_slurm() { # arguments of the test
    local status=0
    [ -z "${DT_SLURM_MODE:-}" ] || cluster_options+=(--mode "$DT_SLURM_MODE")
    timeout --kill-after=20 "${seconds:-400}" "$cluster/slurm" --nodes 2 --cpus 4 "${cluster_options[@]}" -- bash "$0" "$@" ||
        status=$?
    if [ "$status" -eq 77 ]; then
        echo "NOT TESTED: the Slurm scripts, because there is no Slurm here; tools/prepare --slurm installs it" >&2
        [ "${DT_REQUIRE_SLURM:-0}" != 1 ] || exit 1
    fi
    exit "$status"
}

fail() {
    echo "FAILED: $*" >&2
    for file in "$work"/*.out "$work"/runs/*/chain.log; do
        [ ! -s "$file" ] || tail -v -n 60 "$file" >&2
    done
    tail -n 20 "$DT_CLUSTER/log/slurmctld" >&2
    exit 1
}

# What `scontrol show job` says; a field may stand in many lines of an array.
field() { # job, name
    scontrol show job "$1" 2>/dev/null | grep -oE "(^| )$2=[^ ]*" | head -n 1 | cut -d= -f2-
}

# Tries twice a second until a command succeeds.
await() { # seconds, what for, command...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain: $what"
        sleep 0.5
    done
}

has_ended() { # job
    local state
    for state in $(scontrol show job "$1" | grep -oE 'JobState=[A-Z_]+' | cut -d= -f2); do
        case $state in
        PENDING | RUNNING | COMPLETING | CONFIGURING | SIGNALING | STAGE_OUT | RESIZING | REQUEUED | SUSPENDED) return 1 ;;
        esac
    done
}

# Waits for a job; it must end in this state and with this exit code.
ended() { # job, seconds, state, exit code
    await "$2" "the end of job $1" has_ended "$1"
    local found
    found="$(field "$1" JobState) $(field "$1" ExitCode)"
    [ "$found" = "$3 $4:0" ] || fail "job $1 ended as $found, not $3 $4:0"
}

says() { # file, pattern
    grep -qE -- "$2" "$1" || fail "'$2' is not in $1"
}

says_not() { # file, pattern
    ! grep -qE -- "$2" "$1" || fail "'$2' is in $1"
}

weights_hash() { # results folder: of the run's end
    sed -nE 's/.*"event": *"end".*"weights_hash": *"([0-9a-f]+)".*/\1/p' "$1/metrics.jsonl" | tail -n 1
}

submit() {
    sbatch --parsable "$@"
}

start_test() {
    work=$DT_CLUSTER/work
    mkdir "$work"
    cd "$work"
    # What a user's shell may have set must not decide.
    unset DTRAIN_LAUNCHER DTRAIN_OUT DTRAIN_DATA DTRAIN_WRAP DTRAIN_SWEEP OMP_NUM_THREADS
    export DTRAIN
    # Neither the processors of the nodes nor those of this machine can be told apart by mpirun.
    export DTRAIN_MPIRUN_BIND="--bind-to none"
}
