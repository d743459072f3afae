/* SPDX-License-Identifier: BSD-3-Clause */
/* The copy and the thread that writes it. */
#include "train/saver.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dtrain/memory.h"
#include "train/signals.h"

typedef enum saver_state { SAVER_IDLE, SAVER_ASKED, SAVER_REPORTED, SAVER_ENDING } saver_state;

struct dt_saver {
    dt_saver_config config;
    dt_slab memory;
    dt_strategy_image image;
    double longest; /* seconds, of any save so far; 0 before the first */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Under the mutex. While the state is SAVER_ASKED the job is the thread's, else the caller's. */
    saver_state state;
    dt_checkpoint job;
    dt_saver_report report;
};

/* The exponent of infinities and NaN is all ones. Plain C: the kernels' team works for the main thread. */
static bool all_finite(const float *values, size_t count) {
    const uint32_t exponent = 0x7f800000;
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        found |= (bits & exponent) == exponent;
    }
    return !found;
}

static dt_status check_slab(const dt_tensor *tensors, int count, const float *slab, const char *what,
                            int64_t step) {
    for (int i = 0; i < count; i++)
        if (!all_finite(slab + tensors[i].offset, tensors[i].count))
            return dt_fail(DT_NOT_FINITE,
                           "after step %lld: not finite: %s of %s. The checkpoint was not written",
                           (long long)step, what, tensors[i].name);
    return dt_ok();
}

static dt_status check_finite(const dt_parameters *table, const dt_checkpoint *job) {
    int64_t step = job->position.step;
    DT_TRY(check_slab(table->tensors, table->count, job->weights, "the values", step));
    DT_TRY(check_slab(table->states, table->state_count, job->states, "the values", step));
    DT_TRY(check_slab(table->tensors, table->count, job->m, "Adam's mean gradient", step));
    return check_slab(table->tensors, table->count, job->v, "Adam's mean squared gradient", step);
}

static dt_status write_job(dt_saver *saver) {
    const dt_saver_config *config = &saver->config;
    dt_saver_report *report = &saver->report;
    DT_TRY(dt_checkpoint_name(config->folder, saver->job.position.step, report->path));
    DT_TRY(check_finite(config->parameters, &saver->job));
    DT_TRY(
        dt_checkpoint_save(report->path, config->network, config->parameters, &saver->job, &report->result));
    return dt_checkpoint_publish(config->folder, report->path, report->best, config->keep);
}

/* A save that takes a core from the training for a second takes it in small change: what is left over, and a
 * fifteenth part beside a thread that computes. Linux keeps this value for each thread; without it saves are
 * as right. */
static void step_back(void) {
    enum { NICENESS = 10 };
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
}

static void *run_thread(void *context) {
    dt_saver *saver = context;
    step_back();
    pthread_mutex_lock(&saver->mutex);
    for (;;) {
        while (saver->state != SAVER_ASKED && saver->state != SAVER_ENDING)
            pthread_cond_wait(&saver->changed, &saver->mutex);
        if (saver->state == SAVER_ENDING)
            break;
        pthread_mutex_unlock(&saver->mutex);
        dt_status status = write_job(saver);
        pthread_mutex_lock(&saver->mutex);
        saver->report.status = status;
        saver->state = SAVER_REPORTED;
        pthread_cond_broadcast(&saver->changed);
    }
    pthread_mutex_unlock(&saver->mutex);
    return NULL;
}

static dt_status start_thread(dt_saver *saver) {
    int failure = dt_signals_start_thread(&saver->thread, run_thread, saver);
    return failure ? dt_fail(DT_MACHINE, "the thread that saves cannot be started: %s", strerror(failure))
                   : dt_ok();
}

