/* SPDX-License-Identifier: BSD-3-Clause */
/* The option table and its readers. */
#include "cli/options.h"

#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(dt_bn_axis) == sizeof(int) && sizeof(dt_bn_layers) == sizeof(int) &&
                  sizeof(dt_strategy_kind) == sizeof(int) && sizeof(dt_engine) == sizeof(int) &&
                  sizeof(dt_isa) == sizeof(int) && sizeof(dt_on_nan) == sizeof(int) &&
                  sizeof(dt_precision) == sizeof(int) && sizeof(dt_grid_wish) == sizeof(int) &&
                  sizeof(dt_wire) == sizeof(int),
              "choices are stored as int");

#define FIELD(member)        .offset = offsetof(dt_options, member)
#define FROM_TO(from, to)    .limits = {.low = (from), .high = (to)}
#define ABOVE_TO(from, to)   .limits = {.low = (from), .high = (to), .low_open = true}
#define FROM_BELOW(from, to) .limits = {.low = (from), .high = (to), .high_open = true}

/* Counts must fit an int. Bounds that are not the mathematics' own: epsilon must not vanish as a float; a
 * dropout above 0.999 keeps fewer than 5 of 4096 units; width 8 is 64 times the memory of width 1. */
static const dt_option table[] = {
    {"data", "WHERE", DT_GROUP_DATA, DT_OPTION_TEXT, FIELD(data),
     .otherwise = "the first found of $DTRAIN_DATA, data/mnist, ../shared/data/mnist, "
                  "~/.keras/datasets/mnist.npz",
     .text = "folder with the four IDX files, an .npz file, or synthetic[:N] for N digits drawn by the "
             "program"},
    {"validation", "N", DT_GROUP_DATA, DT_OPTION_COUNT, FIELD(validation), FROM_TO(0, INT_MAX),
     .initial = "5000", .text = "the first N training images are the validation set; 0 for none"},
    {"train-limit", "N", DT_GROUP_DATA, DT_OPTION_COUNT, FIELD(train_limit), FROM_TO(0, INT_MAX),
     .initial = "0", .text = "train on N of the remaining training images; 0 for all"},
    {"test-limit", "N", DT_GROUP_DATA, DT_OPTION_COUNT, FIELD(test_limit), FROM_TO(0, INT_MAX),
     .initial = "0", .text = "test on N of the test images; 0 for all"},

    {"epochs", "N", DT_GROUP_TRAINING, DT_OPTION_COUNT, FIELD(epochs), FROM_TO(1, 1000000), .initial = "10",
     .text = "passes over the training images"},
    {"batch", "N", DT_GROUP_TRAINING, DT_OPTION_COUNT, FIELD(batch), FROM_TO(1, 65536), .initial = "64",
     .text = "samples of a step, all ranks together"},
    {"max-steps", "N", DT_GROUP_TRAINING, DT_OPTION_COUNT, FIELD(max_steps), FROM_TO(0, INT_MAX),
     .initial = "0", .text = "stop after N steps; 0 for no limit"},
    {"lr", "RATE", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, FIELD(adam.lr), ABOVE_TO(0, 1000), .initial = "0.001",
     .text = "learning rate of Adam"},
    {"beta1", "B", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, FIELD(adam.beta1), FROM_BELOW(0, 1), .initial = "0.9",
     .text = "Adam's decay of the mean gradient"},
    {"beta2", "B", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, FIELD(adam.beta2), FROM_BELOW(0, 1),
     .initial = "0.999", .text = "Adam's decay of the mean squared gradient"},
    {"eps", "E", DT_GROUP_TRAINING, DT_OPTION_DOUBLE, FIELD(adam.epsilon), FROM_TO(1e-37, 1),
     .initial = "1e-8", .text = "Adam's addend to the root of the mean squared gradient"},
    {"seed", "N", DT_GROUP_TRAINING, DT_OPTION_SEED, FIELD(seed), .initial = "1",
     .text = "what initial weights, order of samples, dropout and synthetic digits are drawn from"},

    {"width", "F", DT_GROUP_NETWORK, DT_OPTION_DOUBLE, FIELD(network.width), ABOVE_TO(0, 8), .initial = "1",
     .text = "factor on the number of channels and units of every hidden layer"},
    {"dropout", "RATE", DT_GROUP_NETWORK, DT_OPTION_FLOAT, FIELD(network.dropout), FROM_TO(0, 0.999),
     .initial = "0.5", .text = "share of units left out behind each hidden dense layer"},
    {"bn-axis", NULL, DT_GROUP_NETWORK, DT_OPTION_CHOICE, FIELD(network.bn_axis),
     .choices = {{"rows", DT_BN_ROWS}, {"channels", DT_BN_CHANNELS}}, .initial = "rows",
     .text = "batch normalisation over each image row (Keras' axis=1) or each channel (axis=-1)"},
    {"bn-layers", NULL, DT_GROUP_NETWORK, DT_OPTION_CHOICE, FIELD(network.bn_layers),
     .choices = {{"all", DT_BN_ALL}, {"first2", DT_BN_FIRST2}, {"none", DT_BN_NONE}}, .initial = "all",
     .text = "the convolutions that batch normalisation follows"},

    {"threads", "N", DT_GROUP_MACHINE, DT_OPTION_COUNT, FIELD(threads), FROM_TO(0, 4096), .initial = "0",
     .text = "threads of a rank; 0 for the cores that it may use, divided fairly among the ranks on them"},
    {"strategy", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, FIELD(strategy),
     .choices = {{"allreduce", DT_STRATEGY_ALLREDUCE},
                 {"sharded", DT_STRATEGY_SHARDED},
                 {"hybrid", DT_STRATEGY_HYBRID},
                 {"auto", DT_STRATEGY_AUTO}},
     .initial = "auto",
     .text = "how the ranks share the work of a step; auto measures and takes the fastest"},
    {"grid", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, FIELD(grid),
     .choices = {{"auto", DT_GRID_AUTO}, {"all", DT_GRID_ALL}, {"node", DT_GRID_NODE}}, .initial = "auto",
     .text = "the ranks that hybrid splits the hidden dense layers over: all, or those of each node, whose "
             "gradients then travel between nodes; auto takes what is predicted to be faster, by measuring "
             "where there are several nodes of several ranks"},
    {"engine", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, FIELD(engine),
     .choices = {{"auto", DT_ENGINE_AUTO},
                 {"direct", DT_ENGINE_DIRECT},
                 {"blas", DT_ENGINE_BLAS},
                 {"reference", DT_ENGINE_REFERENCE}},
     .initial = "auto",
     .text = "the bodies of the kernels: our own, the same without Winograd's convolutions, OpenBLAS, or "
             "plain C"},
    {"isa", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, FIELD(isa),
     .choices = {{"auto", DT_ISA_BEST},
                 {"baseline", DT_ISA_BASELINE},
                 {"avx2", DT_ISA_AVX2},
                 {"avx512", DT_ISA_AVX512},
                 {"avx512_bf16", DT_ISA_AVX512_BF16},
                 {"amx_bf16", DT_ISA_AMX_BF16}},
     .initial = "auto",
     .text = "the highest instruction set to use; auto for what the environment variable DTRAIN_ISA says, "
             "or else the best that every rank's CPU has"},
    {"precision", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, FIELD(precision),
     .choices = {{"fp32", DT_PRECISION_FP32}, {"bf16", DT_PRECISION_BF16}}, .initial = "fp32",
     .text = "what products are computed from: float32, or operands rounded to bfloat16, summed in float32 "
             "(weights, optimizer and activations stay float32); fast with AMX_BF16 or AVX512_BF16, else "
             "emulated"},

    {"wire", NULL, DT_GROUP_MACHINE, DT_OPTION_CHOICE, FIELD(wire),
     .choices = {{"fp32", DT_WIRE_FP32}, {"bf16", DT_WIRE_BF16}}, .initial = "fp32",
     .text = "what gradients, updates of weights and activations are between ranks: float32, or rounded to "
             "bfloat16 and summed in float32, which halves all bytes. Either has the same bits on any number "
             "of ranks, one included"},
    {"methods", "LIST", DT_GROUP_MACHINE, DT_OPTION_TEXT, FIELD(methods), .initial = "auto",
     .text = "how the five convolutions are computed, as in direct,fourier,winograd,passes,fourier: "
             "passes, direct (one "
             "input channel), winograd, fourier, tiles (bf16 with AMX) or winograd-large (5x5; less exact). "
             "auto is a fixed choice for each shape, engine and instruction set; tuned measures at the "
             "start, so its bits may differ from run to run"},
    {"tune", NULL, DT_GROUP_MACHINE, DT_OPTION_FLAG, FIELD(tune), .otherwise = "off",
     .text = "with info: time every method of every convolution"},

    {"check-replicas", "K", DT_GROUP_MACHINE, DT_OPTION_COUNT, FIELD(check_replicas), FROM_TO(0, INT_MAX),
     .initial = "0",
     .text = "compare weights and optimizer of all ranks every K steps; 0: after each epoch alone"},

    {"ranks", "N[,N...]", DT_GROUP_PLAN, DT_OPTION_TEXT, FIELD(plan_ranks), .otherwise = "the ranks that run",
     .text = "numbers of ranks to plan for; -N 2 4 8 is the same as --ranks 2,4,8", .letter = 'N'},
    {"node-ranks", "N", DT_GROUP_PLAN, DT_OPTION_COUNT, FIELD(node_ranks), FROM_TO(0, 65536), .initial = "0",
     .text = "ranks of a node; 0: as they run, with a link one"},
    {"link-gbits", "G", DT_GROUP_PLAN, DT_OPTION_DOUBLE, FIELD(link_gbits), FROM_TO(0, 1e6), .initial = "0",
     .text = "speed of a node's link in Gbit/s; 0: as measured"},
    {"link-us", "US", DT_GROUP_PLAN, DT_OPTION_DOUBLE, FIELD(link_us), FROM_TO(0, 1e6), .initial = "0",
     .text = "latency of a link in microseconds; 0: as measured"},

    {"out", "DIR", DT_GROUP_OUTPUT, DT_OPTION_TEXT, FIELD(out), .initial = "run",
     .text = "folder for metrics.jsonl and the weights"},
    {"quiet", NULL, DT_GROUP_OUTPUT, DT_OPTION_FLAG, FIELD(quiet), .otherwise = "off",
     .text = "print warnings and errors alone"},
    {"json", NULL, DT_GROUP_OUTPUT, DT_OPTION_FLAG, FIELD(json), .otherwise = "off",
     .text = "inspect: print JSON"},
    {"force", NULL, DT_GROUP_OUTPUT, DT_OPTION_FLAG, FIELD(force), .otherwise = "off",
     .text = "export: write over an existing file"},

    {"checkpoint-every", "N", DT_GROUP_SAVING, DT_OPTION_INTERVAL, FIELD(checkpoint_every),
     FROM_TO(1, INT_MAX), .initial = "1epoch",
     .text =
         "save so often: 1epoch, 500steps, 10min; none: at the end alone. Steps do not wait for the disk"},
    {"keep", "N", DT_GROUP_SAVING, DT_OPTION_COUNT, FIELD(keep), FROM_TO(1, 1000000), .initial = "3",
     .text = "keep the newest N checkpoints, and the best by validation loss"},
    {"checkpoint-required", NULL, DT_GROUP_SAVING, DT_OPTION_FLAG, FIELD(checkpoint_required),
     .otherwise = "off", .text = "stop when a checkpoint cannot be written, instead of warning and going on"},
    {"resume", "FILE|DIR", DT_GROUP_SAVING, DT_OPTION_TEXT_OR_NOTHING, FIELD(resume), .otherwise = "off",
     .text =
         "go on from this checkpoint, or from the newest in a folder, or in that of --out; none in --out: "
         "start afresh"},
    {"override", NULL, DT_GROUP_SAVING, DT_OPTION_FLAG, FIELD(override), .otherwise = "off",
     .text = "resume also with options that change the mathematics"},
    {"init", "FILE", DT_GROUP_SAVING, DT_OPTION_TEXT, FIELD(init), .otherwise = "weights drawn from the seed",
     .text = "start from the weights in this file, Keras' or dtrain's"},
    {"max-time", "TIME", DT_GROUP_SAVING, DT_OPTION_DURATION, FIELD(max_time), FROM_TO(1, INT_MAX),
     .otherwise = "no limit",
     .text = "save and stop with exit code 75 before this much time has passed: 3h50m, 90min, 45s"},
    {"on-nan", NULL, DT_GROUP_SAVING, DT_OPTION_CHOICE, FIELD(on_nan),
     .choices = {{"stop", DT_ON_NAN_STOP}, {"rewind", DT_ON_NAN_REWIND}}, .initial = "stop",
     .text = "what to do about a value that is not finite: end, or go back to the last checkpoint with half "
             "the learning rate, up to 3 times"},
    {"stall-timeout", "SECONDS", DT_GROUP_SAVING, DT_OPTION_COUNT, FIELD(stall_timeout), FROM_TO(0, INT_MAX),
     .initial = "300",
     .text = "end with exit code 76, naming who is missing, when no rank gets on for so long; 0 for never"},

    {"info", NULL, DT_GROUP_PROGRAM, DT_OPTION_COMMAND, .command = DT_COMMAND_INFO,
     .text = "the same as the command info"},
    {"version", NULL, DT_GROUP_PROGRAM, DT_OPTION_COMMAND, .command = DT_COMMAND_VERSION,
     .text = "print the version and the commit"},
    {"help", NULL, DT_GROUP_PROGRAM, DT_OPTION_COMMAND, .command = DT_COMMAND_HELP,
     .text = "print this list"},
};

