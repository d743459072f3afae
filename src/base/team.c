/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread team on OpenMP. The threads stay inside one parallel region as long as the team lives, and wait for
 * work there: the waits of the runtimes spin for milliseconds or sleep at once, as environment variables say,
 * and their barriers make the caller wait for threads that have not even come. A thread of its own opens the
 * region, so that the main thread stays outside and free. */
#include "dtrain/team.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dtrain/denormals.h"
#include "dtrain/memory.h"
#include "dtrain/thread.h"
#include "dtrain/timer.h"

/* How long a thread looks for work, or for the end of others' work, before it sleeps: longer than the serial
 * parts of a step between two calls, and far shorter than the time slice of a program that wants the core.
 * Where one does, a thread hardly looks. */
enum { PATIENCE_NS = 50000, CROWDED_PATIENCE_NS = 5000 };

/* A thread that holds a task when its time slice ends keeps all others waiting until the scheduler comes back
 * to it, 4 ms or more. So it offers its core between two tasks, more often than slices end, and a call that
 * does not return at once says that the core is wanted. */
#define TURN_SECONDS        1e-3
#define OTHERS_TURN_SECONDS 20e-6

/* `left` of a team whose threads are to go. */
enum { CLOSED = -1 };

/* A number that threads sleep on. */
typedef struct meeting {
    _Alignas(DT_ALIGNMENT) atomic_int number;
    atomic_int sleepers;
} meeting;
_Static_assert(sizeof(atomic_int) == 4 && ATOMIC_INT_LOCK_FREE == 2, "Linux waits on words of 32 bits");

