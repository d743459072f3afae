/* SPDX-License-Identifier: BSD-3-Clause */
/* The watch over a rank that has no shared memory yet. */
#include "comm/guard.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dtrain/locale.h"
#include "dtrain/thread.h"
#include "dtrain/timer.h"

typedef struct peer {
    atomic_bool heard;
    dt_guard_greeting greeting; /* once heard */
} peer;

struct dt_guard {
    int timeout, rank, size;
    const char *host;
    _Atomic(const char *) activity;
    atomic_long notes;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ending;
    bool ends;    /* under the mutex */
    peer peers[]; /* [size] */
};

/* "1, 2, 5 and 9 more"; rank 0 hears all, the others rank 0 alone. Returns how many are silent. */
static int list_silent(dt_guard *guard, char *text, size_t room) {
    enum { LISTED = 8 };
    int silent = 0, size = guard->rank == 0 ? guard->size : 1;
    size_t used = 0;
    text[0] = '\0';
    for (int rank = 0; rank < size; rank++) {
        if (rank == guard->rank || atomic_load(&guard->peers[rank].heard))
            continue;
        if (silent++ < LISTED)
            used += (size_t)snprintf(text + used, room - used, "%s%d", used ? ", " : "", rank);
    }
    if (silent > LISTED)
        snprintf(text + used, room - used, " and %d more", silent - LISTED);
    return silent;
}

/* Whether a process of this host is stopped, or has ended unseen. */
static bool is_stopped(int process) {
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *stream = fopen(path, "re");
    if (!stream)
        return false;
    size_t length = fread(line, 1, sizeof line - 1, stream);
    fclose(stream);
    line[length] = '\0';
    const char *state = strrchr(line, ')');
    return state && state[1] == ' ' && strchr("TtZX", state[2]) && state[2];
}

/* "rank 1 (process 4711) is stopped", as far as this host knows; else nothing. */
static void find_stopped(dt_guard *guard, char *text, size_t room) {
    int size = guard->rank == 0 ? guard->size : 1;
    snprintf(text, room, "another rank was stopped or lost in set-up");
    for (int rank = 0; rank < size; rank++) {
        const peer *other = &guard->peers[rank];
        if (rank == guard->rank || strncmp(other->greeting.host, guard->host, DT_GUARD_HOST - 1) != 0 ||
            !is_stopped(other->greeting.process))
            continue;
        snprintf(text, room, "rank %d (process %d) on %s is stopped", rank, other->greeting.process,
                 other->greeting.host);
        return;
    }
}

/* One write, so that lines of several ranks do not mix. */
static void report(dt_guard *guard) {
    char silent[160], stopped[160], text[1024];
    int count = list_silent(guard, silent, sizeof silent);
    if (count > 0) {
        snprintf(text, sizeof text,
                 "dtrain: error: stalled: rank %d on %s got no answer to its first message for %d s "
                 "(--stall-timeout) from rank%s %s: stopped, lost, or not to be reached. Where hosts have "
                 "several networks, or "
                 "bridges of equal address, name the one to use: mpirun --mca btl_tcp_if_include "
                 "10.0.0.0/24 (Open MPI)\n",
                 guard->rank, guard->host, guard->timeout, count == 1 ? "" : "s", silent);
    } else {
        find_stopped(guard, stopped, sizeof stopped);
        snprintf(text, sizeof text,
                 "dtrain: error: stalled: rank %d on %s got on no more for %d s (--stall-timeout) while it "
                 "%s: %s\n",
                 guard->rank, guard->host, guard->timeout, atomic_load(&guard->activity), stopped);
    }
    fputs(text, stderr);
    fflush(stderr);
}

/* Rank 0 knows most and speaks first. Its end takes the others along; one that is silent itself leaves the
 * word to the next. */
static double patience(const dt_guard *guard) {
    enum { SPEAKERS = 5 };
    int turn = guard->rank < SPEAKERS ? guard->rank : SPEAKERS;
    return guard->timeout + 4.0 * turn;
}

/* False when the watch is to end. */
static bool sleep_for(dt_guard *guard, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double end = (double)until.tv_sec + 1e-9 * (double)until.tv_nsec + seconds;
    until.tv_sec = (time_t)end;
    until.tv_nsec = (long)((end - (double)until.tv_sec) * 1e9);
    pthread_mutex_lock(&guard->mutex);
    int result = 0;
    while (!guard->ends && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&guard->ending, &guard->mutex, &until);
    bool goes_on = !guard->ends;
    pthread_mutex_unlock(&guard->mutex);
    return goes_on;
}

static void *watch(void *context) {
    dt_guard *guard = context;
    /* It cannot fail here: it did not in the main thread. */
    (void)dt_locale_use_c();
    double tick = guard->timeout < 20 ? guard->timeout / 20.0 : 1.0;
    double idle = 0, last_look = dt_timer_now();
    long last_notes = -1;
    while (sleep_for(guard, tick)) {
        double now = dt_timer_now(), elapsed = now - last_look;
        long notes = atomic_load(&guard->notes);
        last_look = now;
        /* A long pause was ours: the process was stopped, or the machine asleep. */
        idle = notes == last_notes ? idle + (elapsed < 2 * tick ? elapsed : 2 * tick) : 0;
        last_notes = notes;
        if (idle < patience(guard))
            continue;
        report(guard);
        _exit(DT_STALLED);
    }
    return NULL;
}

/* Signals go to the main thread. */
static int start_thread(dt_guard *guard) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = dt_thread_start(&guard->thread, watch, guard);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

dt_status dt_guard_create(int timeout, int rank, int size, const char *host, dt_guard **guard) {
    *guard = NULL;
    if (timeout == 0 || size == 1)
        return dt_ok();
    dt_guard *created = calloc(1, sizeof *created + (size_t)size * sizeof created->peers[0]);
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for a watch over the ranks' first messages");
    created->timeout = timeout;
    created->rank = rank;
    created->size = size;
    created->host = host;
    atomic_init(&created->activity, "waited for the first messages");
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&created->ending, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&created->mutex, NULL);
    int failure = start_thread(created);
    if (failure) {
        free(created);
        return dt_fail(DT_MACHINE, "the thread that watches the ranks' first messages cannot be started: %s",
                       strerror(failure));
    }
    *guard = created;
    return dt_ok();
}

void dt_guard_destroy(dt_guard *guard) {
    if (!guard)
        return;
    pthread_mutex_lock(&guard->mutex);
    guard->ends = true;
    pthread_cond_broadcast(&guard->ending);
    pthread_mutex_unlock(&guard->mutex);
    pthread_join(guard->thread, NULL);
    pthread_cond_destroy(&guard->ending);
    pthread_mutex_destroy(&guard->mutex);
    free(guard);
}

void dt_guard_hear(dt_guard *guard, int rank, const dt_guard_greeting *greeting) {
    if (!guard)
        return;
    guard->peers[rank].greeting = *greeting;
    guard->peers[rank].greeting.host[DT_GUARD_HOST - 1] = '\0';
    atomic_store(&guard->peers[rank].heard, true);
    atomic_fetch_add(&guard->notes, 1);
}

void dt_guard_note(dt_guard *guard, const char *activity) {
    if (!guard)
        return;
    atomic_store(&guard->activity, activity);
    atomic_fetch_add(&guard->notes, 1);
}
