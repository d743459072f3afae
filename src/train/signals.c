/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers that take note. */
#include "train/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "dtrain/locale.h"

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

/* What a thread is to do; it frees this. */
typedef struct order {
    void *(*run)(void *context);
    void *context;
} order;

static void *obey(void *context) {
    order given = *(order *)context;
    free(context);
    /* It cannot fail here: it did not in the main thread. */
    (void)dt_locale_use_c();
    return given.run(given.context);
}

int dt_signals_start_thread(pthread_t *thread, void *(*run)(void *context), void *context) {
    order *given = malloc(sizeof *given);
    if (!given)
        return ENOMEM;
    *given = (order){run, context};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(thread, NULL, obey, given);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure)
        free(given);
    return failure;
}