enum { ROWS = sizeof table / sizeof *table, TEXT_ROOM = 480, NAME_ROOM = 64 };

static const char *const group_titles[DT_GROUPS] = {
    [DT_GROUP_DATA] = "Data:",
    [DT_GROUP_TRAINING] = "Training:",
    [DT_GROUP_NETWORK] = "Network:",
    [DT_GROUP_MACHINE] = "Machine:",
    [DT_GROUP_PLAN] = "Plan:",
    [DT_GROUP_OUTPUT] = "Output:",
    [DT_GROUP_SAVING] = "Saving and resuming:",
    [DT_GROUP_PROGRAM] = "Program:",
};

static const struct {
    const char *name;
    dt_command command;
    int needs, takes; /* arguments: at least, at most */
} commands[] = {{"train", DT_COMMAND_TRAIN, 0, 0},
                {"eval", DT_COMMAND_EVAL, 0, 1},
                {"info", DT_COMMAND_INFO, 0, 0},
                {"plan", DT_COMMAND_PLAN, 0, 0},
                {"report", DT_COMMAND_REPORT, 0, DT_MAX_PATHS},
                {"inspect", DT_COMMAND_INSPECT, 1, 1},
                {"export", DT_COMMAND_EXPORT, 2, 2}};

enum { COMMANDS = sizeof commands / sizeof *commands };

