/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain report on made-up records: of one file, of two, or of a folder of bench/scaling. The first byte says
 * which. */
#include <stdio.h>
#include <stdlib.h>

#include "dtrain/log.h"
#include "dtrain/report.h"
#include "target.h"

enum { FILES = 5 };

static const char *const names[FILES] = {"setup.json", "runs/a/asked.json", "runs/a/metrics.jsonl",
                                         "runs/b/asked.json", "runs/b/metrics.jsonl"};

static FILE *sink;

static const char *begin(void) {
    const char *folder = scratch_folder();
    dt_log_configure(false, true);
    sink = fopen("/dev/null", "w");
    if (!sink)
        abort();
    for (int i = 0; i < FILES; i++)
        link_memory_file(folder, names[i], i);
    return folder;
}

static void report_folder(const char *folder, const uint8_t *data, size_t bytes) {
    piece pieces[FILES];
    split_input(data, bytes, FILES, pieces);
    for (int i = 0; i < FILES; i++)
        memory_file(i, pieces[i]);
    (void)dt_report_run(&folder, 1, sink);
}

static void report_files(const uint8_t *data, size_t bytes, int count) {
    piece pieces[2];
    const char *paths[2];
    split_input(data, bytes, count, pieces);
    for (int i = 0; i < count; i++)
        paths[i] = memory_file(i, pieces[i]);
    (void)dt_report_run(paths, count, sink);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *folder;
    if (!folder)
        folder = begin();
    if (bytes == 0)
        return 0;
    if (data[0] % 3 == 2)
        report_folder(folder, data + 1, bytes - 1);
    else
        report_files(data + 1, bytes - 1, data[0] % 3 + 1);
    return 0;
}
