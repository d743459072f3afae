/* SPDX-License-Identifier: BSD-3-Clause */
/* What a number may be: of options, and of the same quantities where a file states them. Pure functions. */
#ifndef DTRAIN_LIMITS_H
#define DTRAIN_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

/* The lowest and the highest value; an open end is itself not allowed. */
typedef struct dt_limits {
    double low, high;
    bool low_open, high_open;
} dt_limits;

/* Bounds that are not the mathematics' own: epsilon must not vanish as a float; a dropout above 0.999 keeps
 * fewer than 5 of 4096 units; width 8 is 64 times the memory of width 1. */
#define DT_EPOCHS_MOST 1000000
#define DT_LIMITS_EPOCHS \
    { .low = 1, .high = DT_EPOCHS_MOST }
#define DT_LIMITS_RATE \
    { .low = 0, .high = 1000, .low_open = true }
#define DT_LIMITS_BETA \
    { .low = 0, .high = 1, .high_open = true }
#define DT_LIMITS_EPSILON \
    { .low = 1e-37, .high = 1 }
#define DT_LIMITS_WIDTH \
    { .low = 0, .high = 8, .low_open = true }
#define DT_LIMITS_DROPOUT \
    { .low = 0, .high = 0.999 }

/* False for what is not a number, too. */
bool dt_limits_hold(dt_limits limits, double value);

/* "a whole number from 1 to 65536", "a number above 0, up to 8". Returns `text`, which has room for `room`
 * bytes. */
const char *dt_limits_describe(dt_limits limits, bool whole, char *text, size_t room);

#endif
