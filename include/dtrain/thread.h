/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads with a stack of a known size: the default is 128 KB with some C libraries, and gigabytes, or none,
 * where `ulimit -s` says so. */
#ifndef DTRAIN_THREAD_H
#define DTRAIN_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Of the threads that dt_thread_start starts; and the least that a thread of a team (team.h) may have. */
enum { DT_THREAD_STACK = 1 << 20, DT_THREAD_STACK_LEAST = 256 << 10 };

/* pthread_create with a stack of DT_THREAD_STACK bytes. Returns an errno, 0 for success. Local. */
int dt_thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/* Whether `count` more threads with stacks of so many bytes (0: the default) can live at the same time as
 * this one: starts and ends them. Returns the errno of the first that could not be started, 0 for success.
 * Local. */
int dt_thread_try(int count, size_t stack);

/* Bytes of the calling thread's stack, 0 if that cannot be read. Local. */
size_t dt_thread_stack(void);

#endif
