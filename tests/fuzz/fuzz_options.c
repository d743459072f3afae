/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: each line of the input is a word. What is accepted is shown as a run records it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "target.h"

enum { WORDS = 40 };

static void take_value(void *context, const dt_setting *setting) {
    size_t *letters = context;
    *letters += strlen(setting->name) + (setting->value ? strlen(setting->value) : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char *text = calloc(bytes + 1, 1), program[] = "dtrain", *words[WORDS + 2] = {program};
    int count = 1;
    assert(text);
    if (bytes > 0)
        memcpy(text, data, bytes);
    for (char *word = text, *next; word && count <= WORDS; word = next) {
        next = strchr(word, '\n');
        if (next)
            *next++ = '\0';
        words[count++] = word;
    }
    dt_command_line line;
    dt_status status = dt_options_parse(count, words, &line);
    size_t letters = 0;
    if (!dt_failed(&status))
        dt_options_walk(&line.options, take_value, &letters);
    free(text);
    return 0;
}
