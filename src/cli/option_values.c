/* SPDX-License-Identifier: BSD-3-Clause */
/* One row of functions for each kind of value. */
#include "cli/option_values.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_ROOM = 64 };

const char *dt_option_values_choices(const dt_option *option, const char *between, const char *last,
                                     char *text, size_t room) {
    size_t used = 0;
    text[0] = '\0';
    for (const dt_choice *choice = option->choices; choice->name && used < room; choice++) {
        const char *joint = choice == option->choices ? "" : choice[1].name ? between : last;
        used += (size_t)snprintf(text + used, room - used, "%s%s", joint, choice->name);
    }
    return text;
}

/* What is allowed. */

static void allow_count(const dt_option *option, char *text, size_t room) {
    dt_limits_describe(option->limits, true, text, room);
}

static void allow_seed(const dt_option *option, char *text, size_t room) {
    (void)option;
    snprintf(text, room, "a whole number from 0 to %llu", (unsigned long long)UINT64_MAX);
}

static void allow_real(const dt_option *option, char *text, size_t room) {
    dt_limits_describe(option->limits, false, text, room);
}

static void allow_choice(const dt_option *option, char *text, size_t room) {
    dt_option_values_choices(option, ", ", " or ", text, room);
}

static void allow_duration(const dt_option *option, char *text, size_t room) {
    (void)option;
    snprintf(text, room, "a time such as 3h50m, 90min or 45s");
}

static void allow_interval(const dt_option *option, char *text, size_t room) {
    (void)option;
    snprintf(text, room, "a number of epochs, steps or a time, such as 1epoch, 500steps, 10min, or none");
}

static void allow_text(const dt_option *option, char *text, size_t room) {
    (void)option;
    snprintf(text, room, "a name that is not empty");
}

static void allow_nothing(const dt_option *option, char *text, size_t room) {
    (void)option;
    snprintf(text, room, "no value");
}

/* How a value is read. */

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

static bool read_count(const dt_option *option, const char *text, void *field) {
    uint64_t value;
    if (!read_whole(text, &value) || !dt_limits_hold(option->limits, (double)value))
        return false;
    *(int *)field = (int)value;
    return true;
}

static bool read_seed(const dt_option *option, const char *text, void *field) {
    (void)option;
    return read_whole(text, field);
}

static bool read_double(const dt_option *option, const char *text, void *field) {
    double value;
    if (!read_real(text, &value) || !dt_limits_hold(option->limits, value))
        return false;
    *(double *)field = value;
    return true;
}

static bool read_float(const dt_option *option, const char *text, void *field) {
    double value;
    if (!read_double(option, text, &value))
        return false;
    *(float *)field = (float)value;
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
static bool read_duration(const dt_option *option, const char *text, void *field) {
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"h", 3600}, {"min", 60}, {"m", 60}, {"s", 1}};
    (void)option;
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

static bool read_interval(const dt_option *option, const char *text, void *field) {
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
        if (!read_duration(option, text, &interval.amount))
            return false;
        interval.unit = DT_INTERVAL_SECONDS;
    }
    *(dt_interval *)field = interval;
    return true;
}

static bool read_text(const dt_option *option, const char *text, void *field) {
    (void)option;
    *(const char **)field = text;
    return *text != '\0';
}

/* Options that stand without a value. */

static void set_nothing(void *field) {
    *(const char **)field = "";
}

static void set_flag(void *field) {
    *(bool *)field = true;
}

/* How a value is written. */

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

/* A value as text. */
typedef struct written {
    char room[NUMBER_ROOM];
    const char *text; /* `room`, or borrowed; NULL: not set */
    bool quoted;
} written;

static void write_count(const dt_option *option, const void *field, written *value) {
    (void)option;
    snprintf(value->room, NUMBER_ROOM, "%d", *(const int *)field);
}

static void write_seed(const dt_option *option, const void *field, written *value) {
    (void)option;
    uint64_t seed = *(const uint64_t *)field;
    snprintf(value->room, NUMBER_ROOM, "%llu", (unsigned long long)seed);
    value->quoted = seed > INT64_MAX;
}