int dt_options_count(void) {
    return ROWS;
}

const dt_option *dt_options_row(int index) {
    assert(index >= 0 && index < ROWS);
    return &table[index];
}

static bool takes_value(const dt_option *option) {
    return option->kind != DT_OPTION_FLAG && option->kind != DT_OPTION_COMMAND;
}

static bool needs_value(const dt_option *option) {
    return takes_value(option) && option->kind != DT_OPTION_TEXT_OR_NOTHING;
}

/* Joins the choices' names, `last` in front of the last one. */
static const char *join_choices(const dt_option *option, const char *between, const char *last, char *text,
                                size_t room) {
    size_t used = 0;
    text[0] = '\0';
    for (const dt_choice *choice = option->choices; choice->name && used < room; choice++) {
        const char *joint = choice == option->choices ? "" : choice[1].name ? between : last;
        used += (size_t)snprintf(text + used, room - used, "%s%s", joint, choice->name);
    }
    return text;
}

const char *dt_options_allowed(const dt_option *option, char *text, size_t room) {
    const dt_limits limits = option->limits;
    switch (option->kind) {
    case DT_OPTION_COUNT:
        snprintf(text, room, "a whole number from %.0f to %.0f", limits.low, limits.high);
        break;
    case DT_OPTION_SEED:
        snprintf(text, room, "a whole number from 0 to %llu", (unsigned long long)UINT64_MAX);
        break;
    case DT_OPTION_DOUBLE:
    case DT_OPTION_FLOAT:
        snprintf(text, room, "a number %s %g%s %g", limits.low_open ? "above" : "from", limits.low,
                 limits.low_open    ? ", up to"
                 : limits.high_open ? " to below"
                                    : " to",
                 limits.high);
        break;
    case DT_OPTION_CHOICE:
        return join_choices(option, ", ", " or ", text, room);
    case DT_OPTION_DURATION:
        snprintf(text, room, "a time such as 3h50m, 90min or 45s");
        break;
    case DT_OPTION_INTERVAL:
        snprintf(text, room, "a number of epochs, steps or a time, such as 1epoch, 500steps, 10min, or none");
        break;
    case DT_OPTION_TEXT:
    case DT_OPTION_TEXT_OR_NOTHING:
        snprintf(text, room, "a name that is not empty");
        break;
    case DT_OPTION_FLAG:
    case DT_OPTION_COMMAND:
        snprintf(text, room, "no value");
        break;
    }
    return text;
}

