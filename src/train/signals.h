/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals that ask a run to save and leave: SIGTERM, SIGINT, SIGUSR1, SIGUSR2, and SIGHUP unless it was
 * ignored at the start. A handler takes note. Where the run has not said dt_signals_heed five seconds later,
 * it is still being set up, with nothing to save, and the process ends with a line and exit code DT_STOPPED.
 * A second SIGINT ends the process at once, with exit code 130. Of this process; main thread only. */
#ifndef DTRAIN_TRAIN_SIGNALS_H
#define DTRAIN_TRAIN_SIGNALS_H

#include <pthread.h>

/* From now on the signals are noted, until the process ends: one that comes after the run must not spoil its
 * exit code. Again: nothing changes. */
void dt_signals_install(void);

/* From now on the caller asks, again and again, whether a signal was caught. */
void dt_signals_heed(void);

/* The first one that came, or 0. Any thread. */
int dt_signals_caught(void);

/* "SIGTERM"; "no signal" for 0. */
const char *dt_signals_name(int number);

/* dt_thread_start (thread.h) of a thread that no signal interrupts, as they go to the main thread, and that
 * reads and writes numbers as the main thread does (locale.h). Returns an errno, 0 for success. */
int dt_signals_start_thread(pthread_t *thread, void *(*run)(void *context), void *context);

#endif
