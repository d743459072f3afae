/* SPDX-License-Identifier: BSD-3-Clause */
/* Words that are no option, or half of one. */
#include "cli/option_names.h"

#include <stdio.h>
#include <string.h>

#include "cli/option_values.h"

enum { TEXT_ROOM = 480, NAME_ROOM = 64 };

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
    for (int row = 0; row < dt_option_table_count(); row++) {
        const dt_option *option = dt_option_table_row(row);
        int distance = edit_distance(name, option->name);
        if (distance < least && 2 * distance < (int)strlen(option->name)) {
            best = option;
            least = distance;
        }
    }
    return best;
}

/* Lists the options that begin with `name`; returns how many. */
static int list_matches(const char *name, size_t length, const dt_option **match, char *text, size_t room) {
    int count = 0;
    size_t used = 0;
    for (int row = 0; row < dt_option_table_count(); row++) {
        const dt_option *option = dt_option_table_row(row);
        if (strncmp(option->name, name, length) != 0)
            continue;
        *match = option;
        if (strlen(option->name) == length)
            return 1;
        if (used < room)
            used += (size_t)snprintf(text + used, room - used, "%s--%s", count ? " or " : "", option->name);
        count++;
    }
    return count;
}

#define HELP_HINT "(dtrain --help lists the options)"

dt_status dt_option_names_explain(const char *word) {
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
    if (name[length] && !dt_option_values_follows(match))
        return dt_fail(DT_USAGE, "--%s: '%.100s' is not allowed: the option takes no value", match->name,
                       name + length + 1);
    if (!name[length] && dt_option_values_must_follow(match))
        return dt_fail(DT_USAGE, "--%s: no value is given: %s", match->name,
                       dt_option_values_allowed(match, allowed, sizeof allowed));
    return dt_ok();
}
