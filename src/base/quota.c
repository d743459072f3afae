/* SPDX-License-Identifier: BSD-3-Clause */
/* Quotas of control groups, from a process' own group up to the root that it sees. */
#include "dtrain/quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The first two words of a file of a group; false where there is no such file. */
static bool read_words(const char *group, const char *file, char words[2][32]) {
    char path[PATH_MAX + 32];
    int length = snprintf(path, sizeof path, "%s/%s", group, file);
    FILE *stream = length < (int)sizeof path ? fopen(path, "r") : NULL;
    if (!stream)
        return false;
    words[0][0] = words[1][0] = '\0';
    int found = fscanf(stream, "%31s %31s", words[0], words[1]);
    (void)fclose(stream);
    return found >= 1;
}

/* Cores of a quota and a period in microseconds; 0 for "max", -1 and what is no number. */
static double divide(const char *quota, const char *period) {
    long long time = strtoll(quota, NULL, 10), whole = strtoll(period, NULL, 10);
    return time > 0 && whole > 0 ? (double)time / (double)whole : 0;
}

/* The quota of one group, 0 if it has none. */
static double read_group(const char *group) {
    char words[2][32], period[2][32];
    if (read_words(group, "cpu.max", words))
        return divide(words[0], words[1]);
    if (read_words(group, "cpu.cfs_quota_us", words) && read_words(group, "cpu.cfs_period_us", period))
        return divide(words[0], period[0]);
    return 0;
}

static void tighten(dt_quota *quota, const char *group) {
    struct stat facts;
    double cores = read_group(group);
    if (cores > 0 && (quota->cores == 0 || cores < quota->cores) && stat(group, &facts) == 0)
        *quota = (dt_quota){cores, (uint64_t)facts.st_ino};
}

/* The group at `path` below a mount, and all around it. A path that begins with /.. lies outside of what this
 * process sees: then the mount itself is what is left. So it is where a container shows its own group at the
 * mount and names it as the machine does: what is not there is passed over. */
static void climb(dt_quota *quota, const char *mount, const char *path) {
    char group[PATH_MAX];
    size_t root = strlen(mount);
    if (strncmp(path, "/..", 3) == 0 || root + strlen(path) >= sizeof group)
        path = "";
    snprintf(group, sizeof group, "%s%s", mount, path);
    for (char *end = group + strlen(group); end && end >= group + root; end = strrchr(group, '/')) {
        *end = '\0';
        tighten(quota, group);
    }
}

/* Whether a comma-separated list has the controller. */
static bool has_cpu(const char *controllers) {
    for (const char *name = controllers; *name;
         name += strcspn(name, ",") + (name[strcspn(name, ",")] == ','))
        if (strcspn(name, ",") == 3 && strncmp(name, "cpu", 3) == 0)
            return true;
    return false;
}

/* A line "number:controllers:path". Version 2 has no controllers, and stands beside version 1 in unified. */
static void read_line(dt_quota *quota, const char *root, char *line) {
    static const char *const mounts[2][3] = {{"", "/unified", NULL},
                                             {"/cpu,cpuacct", "/cpuacct,cpu", "/cpu"}};
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    *path++ = '\0';
    controllers++;
    path[strcspn(path, "\n")] = '\0';
    int version = *controllers ? 1 : 2;
    if (version == 1 && !has_cpu(controllers))
        return;
    for (int i = 0; i < 3 && mounts[version == 1][i]; i++) {
        char mount[PATH_MAX];
        if (snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, mounts[version == 1][i]) <
            (int)sizeof mount)
            climb(quota, mount, path);
    }
}

dt_quota dt_quota_read(const char *root) {
    dt_quota quota = {0, 0};
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s/proc/self/cgroup", root) >= (int)sizeof name)
        return quota;
    FILE *stream = fopen(name, "r");
    if (!stream)
        return quota;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stream) > 0)
        read_line(&quota, root, line);
    free(line);
    (void)fclose(stream);
    return quota;
}