/* Digits alone: strtoull by itself would take signs, spaces and junk. */
static bool read_whole(const char *text, uint64_t *value) {
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return errno == 0;
}

/* Decimal numbers alone: strtod by itself would take spaces, hexadecimal digits and NaN. */
static bool read_real(const char *text, double *value) {
    if (!*text || text[strspn(text, "0123456789+-.eE")])
        return false;
    char *end;
    *value = strtod(text, &end);
    return !*end;
}

static bool within(dt_limits limits, double value) {
    return (limits.low_open ? value > limits.low : value >= limits.low) &&
           (limits.high_open ? value < limits.high : value <= limits.high);
}

static bool read_count(const dt_option *option, const char *text, void *field) {
    uint64_t value;
    if (!read_whole(text, &value) || !within(option->limits, (double)value))
        return false;
    *(int *)field = (int)value;
    return true;
}

static bool read_float(const dt_option *option, const char *text, void *field) {
    double value;
    if (!read_real(text, &value) || !within(option->limits, value))
        return false;
    if (option->kind == DT_OPTION_FLOAT)
        *(float *)field = (float)value;
    else
        *(double *)field = value;
    return true;
}

static bool read_choice(const dt_option *option, const char *text, void *field) {
    for (const dt_choice *choice = option->choices; choice->name; choice++)
        if (strcmp(choice->name, text) == 0) {
            memcpy(field, &choice->value, sizeof choice->value);
            return true;
        }
    return false;
}

