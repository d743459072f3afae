/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of --methods. What is accepted must read back as itself. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/methods.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char *text = calloc(bytes + 1, 1), written[DT_METHODS_TEXT];
    assert(text);
    if (bytes > 0)
        memcpy(text, data, bytes);
    dt_methods methods;
    dt_status status = dt_methods_read(text, &methods);
    if (!dt_failed(&status) && methods.of[0] != DT_CONV_AUTO)
        assert(strcmp(dt_methods_write(methods, written), text) == 0);
    free(text);
    return 0;
}