static void write_double(const dt_option *option, const void *field, written *value) {
    (void)option;
    write_real(*(const double *)field, false, value->room, NUMBER_ROOM);
}

static void write_float(const dt_option *option, const void *field, written *value) {
    (void)option;
    write_real(*(const float *)field, true, value->room, NUMBER_ROOM);
}

static void write_choice(const dt_option *option, const void *field, written *value) {
    value->text = choice_name(option, field);
    value->quoted = true;
}

static void write_time(const dt_option *option, const void *field, written *value) {
    (void)option;
    int seconds = *(const int *)field;
    write_duration(seconds, value->room, NUMBER_ROOM);
    value->text = seconds ? value->room : NULL;
    value->quoted = true;
}

static void write_often(const dt_option *option, const void *field, written *value) {
    (void)option;
    write_interval(*(const dt_interval *)field, value->room, NUMBER_ROOM);
    value->quoted = true;
}

static void write_text(const dt_option *option, const void *field, written *value) {
    (void)option;
    value->text = *(const char *const *)field;
    value->quoted = true;
}

static void write_flag(const dt_option *option, const void *field, written *value) {
    (void)option;
    value->text = *(const bool *)field ? "true" : "false";
}

static const struct {
    void (*allow)(const dt_option *option, char *text, size_t room);
    bool (*read)(const dt_option *option, const char *text, void *field); /* NULL: takes no value */
    void (*stand)(void *field); /* NULL: needs a value, or no field */
    void (*write)(const dt_option *option, const void *field, written *value); /* NULL: has no field */
} kinds[DT_OPTION_KINDS] = {
    [DT_OPTION_COUNT] = {allow_count, read_count, NULL, write_count},
    [DT_OPTION_SEED] = {allow_seed, read_seed, NULL, write_seed},
    [DT_OPTION_DOUBLE] = {allow_real, read_double, NULL, write_double},
    [DT_OPTION_FLOAT] = {allow_real, read_float, NULL, write_float},
    [DT_OPTION_CHOICE] = {allow_choice, read_choice, NULL, write_choice},
    [DT_OPTION_DURATION] = {allow_duration, read_duration, NULL, write_time},
    [DT_OPTION_INTERVAL] = {allow_interval, read_interval, NULL, write_often},
    [DT_OPTION_TEXT] = {allow_text, read_text, NULL, write_text},
    [DT_OPTION_TEXT_OR_NOTHING] = {allow_text, read_text, set_nothing, write_text},
    [DT_OPTION_FLAG] = {allow_nothing, NULL, set_flag, write_flag},
    [DT_OPTION_COMMAND] = {allow_nothing, NULL, NULL, NULL},
};

bool dt_option_values_follows(const dt_option *option) {
    return kinds[option->kind].read != NULL;
}

bool dt_option_values_must_follow(const dt_option *option) {
    return kinds[option->kind].read && !kinds[option->kind].stand;
}

const char *dt_option_values_allowed(const dt_option *option, char *text, size_t room) {
    kinds[option->kind].allow(option, text, room);
    return text;
}

bool dt_option_values_read(const dt_option *option, const char *value, dt_options *options) {
    void *field = (char *)options + option->offset;
    if (value)
        return kinds[option->kind].read && kinds[option->kind].read(option, value, field);
    if (kinds[option->kind].stand)
        kinds[option->kind].stand(field);
    return kinds[option->kind].stand != NULL;
}

void dt_option_values_show(const dt_option *option, const dt_options *options, bool given,
                           dt_setting_visit visit, void *context) {
    if (!kinds[option->kind].write)
        return;
    written value = {.quoted = false};
    value.text = value.room;
    kinds[option->kind].write(option, (const char *)options + option->offset, &value);
    dt_setting setting = {.name = option->name,
                          .value = value.text,
                          .quoted = value.quoted,
                          .given = given,
                          .own = option->own,
                          .effect = option->effect};
    visit(context, &setting);
}
