/* SPDX-License-Identifier: BSD-3-Clause */
/* The option table, and what is made from it: the defaults, the command line's parser with its messages,
 * --help, and the list of all values that a run records. One row in options.c adds an option. Local. */
#ifndef DTRAIN_CLI_OPTIONS_H
#define DTRAIN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "dtrain/status.h"
#include "dtrain/train.h"

/* In rising order: of several that are asked for, the highest is done. */
typedef enum dt_command {
    DT_COMMAND_TRAIN,
    DT_COMMAND_EVAL,
    DT_COMMAND_INFO,
    DT_COMMAND_PLAN,
    DT_COMMAND_REPORT, /* without MPI, by one process; so are those behind it */
    DT_COMMAND_INSPECT,
    DT_COMMAND_EXPORT,
    DT_COMMAND_VERSION,
    DT_COMMAND_HELP
} dt_command;

/* What the value of an option is, and so which type its field of dt_options has. */
typedef enum dt_option_kind {
    DT_OPTION_COUNT,           /* int */
    DT_OPTION_SEED,            /* uint64_t, every value is allowed */
    DT_OPTION_DOUBLE,          /* double */
    DT_OPTION_FLOAT,           /* float */
    DT_OPTION_CHOICE,          /* an enum with the size of an int */
    DT_OPTION_DURATION,        /* int, seconds */
    DT_OPTION_INTERVAL,        /* dt_interval */
    DT_OPTION_TEXT,            /* const char *, not empty */
    DT_OPTION_TEXT_OR_NOTHING, /* const char *, empty when the option stands without a value */
    DT_OPTION_FLAG,            /* bool, false unless given */
    DT_OPTION_COMMAND          /* no field: asks for a command instead of training */
} dt_option_kind;

typedef enum dt_option_group {
    DT_GROUP_DATA,
    DT_GROUP_TRAINING,
    DT_GROUP_NETWORK,
    DT_GROUP_MACHINE,
    DT_GROUP_PLAN,
    DT_GROUP_OUTPUT,
    DT_GROUP_SAVING,
    DT_GROUP_PROGRAM,
    DT_GROUPS
} dt_option_group;

enum { DT_MAX_CHOICES = 7, DT_MAX_PATHS = 32, DT_LIST_ROOM = 256 };

typedef struct dt_choice {
    const char *name; /* NULL behind the last one */
    int value;
} dt_choice;

/* The lowest and the highest value; an open end is itself not allowed. */
typedef struct dt_limits {
    double low, high;
    bool low_open, high_open;
} dt_limits;

typedef struct dt_option {
    const char *name;     /* without the dashes */
    const char *argument; /* name of its value in --help; NULL: made from the choices, or takes none */
    dt_option_group group;
    dt_option_kind kind;
    size_t offset; /* of its field in dt_options */
    dt_limits limits;
    dt_choice choices[DT_MAX_CHOICES];
    dt_command command;
    const char *initial; /* the default as one would type it; NULL: field 0, and `otherwise` says what then */
    const char *otherwise; /* the default in words, where its value does not tell */
    const char *text;
    char letter; /* a short form whose value may go on in the words behind it, if they are numbers; 0: none */
} dt_option;

/* The table. */
int dt_options_count(void);
const dt_option *dt_options_row(int index);

/* "a whole number from 1 to 65536", "rows or channels". Returns `text`, which has room for `room` bytes. */
const char *dt_options_allowed(const dt_option *option, char *text, size_t room);

/* Every option at its default. */
dt_options dt_options_default(void);

typedef struct dt_command_line {
    dt_command command;
    dt_options options;              /* its strings are those of argv, or `list` */
    char list[DT_LIST_ROOM];         /* "2,4,8", which came as words of their own */
    const char *paths[DT_MAX_PATHS]; /* report: its arguments; those of argv */
    int path_count;
} dt_command_line;

/* Reads the command line; prints nothing. Errors, DT_USAGE: name the option or argument, the value, and what
 * is allowed. */
dt_status dt_options_parse(int argc, char **argv, dt_command_line *line);

/* Prints --help. */
void dt_options_print_help(FILE *stream);

/* Hands every option of dt_options to `visit`, in the table's order; the defaults' `walk`. Numbers have the
 * fewest digits that read back as the same value; a seed of 2^63 and more comes quoted, because few readers
 * of JSON hold it as a number. */
void dt_options_walk(const dt_options *options, dt_setting_visit visit, void *context);

#endif
