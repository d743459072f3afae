/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops for AVX-512: 16 accumulators of 32 registers. Rows come in multiples of 8. */
#define DT_WIDTH           16
#define DT_MULTIPLY_ROWS   8
#define DT_WINOGRAD_BODIES dt_winograd_avx512
#include "kernels/vector_winograd.h"
