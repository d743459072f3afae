#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by hosts and slurm: a network, process and mount namespace around the calling script, and hosts inside it.
#
# Everything that is set up lives in that sandbox. It ends with its first process, and with it end all processes, networks
# and mounts that were made in it, also after a SIGKILL.

# What each script needs of the machine; says what is missing.
sandbox_need() { # commands...
    local missing=()
    for command in "$@"; do
        command -v "$command" >/dev/null || missing+=("$command")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "cluster: not installed: ${missing[*]} (Debian: slurm-wlm munge iproute2 openmpi-bin)" >&2
    return 77
}

# Replaces the shell.
sandbox_unshare() {
    local identity=()
    [ "$(id -u)" -eq 0 ] || identity=(--user --map-root-user)
    # A background command of a script would ignore Ctrl-C.
    exec setpriv --pdeathsig KILL env --default-signal=INT,QUIT unshare "${identity[@]}" \
        --net --uts --pid --mount --mount-proc --propagation private --fork --kill-child "$@"
}

# Whether namespaces with networks in them are allowed here.
sandbox_allowed() {
    # shellcheck disable=SC2016
    (sandbox_unshare sh -c 'hostname probe && ip link add probe type bridge && mount -t tmpfs tmpfs /mnt &&
        unshare --net --uts --mount true') >/dev/null 2>&1
}

sandbox_inside() {
    [ "${DT_SANDBOX:-}" = 1 ] && [ $$ -eq 1 ]
}

# Runs the script again as the first process of a sandbox (its process number is 1), with a new folder $DT_CLUSTER, and ends
# with its exit code. What kills this shell kills the sandbox.
sandbox_enter() { # script, arguments...
    local status=0 sandbox
    DT_CLUSTER=$(mktemp -d)
    DT_CLUSTER=$DT_CLUSTER DT_SANDBOX=1 sandbox_unshare bash "$@" <&0 &
    sandbox=$!
    trap : INT
    trap 'kill -KILL "$sandbox"' TERM HUP
    wait "$sandbox" || status=$?
    while kill -0 "$sandbox" 2>/dev/null; do
        status=0
        wait "$sandbox" || status=$?
    done
    rm -rf "$DT_CLUSTER"
    exit "$status"
}

# Makes node1..nodeN with addresses 10.99.0.11.. on one bridge; this side is `front`, 10.99.0.1. Node i runs on processor i
# of those that are allowed here, in turn. DT_HOSTS is the folder that describes them.
sandbox_make_hosts() { # folder, count
    export DT_HOSTS=$1
    local count=$2 number processors=()
    mkdir -p "$DT_HOSTS"
    hostname front
    ip link set lo up
    ip link add nodes type bridge
    ip addr add 10.99.0.1/24 dev nodes
    ip link set nodes up
    {
        printf '127.0.0.1 localhost\n10.99.0.1 front\n'
        for ((number = 1; number <= count; number++)); do
            printf '10.99.0.%d node%d\n' $((10 + number)) "$number"
        done
    } >"$DT_HOSTS/hosts"
    mount --bind "$DT_HOSTS/hosts" /etc/hosts
    mapfile -t processors < <(sandbox_processors)
    for ((number = 1; number <= count; number++)); do
        sandbox_make_host "$number" "${processors[(number - 1) % ${#processors[@]}]}"
    done
}

sandbox_processors() {
    taskset -pc $$ | sed 's/.*: //' | tr ',' '\n' | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done
}

# The namespaces of a host are kept by a process that sleeps. Shared memory is each host's own, as on machines of their own.
# One end of the link goes to process 1: this side.
sandbox_make_host() { # number, processor
    local folder=$DT_HOSTS/node$1 attempt
    mkdir -p "$folder"
    echo "$2" >"$folder/processor"
    # shellcheck disable=SC2016
    unshare --net --uts --mount --propagation private sh -ec '
        hostname "node$1"
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm
        ip link set lo up
        ip link add eth0 type veth peer name "node$1" netns 1
        ip addr add "10.99.0.$((10 + $1))/24" dev eth0
        ip link set eth0 up
        : >"$2/ready"
        exec sleep infinity' sh "$1" "$folder" </dev/null &
    echo $! >"$folder/holder"
    for ((attempt = 0; attempt < 200; attempt++)); do
        [ ! -e "$folder/ready" ] || break
        sleep 0.05
    done
    ip link set "node$1" master nodes up
}

# Runs a command on a host, in the same folder; replaces the shell.
sandbox_exec() { # host, command...
    local folder=$DT_HOSTS/$1
    [ -e "$folder/ready" ] || { echo "cluster: no such host: $1" >&2; exit 1; }
    shift
    exec nsenter --target "$(cat "$folder/holder")" --net --uts --mount -- \
        taskset -c "$(cat "$folder/processor")" env -C "$PWD" "$@"
}

# Each host's link carries at most so much, in either direction. The bucket holds 2 ms of it and at least two full frames
# of a virtual link (64 KiB each); what waits longer than 200 ms is dropped.
sandbox_limit_rate() { # rate as tc has it, such as 1gbit
    local folder host
    for folder in "$DT_HOSTS"/node*; do
        host=$(basename "$folder")
        tc qdisc replace dev "$host" root tbf rate "$1" burst 256kb latency 200ms
        nsenter --target "$(cat "$folder/holder")" --net tc qdisc replace dev eth0 root tbf rate "$1" burst 256kb latency 200ms
    done
}
