/* SPDX-License-Identifier: BSD-3-Clause */
/* How fast tiles are multiplied. */
#include "kernels/amx.h"
#include "kernels/amx_tiles.h"

/* Four chains cover the latency of 52 cycles at one product in 16. */
float dt_amx_chains(size_t rounds) {
    uint16_t ones[TILE_ROWS * TILE_PAIRS * 2];
    float sums[TILE_ROWS * TILE_PAIRS];
    tile_configuration full = tile_configuration_full();
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++)
        ones[i] = 0x3f80;
    tile_configure(&full);
    TILE_LOAD(4, ones, TILE_BYTES);
    TILE_LOAD(5, ones, TILE_BYTES);
    for (size_t round = 0; round < rounds; round += 4) {
        TILE_MULTIPLY(0, 4, 5);
        TILE_MULTIPLY(1, 4, 5);
        TILE_MULTIPLY(2, 4, 5);
        TILE_MULTIPLY(3, 4, 5);
    }
    TILE_STORE(0, sums, TILE_BYTES);
    tile_release();
    return sums[0];
}
