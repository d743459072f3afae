/* SPDX-License-Identifier: BSD-3-Clause */
/* The checkpoints of a folder: names, links, pruning, and which is the newest. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dtrain/checkpoint.h"
#include "io/replacement.h"

static const char name_ending[] = ".weights.h5";

dt_status dt_checkpoint_name(const char *folder, int64_t step, char path[DT_CHECKPOINT_PATH]) {
    return dt_path_write(DT_FILE, path, "%s/step-%08" PRId64 "%s", folder, step, name_ending);
}

int64_t dt_checkpoint_step(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) != 0 || strspn(name + 5, "0123456789") < 8)
        return -1;
    errno = 0;
    long long step = strtoll(name + 5, &end, 10);
    return errno == 0 && strcmp(end, name_ending) == 0 ? step : -1;
}

static const char *name_of_path(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A checkpoint of a folder; its step is the one that the file states, so that a copy under another name is no
 * newer than what it is a copy of. `turned_from`: its step is above the one that `last` points to, but it is
 * older: a run went back behind it and took another course, so that it is not the newest. */
typedef struct candidate {
    char name[NAME_MAX + 1];
    int64_t step;
    struct timespec written;
    bool turned_from;
} candidate;

typedef struct listing {
    candidate *items;
    int count, room;
} listing;

static bool earlier(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* Newest first; of copies, the one whose name tells its step. */
static int by_age(const void *a, const void *b) {
    const candidate *left = a, *right = b;
    if (left->turned_from != right->turned_from)
        return left->turned_from - right->turned_from;
    if (left->step != right->step)
        return (left->step < right->step) - (left->step > right->step);
    int64_t left_name = dt_checkpoint_step(left->name), right_name = dt_checkpoint_step(right->name);
    if ((left_name == left->step) != (right_name == right->step))
        return right_name == right->step ? 1 : -1;
    return (left_name < right_name) - (left_name > right_name);
}

static void sort_by_age(listing *list) {
    if (list->count > 0)
        qsort(list->items, (size_t)list->count, sizeof list->items[0], by_age);
}

/* Numbered ones; last and best where they are no links to those, as in a folder that was copied. */
static bool is_candidate(int handle, const char *name, struct stat *found) {
    bool numbered = dt_checkpoint_step(name) >= 0,
         named = strcmp(name, DT_CHECKPOINT_LAST) == 0 || strcmp(name, DT_CHECKPOINT_BEST) == 0;
    return (numbered || named) && fstatat(handle, name, found, named ? AT_SYMLINK_NOFOLLOW : 0) == 0 &&
           S_ISREG(found->st_mode);
}

static dt_status append(listing *list, const char *folder, const candidate *item) {
    if (list->count == list->room) {
        int room = 2 * list->room + 16;
        candidate *items = realloc(list->items, (size_t)room * sizeof *items);
        if (!items)
            return dt_fail(DT_MEMORY, "no memory to list the checkpoints of %s", folder);
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = *item;
    return dt_ok();
}

static dt_status list_one(listing *list, int handle, const char *folder, const char *name) {
    struct stat found;
    if (!is_candidate(handle, name, &found))
        return dt_ok();
    candidate item = {.step = dt_checkpoint_step_of(folder, name), .written = found.st_mtim};
    snprintf(item.name, sizeof item.name, "%s", name);
    return append(list, folder, &item);
}

/* Numbered ones, by their names: to look into all files at each save would let trouble with an old one meet
 * the run. */
static dt_status list_name(listing *list, int handle, const char *folder, const char *name) {
    struct stat found;
    if (dt_checkpoint_step(name) < 0 || !is_candidate(handle, name, &found))
        return dt_ok();
    candidate item = {.step = dt_checkpoint_step(name), .written = found.st_mtim};
    snprintf(item.name, sizeof item.name, "%s", name);
    return append(list, folder, &item);
}

/* Calls `visit` for every entry of the folder. */
static dt_status read_folder(const char *folder,
                             dt_status (*visit)(listing *list, int handle, const char *folder,
                                                const char *name),
                             listing *list) {
    DIR *stream = opendir(folder);
    if (!stream)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    dt_status status = dt_ok();
    errno = 0;
    for (const struct dirent *entry; !dt_failed(&status) && (entry = readdir(stream)); errno = 0)
        status = visit(list, dirfd(stream), folder, entry->d_name);
    if (!dt_failed(&status) && errno != 0)
        status = dt_fail(DT_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    (void)closedir(stream);
    return status;
}

static dt_status path_in(const char *folder, const char *name, char path[DT_CHECKPOINT_PATH]) {
    return dt_path_write(DT_FILE, path, "%s/%s", folder, name);
}

/* The step that `last` points to; -1 when it is no link to a checkpoint. */
static int64_t step_of_last(const char *folder) {
    char path[DT_CHECKPOINT_PATH], target[DT_CHECKPOINT_PATH];
    dt_status status = path_in(folder, DT_CHECKPOINT_LAST, path);
    ssize_t length = dt_failed(&status) ? -1 : readlink(path, target, sizeof target);
    if (length < 0 || length == (ssize_t)sizeof target)
        return -1;
    target[length] = '\0';
    return dt_checkpoint_step_of(folder, target);
}

/* Sorts newest first, where the checkpoint of step `newest` is known to have been the newest once. */
static void sort_listing(listing *list, int64_t newest) {
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].step != newest)
            continue;
        for (int k = 0; k < list->count; k++)
            list->items[k].turned_from =
                list->items[k].step > newest && earlier(list->items[k].written, list->items[i].written);
    }
    sort_by_age(list);
}