/* Reads a whole number and moves `text` behind it. */
static bool take_whole(const char **text, uint64_t *value) {
    char digits[20];
    size_t length = strspn(*text, "0123456789");
    if (length >= sizeof digits)
        return false;
    memcpy(digits, *text, length);
    digits[length] = '\0';
    *text += length;
    return read_whole(digits, value);
}

/* Hours, minutes and seconds, in that order, each at most once: 2h, 1h30m, 90min, 45s. */
static bool read_duration(const char *text, void *field) {
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"h", 3600}, {"min", 60}, {"m", 60}, {"s", 1}};
    uint64_t total = 0, last_unit = UINT64_MAX;
    do {
        uint64_t value;
        if (!take_whole(&text, &value) || value > INT_MAX)
            return false;
        size_t unit = 0, units_known = sizeof units / sizeof *units;
        while (unit < units_known && strncmp(text, units[unit].name, strlen(units[unit].name)) != 0)
            unit++;
        if (unit == units_known || units[unit].seconds >= last_unit)
            return false;
        text += strlen(units[unit].name);
        last_unit = units[unit].seconds;
        total += value * last_unit;
    } while (*text);
    if (total < 1 || total > INT_MAX)
        return false;
    *(int *)field = (int)total;
    return true;
}

static bool read_interval(const char *text, void *field) {
    dt_interval interval = {DT_INTERVAL_NONE, 0};
    const char *unit = text;
    uint64_t count = 0;
    if (strcmp(text, "none") == 0) {
        *(dt_interval *)field = interval;
        return true;
    }
    if (take_whole(&unit, &count) && count >= 1 && count <= INT_MAX) {
        if (strcmp(unit, "epoch") == 0 || strcmp(unit, "epochs") == 0)
            interval.unit = DT_INTERVAL_EPOCHS;
        if (strcmp(unit, "step") == 0 || strcmp(unit, "steps") == 0)
            interval.unit = DT_INTERVAL_STEPS;
        interval.amount = (int)count;
    }
    if (interval.unit == DT_INTERVAL_NONE) {
        if (!read_duration(text, &interval.amount))
            return false;
        interval.unit = DT_INTERVAL_SECONDS;
    }
    *(dt_interval *)field = interval;
    return true;
}

/* Stores the value that `text` says; false if it is not allowed. */
static bool read_value(const dt_option *option, const char *text, dt_options *options) {
    void *field = (char *)options + option->offset;
    switch (option->kind) {
    case DT_OPTION_COUNT:
        return read_count(option, text, field);
    case DT_OPTION_SEED:
        return read_whole(text, field);
    case DT_OPTION_DOUBLE:
    case DT_OPTION_FLOAT:
        return read_float(option, text, field);
    case DT_OPTION_CHOICE:
        return read_choice(option, text, field);
    case DT_OPTION_DURATION:
        return read_duration(text, field);
    case DT_OPTION_INTERVAL:
        return read_interval(text, field);
    case DT_OPTION_TEXT:
    case DT_OPTION_TEXT_OR_NOTHING:
        *(const char **)field = text;
        return *text != '\0';
    case DT_OPTION_FLAG:
    case DT_OPTION_COMMAND:
        break;
    }
    assert(false);
    return false;
}

dt_options dt_options_default(void) {
    dt_options options = {.walk = dt_options_walk};
    for (int row = 0; row < ROWS; row++)
        if (table[row].initial) {
            bool allowed = read_value(&table[row], table[row].initial, &options);
            assert(allowed);
            (void)allowed;
        }
    return options;
}

