/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops on pairs of bfloat16, emulated for the default target. */
#define DT_BF16
#define DT_WIDTH           4
#define DT_MULTIPLY_ROWS   4
#define DT_WINOGRAD_BODIES dt_winograd_bf16_baseline
#include "kernels/vector_winograd.h"
