/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers that take note. */
#include "train/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static const struct {
    int number;
    const char *name;
} kinds[] = {{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}};

enum { KINDS = sizeof kinds / sizeof *kinds };

static atomic_int caught, interrupted; /* lock-free, as a handler needs it */

static void take_note(int number) {
    static const char words[] = "dtrain: second SIGINT: leaving at once, nothing is saved\n";
    if (number == SIGINT && interrupted) {
        /* Whether or not the words get out. */
        (void)!write(STDERR_FILENO, words, sizeof words - 1);
        _exit(128 + SIGINT);
    }
    if (number == SIGINT)
        interrupted = 1;
    if (!caught)
        caught = number;
}

void dt_signals_install(void) {
    struct sigaction action = {.sa_handler = take_note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < KINDS; i++)
        sigaction(kinds[i].number, &action, NULL);
}

int dt_signals_caught(void) {
    return caught;
}

const char *dt_signals_name(int number) {
    for (int i = 0; i < KINDS; i++)
        if (kinds[i].number == number)
            return kinds[i].name;
    return "no signal";
}

int dt_signals_start_thread(pthread_t *thread, void *(*run)(void *context), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}
