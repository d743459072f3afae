/* SPDX-License-Identifier: BSD-3-Clause */
/* The bodies for AVX-512: 24 accumulators of 32 registers. */
#define DT_WIDTH           16
#define DT_TILE_ROWS       8
#define DT_TILE_VECTORS    3
#define DT_PAIRS           1
#define DT_STRIP           14
#define DT_PRODUCT_ROWS    6
#define DT_PRODUCT_VECTORS 4
#define DT_BODIES          dt_bodies_avx512
#include "kernels/vector_bodies.h"
