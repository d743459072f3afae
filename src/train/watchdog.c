/* SPDX-License-Identifier: BSD-3-Clause */
/* Notes in shared memory, and the thread that reads them. */
#include "train/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dtrain/memory.h"
#include "dtrain/timer.h"
#include "train/lifeline.h"
#include "train/signals.h"

/* What a rank notes, a cache line for each rank of the node. */
typedef struct rank_notes {
    _Alignas(DT_ALIGNMENT) atomic_llong notes; /* how many so far */
    atomic_llong step;
    atomic_int activity;
    atomic_int rank, process;
    _Atomic double seen_alive; /* when the rank's own watchdog ran last; one clock a node */
    dt_lifeline life;
} rank_notes;

/* A launcher that ends all ranks when one is lost gets so many seconds to do so: it has more to say. */
static const double patience = 2;

struct dt_watchdog {
    dt_comm *comm;
    int timeout;     /* seconds; 0: nothing is watched */
    double tick;     /* seconds between two looks */
    double believed; /* seconds for which rank 0, on another node, was believed to be at its files */
    double cpu;      /* seconds of computing that the last look found */
    atomic_bool in_setup;
    int ranks; /* of this node */
    dt_comm_window *window;
    rank_notes *table; /* [ranks] */
    rank_notes *mine;
    rank_notes alone; /* where nothing is watched */
    const dt_exchange *inner;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ending;
    bool ends;                    /* under the mutex */
    dt_watchdog_words last_words; /* NULL: none; under the mutex, as is what it is called with */
    void *words_context;
    bool holds; /* its lifeline */
};

static const char *const activity_texts[DT_ACTIVITIES] = {
    [DT_ACTIVITY_SETUP] = "sets up",
    [DT_ACTIVITY_PEERS] = "waits for other ranks",
    [DT_ACTIVITY_COMPUTE] = "computes",
    [DT_ACTIVITY_STATISTICS] = "waits for the sums of a layer's statistics",
    [DT_ACTIVITY_TOTALS] = "waits for the sum of the losses",
    [DT_ACTIVITY_GRADIENTS] = "waits for gradients or weights",
    [DT_ACTIVITY_ACTIVATIONS] = "waits for activations",
    [DT_ACTIVITY_UPDATE] = "updates the weights",
    [DT_ACTIVITY_EVALUATE] = "evaluates",
    [DT_ACTIVITY_COLLECT] = "waits for the state to save",
    [DT_ACTIVITY_FILES] = "reads or writes files",
};

static dt_activity activity_of(const rank_notes *notes) {
    return (dt_activity)atomic_load_explicit(&notes->activity, memory_order_relaxed);
}

/* All notes of the node together: grows whenever any rank gets on. */
static long long count_notes(const dt_watchdog *watchdog) {
    long long sum = 0;
    for (int i = 0; i < watchdog->ranks; i++)
        sum += atomic_load_explicit(&watchdog->table[i].notes, memory_order_relaxed);
    return sum;
}

/* Seconds for which the rank's process, its watchdog included, has not run at all; 0 if it runs. */
static double seconds_stopped(const dt_watchdog *watchdog, int place, double now) {
    double silent = now - atomic_load_explicit(&watchdog->table[place].seen_alive, memory_order_relaxed);
    return silent > 3 * watchdog->tick + 0.5 * watchdog->timeout ? silent : 0;
}

/* A disk may be slow; a rank that does not run at all is not at the disk. It is rank 0 that reads and writes:
 * on its node one can see whether it does, on others one has to believe it, for a while. */
static bool waits_for_disk(dt_watchdog *watchdog, double now) {
    enum { BELIEF = 10 }; /* timeouts */
    bool files = false;
    for (int i = 0; i < watchdog->ranks; i++)
        if (seconds_stopped(watchdog, i, now) > 0)
            return false;
    for (int i = 0; i < watchdog->ranks; i++) {
        bool at_files = activity_of(&watchdog->table[i]) == DT_ACTIVITY_FILES;
        if (atomic_load(&watchdog->table[i].rank) == 0)
            return at_files;
        files |= at_files;
    }
    watchdog->believed = files ? watchdog->believed + watchdog->tick : 0;
    return files && watchdog->believed < BELIEF * watchdog->timeout;
}

/* Whether the rank's process has ended while others still count on it. */
static bool is_lost(const dt_watchdog *watchdog, int place) {
    rank_notes *notes = &watchdog->table[place];
    return notes != watchdog->mine && dt_lifeline_is_cut(&notes->life);
}

static bool anybody_lost(const dt_watchdog *watchdog) {
    for (int i = 0; i < watchdog->ranks; i++)
        if (is_lost(watchdog, i))
            return true;
    return false;
}

