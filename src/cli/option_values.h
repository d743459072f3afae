/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of options as text: what is allowed, how it is read into dt_options, and how it is written. Local.
 */
#ifndef DTRAIN_CLI_OPTION_VALUES_H
#define DTRAIN_CLI_OPTION_VALUES_H

#include "cli/option_table.h"

/* Whether a value may, and whether it must follow the option's name. */
bool dt_option_values_follows(const dt_option *option);
bool dt_option_values_must_follow(const dt_option *option);

/* "a whole number from 1 to 65536", "rows or channels". Returns `text`, which has room for `room` bytes. */
const char *dt_option_values_allowed(const dt_option *option, char *text, size_t room);

/* The choices' names, `between` between them and `last` in front of the last one. Returns `text`. */
const char *dt_option_values_choices(const dt_option *option, const char *between, const char *last,
                                     char *text, size_t room);

/* Stores the value that `value` says in the option's field; NULL for an option that stands without one. A
 * text stays borrowed. False, when it is not allowed: the field is as it was, but for texts. */
bool dt_option_values_read(const dt_option *option, const char *value, dt_options *options);

/* Hands the option's name and value to `visit`; one without a field has nothing to hand on. */
void dt_option_values_show(const dt_option *option, const dt_options *options, bool given,
                           dt_setting_visit visit, void *context);

#endif