static dt_status cannot_place(const char *path, int error) {
    return dt_fail(DT_FILE, "%s: cannot be made: %s", path, strerror(error));
}

/* Gives `temporary` its name. Two hard links to one file: rename does nothing and leaves both, hence unlink.
 */
static dt_status take_place(const char *temporary, const char *path) {
    dt_status status = dt_ok();
    if (rename(temporary, path) != 0)
        status = cannot_place(path, errno);
    (void)unlink(temporary);
    return status;
}

static int copy_bytes(int from, int to) {
    for (;;) {
        ssize_t sent = sendfile(to, from, NULL, 1 << 24);
        if (sent < 0 && errno != EINTR)
            return errno;
        if (sent == 0)
            return fsync(to) == 0 ? 0 : errno;
    }
}

/* Makes `to` a copy of `from`; returns an errno. */
static int copy_file(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return errno;
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    int error = out < 0 ? errno : copy_bytes(in, out);
    if (out >= 0 && close(out) != 0 && error == 0)
        error = errno;
    (void)close(in);
    return error;
}

/* Whether the file system does not do such links, so that a copy must serve. */
static bool no_links(int error) {
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK || error == EXDEV;
}

static int make_soft_link(const char *from, const char *to) {
    return symlink(name_of_path(from), to) == 0 ? 0 : errno;
}

static int make_hard_link(const char *from, const char *to) {
    return link(from, to) == 0 ? 0 : errno;
}

/* Makes `name` in the folder mean the content of `path`, at once and on the disk. */
static dt_status point(const char *folder, const char *name, const char *path,
                       int (*make)(const char *from, const char *to)) {
    char place[DT_CHECKPOINT_PATH];
    DT_TRY(path_in(folder, name, place));
    char *temporary = dt_replacement_name(place);
    if (!temporary)
        return dt_fail(DT_MEMORY, "no memory to make %s", place);
    (void)unlink(temporary);
    int error = make(path, temporary);
    if (error && no_links(error))
        error = copy_file(path, temporary);
    dt_status status = error ? cannot_place(place, error) : take_place(temporary, place);
    if (error)
        (void)unlink(temporary);
    free(temporary);
    return status;
}

