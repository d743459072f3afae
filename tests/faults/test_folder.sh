#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_folder.sh CASE: folders that cannot take a checkpoint: full, read-only, not writable, gone. A message that names the
# path, exit code 4, and what was there before stays whole. Full and read-only file systems need root, who may mount them
# in a name space of its own; without, that part says that it was left out.
set -euo pipefail
case=$1
width=0.03
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

refused() { # folder, cause, command...
    local folder=$1 cause=$2 code=0
    shift 2
    "$@" save "$folder" 3 $width >"$work/out" 2>"$work/err" || code=$?
    [ "$code" -eq 4 ] || fail "$folder: exit code $code: $(cat "$work/out" "$work/err")"
    grep -q "^not saved: $folder/step-00000003.weights.h5: cannot be written: $cause" "$work/out" || fail "$(cat "$work/out")"
}

# Gone, or a file in its place.
refused "$work/gone" "No such file or directory" "$case"
: >"$work/file"
refused "$work/file" "Not a directory" "$case"

if [ "$(id -u)" -ne 0 ]; then
    mkdir "$work/locked"
    "$case" save "$work/locked" 2 $width
    chmod a-w "$work/locked"
    refused "$work/locked" "Permission denied" "$case"
    chmod u+w "$work/locked"
    [ "$("$case" newest "$work/locked" $width)" = 2 ] || fail "a locked folder: the old checkpoint is lost"
else
    echo "skipped: a folder that may not be written, because root may write everywhere"
fi

if ! unshare -m true 2>/dev/null; then
    echo "skipped: full and read-only file systems, which only root may mount"
    exit 77
fi

# A file system of 3 MB holds the first two checkpoints of about 1 MB, and not a third beside what is kept.
inside() {
    mkdir "$work/small"
    mount -t tmpfs -o size=2400k none "$work/small"
    "$case" save "$work/small" 1 $width
    "$case" save "$work/small" 2 $width
    [ "$(find "$work/small" -name 'step-*' | wc -l)" -eq 2 ] || fail "a small disk: two checkpoints do not fit"
    dd if=/dev/zero of="$work/small/filler" bs=4k 2>/dev/null || true
    refused "$work/small" "No space left on device" "$case"
    [ "$(find "$work/small" -name '*.partial-*' | wc -l)" -eq 0 ] || fail "a full disk: something is left behind"
    [ "$("$case" newest "$work/small" $width)" = 2 ] || fail "a full disk: the old checkpoint is lost"
    rm "$work/small/filler"
    mount -o remount,ro "$work/small"
    refused "$work/small" "Read-only file system" "$case"
    [ "$("$case" newest "$work/small" $width)" = 2 ] || fail "read-only: the old checkpoint is lost"
    umount "$work/small"
}
export -f inside fail refused
export case width work
unshare -m bash -euo pipefail -c inside
echo "every folder answered as it should"
