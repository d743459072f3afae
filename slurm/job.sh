#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the scripts of this folder share: checks before the run, the launcher in the background, signals handed on to it.
#
# The scripts set job_folder. After job_open: job_out, job_options, job_threads, job_program; after job_start and job_run:
# job_status.

# shellcheck disable=SC2154

# Slurm may send its signals at once.
job_asked=""
trap 'job_asked=USR1' USR1
trap 'job_asked=TERM' TERM

job_say() {
    echo "$(date '+%F %T') $*"
}

job_fail() { # exit code, message
    echo "$(date '+%F %T') error: $2" >&2
    exit "$1"
}

job_warn() {
    echo "$(date '+%F %T') warning: $*" >&2
}

# The value of an option in the user's list, in either form.
job_option() { # name
    local value="" next=""
    for word in "${job_options[@]}"; do
        [ -z "$next" ] || value=$word
        next=""
        case $word in
        "--$1") next=1 ;;
        "--$1="*) value=${word#*=} ;;
        esac
    done
    echo "$value"
}

# A field of what Slurm says of this job.
job_field() { # name
    scontrol show job "$SLURM_JOB_ID" 2>/dev/null | grep -oE "(^| )$1=[^ ]*" | head -n 1 | cut -d= -f2-
}

job_find_program() {
    local beside
    beside=$(dirname "$job_folder")/build/dtrain
    if [ -z "$DTRAIN" ]; then
        DTRAIN=dtrain
        [ ! -x "$beside" ] || DTRAIN=$beside
    fi
    read -ra job_program <<<"$DTRAIN_WRAP"
    job_program+=("$DTRAIN")
    command -v "${job_program[0]}" >/dev/null ||
        job_fail 2 "there is no program ${job_program[0]}: build it ($beside), or set DTRAIN (slurm/env.sh)"
}

job_choose_launcher() {
    local known
    known=$(srun --mpi=list 2>&1) || true
    if ! grep -qw -- "$DTRAIN_SRUN_MPI" <<<"$known"; then
        [ "$DTRAIN_LAUNCHER" != srun ] || job_fail 7 "srun on this cluster does not speak $DTRAIN_SRUN_MPI (it has: $(
            sed 's/.*://' <<<"$known" | xargs)): without it every rank would be a run of its own. Set DTRAIN_LAUNCHER=mpirun, or DTRAIN_SRUN_MPI to what your MPI was built for"
        [ -n "$DTRAIN_LAUNCHER" ] || job_say "srun does not speak $DTRAIN_SRUN_MPI here: mpirun starts the ranks"
        : "${DTRAIN_LAUNCHER:=mpirun}"
    fi
    case ${DTRAIN_LAUNCHER:=srun} in
    srun | mpirun) ;;
    *) job_fail 2 "DTRAIN_LAUNCHER=$DTRAIN_LAUNCHER: it is srun or mpirun" ;;
    esac
    command -v "$DTRAIN_LAUNCHER" >/dev/null ||
        job_fail 7 "$DTRAIN_LAUNCHER is not in PATH: load the module of your MPI in slurm/env.sh"
}

