/* SPDX-License-Identifier: BSD-3-Clause */
/* Winograd's inner loops for the compiler's default target: 8 accumulators of 16 registers on SSE2, which
 * needs one more for a product. */
#define DT_WIDTH           4
#define DT_MULTIPLY_ROWS   4
#define DT_WINOGRAD_BODIES dt_winograd_baseline
#include "kernels/vector_winograd.h"
