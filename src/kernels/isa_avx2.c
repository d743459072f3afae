/* SPDX-License-Identifier: BSD-3-Clause */
/* The bodies for AVX2 and FMA: 12 accumulators of 16 registers. */
#define DT_WIDTH           8
#define DT_TILE_ROWS       4
#define DT_TILE_VECTORS    3
#define DT_PAIRS           0
#define DT_STRIP           6
#define DT_PRODUCT_ROWS    6
#define DT_PRODUCT_VECTORS 2
#define DT_BODIES          dt_bodies_avx2
#include "kernels/vector_bodies.h"
