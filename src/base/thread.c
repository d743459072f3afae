/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting threads. */
#include "dtrain/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int start(pthread_t *thread, size_t stack, void *(*run)(void *), void *context) {
    pthread_attr_t attributes;
    int result = pthread_attr_init(&attributes);
    if (result != 0)
        return result;
    if (stack > 0)
        result = pthread_attr_setstacksize(&attributes, stack);
    if (result == 0)
        result = pthread_create(thread, &attributes, run, context);
    (void)pthread_attr_destroy(&attributes);
    return result;
}

int dt_thread_start(pthread_t *thread, void *(*run)(void *), void *context) {
    return start(thread, DT_THREAD_STACK, run, context);
}

/* Waits until the caller has started all. */
static void *pass_gate(void *gate) {
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

int dt_thread_try(int count, size_t stack) {
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *threads = calloc((size_t)count + 1, sizeof *threads);
    if (!threads)
        return ENOMEM;
    int started = 0, result = 0;
    pthread_mutex_lock(&gate);
    while (started < count && result == 0) {
        result = start(&threads[started], stack, pass_gate, &gate);
        started += result == 0;
    }
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    free(threads);
    /* A thread that was joined counts against the limits a little longer. */
    if (started > 0)
        (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    return result;
}

size_t dt_thread_stack(void) {
    pthread_attr_t attributes;
    void *place;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 0;
    if (pthread_attr_getstack(&attributes, &place, &size) != 0)
        size = 0;
    (void)pthread_attr_destroy(&attributes);
    return size;
}
