/* SPDX-License-Identifier: BSD-3-Clause */
/* The bodies for one instruction set. The including file defines DT_WIDTH (floats of a vector), the tile
 * that fits its registers (DT_TILE_ROWS x DT_TILE_VECTORS accumulators, a row of B and one value of A),
 * DT_PAIRS, whether two rows of B do, DT_STRIP, the pixels whose sums for two vectors of channels fit them,
 * DT_PRODUCT_ROWS x DT_PRODUCT_VECTORS, the tile of row_products, and DT_BODIES, the name of the table. */
#include "kernels/bodies.h"
#include "kernels/vector.h"

#include "kernels/vector_products.h"

#include "kernels/vector_gemm.h"

#include "kernels/vector_wire.h"

#include "kernels/vector_stream.h"

#include "kernels/vector_direct.h"

#include "kernels/vector_dropout.h"

const dt_bodies DT_BODIES = {
    .width = DT_WIDTH,
    .tile_rows = DT_TILE_ROWS,
    .tile_columns = TILE_COLUMNS,
    .product_rows = DT_PRODUCT_ROWS,
    .product_vectors = DT_PRODUCT_VECTORS,
    .strip = DT_STRIP,
    .products = PRODUCTS,
    .pack_rows = pack_rows,
    .pack_pixels = pack_pixels,
    .transpose = transpose,
    .store_tile = store_tile,
    .bias_relu = bias_relu,
    .column_sums = column_sums,
    .correlate = correlate,
    .relu_sums = relu_sums,
    .pool_sums = pool_sums,
    .unpool_codes = unpool_codes,
    .gate_pixels = gate_pixels,
    .pool_forward_row = pool_forward_row,
    .pool_backward_row = pool_backward_row,
    .dropout_row = dropout_row,
    .relu_backward = relu_backward,
    .norm_forward_run = norm_forward_run,
    .norm_forward_channels = norm_forward_channels,
    .norm_backward_run = norm_backward_run,
    .norm_backward_channels = norm_backward_channels,
    .moment_runs = moment_runs,
    .moment_channels = moment_channels,
    .adam_update = adam_update,
    .adam_tile = adam_tile,
    .all_finite = all_finite,
    .largest_magnitude = largest_magnitude,
    .add_to = add_to,
    .round_values = round_values,
    .add_rounded = add_rounded,
    .adam_update_rounded = adam_update_rounded,
    .pack_halves = pack_halves,
    .unpack_halves = unpack_halves,
    .adam_update_packed = adam_update_packed,
    .apply_update = apply_update,
    .triad = triad,
    .fma_chains = fma_chains,
};
