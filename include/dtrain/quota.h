/* SPDX-License-Identifier: BSD-3-Clause */
/* CPU quotas: how much processor time the control groups of this process, and those around them, leave it. */
#ifndef DTRAIN_QUOTA_H
#define DTRAIN_QUOTA_H

#include <stdint.h>

/* The tightest quota of all groups. Ranks with the same group share it. */
typedef struct dt_quota {
    double cores;   /* 1.5: one and a half; 0: no quota */
    uint64_t group; /* which control group has it: its inode, the same in all namespaces of a machine */
} dt_quota;

/* Reads /proc/self/cgroup and the files of /sys/fs/cgroup, of version 1 and 2, below `root` ("" for the
 * machine's own). Files that are missing or say nothing are passed over. Local. */
dt_quota dt_quota_read(const char *root);

#endif
