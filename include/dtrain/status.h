/* SPDX-License-Identifier: BSD-3-Clause */
/* What a function that can fail returns: a code and a message with the values in it.
 *
 * Three kinds of trouble are told apart. A bug is an assert(). A fault of the user or the machine is a
 * dt_status. A failure inside MPI in the middle of a run ends all ranks (comm.h). */
#ifndef DTRAIN_STATUS_H
#define DTRAIN_STATUS_H

#include <stdbool.h>

/* The codes are also the exit codes of the program. */
typedef enum dt_code {
    DT_OK = 0,
    DT_USAGE = 2,      /* an option, or options that do not go together */
    DT_DATA = 3,       /* a data set that is missing or damaged */
    DT_FILE = 4,       /* any other file that cannot be read or written */
    DT_MEMORY = 5,     /* memory not to be had */
    DT_NOT_FINITE = 6, /* a loss or gradient that is infinite or not a number */
    DT_MACHINE = 7,    /* cores, instruction sets, or how the ranks were started */
    DT_STOPPED = 75,   /* no fault: stopped as asked, state saved, start again with --resume */
    DT_STALLED = 76    /* no rank got on for too long */
} dt_code;

enum { DT_STATUS_TEXT = 1536 };

/* A value: copy it freely. text is empty when code is DT_OK. */
typedef struct dt_status {
    dt_code code;
    char text[DT_STATUS_TEXT];
} dt_status;

/* Success. */
dt_status dt_ok(void);

/* Failure with a message, printf-style, at most DT_STATUS_TEXT - 1 bytes: of a longer one the paths lose
 * their middles (text.h). The message names the thing (file,
 * option, tensor), the value found and what is allowed or what to do; no newline at its end. */
dt_status dt_fail(dt_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True when the status is a failure. */
static inline bool dt_failed(const dt_status *status) {
    return status->code != DT_OK;
}

/* Returns from the calling function when the call fails. For functions that own nothing at that point. */
#define DT_TRY(call)                      \
    do {                                  \
        dt_status dt_try_status = (call); \
        if (dt_failed(&dt_try_status))    \
            return dt_try_status;         \
    } while (0)

/* Stores the status in `status` and jumps to the label `cleanup` when the call fails. */
#define DT_TRY_CLEANUP(status, call) \
    do {                             \
        (status) = (call);           \
        if (dt_failed(&(status)))    \
            goto cleanup;            \
    } while (0)

#endif
