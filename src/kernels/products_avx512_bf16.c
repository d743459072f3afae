/* SPDX-License-Identifier: BSD-3-Clause */
/* Products of pairs of bfloat16 for AVX512_BF16, with the tiles of isa_avx512.c. */
#define DT_BF16
#define DT_BF16_NATIVE
#define DT_WIDTH           16
#define DT_TILE_ROWS       8
#define DT_TILE_VECTORS    3
#define DT_PAIRS           1
#define DT_PRODUCT_ROWS    6
#define DT_PRODUCT_VECTORS 4
#define DT_PRODUCTS        dt_products_avx512_bf16
#include "kernels/vector_products.h"
