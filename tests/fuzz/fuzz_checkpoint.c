/* SPDX-License-Identifier: BSD-3-Clause */
/* HDF5 checkpoints: what --resume reads. */
#include "dtrain/checkpoint.h"

#include <stdlib.h>

#include "small_network.h"
#include "target.h"

static void release_texts(const dt_checkpoint *checkpoint) {
    free(checkpoint->options);
    free(checkpoint->history);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static dt_checkpoint room;
    const dt_parameters *parameters = small_parameters();
    const char *path = scratch_file((piece){data, bytes});
    if (!room.weights) {
        room.weights = small_slab(parameters->floats);
        room.m = small_slab(parameters->floats);
        room.v = small_slab(parameters->floats);
        room.states = small_slab(parameters->state_floats);
    }
    dt_checkpoint peeked = {0}, loaded = room;
    (void)dt_checkpoint_peek(path, &peeked);
    release_texts(&peeked);
    (void)dt_checkpoint_load(path, parameters, &loaded);
    release_texts(&loaded);
    return 0;
}
