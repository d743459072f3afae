/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops for AVX2 and FMA: 12 accumulators of 16 registers. */
#define DT_WIDTH           8
#define DT_MULTIPLY_ROWS   6
#define DT_WINOGRAD_BODIES dt_winograd_avx2
#include "kernels/vector_winograd.h"
