/* SPDX-License-Identifier: BSD-3-Clause */
/* The bodies for the compiler's default target: 8 accumulators of 16 registers on SSE2, which needs one more
 * for a product. */
#define DT_WIDTH           4
#define DT_TILE_ROWS       4
#define DT_TILE_VECTORS    2
#define DT_PAIRS           0
#define DT_STRIP           4
#define DT_PRODUCT_ROWS    4
#define DT_PRODUCT_VECTORS 2
#define DT_BODIES          dt_bodies_baseline
#include "kernels/vector_bodies.h"
