/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of runs through jansson. */
#include "report/records.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file on its way through `take`. `damage` is what is wrong with the line before, as long as it may turn
 * out to be the last words of a writer that was stopped: behind those comes the end of the file or a new
 * start. */
typedef struct json_lines {
    const char *path;
    int number;
    dt_status (*take)(void *context, json_t *line);
    void *context;
    dt_status damage;
} json_lines;

static bool is_start(const json_t *line) {
    const char *event = json_string_value(json_object_get(line, "event"));
    return event && strcmp(event, "start") == 0;
}

static dt_status take_line(json_lines *lines, const char *text, size_t length) {
    json_error_t error;
    json_t *line = json_loadb(text, length, 0, &error);
    dt_status status = lines->damage;
    if (!line) {
        lines->damage =
            dt_fail(DT_FILE, "%s, line %d: not a JSON object: %s", lines->path, lines->number, error.text);
        return status;
    }
    if (is_start(line))
        status = dt_ok();
    lines->damage = dt_ok();
    if (!dt_failed(&status)) {
        status = json_is_object(line) ? lines->take(lines->context, line)
                                      : dt_fail(DT_FILE, "not a JSON object: another kind of value");
        if (dt_failed(&status))
            status = dt_fail(status.code, "%s, line %d: %s", lines->path, lines->number, status.text);
    }
    json_decref(line);
    return status;
}

dt_status dt_json_lines_read(const char *path, dt_status (*take)(void *context, json_t *line),
                             void *context) {
    json_lines lines = {.path = path, .take = take, .context = context, .damage = dt_ok()};
    FILE *file = fopen(path, "r");
    if (!file)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    dt_status status = dt_ok();
    errno = 0;
    while (!dt_failed(&status) && (length = getline(&text, &room, file)) >= 0) {
        lines.number++;
        if (text[0] != '\n')
            status = take_line(&lines, text, (size_t)length);
    }
    if (!dt_failed(&status) && ferror(file))
        status = dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    free(text);
    fclose(file);
    return status;
}

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
    bool began; /* the file's first start line was seen */
} reading;

static dt_status add_run(reading *read, json_t *line) {
    dt_records *records = read->records;
    if (!json_is_integer(json_object_get(line, "ranks")))
        return dt_fail(DT_FILE, "a start line without ranks");
    dt_run_record *runs = realloc(records->runs, (size_t)(records->count + 1) * sizeof *runs);
    if (!runs)
        return dt_fail(DT_MEMORY, "no memory for %d runs", records->count + 1);
    records->runs = runs;
    runs[records->count] = (dt_run_record){.source = strdup(read->path), .start = json_incref(line)};
    read->began = true;
    return runs[records->count++].source ? dt_ok() : dt_fail(DT_MEMORY, "no memory for the name of a file");
}

static dt_status add_epoch(dt_run_record *run, const json_t *line) {
    dt_epoch_figures *epochs = realloc(run->epochs, (size_t)(run->epoch_count + 1) * sizeof *epochs);
    if (!epochs)
        return dt_fail(DT_MEMORY, "no memory for %d epochs", run->epoch_count + 1);
    run->epochs = epochs;
    epochs[run->epoch_count++] = figures_of(line);
    return dt_ok();
}

static dt_status take_event(void *context, json_t *line) {
    reading *read = context;
    const char *event = json_string_value(json_object_get(line, "event"));
    if (!event)
        return dt_fail(DT_FILE, "a line without an event is not of a metrics.jsonl");
    if (strcmp(event, "start") == 0)
        return add_run(read, line);
    bool epoch = strcmp(event, "epoch") == 0, end = strcmp(event, "end") == 0;
    if (!epoch && !end)
        return dt_ok();
    if (!read->began)
        return dt_fail(DT_FILE, "event %s before any start", event);
    dt_run_record *run = &read->records->runs[read->records->count - 1];
    if (epoch)
        return add_epoch(run, line);
    const char *hash = json_string_value(json_object_get(line, "weights_hash"));
    snprintf(run->weights_hash, sizeof run->weights_hash, "%s", hash ? hash : "");
    const char *reason = json_string_value(json_object_get(line, "reason"));
    run->ended = !reason || strcmp(reason, "stopped") != 0;
    return dt_ok();
}

dt_status dt_records_read(const char *path, dt_records *records) {
    reading read = {.path = path, .records = records};
    return dt_json_lines_read(path, take_event, &read);
}

void dt_records_release(dt_records *records) {
    for (int i = 0; i < records->count; i++) {
        free(records->runs[i].source);
        free(records->runs[i].epochs);
        json_decref(records->runs[i].start);
    }
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

const char *dt_record_option(const dt_run_record *run, const char *name, char *text, int room) {
    const json_t *value = json_object_get(json_object_get(run->start, "options"), name);
    if (json_is_string(value))
        snprintf(text, (size_t)room, "%s", json_string_value(value));
    else if (!value || json_is_null(value))
        snprintf(text, (size_t)room, "-");
    else {
        size_t length = json_dumpb(value, text, (size_t)room - 1, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        text[length < (size_t)room ? length : (size_t)room - 1] = '\0';
    }
    return text;
}