/* One line a rank, in the words that fit what is known of it. */
static int describe(const dt_watchdog *watchdog, int place, double now, char *text, size_t room) {
    const rank_notes *notes = &watchdog->table[place];
    double stopped = seconds_stopped(watchdog, place, now);
    int rank = atomic_load(&notes->rank), process = atomic_load(&notes->process);
    if (is_lost(watchdog, place))
        return snprintf(text, room, "; rank %d (process %d) is lost: its process has ended", rank, process);
    if (stopped > 0)
        return snprintf(text, room, "; rank %d (process %d) is missing: its process has not run for %.0f s",
                        rank, process, stopped);
    long long step = atomic_load(&notes->step);
    const char *what = activity_texts[activity_of(notes)];
    if (step < 0)
        return snprintf(text, room, "; rank %d (process %d) %s before the first step", rank, process, what);
    return snprintf(text, room, "; rank %d (process %d) %s in step %lld", rank, process, what, step);
}

static bool is_suspect(const dt_watchdog *watchdog, int place, double now) {
    return is_lost(watchdog, place) || seconds_stopped(watchdog, place, now) > 0 ||
           activity_of(&watchdog->table[place]) == DT_ACTIVITY_COMPUTE ||
           activity_of(&watchdog->table[place]) == DT_ACTIVITY_SETUP;
}

/* Not dt_log_error: that is silent on all ranks but 0, and not for threads. Those that do not merely wait
 * come first; many ranks that wait are counted, not listed. */
static void report(const dt_watchdog *watchdog, double now) {
    enum { LISTED = 8 };
    char text[2048];
    int suspects = 0, listed = 0, size = (int)sizeof text, used;
    if (anybody_lost(watchdog))
        used =
            snprintf(text, sizeof text, "dtrain: error: a rank on %s was lost", dt_comm_host(watchdog->comm));
    else
        used = snprintf(text, sizeof text,
                        "dtrain: error: stalled: no rank on %s got on for %d s (--stall-timeout)",
                        dt_comm_host(watchdog->comm), watchdog->timeout);
    for (int i = 0; i < watchdog->ranks; i++)
        suspects += is_suspect(watchdog, i, now);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < watchdog->ranks && listed < LISTED && used < size; i++)
            if (is_suspect(watchdog, i, now) == (pass == 0)) {
                used += describe(watchdog, i, now, text + used, (size_t)(size - used));
                listed++;
            }
    if (used < size && listed < watchdog->ranks)
        used += snprintf(text + used, (size_t)(size - used), "; and %d more", watchdog->ranks - listed);
    if (used < size && suspects == 0 && dt_comm_nodes(watchdog->comm) > 1)
        snprintf(text + used, (size_t)(size - used), "; nobody is missing here: look at the other nodes");
    fprintf(stderr, "%s\n", text);
    fflush(stderr);
}

/* Not while the main thread is at its files: its own words would mix with these. */
static void speak_last_words(dt_watchdog *watchdog) {
    if (activity_of(watchdog->mine) == DT_ACTIVITY_FILES)
        return;
    pthread_mutex_lock(&watchdog->mutex);
    if (watchdog->last_words)
        watchdog->last_words(watchdog->words_context, atomic_load(&watchdog->mine->step));
    pthread_mutex_unlock(&watchdog->mutex);
}

/* The lowest rank that runs speaks; all stay until everybody has seen that, else those who look later would
 * miss it. MPI_Abort is not for this thread, and a process that ends with a code other than 0 ends the run as
 * well. */
static _Noreturn void leave(dt_watchdog *watchdog, double now) {
    int speaker = 0;
    while (speaker < watchdog->ranks - 1 &&
           (is_lost(watchdog, speaker) || seconds_stopped(watchdog, speaker, now) > 0))
        speaker++;
    /* Ranks that are lost while this one was told to stop have been told so too, and were faster. */
    bool ended = anybody_lost(watchdog) && dt_signals_caught() != 0;
    speak_last_words(watchdog);
    if (&watchdog->table[speaker] == watchdog->mine && !ended)
        report(watchdog, now);
    (void)nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    _exit(DT_STALLED);
}

/* Sleeps for a tick; false when the watch is to end. */
static bool sleep_a_tick(dt_watchdog *watchdog) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double end = (double)until.tv_sec + 1e-9 * (double)until.tv_nsec + watchdog->tick;
    until.tv_sec = (time_t)end;
    until.tv_nsec = (long)((end - (double)until.tv_sec) * 1e9);
    pthread_mutex_lock(&watchdog->mutex);
    int result = 0;
    while (!watchdog->ends && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&watchdog->ending, &watchdog->mutex, &until);
    bool goes_on = !watchdog->ends;
    pthread_mutex_unlock(&watchdog->mutex);
    return goes_on;
}

