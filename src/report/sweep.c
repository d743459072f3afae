/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs grouped by their options. */
#include "report/sweep.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/files.h"
#include "report/table.h"

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

/* A run with what it is sorted by. */
typedef struct sweep_key {
    char *text;
    int index;
} sweep_key;

static int by_text(const void *a, const void *b) {
    const sweep_key *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static void release_keys(sweep_key *keys, int count) {
    for (int i = 0; keys && i < count; i++)
        free(keys[i].text);
    free(keys);
}

static dt_status no_memory(int runs) {
    return dt_fail(DT_MEMORY, "no memory for a table of %d runs", runs);
}

static int member(const int *members, int i) {
    return members ? members[i] : i;
}

/* The ended ones among `count` members by their seeds, and by their numbers where those are the same. */
static dt_status sort_by_seed(const dt_records *records, const int *members, int count, sweep_key **sorted,
                              int *ended) {
    sweep_key *keys = calloc((size_t)count + 1, sizeof *keys);
    *sorted = NULL;
    *ended = 0;
    for (int i = 0; keys && i < count; i++) {
        int index = member(members, i);
        if (!records->runs[index].ended)
            continue;
        keys[*ended] = (sweep_key){dt_record_option(&records->runs[index], "seed"), index};
        if (!keys[(*ended)++].text) {
            release_keys(keys, *ended);
            return no_memory(count);
        }
    }
    if (!keys)
        return no_memory(count);
    qsort(keys, (size_t)*ended, sizeof *keys, by_text);
    *sorted = keys;
    return dt_ok();
}

dt_status dt_sweep_summarise(const dt_records *records, const int *members, int count, dt_quantity quantity,
                             dt_summary *summary) {
    sweep_key *keys;
    int ended, taken = 0;
    count = members ? count : records->count;
    double *values = malloc((size_t)(count + 1) * sizeof *values);
    if (!values)
        return no_memory(count);
    dt_status status = sort_by_seed(records, members, count, &keys, &ended);
    for (int i = 0; i < ended && !dt_failed(&status); i++)
        if (quantity == DT_QUANTITY_SPEED || i == 0 || strcmp(keys[i].text, keys[i - 1].text) != 0)
            values[taken++] = dt_quantity_of(&records->runs[keys[i].index], quantity);
    *summary = dt_estimate_summary(values, taken);
    if (!dt_failed(&status))
        release_keys(keys, ended);
    free(values);
    return status;
}

static const json_t *options_of(const dt_records *records, int run) {
    return json_object_get(records->runs[run].start, "options");
}

/* An option of one run against the same of the run before. */
static dt_status compare_with_last(const dt_records *records, int run, const char *name, bool *differs) {
    char *mine = dt_record_option(&records->runs[run], name);
    char *last = dt_record_option(&records->runs[run - 1], name);
    dt_status status = mine && last ? dt_ok() : no_memory(records->count);
    *differs = mine && last && strcmp(mine, last) != 0;
    free(mine);
    free(last);
    return status;
}

/* Adds the options of run `run` that are not in `varying` yet and differ between this run and `other`, its
 * neighbour. */
static dt_status add_differing(const dt_records *records, int run, int other, json_t *varying) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)options_of(records, run), name, value) {
        bool differs = false;
        if (dt_record_is_aside(name) || json_object_get(varying, name) ||
            json_equal(value, json_object_get(options_of(records, other), name)))
            continue;
        DT_TRY(compare_with_last(records, run > other ? run : other, name, &differs));
        if (differs && json_object_set_new(varying, name, json_true()) != 0)
            return no_memory(records->count);
    }
    return dt_ok();
}

/* Adds the names in `varying` that run `run` has; they leave `varying`. */
static int list_names(const dt_records *records, int run, json_t *varying, const char **names) {
    json_t *options = (json_t *)options_of(records, run), *value;
    const char *name;
    int count = 0;
    json_object_foreach(options, name, value) {
        if (json_object_del(varying, name) == 0)
            names[count++] = name;
    }
    return count;
}

dt_status dt_sweep_varying(const dt_records *records, const char ***names, int *count) {
    json_t *varying = json_object();
    dt_status status = varying ? dt_ok() : no_memory(records->count);
    *names = NULL;
    *count = 0;
    for (int i = 1; i < records->count && !dt_failed(&status); i++) {
        status = add_differing(records, i - 1, i, varying);
        if (!dt_failed(&status))
            status = add_differing(records, i, i - 1, varying);
    }
    if (!dt_failed(&status) && !(*names = calloc(json_object_size(varying) + 1, sizeof **names)))
        status = no_memory(records->count);
    assert(*names || dt_failed(&status));
    for (int i = 0; i < records->count && !dt_failed(&status) && json_object_size(varying) > 0; i++)
        *count += list_names(records, i, varying, *names + *count);
    json_decref(varying);
    return status;
}

/* Runs with equal keys belong together: ranks and the varying options, with their lengths, so that no value
 * can look like two. */
static char *key_of(const dt_run_record *run, const char *const *names, int count) {
    char *key = NULL;
    size_t bytes;
    FILE *stream = open_memstream(&key, &bytes);
    bool whole = stream && fprintf(stream, "%d", dt_record_ranks(run)) > 0;
    for (int i = 0; i < count && whole; i++) {
        char *value = dt_record_option(run, names[i]);
        whole = value && fprintf(stream, " %zu:%s", strlen(value), value) > 0;
        free(value);
    }
    whole = stream && fclose(stream) == 0 && whole;
    if (!whole) {
        free(key);
        return NULL;
    }
    return key;
}

/* Neighbours in the sorted runs. */
typedef struct sweep_group {
    int first, count; /* in the keys */
    int index;        /* of its first run */
} sweep_group;