struct dt_team {
    int threads;
    pthread_t opener;
    cpu_set_t processors[8]; /* of the thread that created the team: 8192 */
    /* The work. It is written while no task is left and none runs, and read by threads that hold a task. */
    dt_task run;
    void *context;
    int tasks;
    meeting left;    /* tasks that no thread has taken */
    meeting done;    /* tasks that have run; before the first work, threads that have come */
    meeting present; /* threads of the region, 0 until it is open; an errno times -1: it cannot be */
    atomic_int patience_ns;
    atomic_size_t least_stack; /* of the threads that have come */
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns at once where the number is another one by now, else when it is announced, and now and then for no
 * reason. */
static void sleep_while(meeting *at, int number) {
    atomic_fetch_add(&at->sleepers, 1);
    (void)syscall(SYS_futex, &at->number, FUTEX_WAIT_PRIVATE, number, NULL, NULL, 0);
    atomic_fetch_sub(&at->sleepers, 1);
}

/* Wakes at most `most` threads that sleep on a number which has just been changed. */
static void announce(meeting *at, int most) {
    if (atomic_load(&at->sleepers) > 0)
        (void)syscall(SYS_futex, &at->number, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

/* The number once it is not `number` any more: looked for shortly, then slept for. */
static int await_change(dt_team *team, meeting *at, int number) {
    enum { LOOKS = 32 };
    double since = 0;
    for (int found;; since = since > 0 ? since : dt_timer_now()) {
        for (int look = 0; look < LOOKS; look++, relax())
            if ((found = atomic_load_explicit(&at->number, memory_order_acquire)) != number)
                return found;
        int patience = atomic_load_explicit(&team->patience_ns, memory_order_relaxed);
        if (since > 0 && dt_timer_now() - since > 1e-9 * patience)
            sleep_while(at, number);
    }
}

/* The next task, or -1. Until it is done the work is not replaced, so that a thread which comes late takes a
 * task of the next work, or none. */
static int take_task(dt_team *team) {
    int left = atomic_load(&team->left.number);
    while (left > 0)
        if (atomic_compare_exchange_weak(&team->left.number, &left, left - 1))
            return team->tasks - left;
    return -1;
}

static bool run_task(dt_team *team, int worker) {
    int task = take_task(team);
    if (task < 0)
        return false;
    int all = team->tasks;
    team->run(team->context, task, worker);
    if (atomic_fetch_add(&team->done.number, 1) + 1 == all)
        announce(&team->done, 1);
    return true;
}

static void offer_core(dt_team *team, double *since) {
    double start = dt_timer_now();
    if (start - *since < TURN_SECONDS)
        return;
    (void)sched_yield();
    *since = dt_timer_now();
    bool crowded = *since - start > OTHERS_TURN_SECONDS;
    atomic_store_explicit(&team->patience_ns, crowded ? CROWDED_PATIENCE_NS : PATIENCE_NS,
                          memory_order_relaxed);
}

static void lower(atomic_size_t *least, size_t value) {
    size_t found = atomic_load(least);
    while (value < found && !atomic_compare_exchange_weak(least, &found, value))
        continue;
}

/* A thread's life. OMP_PROC_BIND and its like were told of a region without the main thread, and would put
 * one thread on the main thread's core: the threads go where the main thread may go. */
static void serve(dt_team *team, int worker) {
    (void)sched_setaffinity(0, sizeof team->processors, team->processors);
    dt_denormals_flush();
    lower(&team->least_stack, dt_thread_stack());
    atomic_fetch_add(&team->done.number, 1);
    announce(&team->done, 1);
    double since = dt_timer_now();
    while (await_change(team, &team->left, 0) != CLOSED)
        while (run_task(team, worker))
            offer_core(team, &since);
}

static void set_present(dt_team *team, int present) {
    atomic_store(&team->present.number, present);
    announce(&team->present, 1);
}

/* Bytes of the stacks that the user wants OpenMP's threads to have: "128K", "1 M", "512" (KB); 0 where
 * nothing is said that can be understood. */
static size_t wanted_stack(void) {
    static const char *const names[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"};
    static const char units[] = "bkmgt";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        char *end = NULL;
        unsigned long long number = text ? strtoull(text, &end, 10) : 0;
        if (number == 0)
            continue;
        end += strspn(end, " ");
        const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : units + 1;
        if (unit && number <= SIZE_MAX >> 10 * (unit - units))
            return (size_t)number << 10 * (unit - units);
    }
    return 0;
}

/* The runtimes end the process when they cannot start a thread: it is tried before. */
static void *open_region(void *context) {
    dt_team *team = context;
    int failure = dt_thread_try(team->threads - 2, wanted_stack());
    if (failure != 0) {
        set_present(team, -failure);
        return NULL;
    }
#pragma omp parallel num_threads(team->threads - 1)
    {
        if (omp_get_thread_num() == 0)
            set_present(team, omp_get_num_threads());
        serve(team, 1 + omp_get_thread_num());
    }
    return NULL;
}

static void await_done(dt_team *team, int all) {
    int done = atomic_load(&team->done.number);
    while (done < all)
        done = await_change(team, &team->done, done);
}

static void close_region(dt_team *team) {
    atomic_store(&team->left.number, CLOSED);
    announce(&team->left, INT_MAX);
    (void)pthread_join(team->opener, NULL);
}

static dt_status cannot_start(int threads, int failure) {
    return dt_fail(
        DT_MACHINE,
        "a team of %d threads cannot be started (pthread_create: %s): use fewer by --threads, lower "
        "OMP_STACKSIZE, or raise `ulimit -u`, `ulimit -v` or the control group's pids.max",
        threads, strerror(failure));
}

/* Whether the threads that have come are all, and have room. */
static dt_status check_threads(const dt_team *team, int present) {
    if (present < team->threads - 1)
        return dt_fail(
            DT_MACHINE,
            "OpenMP gives %d of %d threads: set OMP_THREAD_LIMIT to %d or more, or use --threads %d",
            present + 1, team->threads, team->threads, present + 1);
    if (team->least_stack > 0 && team->least_stack < DT_THREAD_STACK_LEAST)
        return dt_fail(
            DT_MACHINE,
            "OpenMP's threads have stacks of %zu KB, and at least %d are needed: set OMP_STACKSIZE=%dK",
            team->least_stack >> 10, DT_THREAD_STACK_LEAST >> 10, DT_THREAD_STACK >> 10);
    return dt_ok();
}

static dt_status open_team(dt_team *team) {
    if (team->threads == 1)
        return dt_ok();
    if (sched_getaffinity(0, sizeof team->processors, team->processors) != 0)
        return dt_fail(DT_MACHINE, "the processors of this process cannot be read (sched_getaffinity): %s",
                       strerror(errno));
    int failure = dt_thread_start(&team->opener, open_region, team);
    if (failure != 0)
        return cannot_start(team->threads, failure);
    int present = await_change(team, &team->present, 0);
    if (present < 0) {
        (void)pthread_join(team->opener, NULL);
        return cannot_start(team->threads, -present);
    }
    await_done(team, present);
    dt_status status = check_threads(team, present);
    if (dt_failed(&status))
        close_region(team);
    return status;
}

dt_status dt_team_create(int threads, dt_team **team) {
    assert(threads >= 1);
    dt_team *created = aligned_alloc(DT_ALIGNMENT, sizeof *created);
    *team = NULL;
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for a team of %d threads", threads);
    memset(created, 0, sizeof *created);
    created->threads = threads;
    created->patience_ns = PATIENCE_NS;
    created->least_stack = SIZE_MAX;
    dt_denormals_flush();
    dt_status status = open_team(created);
    if (dt_failed(&status))
        free(created);
    else
        *team = created;
    return status;
}

void dt_team_destroy(dt_team *team) {
    if (team && team->threads > 1)
        close_region(team);
    free(team);
}

int dt_team_size(const dt_team *team) {
    return team->threads;
}

void dt_team_run(dt_team *team, int tasks, dt_task run, void *context) {
    if (team->threads == 1 || tasks <= 1) {
        for (int task = 0; task < tasks; task++)
            run(context, task, 0);
        return;
    }
    team->run = run;
    team->context = context;
    team->tasks = tasks;
    atomic_store(&team->done.number, 0);
    atomic_store(&team->left.number, tasks);
    announce(&team->left, tasks - 1);
    while (run_task(team, 0))
        ;
    await_done(team, tasks);
}

void dt_team_split(long count, long grain, int task, int tasks, long *begin, long *end) {
    long grains = (count + grain - 1) / grain;
    *begin = grains * task / tasks * grain;
    *end = grains * (task + 1) / tasks * grain;
    if (*begin > count)
        *begin = count;
    if (*end > count)
        *end = count;
}
