/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line, and --help. */
#include "cli/options.h"

#include <argp.h>
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option_names.h"
#include "cli/option_values.h"

enum { TEXT_ROOM = 640, NAME_ROOM = 64, FEW = 96, USAGE_ROOM = 256 };

dt_options dt_options_default(void) {
    dt_options options = {.walk = dt_options_walk};
    for (int row = 0; row < dt_option_table_count(); row++) {
        const dt_option *option = dt_option_table_row(row);
        bool allowed = !option->initial || dt_option_values_read(option, option->initial, &options);
        assert(allowed);
        (void)allowed;
    }
    return options;
}

void dt_options_walk(const dt_options *options, dt_setting_visit visit, void *context) {
    for (int row = 0; row < dt_option_table_count(); row++)
        dt_option_values_show(dt_option_table_row(row), options, options->given[row], visit, context);
}

/* What the parser fills. */
typedef struct reading {
    dt_command_line *line;
    dt_command argument;     /* the command that the first argument names */
    int taken;               /* arguments behind it */
    unsigned arguments;      /* all arguments so far */
    const dt_option *hungry; /* an option whose value may be the next word, or NULL */
    int hungry_next;         /* the number of that word */
    const dt_option *list;   /* an option whose value may go on in the next word, or NULL */
    int list_next;           /* the number of that word */
    dt_status status;
} reading;

static void ask_for(dt_command_line *line, dt_command command) {
    if (command > line->command)
        line->command = command;
}

static dt_status take_option(dt_command_line *line, const dt_option *option, const char *value) {
    char allowed[TEXT_ROOM];
    line->options.given[option - dt_option_table_row(0)] = true;
    if (option->kind == DT_OPTION_COMMAND)
        ask_for(line, option->command);
    else if (!dt_option_values_read(option, value, &line->options))
        return dt_fail(DT_USAGE, "--%s: '%.200s' is not allowed: %s", option->name, value,
                       dt_option_values_allowed(option, allowed, sizeof allowed));
    return dt_ok();
}

static dt_status take_path(dt_command_line *line, const char *value) {
    if (!*value)
        return dt_fail(DT_USAGE, "report: '' is not allowed: files or folders with results");
    if (line->path_count == DT_MAX_PATHS)
        return dt_fail(DT_USAGE,
                       "report: '%.200s': more than %d files and folders; name a folder that holds them",
                       value, DT_MAX_PATHS);
    line->paths[line->path_count++] = value;
    return dt_ok();
}

static bool find_command(const char *name, dt_command *command) {
    for (int i = 0; i < DT_COMMANDS; i++) {
        const char *known = dt_option_table_command((dt_command)i)->name;
        if (known && strcmp(known, name) == 0) {
            *command = (dt_command)i;
            return true;
        }
    }
    return false;
}

static dt_status take_command(reading *read, const char *value) {
    char names[FEW];
    if (!find_command(value, &read->argument))
        return dt_fail(DT_USAGE, "'%.200s' is not a command: %s", value,
                       dt_option_table_names(~0u, " or ", names, sizeof names));
    ask_for(read->line, read->argument);
    return dt_ok();
}

/* getopt gives an option whose value may be left out only what stands behind a "=": the word that follows is
 * its value too, unless it is a command. */
static bool is_hungry_value(const reading *read, int word, const char *value) {
    dt_command command;
    return read->hungry && read->hungry_next == word && !find_command(value, &command);
}

static bool goes_on(const reading *read, int word, const char *value) {
    return read->list && read->list_next == word && *value && !value[strspn(value, "0123456789,")];
}

/* One more word of a list. */
static dt_status lengthen(reading *read, const char *value) {
    const char **field = (const char **)((char *)&read->line->options + read->list->offset);
    char *list = read->line->list;
    size_t used = strlen(*field), more = strlen(value);
    if (used + 1 + more >= DT_LIST_ROOM)
        return dt_fail(DT_USAGE, "--%s: more than %d letters", read->list->name, DT_LIST_ROOM - 1);
    memmove(list, *field, used);
    list[used] = ',';
    memcpy(list + used + 1, value, more + 1);
    *field = list;
    read->list_next++;
    return dt_ok();
}

