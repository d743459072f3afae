/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops on pairs of bfloat16 for AVX512_BF16. */
#define DT_BF16
#define DT_BF16_NATIVE
#define DT_WIDTH           16
#define DT_MULTIPLY_ROWS   8
#define DT_WINOGRAD_BODIES dt_winograd_avx512_bf16
#include "kernels/vector_winograd.h"
