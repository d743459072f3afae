#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# check_winograd_transforms.sh PROGRAM HEADER: the program prints the header as it is checked in.
set -euo pipefail
"$1" | diff -u "$2" -