/* The fewest digits that read back as the same value. */
static void write_real(double value, bool is_float, char *text, size_t room) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, room, "%.*g", digits, value);
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            return;
    }
}

static const char *choice_name(const dt_option *option, const void *field) {
    int value;
    memcpy(&value, field, sizeof value);
    for (const dt_choice *choice = option->choices; choice->name; choice++)
        if (choice->value == value)
            return choice->name;
    return NULL;
}

/* "3h50m", "45s": as read_duration reads it. */
static void write_duration(int seconds, char *text, size_t room) {
    const int parts[] = {seconds / 3600, seconds / 60 % 60, seconds % 60};
    size_t used = 0;
    for (int i = 0; i < 3; i++)
        if (parts[i] > 0 && used < room)
            used += (size_t)snprintf(text + used, room - used, "%d%c", parts[i], "hms"[i]);
}

static void write_interval(dt_interval interval, char *text, size_t room) {
    switch (interval.unit) {
    case DT_INTERVAL_NONE:
        snprintf(text, room, "none");
        break;
    case DT_INTERVAL_EPOCHS:
        snprintf(text, room, "%depoch%s", interval.amount, interval.amount == 1 ? "" : "s");
        break;
    case DT_INTERVAL_STEPS:
        snprintf(text, room, "%dstep%s", interval.amount, interval.amount == 1 ? "" : "s");
        break;
    case DT_INTERVAL_SECONDS:
        write_duration(interval.amount, text, room);
        break;
    }
}

/* Hands one option on. */
static void show(const dt_option *option, const dt_options *options, dt_setting_visit visit, void *context) {
    const void *field = (const char *)options + option->offset;
    char number[NAME_ROOM];
    switch (option->kind) {
    case DT_OPTION_COUNT:
        snprintf(number, sizeof number, "%d", *(const int *)field);
        break;
    case DT_OPTION_SEED:
        snprintf(number, sizeof number, "%llu", (unsigned long long)*(const uint64_t *)field);
        visit(context, option->name, number, *(const uint64_t *)field > INT64_MAX);
        return;
    case DT_OPTION_DOUBLE:
        write_real(*(const double *)field, false, number, sizeof number);
        break;
    case DT_OPTION_FLOAT:
        write_real(*(const float *)field, true, number, sizeof number);
        break;
    case DT_OPTION_CHOICE:
        visit(context, option->name, choice_name(option, field), true);
        return;
    case DT_OPTION_DURATION:
        write_duration(*(const int *)field, number, sizeof number);
        visit(context, option->name, *(const int *)field ? number : NULL, true);
        return;
    case DT_OPTION_INTERVAL:
        write_interval(*(const dt_interval *)field, number, sizeof number);
        visit(context, option->name, number, true);
        return;
    case DT_OPTION_TEXT:
    case DT_OPTION_TEXT_OR_NOTHING:
        visit(context, option->name, *(const char *const *)field, true);
        return;
    case DT_OPTION_FLAG:
        visit(context, option->name, *(const bool *)field ? "true" : "false", false);
        return;
    case DT_OPTION_COMMAND:
        return;
    }
    visit(context, option->name, number, false);
}

void dt_options_walk(const dt_options *options, dt_setting_visit visit, void *context) {
    for (int row = 0; row < ROWS; row++)
        show(&table[row], options, visit, context);
}

static int minimum(int a, int b) {
    return a < b ? a : b;
}

/* Levenshtein's distance of two short words. */
static int edit_distance(const char *a, const char *b) {
    int row[NAME_ROOM], length = minimum((int)strlen(b), NAME_ROOM - 1);
    for (int j = 0; j <= length; j++)
        row[j] = j;
    for (int i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < length; j++) {
            int replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = minimum(replaced, 1 + minimum(row[j], row[j + 1]));
        }
    }
    return row[length];
}

/* The option whose name is at most two typing errors away, and fewer than half its letters; or NULL. */
static const dt_option *nearest(const char *name) {
    const dt_option *best = NULL;
    int least = 3;
    for (int row = 0; row < ROWS; row++) {
        int distance = edit_distance(name, table[row].name);
        if (distance < least && 2 * distance < (int)strlen(table[row].name)) {
            best = &table[row];
            least = distance;
        }
    }
    return best;
}

/* Lists the options that begin with `name`; returns how many. */
static int list_matches(const char *name, size_t length, const dt_option **match, char *text, size_t room) {
    int count = 0;
    size_t used = 0;
    for (int row = 0; row < ROWS; row++) {
        if (strncmp(table[row].name, name, length) != 0)
            continue;
        *match = &table[row];
        if (strlen(table[row].name) == length)
            return 1;
        if (used < room)
            used +=
                (size_t)snprintf(text + used, room - used, "%s--%s", count ? " or " : "", table[row].name);
        count++;
    }
    return count;
}

