/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines on the terminal. */
#include "dtrain/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dtrain/text.h"

static struct {
    bool silent;
    bool quiet;
    bool progress_shown;
    int lost; /* why standard output did not take a line, the first time: errno; 0: it took all */
} state;

void dt_log_configure(bool speaks, bool quiet) {
    state.silent = !speaks;
    state.quiet = quiet;
}

enum { USUAL_COLUMNS = 80, MOST_COLUMNS = 10000 };

/* Columns of the terminal; where it does not tell, what $COLUMNS says, or else the usual number. */
static int columns_of(int handle) {
    struct winsize size;
    if (ioctl(handle, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    const char *said = getenv("COLUMNS");
    long columns = said ? strtol(said, NULL, 10) : 0;
    return columns > 0 && columns <= MOST_COLUMNS ? (int)columns : USUAL_COLUMNS;
}

/* Open MPI's mpirun gives its ranks a pseudo-terminal even when its own output goes to a file: what counts is
 * what the launcher writes to. Only the rank that mpirun itself started can see that; others are taken for no
 * terminal. Columns; 0: none. */
static int columns_of_launcher(int stream) {
    char name[64], target[256];
    snprintf(name, sizeof name, "/proc/%ld/fd/%d", (long)getppid(), stream);
    ssize_t length = readlink(name, target, sizeof target - 1);
    if (length < 0)
        return 0;
    target[length] = '\0';
    if (strncmp(target, "/dev/pts/", 9) != 0 && strncmp(target, "/dev/tty", 8) != 0)
        return 0;
    int handle = open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int columns = columns_of(handle);
    if (handle >= 0)
        (void)close(handle);
    return columns;
}

/* Of the terminal that a standard stream ends at, read anew each time: a window may be drawn wider. */
static int stream_columns(int stream) {
    if (getenv("OMPI_COMM_WORLD_RANK"))
        return columns_of_launcher(stream);
    return isatty(stream) == 1 ? columns_of(stream) : 0;
}

int dt_log_columns(void) {
    return state.silent || isatty(STDOUT_FILENO) != 1 ? 0 : stream_columns(STDOUT_FILENO);
}

bool dt_log_is_terminal(void) {
    return dt_log_columns() > 0;
}

/* A line that cannot be written ends nothing: what the program works for goes on, and its end tells. */
static void flush(FILE *stream) {
    if (fflush(stream) != 0 && stream == stdout && state.lost == 0)
        state.lost = errno;
}

static void clear_progress(void) {
    if (state.progress_shown) {
        fputs("\r\033[K", stdout);
        flush(stdout);
    }
    state.progress_shown = false;
}

static void write_line(char *line, size_t room, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    char *whole;
    if (vsnprintf(line, room, format, arguments) >= (int)room && vasprintf(&whole, format, again) >= 0) {
        dt_text_fit(line, room, whole);
        free(whole);
    }
    va_end(again);
}

/* One write a line, so that lines of several processes on one terminal do not mix. Names in it may come from
 * anywhere. On a terminal long lines end at words. */
static void print_line(FILE *stream, const char *prefix, const char *format, va_list arguments) {
    char line[4096], shown[2 * sizeof line];
    clear_progress();
    size_t used = (size_t)snprintf(line, sizeof line, "%s", prefix);
    write_line(line + used, sizeof line - used, format, arguments);
    (void)dt_text_printable(shown, sizeof shown, line);
    int columns = stream_columns(fileno(stream));
    if (columns > 0)
        dt_text_break(shown, columns);
    fprintf(stream, "%s\n", shown);
    flush(stream);
}

void dt_log_note(const char *format, ...) {
    if (state.silent || state.quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(stdout, "", format, arguments);
    va_end(arguments);
}

void dt_log_warning(const char *format, ...) {
    if (state.silent)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(stderr, "dtrain: warning: ", format, arguments);
    va_end(arguments);
}

void dt_log_error(const char *format, ...) {
    if (state.silent)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(stderr, "dtrain: error: ", format, arguments);
    va_end(arguments);
}

void dt_log_progress(const char *format, ...) {
    int columns = dt_log_columns();
    char line[512], shown[2 * sizeof line];
    if (state.quiet || columns == 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    (void)dt_text_printable(shown, sizeof shown, line);
    dt_text_cut(shown, columns - 1);
    clear_progress();
    fputs(shown, stdout);
    flush(stdout);
    state.progress_shown = true;
}

/* head, a pager that was left, a terminal that was closed. */
static bool reader_left(void) {
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return state.lost == EPIPE || (poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)));
}

/* Some file systems tell of a full disk or quota when a file is closed. */
static void close_output(void) {
    int copy = dup(STDOUT_FILENO);
    if (copy >= 0 && close(copy) != 0 && state.lost == 0)
        state.lost = errno;
}

dt_status dt_log_finish(void) {
    flush(stdout);
    close_output();
    if ((state.lost == 0 && !ferror(stdout)) || reader_left())
        return dt_ok();
    return dt_fail(DT_FILE, "standard output cannot be written%s%s: a part of the output is lost",
                   state.lost ? ": " : "", state.lost ? strerror(state.lost) : "");
}
