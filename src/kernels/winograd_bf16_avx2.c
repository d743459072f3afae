/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops on pairs of bfloat16, emulated for AVX2. */
#define DT_BF16
#define DT_WIDTH           8
#define DT_MULTIPLY_ROWS   6
#define DT_WINOGRAD_BODIES dt_winograd_bf16_avx2
#include "kernels/vector_winograd.h"