/* In set-up: a rank that is busy on its own gets on. */
static void note_computing(dt_watchdog *watchdog, double elapsed) {
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
        return;
    double cpu = (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
    if (activity_of(watchdog->mine) == DT_ACTIVITY_SETUP && cpu - watchdog->cpu > 0.05 * elapsed)
        atomic_fetch_add_explicit(&watchdog->mine->notes, 1, memory_order_relaxed);
    watchdog->cpu = cpu;
}

static void *watch(void *context) {
    dt_watchdog *watchdog = context;
    long long last_notes = -1;
    double idle = 0, last_look = dt_timer_now();
    double lost = 0; /* seconds since a rank's end was seen */
    while (sleep_a_tick(watchdog)) {
        double now = dt_timer_now(), elapsed = now - last_look;
        if (atomic_load(&watchdog->in_setup))
            note_computing(watchdog, elapsed);
        long long notes = count_notes(watchdog);
        last_look = now;
        atomic_store_explicit(&watchdog->mine->seen_alive, now, memory_order_relaxed);
        /* A long pause was ours: the process was stopped, or the machine asleep. */
        idle += elapsed < 2 * watchdog->tick ? elapsed : 2 * watchdog->tick;
        if (notes != last_notes || waits_for_disk(watchdog, now))
            idle = 0;
        last_notes = notes;
        lost = anybody_lost(watchdog) ? lost + watchdog->tick : 0;
        if (idle >= watchdog->timeout || lost > patience)
            leave(watchdog, now);
    }
    return NULL;
}

static dt_status start_thread(dt_watchdog *watchdog) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->ending, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&watchdog->mutex, NULL);
    int failure = dt_signals_start_thread(&watchdog->thread, watch, watchdog);
    return failure ? dt_fail(DT_MACHINE, "the watchdog's thread cannot be started: %s", strerror(failure))
                   : dt_ok();
}

static dt_status lay_out(dt_watchdog *watchdog) {
    watchdog->table = dt_comm_window_data(watchdog->window);
    watchdog->mine = &watchdog->table[dt_comm_node_rank(watchdog->comm)];
    atomic_store(&watchdog->mine->rank, dt_comm_rank(watchdog->comm));
    atomic_store(&watchdog->mine->process, (int)getpid());
    atomic_store(&watchdog->mine->seen_alive, dt_timer_now());
    atomic_store(&watchdog->mine->step, -1);
    atomic_store(&watchdog->mine->activity, DT_ACTIVITY_SETUP);
    atomic_store(&watchdog->in_setup, true);
    dt_status status = dt_lifeline_hold(&watchdog->mine->life);
    watchdog->holds = !dt_failed(&status);
    return dt_comm_agree(watchdog->comm, status);
}

/* The communicator's words, in set-up. */
static void observe(void *context, dt_comm_doing doing) {
    dt_watchdog *watchdog = context;
    rank_notes *mine = watchdog->mine;
    dt_activity now = activity_of(mine), next = now;
    if (doing == DT_COMM_WORKS)
        next = DT_ACTIVITY_SETUP;
    else if (doing == DT_COMM_FILES)
        next = DT_ACTIVITY_FILES;
    else if (now != DT_ACTIVITY_FILES)
        next = doing == DT_COMM_WAITS ? DT_ACTIVITY_PEERS : DT_ACTIVITY_SETUP;
    atomic_store_explicit(&mine->activity, (int)next, memory_order_relaxed);
    if (doing != DT_COMM_WAITS)
        atomic_fetch_add_explicit(&mine->notes, 1, memory_order_relaxed);
}

void dt_watchdog_begin_steps(dt_watchdog *watchdog) {
    dt_comm_observe(watchdog->comm, NULL, NULL);
    atomic_store(&watchdog->in_setup, false);
}

