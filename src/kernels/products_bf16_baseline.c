/* SPDX-License-Identifier: BSD-3-Clause */
/* Products of pairs of bfloat16, emulated for the default target, with the tiles of isa_baseline.c. */
#define DT_BF16
#define DT_WIDTH           4
#define DT_TILE_ROWS       4
#define DT_TILE_VECTORS    2
#define DT_PAIRS           0
#define DT_PRODUCT_ROWS    4
#define DT_PRODUCT_VECTORS 2
#define DT_PRODUCTS        dt_products_bf16_baseline
#include "kernels/vector_products.h"
