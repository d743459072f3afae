#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# test_keras.sh DTRAIN CASE CACHE: Keras 3 reads our files and we read Keras'. Exit code 77, "skipped", where there is no
# Keras 3. Looked for, in this order:
#   $DTRAIN_PYTHON            a Python with keras, h5py and jax, torch or tensorflow; nothing else is tried then
#   python3                   if it has them
#   CACHE/keras               an environment of its own, made by pip the first time, in at most 150 seconds
# DTRAIN_INTEROP=0 skips the test; DTRAIN_INTEROP=1 makes a missing Keras a failure.
set -euo pipefail
dtrain=$1 case=$2 cache=$3
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

skip() {
    echo "SKIPPED: Keras 3 is not to be had: $*"
    echo "Nothing was compared with Keras. Set DTRAIN_PYTHON to a Python with keras, h5py and jax."
    [ "${DTRAIN_INTEROP:-}" != 1 ] || exit 1
    exit 77
}

# Prints the first backend that this Python can train with.
backend_of() {
    "$1" - 2>/dev/null <<'PYTHON'
import importlib.util as util, importlib.metadata as metadata, sys
if not (util.find_spec("keras") and util.find_spec("h5py")) or int(metadata.version("keras").split(".")[0]) < 3:
    sys.exit(1)
for name in ("jax", "torch", "tensorflow"):
    if util.find_spec(name):
        print(name)
        sys.exit(0)
sys.exit(1)
PYTHON
}

install() {
    echo "installing keras and jax into $1"
    mkdir -p "$(dirname "$1")"
    rm -rf "$1"
    timeout 150 bash -c 'python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check keras jax h5py' \
        install "$1" || { rm -rf "$1"; return 1; }
}

[ "${DTRAIN_INTEROP:-}" != 0 ] || skip "DTRAIN_INTEROP=0"
if [ -n "${DTRAIN_PYTHON:-}" ]; then
    python=$DTRAIN_PYTHON
    backend=$(backend_of "$python") || skip "$python has no keras with a backend"
elif backend=$(backend_of python3); then
    python=python3
else
    python=$cache/keras/bin/python
    [ -x "$python" ] && backend_of "$python" >/dev/null || install "$cache/keras" || skip "pip could not install it"
    backend=$(backend_of "$python") || skip "$python has no keras with a backend"
fi
echo "python: $python, backend: $backend"

export KERAS_BACKEND=$backend TF_CPP_MIN_LOG_LEVEL=3 JAX_PLATFORMS=cpu CUDA_VISIBLE_DEVICES=
"$case" make "$folder"
"$python" "$here/keras_check.py" "$dtrain" "$case" "$folder"