dt_status dt_watchdog_create(dt_comm *comm, int timeout, dt_watchdog **watchdog) {
    dt_watchdog *created = aligned_alloc(_Alignof(dt_watchdog), sizeof *created);
    *watchdog = NULL;
    DT_TRY(dt_comm_agree(comm, created ? dt_ok() : dt_fail(DT_MEMORY, "no memory for the watchdog")));
    memset(created, 0, sizeof *created);
    created->comm = comm;
    created->mine = &created->alone;
    *watchdog = created;
    if (timeout == 0 || dt_comm_size(comm) == 1)
        return dt_ok();
    created->tick = timeout < 20 ? timeout / 20.0 : 1.0;
    created->ranks = dt_comm_node_size(comm);
    dt_status status =
        dt_comm_window_create(comm, (size_t)created->ranks * sizeof(rank_notes), &created->window);
    if (!dt_failed(&status))
        status = lay_out(created);
    if (!dt_failed(&status)) {
        created->timeout = timeout; /* the thread reads it */
        status = start_thread(created);
        if (dt_failed(&status))
            created->timeout = 0;
        status = dt_comm_agree(comm, status);
    }
    if (dt_failed(&status)) {
        dt_watchdog_destroy(created);
        *watchdog = NULL;
        return status;
    }
    dt_comm_observe(comm, observe, created);
    return status;
}

void dt_watchdog_destroy(dt_watchdog *watchdog) {
    if (!watchdog)
        return;
    dt_comm_observe(watchdog->comm, NULL, NULL);
    if (watchdog->timeout > 0) {
        pthread_mutex_lock(&watchdog->mutex);
        watchdog->ends = true;
        pthread_cond_broadcast(&watchdog->ending);
        pthread_mutex_unlock(&watchdog->mutex);
        pthread_join(watchdog->thread, NULL);
        pthread_cond_destroy(&watchdog->ending);
        pthread_mutex_destroy(&watchdog->mutex);
    }
    if (watchdog->holds)
        dt_lifeline_let_go(&watchdog->mine->life);
    dt_comm_window_release(watchdog->window);
    free(watchdog);
}

void dt_watchdog_set_last_words(dt_watchdog *watchdog, dt_watchdog_words words, void *context) {
    if (watchdog->timeout == 0)
        return;
    pthread_mutex_lock(&watchdog->mutex);
    watchdog->last_words = words;
    watchdog->words_context = context;
    pthread_mutex_unlock(&watchdog->mutex);
}

void dt_watchdog_note(dt_watchdog *watchdog, dt_activity activity, int64_t step) {
    rank_notes *mine = watchdog->mine;
    atomic_store_explicit(&mine->step, step, memory_order_relaxed);
    atomic_store_explicit(&mine->activity, (int)activity, memory_order_relaxed);
    atomic_fetch_add_explicit(&mine->notes, 1, memory_order_relaxed);
}

/* Within a step. */
static void note_activity(dt_watchdog *watchdog, dt_activity activity) {
    rank_notes *mine = watchdog->mine;
    atomic_store_explicit(&mine->activity, (int)activity, memory_order_relaxed);
    atomic_fetch_add_explicit(&mine->notes, 1, memory_order_relaxed);
}

static void noted_combine(void *context, const double *partials, int width, double *sums) {
    dt_watchdog *watchdog = context;
    note_activity(watchdog, DT_ACTIVITY_STATISTICS);
    watchdog->inner->combine(watchdog->inner->context, partials, width, sums);
    note_activity(watchdog, DT_ACTIVITY_COMPUTE);
}

static void noted_gradient_ready(void *context, int tensor) {
    dt_watchdog *watchdog = context;
    note_activity(watchdog, DT_ACTIVITY_COMPUTE);
    watchdog->inner->gradient_ready(watchdog->inner->context, tensor);
}

static void noted_weights_needed(void *context, int tensor) {
    dt_watchdog *watchdog = context;
    note_activity(watchdog, DT_ACTIVITY_GRADIENTS);
    watchdog->inner->weights_needed(watchdog->inner->context, tensor);
    note_activity(watchdog, DT_ACTIVITY_COMPUTE);
}

static void noted_reshape(void *context, dt_reshape shape, const float *source, float *target) {
    dt_watchdog *watchdog = context;
    note_activity(watchdog, DT_ACTIVITY_ACTIVATIONS);
    watchdog->inner->reshape(watchdog->inner->context, shape, source, target);
    note_activity(watchdog, DT_ACTIVITY_COMPUTE);
}

static void noted_progress(void *context) {
    dt_watchdog *watchdog = context;
    note_activity(watchdog, DT_ACTIVITY_COMPUTE);
    watchdog->inner->progress(watchdog->inner->context);
}

dt_exchange dt_watchdog_wrap(dt_watchdog *watchdog, const dt_exchange *exchange) {
    watchdog->inner = exchange;
    dt_exchange wrapped = *exchange;
    wrapped.context = watchdog;
    wrapped.combine = noted_combine;
    wrapped.gradient_ready = noted_gradient_ready;
    wrapped.progress = noted_progress;
    if (exchange->weights_needed)
        wrapped.weights_needed = noted_weights_needed;
    if (exchange->reshape)
        wrapped.reshape = noted_reshape;
    return wrapped;
}
