/* SPDX-License-Identifier: BSD-3-Clause */
/* fork, limits, a pipe. */
#include "io/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Memory of the child beyond what it has from its parent; its seconds of computing, and more for a large
 * file.
 */
static const rlim_t more_bytes = (rlim_t)1 << 30, least_seconds = 60, bytes_a_second = (rlim_t)16 << 20;

static void limit(unsigned resource, rlim_t value) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return;
    now.rlim_cur = now.rlim_max < value ? now.rlim_max : value;
    (void)setrlimit(resource, &now);
}

/* Bytes of address space that the process has; 0: unknown. */
static rlim_t address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* Best effort: a limit that cannot be set leaves the child without it. */
static void set_limits(const char *path) {
    struct stat found;
    rlim_t held = address_space();
    if (held > 0)
        limit(RLIMIT_AS, held + more_bytes);
    limit(RLIMIT_CPU, least_seconds + (stat(path, &found) == 0 ? (rlim_t)found.st_size / bytes_a_second : 0));
    limit(RLIMIT_CORE, 0);
}

/* Handlers of the parent, of MPI and of sanitizers would print or take note for somebody else. */
static void forget_handlers(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE,  SIGILL,  SIGABRT, SIGTERM,
                                  SIGINT,  SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        (void)signal(signals[i], SIG_DFL);
}

static void be_silent(void) {
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0) {
        (void)dup2(nothing, STDOUT_FILENO);
        (void)dup2(nothing, STDERR_FILENO);
    }
}

/* Does not return: the clean-up of the process is the parent's. */
static void be_child(const char *path, dt_status (*body)(const char *path), int to) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    forget_handlers();
    be_silent();
    set_limits(path);
    dt_status status = body(path);
    ssize_t written = write(to, &status, sizeof status);
    _exit(written == (ssize_t)sizeof status ? 0 : 1);
}

/* Whether a whole status came. */
static bool receive(int from, dt_status *status) {
    size_t got = 0;
    while (got < sizeof *status) {
        ssize_t count = read(from, (char *)status + got, sizeof *status - got);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        got += (size_t)count;
    }
    return true;
}

static dt_status lost(const char *path, int ended) {
    int number = WIFSIGNALED(ended) ? WTERMSIG(ended) : 0;
    if (number == SIGXCPU)
        return dt_fail(DT_FILE, "%s: is damaged, or no file of weights: the HDF5 library finds no end in it",
                       path);
    return dt_fail(DT_FILE, "%s: is damaged: the HDF5 library crashed on it (in a process of its own, %s)",
                   path, number ? strsignal(number) : "which ended early");
}

static dt_status attend(const char *path, pid_t child, int from) {
    dt_status status;
    int ended = 0;
    bool complete = receive(from, &status);
    /* ECHILD: somebody else waits for the children of this process; the pipe has said what counts. */
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        continue;
    return complete ? status : lost(path, ended);
}

dt_status dt_rehearsal_run(const char *path, dt_status (*body)(const char *path)) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return dt_fail(DT_FILE, "%s: cannot be checked in a process of its own: %s", path, strerror(errno));
    pid_t child = fork();
    int error = errno;
    if (child == 0)
        be_child(path, body, ends[1]);
    (void)close(ends[1]);
    dt_status status = child < 0 ? dt_fail(DT_MEMORY, "%s: cannot be checked in a process of its own: %s",
                                           path, strerror(error))
                                 : attend(path, child, ends[0]);
    (void)close(ends[0]);
    return status;
}
