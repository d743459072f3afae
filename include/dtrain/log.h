/* SPDX-License-Identifier: BSD-3-Clause */
/* What the program says on the terminal. Rank 0 alone speaks: the others are silenced once, at start, so that
 * no other module asks which rank it runs on. Thread safety: call from the main thread only. */
#ifndef DTRAIN_LOG_H
#define DTRAIN_LOG_H

#include <stdbool.h>

#include "dtrain/status.h"

/* speaks: whether this process prints at all. quiet: notes are left out, warnings and errors are not.
 * Local. Before the first call: speaks, not quiet. */
void dt_log_configure(bool speaks, bool quiet);

/* A line for the user on standard output; the newline is added. This and the two below show control
 * characters, which a name in the message may hold, as dt_text_printable does (text.h). */
void dt_log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "dtrain: warning: ..." and "dtrain: error: ..." on standard error; the newline is added. */
void dt_log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void dt_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line that is drawn over by the next one when standard output is a terminal, cut to its width. Not a
 * terminal: nothing is printed (callers print plain notes there; dt_log_is_terminal tells). Notes, warnings
 * and errors first clear it. */
void dt_log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The end of what this process prints on standard output, by this module or by printf: writes out what is
 * buffered. Lines that were lost until now ended nothing. A reader who went away is no error. Errors,
 * DT_FILE: something is lost, and why. */
dt_status dt_log_finish(void);

/* The width of the terminal that this process may draw on, as it is now; 0: there is none. */
int dt_log_columns(void);

/* Whether standard output is a terminal that this process may draw on. */
bool dt_log_is_terminal(void);

#endif
