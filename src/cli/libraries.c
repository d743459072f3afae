/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of libraries. */
#include "cli/libraries.h"

#include <jansson.h>
#include <stdio.h>

#include "dtrain/comm.h"
#include "dtrain/dataset.h"
#include "dtrain/weights.h"

static dt_linked jansson(void) {
    dt_linked library = {.name = "jansson", .headers = JANSSON_VERSION};
    snprintf(library.loaded, sizeof library.loaded, "%s", jansson_version_str());
    library.fits = dt_linked_same_major(library.headers, library.loaded);
    return library;
}

static dt_linked (*const libraries[])(void) = {dt_comm_linked,  dt_weights_linked, dt_dataset_linked,
                                               dt_linked_hwloc, dt_linked_xxhash,  jansson};

int dt_libraries_count(void) {
    return (int)(sizeof libraries / sizeof libraries[0]);
}

dt_linked dt_libraries_row(int index) {
    return libraries[index]();
}

dt_status dt_libraries_check(void) {
    for (int i = 0; i < dt_libraries_count(); i++) {
        dt_linked library = libraries[i]();
        DT_TRY(dt_linked_check(&library));
    }
    return dt_ok();
}
