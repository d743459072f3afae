/* SPDX-License-Identifier: BSD-3-Clause */
/* Old checkpoints step aside. */
#include "train/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What is to be moved. */
typedef struct moving {
    const char *folder;
    int64_t above;
} moving;

/* A link to the newest is put right by the next save. */
static bool is_link(const char *folder, const char *name) {
    char path[DT_PATH_ROOM];
    struct stat found;
    dt_status status = dt_path_write(DT_FILE, path, "%s/%s", folder, name);
    return !dt_failed(&status) && lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
}

static bool is_concerned(const moving *what, const char *name) {
    bool named = strcmp(name, DT_CHECKPOINT_LAST) == 0 || strcmp(name, DT_CHECKPOINT_BEST) == 0;
    if (!named && dt_checkpoint_step(name) < 0)
        return false;
    if (what->above < 0)
        return true;
    return !(named && is_link(what->folder, name)) && dt_checkpoint_step_of(what->folder, name) > what->above;
}

static dt_status make_aside(const char *folder, char aside[DT_CHECKPOINT_PATH]) {
    for (int number = 1;; number++) {
        DT_TRY(dt_path_write(DT_FILE, aside, "%s/earlier-%d", folder, number));
        if (mkdir(aside, 0777) == 0)
            return dt_ok();
        if (errno != EEXIST)
            return dt_fail(DT_FILE, "%s: cannot make this folder for the checkpoints of an earlier run: %s",
                           aside, strerror(errno));
    }
}

static dt_status move(const char *folder, const char *aside, const char *name) {
    char from[DT_PATH_ROOM], to[DT_PATH_ROOM];
    DT_TRY(dt_path_write(DT_FILE, from, "%s/%s", folder, name));
    DT_TRY(dt_path_write(DT_FILE, to, "%s/%s", aside, name));
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
    moving what = {folder, above};
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
