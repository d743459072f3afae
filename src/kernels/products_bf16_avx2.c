/* SPDX-License-Identifier: BSD-3-Clause */
/* Products of pairs of bfloat16, emulated for AVX2 and FMA, with the tiles of isa_avx2.c. */
#define DT_BF16
#define DT_WIDTH           8
#define DT_TILE_ROWS       4
#define DT_TILE_VECTORS    3
#define DT_PAIRS           0
#define DT_PRODUCT_ROWS    6
#define DT_PRODUCT_VECTORS 2
#define DT_PRODUCTS        dt_products_bf16_avx2
#include "kernels/vector_products.h"
