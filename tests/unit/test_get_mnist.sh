#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tools/get-mnist without a network: what it refuses, what it keeps, and, where real MNIST is at hand, a whole run.
set -euo pipefail

tool=$DT_TEST_SOURCE_DIR/tools/get-mnist
real=$DT_TEST_SOURCE_DIR/../shared/data/mnist
names=(train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
target=$scratch/target
mirror=$scratch/mirror
output=$scratch/output
mkdir "$mirror"

die() {
    echo "test_get_mnist: $*" >&2
    cat "$output" >&2
    exit 1
}

# run EXIT_CODE COMMAND...: runs it, keeps what it says, and demands the exit code.
run() {
    local expected=$1 code=0
    shift
    "$@" >"$output" 2>&1 || code=$?
    ((code == expected)) || die "exit code $code, not $expected: $*"
}

says() {
    grep -qF -- "$1" "$output" || die "does not say: $1"
}

left_in_target() {
    find "$target" -type f | wc -l
}

# A PATH with what the tool needs, and with the downloaders named.
path_with() {
    local program
    rm -rf "${scratch:?}/bin"
    mkdir "$scratch/bin"
    for program in bash dirname gzip md5sum mktemp mkdir mv realpath rm rmdir chmod cat timeout "$@"; do
        ln -s "$(command -v "$program")" "$scratch/bin/$program"
    done
    echo "$scratch/bin"
}

run 0 "$tool" --help
says "Usage: tools/get-mnist [FOLDER]"
run 2 "$tool" --nonsense
run 2 "$tool" one two

run 1 env PATH="$(path_with)" "$tool" "$target"
says "neither curl nor wget"

for downloader in curl wget; do
    command -v "$downloader" >/dev/null || {
        echo "skipped: $downloader is not here"
        continue
    }
    # Port 9 of this machine: nobody answers, as without a network.
    run 1 env PATH="$(path_with "$downloader")" DTRAIN_MNIST_MIRRORS=http://127.0.0.1:9 "$tool" "$target"
    says "http://127.0.0.1:9: not to be had"
    says "${names[0]} cannot be downloaded. Is there a network?"
    [[ ! -e $target ]] || die "the empty folder was left behind"
done

touch "$scratch/file"
run 1 "$tool" "$scratch/file/folder"
says "cannot be made"

if ! command -v curl >/dev/null; then
    echo "skipped: without curl no file:// mirror, and no checks of content"
    exit 77
fi
export DTRAIN_MNIST_MIRRORS="file://$scratch/nowhere file://$mirror/"

# Sound gzip, other content; then no gzip at all.
echo "not MNIST" | gzip >"$mirror/${names[0]}"
run 1 "$tool" "$target"
says "file://$scratch/nowhere: not to be had"
says "file://$mirror/: wrong content"
echo "<html>404</html>" >"$mirror/${names[0]}"
run 1 "$tool" "$target"
says "wrong content"
[[ ! -e $target ]] || die "the empty folder was left behind"

if [[ ! -d $real ]]; then
    echo "skipped: the run with right content, because there is no MNIST in $real"
    exit 77
fi
cp "$real"/*.gz "$mirror"
chmod u+w "$mirror"/*
mkdir -p "$target"
echo "damaged" >"$target/${names[1]}"
run 0 "$tool" "$target"
says "${names[1]}: downloaded and checked"
says "MNIST is in $target"
for name in "${names[@]}"; do
    cmp "$mirror/$name" "$target/$name" || die "$name differs"
done
(($(left_in_target) == 4)) || die "something was left behind"

# Sound files stay, without a mirror that works.
rm "$mirror"/*
run 0 "$tool" "$target"
says "${names[3]}: there already"

# A bad mirror does not harm what is there.
echo "<html>404</html>" >"$mirror/${names[2]}"
truncate -s 100 "$target/${names[2]}"
run 1 "$tool" "$target"
(($(stat -c %s "$target/${names[2]}") == 100)) || die "a file was replaced by one that is not sound"
