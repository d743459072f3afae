/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs grouped by their options. */
#include "report/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/table.h"

enum { VARYING = 8, KEY = 512, VALUE = 128 };

const char *dt_quantity_name(dt_quantity quantity) {
    static const char *const names[DT_QUANTITIES] = {
        [DT_QUANTITY_TEST_ACCURACY] = "test accuracy %",
        [DT_QUANTITY_TEST_LOSS] = "test loss",
        [DT_QUANTITY_VALIDATION_ACCURACY] = "validation accuracy %",
        [DT_QUANTITY_VALIDATION_LOSS] = "validation loss",
        [DT_QUANTITY_LOSS] = "training loss",
        [DT_QUANTITY_SPEED] = "images/s",
    };
    return names[quantity];
}

/* The first epoch pays for cold caches and pages: with three and more it is left out. */
static dt_status summarise_epochs(const dt_run_record *run, dt_summary *summary) {
    int first = run->epoch_count > 2, count = run->epoch_count - first;
    double *values = malloc((size_t)(count + 1) * sizeof *values);
    if (!values)
        return dt_fail(DT_MEMORY, "no memory for %d epochs", count);
    for (int i = 0; i < count; i++)
        values[i] = run->epochs[first + i].images_per_s;
    *summary = dt_estimate_summary(values, count);
    free(values);
    return dt_ok();
}

static double speed_of(const dt_run_record *run) {
    dt_summary summary;
    dt_status status = summarise_epochs(run, &summary);
    return dt_failed(&status) ? NAN : summary.median;
}

dt_status dt_sweep_epoch_speeds(const dt_records *records, dt_summary *summary) {
    const dt_run_record *only = NULL;
    int ended = 0;
    *summary = dt_estimate_summary(NULL, 0);
    for (int i = 0; i < records->count; i++)
        if (records->runs[i].ended) {
            only = &records->runs[i];
            ended++;
        }
    return ended == 1 ? summarise_epochs(only, summary) : dt_ok();
}

double dt_quantity_of(const dt_run_record *run, dt_quantity quantity) {
    if (!run->ended || run->epoch_count == 0)
        return NAN;
    const dt_epoch_figures *last = &run->epochs[run->epoch_count - 1];
    switch (quantity) {
    case DT_QUANTITY_TEST_ACCURACY:
        return 100.0 * last->test_accuracy;
    case DT_QUANTITY_TEST_LOSS:
        return last->test_loss;
    case DT_QUANTITY_VALIDATION_ACCURACY:
        return 100.0 * last->val_accuracy;
    case DT_QUANTITY_VALIDATION_LOSS:
        return last->val_loss;
    case DT_QUANTITY_LOSS:
        return last->loss;
    case DT_QUANTITY_SPEED:
        return speed_of(run);
    case DT_QUANTITIES:
        break;
    }
    return NAN;
}

static bool same_option(const dt_run_record *a, const dt_run_record *b, const char *name) {
    char first[VALUE], second[VALUE];
    return strcmp(dt_record_option(a, name, first, VALUE), dt_record_option(b, name, second, VALUE)) == 0;
}

/* Whether an ended run among the members before `index` has its seed. */
static bool seed_seen(const dt_records *records, const bool *members, int index) {
    for (int i = 0; i < index; i++)
        if ((!members || members[i]) && records->runs[i].ended &&
            same_option(&records->runs[i], &records->runs[index], "seed"))
            return true;
    return false;
}

dt_status dt_sweep_summarise(const dt_records *records, const bool *members, dt_quantity quantity,
                             dt_summary *summary) {
    double *values = malloc((size_t)(records->count + 1) * sizeof *values);
    if (!values)
        return dt_fail(DT_MEMORY, "no memory for %d values", records->count);
    int count = 0;
    for (int i = 0; i < records->count; i++) {
        double value = dt_quantity_of(&records->runs[i], quantity);
        if ((!members || members[i]) && isfinite(value) &&
            (quantity == DT_QUANTITY_SPEED || !seed_seen(records, members, i)))
            values[count++] = value;
    }
    *summary = dt_estimate_summary(values, count);
    free(values);
    return dt_ok();
}

static bool is_aside(const char *name) {
    return strcmp(name, "seed") == 0 || strcmp(name, "out") == 0 || strcmp(name, "quiet") == 0;
}

int dt_sweep_varying(const dt_records *records, const char **names, int room) {
    int count = 0;
    if (records->count == 0)
        return 0;
    json_t *options = json_object_get(records->runs[0].start, "options");
    const char *name;
    json_t *value;
    json_object_foreach(options, name, value) {
        bool varies = false;
        for (int i = 1; i < records->count && !varies && !is_aside(name); i++)
            varies = !same_option(&records->runs[0], &records->runs[i], name);
        if (varies && count < room)
            names[count++] = name;
    }
    return count;
}