/* The first argument is the command; files follow. */
static dt_status take_argument(reading *read, int word, const char *value) {
    if (goes_on(read, word, value))
        return lengthen(read, value);
    if (is_hungry_value(read, word, value))
        return take_option(read->line, read->hungry, value);
    unsigned number = read->arguments++;
    if (number == 0)
        return take_command(read, value);
    if (read->argument == DT_COMMAND_REPORT)
        return take_path(read->line, value);
    const dt_command_row *command = dt_option_table_command(read->argument);
    if (number > (unsigned)command->takes)
        return dt_fail(DT_USAGE, "'%.200s': an argument too many: %s takes %s", value, command->name,
                       command->takes == 0   ? "none"
                       : command->takes == 1 ? "one, a file or folder"
                                             : "two, a file to read and one to write");
    if (!*value)
        return dt_fail(DT_USAGE, "%s: '' is not allowed: the name of a file", command->name);
    read->taken = (int)number;
    if (number == 1)
        read->line->options.weights = value;
    else
        read->line->options.target = value;
    return dt_ok();
}

static dt_status check_arguments(const reading *read) {
    const dt_command_row *command = dt_option_table_command(read->argument);
    if (read->line->command != read->argument || read->taken >= command->needs)
        return dt_ok();
    return dt_fail(DT_USAGE, "%s: which file? dtrain %s", command->name, command->usage);
}

/* Refuses what the command does not use: to take it in silence would let a user believe that it counts. */
static dt_status check_use(const dt_command_line *line, const dt_option *option) {
    char users[FEW];
    if (!dt_option_table_uses(line->command, option))
        return dt_fail(DT_USAGE, "--%s: %s does not use this option: leave it out (%s)", option->name,
                       dt_option_table_command(line->command)->name,
                       dt_option_table_names(option->commands, " and ", users, sizeof users));
    if (option->offset == offsetof(dt_options, out) && line->options.weights)
        return dt_fail(DT_USAGE, "--out: weights are read from '%.200s': leave one of the two out",
                       line->options.weights);
    return dt_ok();
}

static dt_status check_given(const dt_command_line *line) {
    for (int row = 0; row < dt_option_table_count(); row++)
        if (line->options.given[row] && line->command < DT_COMMAND_VERSION)
            DT_TRY(check_use(line, dt_option_table_row(row)));
    return dt_ok();
}

enum {
    FIRST_KEY = 1000, /* no character, so that no option has a short form but those with a letter */
    LAST_GROUP = -1   /* where argp puts options named help and version in any case */
};

/* Letters stand for their options. */
static int key_of(int key) {
    for (int row = 0; row < dt_option_table_count(); row++)
        if (dt_option_table_row(row)->letter && dt_option_table_row(row)->letter == key)
            return FIRST_KEY + row;
    return key;
}

static error_t take_key(int key, char *argument, struct argp_state *state) {
    reading *read = state->input;
    key = key_of(key);
    if (key == ARGP_KEY_ARG)
        read->status = take_argument(read, state->next - 1, argument);
    else if (key >= FIRST_KEY && key < FIRST_KEY + dt_option_table_count()) {
        const dt_option *option = dt_option_table_row(key - FIRST_KEY);
        read->status = take_option(read->line, option, argument);
        read->hungry = option->kind == DT_OPTION_TEXT_OR_NOTHING && !argument ? option : NULL;
        read->hungry_next = state->next;
        read->list = option->letter ? option : NULL;
        read->list_next = state->next;
    } else if (key == ARGP_KEY_ERROR && !dt_failed(&read->status)) {
        /* getopt does not say which word it refused: it has stepped over a long option, but may still stand
         * on a cluster of short ones. */
        read->status = dt_option_names_explain(state->argv[state->next - 1]);
        if (!dt_failed(&read->status))
            read->status = dt_option_names_explain(state->argv[state->next < state->argc ? state->next : 0]);
    } else
        return ARGP_ERR_UNKNOWN;
    return dt_failed(&read->status) ? EINVAL : 0;
}

/* argp's view of the table: a title before each group, an end mark behind all. */
typedef struct argp_view {
    struct argp_option options[2 * DT_SETTINGS_MOST + DT_GROUPS + 1];
    char texts[DT_SETTINGS_MOST][TEXT_ROOM];
    char arguments[DT_SETTINGS_MOST][NAME_ROOM];
    char usage[USAGE_ROOM];
} argp_view;