#define HELP_HINT "(dtrain --help lists the options)"

/* Why getopt refused this word; success if it is not the word it refused. */
static dt_status explain(const char *word) {
    if (strncmp(word, "--", 2) != 0)
        return word[0] == '-' ? dt_fail(DT_USAGE, "%.100s: no such option " HELP_HINT, word) : dt_ok();
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const dt_option *match = NULL;
    char matches[TEXT_ROOM], allowed[TEXT_ROOM];
    int count = length ? list_matches(name, length, &match, matches, sizeof matches) : 0;
    if (count > 1)
        return dt_fail(DT_USAGE, "--%.*s: could be %s", (int)length, name, matches);
    if (count == 0) {
        char cut[NAME_ROOM];
        snprintf(cut, sizeof cut, "%.*s", (int)length, name);
        match = nearest(cut);
        return dt_fail(DT_USAGE, "--%s: no such option%s%s%s " HELP_HINT, cut,
                       match ? "; did you mean --" : "", match ? match->name : "", match ? "?" : "");
    }
    if (name[length] && !takes_value(match))
        return dt_fail(DT_USAGE, "--%s: '%.100s' is not allowed: the option takes no value", match->name,
                       name + length + 1);
    if (!name[length] && needs_value(match))
        return dt_fail(DT_USAGE, "--%s: no value is given: %s", match->name,
                       dt_options_allowed(match, allowed, sizeof allowed));
    return dt_ok();
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
    if (option->kind == DT_OPTION_FLAG)
        *(bool *)((char *)&line->options + option->offset) = true;
    else if (option->kind == DT_OPTION_COMMAND)
        ask_for(line, option->command);
    else if (!value) /* an option that may stand without one */
        *(const char **)((char *)&line->options + option->offset) = "";
    else if (!read_value(option, value, &line->options))
        return dt_fail(DT_USAGE, "--%s: '%.200s' is not allowed: %s", option->name, value,
                       dt_options_allowed(option, allowed, sizeof allowed));
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

/* The row of the command that the first argument named. */
static int command_row(const reading *read) {
    for (int i = 0; i < COMMANDS; i++)
        if (commands[i].command == read->argument)
            return i;
    return 0;
}

static bool find_command(const char *name, dt_command *command) {
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) {
            *command = commands[i].command;
            return true;
        }
    return false;
}

static dt_status take_command(reading *read, const char *value) {
    if (!find_command(value, &read->argument))
        return dt_fail(
            DT_USAGE, "'%.200s' is not a command: train, eval, info, plan, report, inspect or export", value);
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
    int row = command_row(read);
    if (number > (unsigned)commands[row].takes)
        return dt_fail(DT_USAGE, "'%.200s': an argument too many: %s takes %s", value, commands[row].name,
                       commands[row].takes == 0   ? "none"
                       : commands[row].takes == 1 ? "one, a file or folder"
                                                  : "two, a file to read and one to write");
    if (!*value)
        return dt_fail(DT_USAGE, "%s: '' is not allowed: the name of a file", commands[row].name);
    read->taken = (int)number;
    if (number == 1)
        read->line->options.weights = value;
    else
        read->line->options.target = value;
    return dt_ok();
}

static dt_status check_arguments(const reading *read) {
    int row = command_row(read);
    if (read->taken < commands[row].needs && read->line->command == commands[row].command)
        return dt_fail(DT_USAGE, "%s: which file? %s", commands[row].name,
                       commands[row].needs == 1 ? "dtrain inspect FILE"
                                                : "dtrain export IN.weights.h5 OUT.h5");
    return read->status;
}

enum {
    FIRST_KEY = 1000, /* no character, so that no option has a short form but those with a letter */
    LAST_GROUP = -1   /* where argp puts options named help and version in any case */
};

/* Letters stand for their options. */
static int key_of(int key) {
    for (int row = 0; row < ROWS; row++)
        if (table[row].letter && table[row].letter == key)
            return FIRST_KEY + row;
    return key;
}

