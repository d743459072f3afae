/* SPDX-License-Identifier: BSD-3-Clause */
/* HDF5 files of weights: looked into, and loaded into a small network. */
#include <stdlib.h>

#include "dtrain/inspect.h"
#include "dtrain/weights.h"
#include "small_network.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static float *weights;
    const dt_parameters *parameters = small_parameters();
    const char *path = scratch_file((piece){data, bytes});
    if (!weights)
        weights = small_slab(parameters->floats + parameters->state_floats);
    dt_inspection found;
    dt_network_config config;
    dt_status status = dt_inspect_file(path, &found);
    if (!dt_failed(&status))
        dt_inspection_release(&found);
    (void)dt_weights_network(path, &config);
    (void)dt_weights_load(path, parameters, weights, weights + parameters->floats);
    return 0;
}