/* "... (default: 64) [train, info, plan]". */
static const char *view_text(const dt_option *option, char *text) {
    const char *value = option->otherwise ? option->otherwise : option->initial;
    char users[FEW];
    if (!value)
        return option->text;
    snprintf(text, TEXT_ROOM, "%s (default: %s) [%s]", option->text, value,
             dt_option_table_names(option->commands, ", ", users, sizeof users));
    return text;
}

static const char *view_argument(const dt_option *option, char *text) {
    return option->kind == DT_OPTION_CHOICE ? dt_option_values_choices(option, "|", "|", text, NAME_ROOM)
                                            : option->argument;
}

static void view_usage(char *text) {
    size_t used = 0;
    for (int command = 0; command < DT_COMMANDS && used < USAGE_ROOM; command++) {
        const char *usage = dt_option_table_command((dt_command)command)->usage;
        if (usage)
            used += (size_t)snprintf(text + used, USAGE_ROOM - used, "%s%s", used ? "\n" : "", usage);
    }
}

static void view_fill(argp_view *view) {
    struct argp_option *next = view->options;
    memset(view, 0, sizeof *view);
    view_usage(view->usage);
    for (int row = 0; row < dt_option_table_count(); row++) {
        const dt_option *option = dt_option_table_row(row);
        int group = option->group == DT_GROUP_PROGRAM ? LAST_GROUP : (int)option->group + 1;
        if (row == 0 || option->group != dt_option_table_row(row - 1)->group)
            *next++ = (struct argp_option){.doc = dt_option_table_group(option->group), .group = group};
        *next++ = (struct argp_option){
            .name = option->name,
            .key = FIRST_KEY + row,
            .arg = view_argument(option, view->arguments[row]),
            .flags = dt_option_values_follows(option) && !dt_option_values_must_follow(option)
                         ? OPTION_ARG_OPTIONAL
                         : 0,
            .doc = view_text(option, view->texts[row]),
            .group = group,
        };
        if (option->letter)
            *next++ = (struct argp_option){.key = option->letter, .flags = OPTION_ALIAS, .group = group};
    }
}

static const struct argp program = {
    .parser = take_key,
    .doc =
        "Trains an AlexNet for 28x28 digits, data-parallel over MPI: mpirun -np 4 dtrain\v"
        "train (the default) trains; eval prints loss and accuracy of the weights in a file or folder "
        "(default: the folder of --out); info prints what was built and what this machine has; "
        "plan measures and predicts the time of a step under each strategy; "
        "report prints the table of a folder of runs (mean and spread) or of bench/scaling, and compares two "
        "results and more: what differs significantly from the first; inspect tells what a file of weights, "
        "ours or Keras', holds and whether its checksums hold; export writes a whole model that "
        "keras.models.load_model opens, or with OUT.weights.h5 the weights alone. Brackets name the commands "
        "that use an option; the others refuse it.",
};

dt_status dt_options_parse(int argc, char **argv, dt_command_line *line) {
    static argp_view view; /* too large for small stacks; the main thread alone comes here */
    view_fill(&view);
    struct argp argp = program;
    argp.options = view.options;
    argp.args_doc = view.usage;
    *line = (dt_command_line){.command = DT_COMMAND_TRAIN, .options = dt_options_default()};
    reading read = {.line = line, .status = dt_ok()};
    error_t failed = argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT,
                                NULL, &read);
    if (failed && !dt_failed(&read.status))
        return dt_fail(failed == ENOMEM ? DT_MEMORY : DT_USAGE, "the command line cannot be read: %s",
                       strerror(failed));
    if (!dt_failed(&read.status))
        read.status = check_given(line);
    if (line->command == DT_COMMAND_REPORT && !line->path_count && !dt_failed(&read.status))
        return dt_fail(DT_USAGE, "report: no file or folder with results is named");
    if (!line->options.weights)
        line->options.weights = line->options.out;
    return dt_failed(&read.status) ? read.status : check_arguments(&read);
}

void dt_options_print_help(FILE *stream) {
    static argp_view view; /* too large for small stacks; the main thread alone comes here */
    char name[] = "dtrain";
    view_fill(&view);
    struct argp argp = program;
    argp.options = view.options;
    argp.args_doc = view.usage;
    argp_help(&argp, stream, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, name);
}
