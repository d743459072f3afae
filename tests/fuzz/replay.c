/* SPDX-License-Identifier: BSD-3-Clause */
/* Feeds files, and all files of folders, to a fuzz target: the corpus is run again by any compiler. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "target.h"

static int replayed;

static int fail(const char *path) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return 1;
}

static int replay_file(const char *path, size_t bytes) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(bytes + !bytes);
    if (!file || !data || fread(data, 1, bytes, file) != bytes)
        return fail(path);
    fclose(file);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    replayed++;
    return 0;
}

static int replay(const char *path) {
    struct stat about;
    if (stat(path, &about) != 0)
        return fail(path);
    if (!S_ISDIR(about.st_mode))
        return replay_file(path, (size_t)about.st_size);
    struct dirent **entries;
    int failed = 0, count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char entry[PATH_MAX];
        bool fits = snprintf(entry, sizeof entry, "%s/%s", path, entries[i]->d_name) < (int)sizeof entry;
        if (entries[i]->d_name[0] != '.')
            failed |= fits ? replay(entry) : 1;
        free(entries[i]);
    }
    free(entries);
    return count < 0 ? fail(path) : failed;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%d inputs replayed\n", replayed);
    return failed || replayed == 0;
}
