/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits of numbers. */
#include "dtrain/limits.h"

#include <stdio.h>

bool dt_limits_hold(dt_limits limits, double value) {
    return (limits.low_open ? value > limits.low : value >= limits.low) &&
           (limits.high_open ? value < limits.high : value <= limits.high);
}

const char *dt_limits_describe(dt_limits limits, bool whole, char *text, size_t room) {
    const char *between = limits.low_open ? ", up to" : limits.high_open ? " to below" : " to";
    if (whole)
        snprintf(text, room, "a whole number from %.0f to %.0f", limits.low, limits.high);
    else
        snprintf(text, room, "a number %s %g%s %g", limits.low_open ? "above" : "from", limits.low, between,
                 limits.high);
    return text;
}
