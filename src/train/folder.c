/* SPDX-License-Identifier: BSD-3-Clause */
/* Old checkpoints step aside. */
#include "train/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The step of the best checkpoint, -1 if there is none that can be read. */
static int64_t step_of_best(const char *folder) {
    char path[DT_CHECKPOINT_PATH];
    dt_checkpoint best = {0};
    snprintf(path, sizeof path, "%s/" DT_CHECKPOINT_BEST, folder);
    dt_status status = dt_checkpoint_peek(path, &best);
    free(best.options);
    free(best.history);
    return dt_failed(&status) ? -1 : best.position.step;
}

/* What is to be moved: a name for each file. */
typedef struct moving {
    const char *folder;
    int64_t above;
    int64_t best; /* step of the best */
} moving;

static bool is_concerned(const moving *what, const char *name) {
    if (strcmp(name, DT_CHECKPOINT_LAST) == 0)
        return what->above < 0;
    if (strcmp(name, DT_CHECKPOINT_BEST) == 0)
        return what->above < 0 || what->best > what->above;
    int64_t step = dt_checkpoint_step(name);
    return step >= 0 && step > what->above;
}

static dt_status make_aside(const char *folder, char aside[DT_CHECKPOINT_PATH]) {
    for (int number = 1;; number++) {
        if (snprintf(aside, DT_CHECKPOINT_PATH, "%s/earlier-%d", folder, number) >= DT_CHECKPOINT_PATH)
            return dt_fail(DT_FILE, "%s: the name of this folder is too long", folder);
        if (mkdir(aside, 0777) == 0)
            return dt_ok();
        if (errno != EEXIST)
            return dt_fail(DT_FILE, "%s: cannot make this folder for the checkpoints of an earlier run: %s",
                           aside, strerror(errno));
    }
}

static dt_status move(const char *folder, const char *aside, const char *name) {
    char from[DT_CHECKPOINT_PATH + 256], to[DT_CHECKPOINT_PATH + 256];
    snprintf(from, sizeof from, "%s/%s", folder, name);
    snprintf(to, sizeof to, "%s/%s", aside, name);
    if (rename(from, to) != 0)
        return dt_fail(DT_FILE, "%s: cannot be moved to %s: %s", from, aside, strerror(errno));
    return dt_ok();
}

/* One pass through the folder. */
static dt_status move_all(const moving *what, DIR *listing, char aside[DT_CHECKPOINT_PATH], int *moved) {
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (!is_concerned(what, entry->d_name))
            continue;
        if (*moved == 0)
            DT_TRY(make_aside(what->folder, aside));
        DT_TRY(move(what->folder, aside, entry->d_name));
        ++*moved;
    }
    return dt_ok();
}

dt_status dt_folder_set_aside(const char *folder, int64_t above, char aside[DT_CHECKPOINT_PATH], int *moved) {
    *moved = 0;
    moving what = {folder, above, above < 0 ? -1 : step_of_best(folder)};
    DIR *listing = opendir(folder);
    if (!listing)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    /* A listing may leave names out while others go: until a pass finds nothing. */
    dt_status status;
    int before;
    do {
        before = *moved;
        rewinddir(listing);
        status = move_all(&what, listing, aside, moved);
    } while (!dt_failed(&status) && *moved > before);
    closedir(listing);
    return status;
}
