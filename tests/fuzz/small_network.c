/* SPDX-License-Identifier: BSD-3-Clause */
#include "small_network.h"

#include <stdlib.h>

const dt_network *small_network(void) {
    static dt_network network;
    if (network.count == 0)
        network = dt_network_build((dt_network_config){DT_BN_CHANNELS, DT_BN_FIRST2, 0.001, 0.5f});
    return &network;
}

const dt_parameters *small_parameters(void) {
    static dt_parameters parameters;
    if (parameters.count == 0)
        parameters = dt_parameters_layout(small_network());
    return &parameters;
}

float *small_slab(size_t floats) {
    float *slab = calloc(floats + 1, sizeof *slab);
    if (!slab)
        abort();
    return slab;
}