static int by_first_run(const void *a, const void *b) {
    const sweep_group *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

/* A sweep on its way into a table. */
typedef struct sweep {
    const dt_records *records;
    const char **names;
    int name_count;
    sweep_key *keys; /* one a run, sorted */
    sweep_group *groups;
    int group_count;
    int *members;
    dt_table *table;
    FILE *csv;
} sweep;

static void add_cell(sweep *made, const char *text) {
    dt_table_add(made->table, "%s", text);
    if (!made->csv)
        return;
    dt_output_field(made->csv, text);
    fputc(',', made->csv);
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

static dt_status add_values(sweep *made, const dt_run_record *run) {
    char ranks[16];
    for (int i = 0; i < made->name_count; i++) {
        char *value = dt_record_option(run, made->names[i]);
        if (!value)
            return no_memory(made->records->count);
        add_cell(made, value);
        free(value);
    }
    snprintf(ranks, sizeof ranks, "%d", dt_record_ranks(run));
    add_cell(made, ranks);
    return dt_ok();
}

static dt_status add_group(sweep *made, const sweep_group *group) {
    static const int digits[DT_QUANTITIES] = {2, 4, 2, 4, 4, 1};
    int ended = 0;
    for (int i = 0; i < group->count; i++) {
        made->members[i] = made->keys[group->first + i].index;
        ended += made->records->runs[made->members[i]].ended;
    }
    DT_TRY(add_values(made, &made->records->runs[group->index]));
    for (int quantity = 0; quantity < DT_QUANTITIES; quantity++) {
        dt_summary summary;
        DT_TRY(
            dt_sweep_summarise(made->records, made->members, group->count, (dt_quantity)quantity, &summary));
        add_summary(made, summary, digits[quantity]);
    }
    dt_table_add(made->table, "%d", ended);
    dt_table_add(made->table, "%d", group->count - ended);
    if (made->csv)
        fprintf(made->csv, "%d,%d\n", ended, group->count - ended);
    return dt_ok();
}

/* A title over words or numbers, and over its column of the CSV. */
static void add_head(sweep *made, const char **heads, int *columns, const char *head, const char *behind) {
    static const char spread[] = "+-";
    heads[(*columns)++] = behind[0] ? spread : head;
    if (!made->csv)
        return;
    if (*columns > 1)
        fputc(',', made->csv);
    dt_output_field(made->csv, head + (head[0] == '<'));
    fputs(behind, made->csv);
}

static dt_status begin_table(sweep *made, const char **heads, char **words) {
    int columns = 0;
    for (int i = 0; i < made->name_count; i++) {
        if (asprintf(&words[i], "<%s", made->names[i]) < 0) {
            words[i] = NULL;
            return no_memory(made->records->count);
        }
        add_head(made, heads, &columns, words[i], "");
    }
    add_head(made, heads, &columns, "N", "");
    for (int quantity = 0; quantity < DT_QUANTITIES; quantity++) {
        add_head(made, heads, &columns, dt_quantity_name((dt_quantity)quantity), "");
        add_head(made, heads, &columns, dt_quantity_name((dt_quantity)quantity), " deviation");
    }
    add_head(made, heads, &columns, "runs", "");
    add_head(made, heads, &columns, "unfinished", "");
    if (made->csv)
        fputc('\n', made->csv);
    return dt_table_create(heads, columns, &made->table);
}

static dt_status make_table(sweep *made) {
    enum { OTHERS = 2 * DT_QUANTITIES + 3 };
    const char **heads = calloc((size_t)made->name_count + OTHERS, sizeof *heads);
    char **words = calloc((size_t)made->name_count + 1, sizeof *words);
    dt_status status = heads && words ? begin_table(made, heads, words) : no_memory(made->records->count);
    for (int i = 0; words && i < made->name_count; i++)
        free(words[i]);
    free(words);
    free(heads);
    return status;
}

static dt_status group_runs(sweep *made) {
    int count = made->records->count;
    made->keys = calloc((size_t)count + 1, sizeof *made->keys);
    made->groups = calloc((size_t)count + 1, sizeof *made->groups);
    made->members = calloc((size_t)count + 1, sizeof *made->members);
    if (!made->keys || !made->groups || !made->members)
        return no_memory(count);
    for (int i = 0; i < count; i++) {
        made->keys[i] = (sweep_key){key_of(&made->records->runs[i], made->names, made->name_count), i};
        if (!made->keys[i].text)
            return no_memory(count);
    }
    qsort(made->keys, (size_t)count, sizeof *made->keys, by_text);
    for (int i = 0; i < count; i++) {
        if (i == 0 || strcmp(made->keys[i].text, made->keys[i - 1].text) != 0)
            made->groups[made->group_count++] = (sweep_group){.first = i, .index = made->keys[i].index};
        made->groups[made->group_count - 1].count++;
    }
    qsort(made->groups, (size_t)made->group_count, sizeof *made->groups, by_first_run);
    return dt_ok();
}

dt_status dt_sweep_print(const dt_records *records, FILE *stream, FILE *csv) {
    sweep made = {.records = records, .csv = csv};
    dt_status status = dt_sweep_varying(records, &made.names, &made.name_count);
    if (!dt_failed(&status))
        status = group_runs(&made);
    if (!dt_failed(&status))
        status = make_table(&made);
    for (int i = 0; i < made.group_count && !dt_failed(&status); i++)
        status = add_group(&made, &made.groups[i]);
    if (!dt_failed(&status))
        status = dt_table_print(made.table, stream);
    dt_table_destroy(made.table);
    release_keys(made.keys, records->count);
    free(made.groups);
    free(made.members);
    free(made.names);
    return status;
}
