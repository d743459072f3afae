/* SPDX-License-Identifier: BSD-3-Clause */
/* The four IDX files of a folder. */
#include "dtrain/dataset.h"
#include "target.h"

enum { FILES = 4 };

static const char *const names[FILES] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

static const char *make_folder(void) {
    const char *folder = scratch_folder();
    for (int i = 0; i < FILES; i++)
        link_memory_file(folder, names[i], i);
    return folder;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *folder;
    piece pieces[FILES];
    dt_dataset dataset;
    if (!folder)
        folder = make_folder();
    split_input(data, bytes, FILES, pieces);
    for (int i = 0; i < FILES; i++)
        memory_file(i, pieces[i]);
    dt_status status = dt_dataset_read(folder, 1, &dataset);
    if (!dt_failed(&status))
        dt_dataset_release(&dataset);
    return 0;
}