# One look from each node: whether it sees the folder for results, and what processor it has.
job_look_at_nodes() {
    local token
    token=$(mktemp "$job_out/.seen-by-all.XXXXXX") || job_fail 4 "cannot write to $job_out"
    # shellcheck disable=SC2016
    job_nodes=$(srun --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 sh -c '
        seen=blind
        [ ! -e "$1" ] || seen=sees
        model=$(sed -n "s/^model name[^:]*: *//p" /proc/cpuinfo | head -n 1)
        echo "$SLURMD_NODENAME $seen ${model:-$(uname -m)}"' sh "$token" | sort) || job_warn "could not look at the nodes"
    rm -f "$token"
}

job_blind_nodes() {
    awk '$2 == "blind" { print $1 }' <<<"$job_nodes" | paste -sd,
}

job_warn_of_mixed_processors() {
    local kinds
    kinds=$(awk 'NF > 2 { node = $1; $1 = $2 = ""; kind[$0] = kind[$0] (kind[$0] == "" ? "" : ",") node }
        END { for (k in kind) print kind[k] ":" k }' <<<"$job_nodes" | sed 's/: */: /' | sort)
    [ "$(wc -l <<<"$kinds")" -le 1 ] || job_warn "the nodes have different processors, and each step waits for the slowest: $(
        paste -sd';' <<<"$kinds" | sed 's/;/; /g'). Ask for one kind (sbatch --constraint)"
}

job_check_threads() {
    local wanted
    wanted=$(job_option threads)
    [ "${wanted:-0}" -le "$job_threads" ] 2>/dev/null ||
        job_warn "--threads $wanted, but each rank has $job_threads CPU$([ "$job_threads" -eq 1 ] || echo s) (sbatch --cpus-per-task=$wanted gives it as many)"
}

# Everything before the run. Arguments: the user's options of dtrain. A shell variable job_folder, and env.sh, come first.
job_open() {
    [ -n "${SLURM_JOB_ID:-}" ] || job_fail 2 "this script runs inside a Slurm job: sbatch $0"
    job_options=("$@")
    job_threads=${SLURM_CPUS_PER_TASK:-1}
    # Without a number of tasks, Slurm means one a node.
    job_ranks=${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}
    export SLURM_NTASKS=$job_ranks
    job_find_program
    job_choose_launcher
    job_out=$(job_option out)
    : "${job_out:=${DTRAIN_OUT:-$SLURM_SUBMIT_DIR/runs/${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+/$SLURM_ARRAY_TASK_ID}}}"
    mkdir -p "$job_out" || job_fail 4 "cannot make the folder $job_out"
    # srun takes -c from here, not from sbatch; a rank that dies must end the others (-K), also in steps of the user's own.
    export OMP_NUM_THREADS=$job_threads SRUN_CPUS_PER_TASK=$job_threads SLURM_KILL_BAD_EXIT=1
    job_say "job $SLURM_JOB_ID (start number ${SLURM_RESTART_COUNT:-0}): $SLURM_JOB_NUM_NODES nodes ($SLURM_JOB_NODELIST), $job_ranks ranks x $job_threads threads by $DTRAIN_LAUNCHER, results in $job_out"
    job_look_at_nodes
    job_warn_of_mixed_processors
    job_check_threads
}

# The launcher's words without the number of ranks and their threads, into job_launcher.
job_make_launcher() {
    if [ "$DTRAIN_LAUNCHER" = srun ]; then
        read -ra job_launcher <<<"srun --kill-on-bad-exit=1 --mpi=$DTRAIN_SRUN_MPI $DTRAIN_SRUN_OPTIONS"
    else
        read -ra job_launcher <<<"mpirun $DTRAIN_MPIRUN_OPTIONS $DTRAIN_MPIRUN_BIND"
    fi
}

job_make_whole_launcher() {
    job_make_launcher
    if [ "$DTRAIN_LAUNCHER" = srun ]; then
        job_launcher+=(--cpus-per-task="$job_threads")
    else
        job_launcher+=(-np "$job_ranks")
        [ -n "$DTRAIN_MPIRUN_BIND" ] || job_launcher+=(--map-by "slot:PE=$job_threads" --bind-to core)
    fi
}

job_hand_on() { # signal from Slurm
    job_asked=$1 job_interrupted=1
    job_say "SIG$1 from Slurm: the run is asked to save and to leave"
    [ -n "$job_messenger" ] || {
        job_deliver &
        job_messenger=$!
        disown
    }
}

# A launcher that is still starting its ranks dies of USR1 (mpirun with an internal error), and a run saves after its first
# step at the earliest: it is told when it has begun to train, by the first entry in its records.
job_deliver() {
    while [ "$job_signal" = USR1 ] && [ "$(job_state metrics.jsonl)" = "$job_records" ]; do
        sleep 0.2
    done
    kill -"$job_signal" "$job_process" 2>/dev/null
}

# Runs a command, which gets this signal whatever Slurm sends. It is in the background because bash looks at signals only
# between commands; `wait` returns early when one comes.
job_start() { # signal, command...
    job_signal=$1 job_messenger=""
    shift
    job_records=$(job_state metrics.jsonl)
    "$@" &
    job_process=$!
    trap 'job_hand_on USR1' USR1
    trap 'job_hand_on TERM' TERM
    [ -z "$job_asked" ] || job_hand_on "$job_asked"
    job_interrupted=1
    while [ -n "$job_interrupted" ]; do
        job_interrupted=""
        job_status=0
        wait "$job_process" || job_status=$?
    done
    trap '' USR1
    [ -z "$job_messenger" ] || kill "$job_messenger" 2>/dev/null || true
}

# Runs dtrain with the user's options and those given. Both launchers hand USR1 on to the ranks, which agree among
# themselves, so that it does not matter whom a signal reaches.
job_run() { # further options
    local options=("${job_options[@]}" "$@")
    [ -n "$(job_option out)" ] || options+=(--out "$job_out")
    job_make_whole_launcher
    job_start USR1 "${job_launcher[@]}" "${job_program[@]}" "${options[@]}"
    job_say "exit code $job_status: $(job_explain "$job_status")"
}

job_explain() { # exit code
    case $1 in
    0) echo "done" ;;
    1) echo "the launcher failed" ;;
    2) echo "wrong options, see the message above" ;;
    3) echo "the data set is missing or damaged" ;;
    4) echo "a file or folder could not be read or written" ;;
    5) echo "not enough memory" ;;
    6) echo "a loss or gradient was not finite" ;;
    7) echo "the cores, the instruction set or the way the ranks were started" ;;
    75) echo "stopped as asked, the state is saved; start again with --resume" ;;
    76) echo "a rank hung or was lost, see the message above; start again with --resume" ;;
    137) echo "killed: out of memory, or Slurm's patience was over" ;;
    *) [ "$1" -le 128 ] && echo "see the messages above" ||
        echo "ended by signal $(($1 - 128)) (143 under srun: a rank that left or died took the others along)" ;;
    esac
}

# A text that changes whenever a file of the results does: last.weights.h5 when a new checkpoint is complete.
job_state() { # file
    stat -L -c '%i %Y %s' "$job_out/$1" 2>/dev/null || echo none
}