static dt_status reserve_image(dt_saver *saver) {
    const dt_parameters *table = saver->config.parameters;
    dt_arena arena = {0};
    for (int pass = 0; pass < 2; pass++) {
        saver->image = (dt_strategy_image){.weights = dt_arena_take_floats(&arena, table->floats),
                                           .m = dt_arena_take_floats(&arena, table->floats),
                                           .v = dt_arena_take_floats(&arena, table->floats),
                                           .states = dt_arena_take_floats(&arena, table->state_floats)};
        if (pass == 0)
            DT_TRY(dt_slab_reserve(arena.used, "the copy that checkpoints are written from", &saver->memory));
        arena = (dt_arena){.base = saver->memory.base};
    }
    return dt_ok();
}

dt_status dt_saver_create(const dt_saver_config *config, dt_saver **saver) {
    dt_saver *created = calloc(1, sizeof *created);
    *saver = NULL;
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for saving");
    created->config = *config;
    pthread_mutex_init(&created->mutex, NULL);
    pthread_cond_init(&created->changed, NULL);
    dt_status status = reserve_image(created);
    if (!dt_failed(&status))
        status = start_thread(created);
    if (dt_failed(&status)) {
        dt_slab_release(&created->memory);
        free(created);
        return status;
    }
    *saver = created;
    return status;
}

static void free_texts(dt_saver *saver) {
    free(saver->job.options);
    free(saver->job.history);
    saver->job.options = saver->job.history = NULL;
}

void dt_saver_destroy(dt_saver *saver) {
    if (!saver)
        return;
    dt_saver_wait(saver);
    pthread_mutex_lock(&saver->mutex);
    saver->state = SAVER_ENDING;
    pthread_cond_broadcast(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    pthread_join(saver->thread, NULL);
    pthread_cond_destroy(&saver->changed);
    pthread_mutex_destroy(&saver->mutex);
    free_texts(saver);
    dt_slab_release(&saver->memory);
    free(saver);
}

dt_strategy_image dt_saver_image(const dt_saver *saver) {
    return saver->image;
}

static saver_state state_of(dt_saver *saver) {
    pthread_mutex_lock(&saver->mutex);
    saver_state state = saver->state;
    pthread_mutex_unlock(&saver->mutex);
    return state;
}

bool dt_saver_is_busy(dt_saver *saver) {
    return state_of(saver) == SAVER_ASKED;
}

void dt_saver_wait(dt_saver *saver) {
    pthread_mutex_lock(&saver->mutex);
    while (saver->state == SAVER_ASKED)
        pthread_cond_wait(&saver->changed, &saver->mutex);
    pthread_mutex_unlock(&saver->mutex);
}

void dt_saver_start(dt_saver *saver, const dt_checkpoint_position *position, char *options, char *history,
                    bool best, double held_up) {
    assert(state_of(saver) == SAVER_IDLE);
    free_texts(saver);
    saver->job = (dt_checkpoint){.position = *position,
                                 .weights = saver->image.weights,
                                 .m = saver->image.m,
                                 .v = saver->image.v,
                                 .states = saver->image.states,
                                 .options = options,
                                 .history = history};
    saver->report = (dt_saver_report){.step = position->step, .best = best, .held_up = held_up};
    pthread_mutex_lock(&saver->mutex);
    saver->state = SAVER_ASKED;
    pthread_cond_broadcast(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
}

bool dt_saver_take_report(dt_saver *saver, dt_saver_report *report) {
    if (state_of(saver) != SAVER_REPORTED)
        return false;
    *report = saver->report;
    if (!dt_failed(&report->status) && report->result.seconds > saver->longest)
        saver->longest = report->result.seconds;
    pthread_mutex_lock(&saver->mutex);
    saver->state = SAVER_IDLE;
    pthread_mutex_unlock(&saver->mutex);
    return true;
}

double dt_saver_estimate(const dt_saver *saver) {
    const double slow_disk = 50e6; /* bytes a second, before anything was measured */
    return saver->longest > 0 ? saver->longest : (double)saver->memory.bytes / slow_disk;
}
