/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of commands and the table of options: the one place where a name, a limit, a default, an effect
 * or a user of an option stands. One row in option_table.c adds an option. Local. */
#ifndef DTRAIN_CLI_OPTION_TABLE_H
#define DTRAIN_CLI_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "dtrain/limits.h"
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
    DT_COMMAND_VERSION, /* an option alone; so is the one behind it */
    DT_COMMAND_HELP,
    DT_COMMANDS
} dt_command;

enum { DT_MAX_CHOICES = 7, DT_MAX_PATHS = 32 };

typedef struct dt_command_row {
    const char *name;  /* NULL: no argument asks for it */
    const char *usage; /* behind "dtrain" */
    int needs, takes;  /* arguments: at least, at most */
} dt_command_row;

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
    DT_OPTION_COMMAND,         /* no field: asks for a command instead of training */
    DT_OPTION_KINDS
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

typedef struct dt_choice {
    const char *name; /* NULL behind the last one */
    int value;
} dt_choice;

typedef struct dt_option {
    const char *name;     /* without the dashes */
    const char *argument; /* name of its value in --help; NULL: made from the choices, or takes none */
    dt_option_group group;
    dt_option_kind kind;
    dt_effect effect;  /* on the results of a run, and so whether a resumed run may change it */
    unsigned commands; /* that use it: bit c for command c; all others refuse it */
    size_t offset;     /* of its field in dt_options */
    dt_limits limits;
    dt_choice choices[DT_MAX_CHOICES];
    dt_command command;  /* DT_OPTION_COMMAND: the one that it asks for */
    const char *initial; /* the default as one would type it; NULL: field 0, and `otherwise` says what then */
    const char *otherwise; /* the default in words, where its value does not tell */
    const char *text;
    char letter; /* a short form whose value may go on in the words behind it, if they are numbers; 0: none */
    bool own;    /* each rank may have a value of its own */
} dt_option;

int dt_option_table_count(void);
const dt_option *dt_option_table_row(int index);
const char *dt_option_table_group(dt_option_group group);
const dt_command_row *dt_option_table_command(dt_command command);

bool dt_option_table_uses(dt_command command, const dt_option *option);

/* "train, eval and info": the commands in the set that have a name, `last` in front of the last one. Returns
 * `text`, which has room for `room` bytes. */
const char *dt_option_table_names(unsigned commands, const char *last, char *text, size_t room);

#endif
