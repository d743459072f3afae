/* SPDX-License-Identifier: BSD-3-Clause */
/* A short look around. */
#include "data/nearby.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "data/file.h"
#include "data/idx.h"

enum { DEEPEST = 2, MOST_ENTRIES = 500, MOST_HINTS = 4 };

/* Hints on their way into a text. */
typedef struct hints {
    char *text;
    size_t room, used;
    int entries, count;
} hints;

__attribute__((format(printf, 2, 3))) static void add(hints *all, const char *format, ...) {
    if (all->count++ >= MOST_HINTS || all->used + 1 >= all->room)
        return;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(all->text + all->used, all->room - all->used, format, arguments);
    va_end(arguments);
    /* A sentence that does not fit is left out. */
    if (length < 0 || all->used + (size_t)length >= all->room)
        all->text[all->used] = '\0';
    else
        all->used += (size_t)length;
}

static bool has_ending(const char *name, const char *ending) {
    size_t length = strlen(name), end = strlen(ending);
    return length > end && strcasecmp(name + length - end, ending) == 0;
}

static bool is_archive(const char *name) {
    static const char *const endings[] = {".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".7z", ".rar"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (has_ending(name, endings[i]))
            return true;
    return false;
}

static void consider_file(hints *all, const char *path, const char *name) {
    char proper[64];
    if (dt_idx_resembles(name, proper, sizeof proper))
        add(all, " There is '%s': rename it to %s.", name, proper);
    else if (is_archive(name))
        add(all, " '%s' is an archive: unpack it, and name the folder with the four files.", path);
    else if (has_ending(name, ".npz") && strcmp(name, "mnist.npz") != 0)
        add(all, " An .npz file is named itself: --data '%s'.", path);
}

static void look_around(hints *all, const char *folder, int depth) {
    DIR *open = opendir(folder);
    struct dirent *entry;
    while (open && (entry = readdir(open)) && all->entries++ < MOST_ENTRIES) {
        char path[DT_PATH_ROOM];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || length >= (int)sizeof path)
            continue;
        dt_path_kind kind = dt_file_kind(path);
        if (kind == DT_PATH_FILE && depth == 0)
            consider_file(all, path, entry->d_name);
        else if (kind == DT_PATH_FOLDER && dt_idx_count(path) > 0)
            add(all, " The folder below it has IDX files: --data '%s'.", path);
        else if (kind == DT_PATH_FOLDER && depth < DEEPEST)
            look_around(all, path, depth + 1);
    }
    if (open)
        closedir(open);
}

void dt_nearby_describe(const char *folder, char *text, size_t room) {
    hints all = {.text = text, .room = room};
    text[0] = '\0';
    look_around(&all, folder, 0);
}
