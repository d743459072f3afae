/* SPDX-License-Identifier: BSD-3-Clause */
/* Keras' mnist.npz. */
#include "dtrain/dataset.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    dt_dataset dataset;
    dt_status status = dt_dataset_read(memory_file(0, (piece){data, bytes}), 1, &dataset);
    if (!dt_failed(&status))
        dt_dataset_release(&dataset);
    return 0;
}