/* Best effort: a file that stays is no harm, and the next time comes. */
static dt_status remove_abandoned(listing *list, int handle, const char *folder, const char *name) {
    (void)list, (void)folder;
    struct stat found;
    struct timespec now;
    if (fstatat(handle, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0 &&
        dt_replacement_is_abandoned(name, difftime(now.tv_sec, found.st_mtim.tv_sec)))
        (void)unlinkat(handle, name, 0);
    return dt_ok();
}

/* All but `newest` and the `keep` - 1 that follow it. */
static dt_status remove_oldest(const char *folder, const listing *list, const char *newest, int keep) {
    int kept = 1;
    dt_status status = dt_ok();
    for (int i = 0; i < list->count; i++) {
        char path[DT_CHECKPOINT_PATH];
        const char *name = list->items[i].name;
        if (strcmp(name, newest) == 0)
            continue;
        if (kept < keep) {
            kept++;
            continue;
        }
        DT_TRY(path_in(folder, name, path));
        if (unlink(path) != 0 && errno != ENOENT && !dt_failed(&status))
            status = dt_fail(DT_FILE, "%s: cannot be removed: %s", path, strerror(errno));
    }
    return status;
}

/* `path` counts as one of the `keep` that stay. */
static dt_status prune(const char *folder, const char *path, int keep) {
    listing list = {0};
    const char *name = name_of_path(path);
    int64_t newest = dt_checkpoint_step(name);
    dt_status status = read_folder(folder, list_name, &list);
    if (!dt_failed(&status)) {
        for (int i = 0; i < list.count; i++)
            list.items[i].turned_from = list.items[i].step > newest;
        sort_by_age(&list);
        status = remove_oldest(folder, &list, name, keep);
    }
    free(list.items);
    return status;
}

dt_status dt_checkpoint_publish(const char *folder, const char *path, bool best, int keep) {
    char last[DT_CHECKPOINT_PATH];
    assert(keep >= 1);
    DT_TRY(path_in(folder, DT_CHECKPOINT_LAST, last));
    if (best)
        DT_TRY(point(folder, DT_CHECKPOINT_BEST, path, make_hard_link));
    DT_TRY(point(folder, DT_CHECKPOINT_LAST, path, make_soft_link));
    /* Before an older file goes, the links that no longer point to it must be on the disk. */
    DT_TRY(dt_replacement_flush_folder(last));
    DT_TRY(prune(folder, path, keep));
    return read_folder(folder, remove_abandoned, NULL);
}

/* What trying one file after the other needs. */
typedef struct search {
    const dt_parameters *parameters;
    void (*passed_over)(void *context, const char *path, const char *trouble);
    void *context;
    dt_checkpoint *checkpoint;
    char *path;
    bool *found;
} search;

/* Memory that is not to be had ends the search: another file would not be smaller. So does a file that is
 * whole and does not fit: to go on from an older one would lose it. */
static dt_status try_path(const search *held) {
    dt_status status = dt_checkpoint_load(held->path, held->parameters, held->checkpoint);
    if (dt_failed(&status) && status.code != DT_FILE)
        return status;
    *held->found = !dt_failed(&status);
    if (!*held->found && held->passed_over)
        held->passed_over(held->context, held->path, status.text);
    return dt_ok();
}

static dt_status try_listing(const search *held, const char *folder, const listing *list) {
    for (int i = 0; i < list->count && !*held->found; i++) {
        DT_TRY(path_in(folder, list->items[i].name, held->path));
        DT_TRY(try_path(held));
    }
    return dt_ok();
}

static dt_status try_folder(const search *held, const char *folder) {
    listing list = {0};
    dt_status status = read_folder(folder, list_one, &list);
    if (!dt_failed(&status)) {
        sort_listing(&list, step_of_last(folder));
        status = try_listing(held, folder, &list);
    }
    free(list.items);
    return status;
}

static bool names_a_file(const char *source) {
    size_t length = strlen(source);
    return length > 3 && strcmp(source + length - 3, ".h5") == 0;
}

dt_status dt_checkpoint_load_newest(const char *source, const dt_parameters *parameters,
                                    void (*passed_over)(void *context, const char *path, const char *trouble),
                                    void *context, dt_checkpoint *checkpoint, char path[DT_CHECKPOINT_PATH],
                                    bool *found) {
    const search held = {parameters, passed_over, context, checkpoint, path, found};
    struct stat what;
    *found = false;
    checkpoint->options = checkpoint->history = NULL;
    bool exists = stat(source, &what) == 0;
    if (!exists && errno == ENOENT && !names_a_file(source))
        return dt_ok();
    if (exists && S_ISDIR(what.st_mode))
        return try_folder(&held, source);
    DT_TRY(dt_path_write(DT_FILE, path, "%s", source));
    DT_TRY(dt_checkpoint_load(source, parameters, checkpoint));
    *found = true;
    return dt_ok();
}
