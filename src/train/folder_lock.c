/* SPDX-License-Identifier: BSD-3-Clause */
/* The file `lock` of a run's folder. */
#include "train/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dtrain/log.h"
#include "dtrain/timer.h"
#include "train/signals.h"

enum { LINES = 512 };

/* A process that holds or held a lock. Process numbers come again: a boot and a moment in it (in the kernel's
 * ticks) tell one from another. */
typedef struct owner {
    bool known;
    long process;
    unsigned long long ticks;
    char host[64], start[40], boot[64];
} owner;

static size_t read_whole(int file, char *text, size_t room) {
    ssize_t length = file < 0 ? -1 : pread(file, text, room - 1, 0);
    text[length < 0 ? 0 : length] = '\0';
    return length < 0 ? 0 : (size_t)length;
}

static void read_path(const char *path, char *text, size_t room) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    read_whole(file, text, room);
    if (file >= 0)
        close(file);
}

/* When the process began, 0 if there is none: the 22nd field of its line, counted behind the name, which may
 * have spaces. */
static unsigned long long process_ticks(long process) {
    char path[64], line[1024];
    unsigned long long ticks = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", process);
    read_path(path, line, sizeof line);
    const char *place = strrchr(line, ')');
    for (int field = 2; place && field < 22; field++)
        place = strchr(place + 1, ' ');
    return place && sscanf(place, "%19llu", &ticks) == 1 ? ticks : 0;
}

static void read_boot(char boot[64]) {
    char text[64];
    read_path("/proc/sys/kernel/random/boot_id", text, sizeof text);
    if (sscanf(text, "%63[!-~]", boot) != 1)
        snprintf(boot, 64, "unknown");
}

static owner describe_self(void) {
    owner self = {.known = true, .process = (long)getpid(), .ticks = process_ticks((long)getpid())};
    time_t now = time(NULL);
    struct tm parts;
    if (gethostname(self.host, sizeof self.host - 1) != 0 || !*self.host)
        snprintf(self.host, sizeof self.host, "unknown");
    if (!gmtime_r(&now, &parts) || strftime(self.start, sizeof self.start, "%F %T UTC", &parts) == 0)
        snprintf(self.start, sizeof self.start, "unknown");
    read_boot(self.boot);
    return self;
}

static const char lines_format[] = "host %s\nprocess %ld\nstart %s\nboot %s\nticks %llu\n";

/* What no run wrote counts as nothing; no character of the file can do anything to a terminal. */
static owner read_owner(int file) {
    char text[LINES];
    owner found = {0};
    read_whole(file, text, sizeof text);
    found.known = sscanf(text, "host %63[!-~] process %9ld start %39[ -~] boot %63[!-~] ticks %19llu",
                         found.host, &found.process, found.start, found.boot, &found.ticks) == 5;
    return found;
}

/* The lock holds with or without its lines: a full disk is no reason to stop. */
static void write_owner(int file) {
    owner self = describe_self();
    char text[LINES];
    int length =
        snprintf(text, sizeof text, lines_format, self.host, self.process, self.start, self.boot, self.ticks);
    if (ftruncate(file, 0) == 0)
        (void)!pwrite(file, text, (size_t)length, 0);
}

static bool is_this_boot(const owner *found) {
    char boot[64];
    read_boot(boot);
    return strcmp(boot, found->boot) == 0;
}

/* On this host, by its process. */
static bool is_alive(const owner *found) {
    bool exists = kill((pid_t)found->process, 0) == 0 || errno == EPERM;
    return exists && process_ticks(found->process) == found->ticks;
}

static dt_status refuse(const dt_folder_lock *lock, const owner *found) {
    int length = (int)(strlen(lock->path) - strlen("/" DT_FOLDER_LOCK_NAME));
    if (!found->known)
        return dt_fail(DT_FILE,
                       "--out %.*s: another run is at work in this folder: wait for its end, or give "
                       "another --out",
                       length, lock->path);
    bool here = is_this_boot(found);
    return dt_fail(DT_FILE,
                   "--out %.*s: another run is at work in this folder: process %ld on %s, started %s. Wait "
                   "for its end, or give another --out%s%s",
                   length, lock->path, found->process, found->host, found->start,
                   here ? "" : ". If that host is lost for good, remove ", here ? "" : lock->path);
}