static error_t take_key(int key, char *argument, struct argp_state *state) {
    reading *read = state->input;
    key = key_of(key);
    if (key == ARGP_KEY_ARG)
        read->status = take_argument(read, state->next - 1, argument);
    else if (key >= FIRST_KEY && key < FIRST_KEY + ROWS) {
        const dt_option *option = &table[key - FIRST_KEY];
        read->status = take_option(read->line, option, argument);
        read->hungry = option->kind == DT_OPTION_TEXT_OR_NOTHING && !argument ? option : NULL;
        read->hungry_next = state->next;
        read->list = option->letter ? option : NULL;
        read->list_next = state->next;
    } else if (key == ARGP_KEY_ERROR && !dt_failed(&read->status)) {
        /* getopt does not say which word it refused: it has stepped over a long option, but may still stand
         * on a cluster of short ones. */
        read->status = explain(state->argv[state->next - 1]);
        if (!dt_failed(&read->status))
            read->status = explain(state->argv[state->next < state->argc ? state->next : 0]);
    } else
        return ARGP_ERR_UNKNOWN;
    return dt_failed(&read->status) ? EINVAL : 0;
}

/* argp's view of the table: a title before each group, an end mark behind all. */
typedef struct argp_view {
    struct argp_option options[2 * ROWS + DT_GROUPS + 1];
    char texts[ROWS][TEXT_ROOM];
    char arguments[ROWS][NAME_ROOM];
} argp_view;

static const char *view_text(const dt_option *option, char *text) {
    const char *value = option->otherwise ? option->otherwise : option->initial;
    if (value)
        snprintf(text, TEXT_ROOM, "%s (default: %s)", option->text, value);
    return value ? text : option->text;
}

static const char *view_argument(const dt_option *option, char *text) {
    return option->kind == DT_OPTION_CHOICE ? join_choices(option, "|", "|", text, NAME_ROOM)
                                            : option->argument;
}

static void view_fill(argp_view *view) {
    struct argp_option *next = view->options;
    memset(view, 0, sizeof *view);
    for (int row = 0; row < ROWS; row++) {
        const dt_option *option = &table[row];
        int group = option->group == DT_GROUP_PROGRAM ? LAST_GROUP : (int)option->group + 1;
        if (row == 0 || option->group != table[row - 1].group)
            *next++ = (struct argp_option){.doc = group_titles[option->group], .group = group};
        *next++ = (struct argp_option){
            .name = option->name,
            .key = FIRST_KEY + row,
            .arg = view_argument(option, view->arguments[row]),
            .flags = takes_value(option) && !needs_value(option) ? OPTION_ARG_OPTIONAL : 0,
            .doc = view_text(option, view->texts[row]),
            .group = group,
        };
        if (option->letter)
            *next++ = (struct argp_option){.key = option->letter, .flags = OPTION_ALIAS, .group = group};
    }
}

static const struct argp program = {
    .parser = take_key,
    .args_doc =
        "[train]\neval [FILE|DIR]\ninfo\nplan\nreport FILE|DIR...\ninspect FILE|DIR\nexport FILE|DIR OUT.h5",
    .doc =
        "Trains an AlexNet for 28x28 digits, data-parallel over MPI: mpirun -np 4 dtrain\v"
        "train (the default) trains; eval prints loss and accuracy of the weights in a file or folder "
        "(default: the folder of --out); info prints what was built and what this machine has; "
        "plan measures and predicts the time of a step under each strategy; "
        "report prints the table of a folder of runs (mean and spread) or of bench/scaling, and compares two "
        "results and more: what differs significantly from the first; inspect tells what a file of weights, "
        "ours or Keras', holds and whether its checksums hold; export writes a whole model that "
        "keras.models.load_model opens, or with OUT.weights.h5 the weights alone.",
};

dt_status dt_options_parse(int argc, char **argv, dt_command_line *line) {
    argp_view view;
    view_fill(&view);
    struct argp argp = program;
    argp.options = view.options;
    *line = (dt_command_line){.command = DT_COMMAND_TRAIN, .options = dt_options_default()};
    reading read = {.line = line, .status = dt_ok()};
    error_t failed = argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT,
                                NULL, &read);
    if (failed && !dt_failed(&read.status))
        return dt_fail(failed == ENOMEM ? DT_MEMORY : DT_USAGE, "the command line cannot be read: %s",
                       strerror(failed));
    if (line->command == DT_COMMAND_REPORT && !line->path_count && !dt_failed(&read.status))
        return dt_fail(DT_USAGE, "report: no file or folder with results is named");
    if (!line->options.weights)
        line->options.weights = line->options.out;
    return dt_failed(&read.status) ? read.status : check_arguments(&read);
}

void dt_options_print_help(FILE *stream) {
    argp_view view;
    char name[] = "dtrain";
    view_fill(&view);
    struct argp argp = program;
    argp.options = view.options;
    argp_help(&argp, stream, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, name);
}