static void write_key(const dt_run_record *run, const char *const *names, int count, char *key) {
    char value[VALUE];
    int used = snprintf(key, KEY, "%d", dt_record_ranks(run));
    for (int i = 0; i < count && used < KEY; i++)
        used +=
            snprintf(key + used, (size_t)(KEY - used), "\n%s", dt_record_option(run, names[i], value, VALUE));
}

/* A run that was broken off and has a later one in the same file was taken up again there. */
static bool is_superseded(const dt_records *records, int index) {
    return !records->runs[index].ended && index + 1 < records->count &&
           strcmp(records->runs[index].source, records->runs[index + 1].source) == 0;
}

/* A sweep on its way into a table. */
typedef struct sweep {
    const dt_records *records;
    const char *names[VARYING];
    int name_count;
    bool *members, *done;
    dt_table *table;
    FILE *csv;
} sweep;

/* Marks the runs like number `index` as members; counts the ended ones and the others. */
static void mark_members(sweep *made, int index, int *ended, int *unfinished) {
    char key[KEY], other[KEY];
    *ended = *unfinished = 0;
    write_key(&made->records->runs[index], made->names, made->name_count, key);
    for (int i = 0; i < made->records->count; i++) {
        const dt_run_record *run = &made->records->runs[i];
        write_key(run, made->names, made->name_count, other);
        made->members[i] = !made->done[i] && strcmp(key, other) == 0;
        made->done[i] |= made->members[i];
        *ended += made->members[i] && run->ended;
        *unfinished += made->members[i] && !run->ended && !is_superseded(made->records, i);
    }
}

static void add_cell(sweep *made, const char *text) {
    dt_table_add(made->table, "%s", text);
    if (made->csv)
        fprintf(made->csv, "%s,", text);
}

static void add_summary(sweep *made, dt_summary summary, int digits) {
    dt_table_add_number(made->table, summary.mean, digits);
    dt_table_add_number(made->table, summary.deviation, digits);
    if (!made->csv)
        return;
    if (isfinite(summary.mean))
        fprintf(made->csv, "%.9g", summary.mean);
    fputc(',', made->csv);
    if (isfinite(summary.deviation))
        fprintf(made->csv, "%.6g", summary.deviation);
    fputc(',', made->csv);
}

static dt_status add_group(sweep *made, int index) {
    static const int digits[DT_QUANTITIES] = {2, 4, 2, 4, 4, 1};
    char text[VALUE];
    int ended, unfinished;
    const dt_run_record *run = &made->records->runs[index];
    mark_members(made, index, &ended, &unfinished);
    for (int i = 0; i < made->name_count; i++)
        add_cell(made, dt_record_option(run, made->names[i], text, sizeof text));
    snprintf(text, sizeof text, "%d", dt_record_ranks(run));
    add_cell(made, text);
    dt_summary summary;
    for (int quantity = 0; quantity < DT_QUANTITIES; quantity++) {
        DT_TRY(dt_sweep_summarise(made->records, made->members, (dt_quantity)quantity, &summary));
        add_summary(made, summary, digits[quantity]);
    }
    dt_table_add(made->table, "%d", ended);
    dt_table_add(made->table, "%d", unfinished);
    if (made->csv)
        fprintf(made->csv, "%d,%d\n", ended, unfinished);
    return dt_ok();
}

static dt_status begin_table(sweep *made) {
    const char *heads[DT_TABLE_COLUMNS];
    char words[VARYING][VALUE];
    int columns = 0;
    for (int i = 0; i < made->name_count; i++) {
        snprintf(words[i], VALUE, "<%s", made->names[i]);
        heads[columns++] = words[i];
    }
    heads[columns++] = "N";
    for (int quantity = 0; quantity < DT_QUANTITIES; quantity++) {
        heads[columns++] = dt_quantity_name((dt_quantity)quantity);
        heads[columns++] = "+-";
    }
    heads[columns++] = "runs";
    heads[columns++] = "unfinished";
    for (int i = 0; made->csv && i < columns; i++) {
        const char *head = heads[i] + (heads[i][0] == '<');
        bool spread = strcmp(head, "+-") == 0;
        fprintf(made->csv, "%s%s%s", spread ? heads[i - 1] : head, spread ? " deviation" : "",
                i + 1 < columns ? "," : "\n");
    }
    return dt_table_create(heads, columns, &made->table);
}

dt_status dt_sweep_print(const dt_records *records, FILE *stream, FILE *csv) {
    sweep made = {.records = records, .csv = csv};
    made.name_count = dt_sweep_varying(records, made.names, VARYING);
    made.members = calloc((size_t)records->count + 1, sizeof *made.members);
    made.done = calloc((size_t)records->count + 1, sizeof *made.done);
    dt_status status = made.members && made.done
                           ? begin_table(&made)
                           : dt_fail(DT_MEMORY, "no memory for %d runs", records->count);
    for (int i = 0; i < records->count && !dt_failed(&status); i++)
        if (!made.done[i])
            status = add_group(&made, i);
    if (!dt_failed(&status))
        status = dt_table_print(made.table, stream);
    dt_table_destroy(made.table);
    free(made.members);
    free(made.done);
    return status;
}
