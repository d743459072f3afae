/* SPDX-License-Identifier: BSD-3-Clause */
/* One run at a time in a folder. The process that trains in it holds a lock (flock) on the file `lock` there,
 * from before its first change until after its last; the kernel takes the lock back when the process ends,
 * however it ends. The file says whose lock it is. Programs that only read the folder need no lock. Rank 0's,
 * main thread. */
#ifndef DTRAIN_TRAIN_FOLDER_LOCK_H
#define DTRAIN_TRAIN_FOLDER_LOCK_H

#include <stdbool.h>

#include "dtrain/path.h"
#include "dtrain/status.h"

#define DT_FOLDER_LOCK_NAME "lock"

/* Zero: not held. */
typedef struct dt_folder_lock {
    bool held;
    int file; /* open while held */
    char path[DT_PATH_ROOM];
} dt_folder_lock;

/* Takes the lock, unless it is held already. A folder that does not exist or cannot be written is left alone,
 * unlocked: the caller makes it and asks again, or fails by itself. A lock of this host is waited for during
 * two seconds, in which an earlier run may still be ending; with `waits` one of another host during 100 s,
 * after which NFS has taken it from a host that is lost. A signal that asks the run to stop ends the wait. A
 * file system without locks: the file's words alone count, and a warning says so. Errors: DT_FILE when
 * another run is at work in the folder; the message has its host, process and start. Local. */
dt_status dt_folder_lock_take(dt_folder_lock *lock, const char *folder, bool waits);

/* Gives the lock back and removes its file. Not held: nothing happens. Local. */
void dt_folder_lock_release(dt_folder_lock *lock);

#endif
