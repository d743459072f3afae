/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of runs through jansson. */
#include "report/records.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/files.h"

/* Seconds in the phases that wait for other ranks. */
static double waiting(const json_t *phases) {
    return json_number_value(json_object_get(phases, "statistics")) +
           json_number_value(json_object_get(phases, "gradients")) +
           json_number_value(json_object_get(phases, "activations"));
}

static double number(const json_t *line, const char *name) {
    const json_t *value = json_object_get(line, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static dt_epoch_figures figures_of(const json_t *line) {
    dt_epoch_figures epoch = {.step = json_integer_value(json_object_get(line, "step")),
                              .loss = number(line, "loss"),
                              .accuracy = number(line, "accuracy"),
                              .val_loss = number(line, "val_loss"),
                              .val_accuracy = number(line, "val_accuracy"),
                              .test_loss = number(line, "test_loss"),
                              .test_accuracy = number(line, "test_accuracy"),
                              .images_per_s = number(line, "images_per_s"),
                              .exposed_seconds = number(line, "exposed_communication_s"),
                              .bytes_a_step = number(line, "bytes_sent_a_step")};
    const json_t *phases = json_object_get(line, "phases");
    if (!isfinite(epoch.exposed_seconds))
        epoch.exposed_seconds = waiting(phases);
    for (int phase = 0; phase < DT_PHASES; phase++)
        epoch.phases.seconds[phase] =
            json_number_value(json_object_get(phases, dt_phase_name((dt_phase)phase)));
    return epoch;
}

/* Where lines of one file go. */
typedef struct reading {
    const char *path;
    dt_records *records;
    int before; /* runs of other files */
} reading;

static dt_status make_room(dt_records *records) {
    if (records->count < records->room)
        return dt_ok();
    int room = 2 * records->room + 16;
    dt_run_record *runs = realloc(records->runs, (size_t)room * sizeof *runs);
    if (!runs)
        return dt_fail(DT_MEMORY, "no memory for %d runs", room);
    records->runs = runs;
    records->room = room;
    return dt_ok();
}

static dt_status add_run(reading *read, json_t *line) {
    dt_records *records = read->records;
    const json_t *ranks = json_object_get(line, "ranks");
    if (!json_is_integer(ranks))
        return dt_fail(DT_FILE, "a start line without ranks");
    if (json_integer_value(ranks) < 1 || json_integer_value(ranks) > INT_MAX)
        return dt_fail(DT_FILE, "%lld ranks in a start line", (long long)json_integer_value(ranks));
    DT_TRY(make_room(records));
    dt_run_record *run = &records->runs[records->count];
    *run = (dt_run_record){.source = strdup(read->path), .start = json_incref(line)};
    records->count++;
    return run->source ? dt_ok() : dt_fail(DT_MEMORY, "no memory for the name of a file");
}

static dt_status add_epoch(dt_run_record *run, const json_t *line) {
    const json_t *step = json_object_get(line, "step");
    if (step && (!json_is_integer(step) || json_integer_value(step) < 0))
        return dt_fail(DT_FILE, "the step of an epoch is not a whole number from 0");
    if (run->epoch_count == run->epoch_room) {
        int room = 2 * run->epoch_room + 16;
        dt_epoch_figures *epochs = realloc(run->epochs, (size_t)room * sizeof *epochs);
        if (!epochs)
            return dt_fail(DT_MEMORY, "no memory for %d epochs", room);
        run->epochs = epochs;
        run->epoch_room = room;
    }
    run->epochs[run->epoch_count++] = figures_of(line);
    return dt_ok();
}

static dt_status end_run(dt_run_record *run, const json_t *line) {
    const char *hash = json_string_value(json_object_get(line, "weights_hash"));
    if (hash && strlen(hash) >= sizeof run->weights_hash)
        return dt_fail(DT_FILE, "a weights_hash of %zu letters", strlen(hash));
    snprintf(run->weights_hash, sizeof run->weights_hash, "%s", hash ? hash : "");
    const char *reason = json_string_value(json_object_get(line, "reason"));
    run->ended = !reason || strcmp(reason, "done") == 0 || strcmp(reason, "max_steps") == 0;
    return dt_ok();
}

static dt_status take_event(void *context, json_t *line) {
    reading *read = context;
    const char *event = json_string_value(json_object_get(line, "event"));
    if (!event)
        return dt_fail(DT_FILE, "a line without an event is not of a metrics.jsonl");
    if (strcmp(event, "start") == 0)
        return add_run(read, line);
    bool resume = strcmp(event, "resume") == 0, epoch = strcmp(event, "epoch") == 0;
    if (!resume && !epoch && strcmp(event, "end") != 0)
        return dt_ok();
    if (read->records->count == read->before)
        return dt_fail(DT_FILE, "event %s before any start", event);
    dt_run_record *run = &read->records->runs[read->records->count - 1];
    run->resumed |= resume;
    return resume ? dt_ok() : epoch ? add_epoch(run, line) : end_run(run, line);
}

static void release_run(dt_run_record *run) {
    free(run->source);
    free(run->epochs);
    json_decref(run->start);
}

dt_status dt_records_read(const char *path, dt_records *records) {
    reading read = {.path = path, .records = records, .before = records->count};
    dt_status status = dt_files_read_lines(path, take_event, &read);
    while (dt_failed(&status) && records->count > read.before)
        release_run(&records->runs[--records->count]);
    return status;
}

bool dt_record_is_aside(const char *name) {
    return strcmp(name, "seed") == 0 || strcmp(name, "out") == 0 || strcmp(name, "quiet") == 0;
}

/* Whether all options of `a` but those aside have their values in `b`. */
static bool has_options_of(const dt_run_record *a, const dt_run_record *b) {
    json_t *options = json_object_get(a->start, "options"), *others = json_object_get(b->start, "options");
    const char *name;
    json_t *value;
    json_object_foreach(options, name, value) {
        if (!dt_record_is_aside(name) && !json_equal(value, json_object_get(others, name)))
            return false;
    }
    return true;
}

static bool is_superseded(const dt_records *records, int index) {
    const dt_run_record *run = &records->runs[index], *next = run + 1;
    if (run->ended || index + 1 == records->count || strcmp(run->source, next->source) != 0)
        return false;
    return next->resumed || (has_options_of(run, next) && has_options_of(next, run));
}

void dt_records_drop_superseded(dt_records *records) {
    int kept = 0;
    for (int i = 0; i < records->count; i++)
        if (is_superseded(records, i))
            release_run(&records->runs[i]);
        else
            records->runs[kept++] = records->runs[i];
    records->count = kept;
}

void dt_records_release(dt_records *records) {
    for (int i = 0; i < records->count; i++)
        release_run(&records->runs[i]);
    free(records->runs);
    *records = (dt_records){0};
}

int dt_record_ranks(const dt_run_record *run) {
    return (int)json_integer_value(json_object_get(run->start, "ranks"));
}

int dt_record_threads(const dt_run_record *run) {
    const json_t *host = json_array_get(json_object_get(run->start, "hosts"), 0);
    return (int)json_integer_value(json_object_get(host, "threads"));
}

char *dt_record_option(const dt_run_record *run, const char *name) {
    const json_t *value = json_object_get(json_object_get(run->start, "options"), name);
    char number[32];
    if (!value || json_is_null(value))
        return strdup("-");
    if (json_is_string(value))
        return strdup(json_string_value(value));
    if (!json_is_real(value))
        return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    /* The fewest digits that tell the number from all others. */
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, json_real_value(value));
        if (strtod(number, NULL) == json_real_value(value))
            break;
    }
    return strdup(number);
}
