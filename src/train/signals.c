/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers that take note. */
#include "train/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dtrain/comm.h"
#include "dtrain/locale.h"
#include "dtrain/thread.h"

static const struct {
    int number;
    const char *name;
} kinds[] = {
    {SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGHUP, "SIGHUP"}};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* Seconds from a signal in set-up to the end of the process: most set-ups reach the first step in less. */
enum { GRACE = 5 };

static atomic_int caught, interrupted, heeded; /* lock-free, as a handler needs it */
static unsigned grace = GRACE;

static void take_note(int number) {
    static const char words[] = "dtrain: second SIGINT: leaving at once, nothing is saved\n";
    if (number == SIGINT && interrupted) {
        /* Whether or not the words get out. */
        (void)!write(STDERR_FILENO, words, sizeof words - 1);
        _exit(128 + SIGINT);
    }
    if (number == SIGINT)
        interrupted = 1;
    if (!caught) {
        caught = number;
        if (!heeded)
            alarm(grace);
    }
}

/* The first step was not reached: nothing is lost by leaving, and set-up may hang for ever. */
static void leave_setup(int number) {
    static const char begin[] = "dtrain: stopped as asked (",
                      end[] = ") before the first step: nothing was to be saved, start again\n";
    char words[128] = "";
    (void)number;
    if (heeded)
        return;
    /* Three constants; what knows a bound is not for handlers. NOLINTNEXTLINE(*insecureAPI.strcpy) */
    strcat(strcat(strcat(words, begin), dt_signals_name(caught)), end);
    (void)!write(STDERR_FILENO, words, strlen(words));
    _exit(DT_STOPPED);
}

/* Under nohup the end of the terminal is of no concern. */
static bool is_ignored(int number) {
    struct sigaction before;
    return number == SIGHUP && sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
}

void dt_signals_install(void) {
    struct sigaction action = {.sa_handler = take_note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    /* Where all ranks were told, the first has the words; its end takes the others along. */
    grace = dt_comm_launcher_rank() == 0 ? GRACE : GRACE + 1;
    for (int i = 0; i < KINDS; i++)
        if (!is_ignored(kinds[i].number))
            sigaction(kinds[i].number, &action, NULL);
    action.sa_handler = leave_setup;
    sigaction(SIGALRM, &action, NULL);
}

void dt_signals_heed(void) {
    heeded = 1;
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
    int failure = dt_thread_start(thread, obey, given);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure)
        free(given);
    return failure;
}