/* Whether the open file still has its name: an owner that leaves removes the file while it holds the lock. */
static bool has_its_name(const dt_folder_lock *lock) {
    struct stat opened, named;
    return fstat(lock->file, &opened) == 0 && lstat(lock->path, &named) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/* The file is open and nobody else's. */
static void keep(dt_folder_lock *lock, const owner *before, bool locked) {
    bool elsewhere = before->known && !is_this_boot(before);
    if (elsewhere)
        dt_log_note("%s: process %ld on %s, started %s, left this lock behind: it is taken to have ended",
                    lock->path, before->process, before->host, before->start);
    if (!locked)
        dt_log_warning("%s: this file system has no locks: a run on another host would not be noticed",
                       lock->path);
    write_owner(lock->file);
    lock->held = true;
}

typedef enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN, ATTEMPT_TAKEN } attempt;

/* Asks for the lock of the open file; `found` is the owner that its lines name. */
static attempt try_lock(dt_folder_lock *lock, owner *found) {
    int result;
    do
        result = flock(lock->file, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    int failure = result != 0 ? errno : 0;
    *found = read_owner(lock->file);
    if (failure == EWOULDBLOCK)
        return ATTEMPT_TAKEN;
    if (!has_its_name(lock))
        return ATTEMPT_AGAIN;
    if (failure && found->known && is_this_boot(found) && is_alive(found))
        return ATTEMPT_TAKEN;
    keep(lock, found, failure == 0);
    return ATTEMPT_DONE;
}

/* *opened is false where there is nothing to lock, or no way to. */
static dt_status open_file(dt_folder_lock *lock, bool *opened) {
    struct stat facts;
    *opened = false;
    lock->file = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    int failure = lock->file < 0 ? errno : 0;
    if (failure == ENOENT || failure == ENOTDIR || failure == EROFS)
        return dt_ok();
    bool exists = lstat(lock->path, &facts) == 0;
    if (failure == EACCES && !exists)
        return dt_ok();
    if (exists && (failure || !S_ISREG(facts.st_mode))) {
        if (!failure)
            close(lock->file);
        return dt_fail(DT_FILE,
                       "%s: dtrain needs this name for its lock, and cannot use what is there%s%s: "
                       "remove it",
                       lock->path, failure ? ": " : "", failure ? strerror(failure) : "");
    }
    if (failure)
        dt_log_warning("%s: cannot be made: %s. Another run in this folder would not be noticed", lock->path,
                       strerror(failure));
    *opened = !failure;
    return dt_ok();
}

static attempt try_once(dt_folder_lock *lock, owner *found, dt_status *status) {
    bool opened;
    *status = open_file(lock, &opened);
    if (!opened)
        return ATTEMPT_DONE;
    attempt outcome = try_lock(lock, found);
    if (outcome != ATTEMPT_DONE)
        close(lock->file);
    return outcome;
}

static double patience_with(const owner *found, bool waits) {
    const double for_an_end = 2, for_a_lease = 100;
    return waits && found->known && !is_this_boot(found) ? for_a_lease : for_an_end;
}

dt_status dt_folder_lock_take(dt_folder_lock *lock, const char *folder, bool waits) {
    if (lock->held)
        return dt_ok();
    DT_TRY(dt_path_write(DT_FILE, lock->path, "%s/" DT_FOLDER_LOCK_NAME, folder));
    double start = dt_timer_now();
    bool said = false;
    for (;;) {
        owner found = {0};
        dt_status status;
        attempt outcome = try_once(lock, &found, &status);
        if (outcome == ATTEMPT_DONE)
            return status;
        double patience = patience_with(&found, waits);
        if (outcome == ATTEMPT_TAKEN && (dt_timer_now() - start > patience || dt_signals_caught() != 0))
            return refuse(lock, &found);
        if (!said && patience > 10)
            dt_log_note("%s: held by process %ld on %s: waiting up to %.0f s for a host that may be lost",
                        lock->path, found.process, found.host, patience);
        said = said || patience > 10;
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

void dt_folder_lock_release(dt_folder_lock *lock) {
    if (!lock->held)
        return;
    if (has_its_name(lock))
        (void)unlink(lock->path);
    close(lock->file);
    lock->held = false;
}
