/* SPDX-License-Identifier: BSD-3-Clause */
/* What is made from the option table: the defaults, the command line's parser with its messages, --help, and
 * the list of all values that a run records. Local. */
#ifndef DTRAIN_CLI_OPTIONS_H
#define DTRAIN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/option_table.h"
#include "dtrain/status.h"
#include "dtrain/train.h"

enum { DT_LIST_ROOM = 256 };

/* Every option at its default, none given. */
dt_options dt_options_default(void);

typedef struct dt_command_line {
    dt_command command;
    dt_options options;              /* its strings are those of argv, or `list` */
    char list[DT_LIST_ROOM];         /* "2,4,8", which came as words of their own */
    const char *paths[DT_MAX_PATHS]; /* report: its arguments; those of argv */
    int path_count;
} dt_command_line;

/* Reads the command line; prints nothing. Errors, DT_USAGE: name the option or argument, the value, and what
 * is allowed; an option that the command does not use is one. */
dt_status dt_options_parse(int argc, char **argv, dt_command_line *line);

/* Prints --help. */
void dt_options_print_help(FILE *stream);

/* Hands every option of dt_options to `visit`, in the table's order; the defaults' `walk`. Numbers have the
 * fewest digits that read back as the same value; a seed of 2^63 and more comes quoted, because few readers
 * of JSON hold it as a number. */
void dt_options_walk(const dt_options *options, dt_setting_visit visit, void *context);

#endif
