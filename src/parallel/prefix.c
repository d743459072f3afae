/* SPDX-License-Identifier: BSD-3-Clause */
/* The complete front of the gradient slab. */
#include "parallel/prefix.h"

#include <assert.h>
#include <string.h>

dt_prefix dt_prefix_build(const dt_parameters *parameters) {
    dt_prefix prefix = {0};
    for (int tensor = 0; tensor < parameters->count; tensor++) {
        size_t offset = parameters->tensors[tensor].offset;
        if (offset >= parameters->summed_floats)
            continue;
        int place = prefix.count++;
        for (; place > 0 && prefix.starts[place - 1] > offset; place--) {
            prefix.starts[place] = prefix.starts[place - 1];
            prefix.tensors[place] = prefix.tensors[place - 1];
        }
        prefix.starts[place] = offset;
        prefix.tensors[place] = tensor;
    }
    prefix.starts[prefix.count] = parameters->summed_floats;
    return prefix;
}

void dt_prefix_clear(dt_prefix *prefix) {
    memset(prefix->ready, 0, sizeof prefix->ready);
    prefix->leading = 0;
}

size_t dt_prefix_add(dt_prefix *prefix, int tensor) {
    for (int place = 0; place < prefix->count; place++)
        if (prefix->tensors[place] == tensor) {
            assert(!prefix->ready[place]);
            prefix->ready[place] = true;
        }
    while (prefix->leading < prefix->count && prefix->ready[prefix->leading])
        prefix->leading++;
    return prefix->starts[prefix->leading];
}
