/* SPDX-License-Identifier: BSD-3-Clause */
/* CPU quotas, from trees of files as Linux shows them. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/quota.h"

typedef struct tree_file {
    const char *path, *text;
} tree_file;

typedef struct tree {
    const char *name;
    double cores;
    tree_file files[8];
} tree;

#define SELF "/proc/self/cgroup"
#define FS   "/sys/fs/cgroup"

static const tree trees[] = {
    {"nothing at all", 0, {{0}}},
    {"version 2", 1.5, {{SELF, "0::/user.slice\n"}, {FS "/user.slice/cpu.max", "150000 100000\n"}}},
    {"version 2 without one", 0, {{SELF, "0::/user.slice\n"}, {FS "/user.slice/cpu.max", "max 100000\n"}}},
    {"a parent's, which is tighter",
     2,
     {{SELF, "0::/a/b/c\n"},
      {FS "/a/cpu.max", "200000 100000\n"},
      {FS "/a/b/cpu.max", "max 100000\n"},
      {FS "/a/b/c/cpu.max", "400000 100000\n"}}},
    {"a namespace's root", 0.5, {{SELF, "0::/\n"}, {FS "/cpu.max", "50000 100000\n"}}},
    {"a group outside of the namespace",
     3,
     {{SELF, "0::/../other\n"}, {FS "/cpu.max", "300000 100000\n"}, {"/sys/fs/other/cpu.max", "1 100000\n"}}},
    {"version 1",
     2.5,
     {{SELF, "5:memory:/m\n4:cpu,cpuacct:/job\n1:name=systemd:/x\n"},
      {FS "/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n"},
      {FS "/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"},
      {FS "/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {FS "/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}}},
    {"version 1, a container that names its group as the machine does",
     4,
     {{SELF, "4:cpuset:/docker/12\n3:cpu:/docker/12\n"},
      {FS "/cpu/cpu.cfs_quota_us", "200000\n"},
      {FS "/cpu/cpu.cfs_period_us", "50000\n"}}},
    {"both versions",
     1,
     {{SELF, "3:cpu,cpuacct:/job\n0::/job\n"},
      {FS "/cpu,cpuacct/job/cpu.cfs_quota_us", "100000\n"},
      {FS "/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"},
      {FS "/unified/job/cgroup.procs", "1\n"}}},
    {"lines and files that say nothing",
     0,
     {{SELF, "\n::\nx\n0::/a\n3:cpuset:/a\n"},
      {FS "/a/cpu.max", "\n"},
      {FS "/cpu/cpu.cfs_quota_us", "100000\n"}}},
};

/* Makes the folders on the way to a file, and the file. */
static void put(const char *root, const tree_file *file) {
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, file->path);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    assert_true(fputs(file->text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static void test_trees(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        char root[] = "/tmp/dtrain-quota-XXXXXX", command[64];
        assert_non_null(mkdtemp(root));
        for (const tree_file *file = trees[i].files; file->path; file++)
            put(root, file);
        dt_quota quota = dt_quota_read(root);
        if (quota.cores < trees[i].cores || quota.cores > trees[i].cores)
            fail_msg("%s: %g cores, not %g", trees[i].name, quota.cores, trees[i].cores);
        assert_int_equal(quota.group != 0, quota.cores > 0);
        snprintf(command, sizeof command, "rm -r '%s'", root);
        assert_int_equal(system(command), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
