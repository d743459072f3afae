/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain inspect: what a file of weights holds, as tables or as JSON. */
#include "cli/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/inspect.h"
#include "dtrain/text.h"
#include "dtrain/weights.h"

static const char *const kind_names[] = {
    [DT_FILE_CHECKPOINT] = "checkpoint",
    [DT_FILE_WEIGHTS] = "weights",
    [DT_FILE_KERAS_WEIGHTS] = "Keras weights",
    [DT_FILE_KERAS_MODEL] = "Keras model",
    [DT_FILE_OTHER] = "HDF5 file",
};
static const char *const state_names[] = {
    [DT_CHECKSUM_NONE] = "none", [DT_CHECKSUM_HOLDS] = "holds", [DT_CHECKSUM_FAILS] = "FAILS"};

enum { CELL = 24, COLUMNS = 12 };

static void print_row(const char *name, const char *value) {
    dt_text_print(stdout, "%-14s%s", name, value);
    putchar('\n');
}

__attribute__((format(printf, 2, 3))) static void print_value(const char *name, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_row(name, text);
}

static void print_position(const dt_checkpoint_position *position) {
    print_value("position", "%" PRId64 " steps: %d epoch%s and %d batch%s of the next", position->step,
                position->epoch, position->epoch == 1 ? "" : "s", position->batch,
                position->batch == 1 ? "" : "es");
    print_value("written by", "%d rank%s", position->ranks, position->ranks == 1 ? "" : "s");
    print_value("learning rate", "%g, %d rewind%s", position->learning_rate, position->rewinds,
                position->rewinds == 1 ? "" : "s");
    if (isfinite(position->best_loss))
        print_value("best loss", "%.6f on the validation set", position->best_loss);
    print_value("data", "fingerprint %016" PRIx64, position->data_fingerprint);
}

/* A value of JSON as a short text. */
static void describe_value(const json_t *value, char *text, size_t room) {
    char *dumped = NULL;
    if (json_is_string(value))
        snprintf(text, room, "%s", json_string_value(value));
    else if (json_is_real(value))
        snprintf(text, room, "%.6g", json_real_value(value));
    else if (value && (dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY)))
        snprintf(text, room, "%s", dumped);
    else
        snprintf(text, room, "-");
    free(dumped);
}

static void print_options(const char *text) {
    json_t *options = text ? json_loads(text, 0, NULL) : NULL;
    const char *name, *heading = "options";
    json_t *value;
    json_object_foreach(options, name, value) {
        char described[160];
        describe_value(value, described, sizeof described);
        print_value(heading, "%s %s", name, described);
        heading = "";
    }
    json_decref(options);
}

/* The columns of the history: the numbers and words of its first epoch. */
static int list_columns(const json_t *first, const char *columns[COLUMNS]) {
    int count = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)first, name,
                        value) if (count < COLUMNS && (json_is_number(value) || json_is_string(value)))
        columns[count++] = name;
    return count;
}

static void print_epoch(const json_t *epoch, const char *const *columns, int count) {
    for (int i = 0; i < count; i++) {
        char text[CELL];
        describe_value(json_object_get(epoch, columns[i]), text, sizeof text);
        int width = (int)strlen(columns[i]);
        dt_text_print(stdout, "  %*s", width < 9 ? 9 : width, text);
    }
    printf("\n");
}

static void print_history(const char *text) {
    const char *columns[COLUMNS];
    json_t *history = text ? json_loads(text, 0, NULL) : NULL;
    int count = list_columns(json_array_get(history, 0), columns);
    if (count > 0)
        print_value("history", "%zu epoch%s", json_array_size(history),
                    json_array_size(history) == 1 ? "" : "s");
    for (int i = 0; i < count; i++)
        dt_text_print(stdout, "  %9s", columns[i]);
    if (count > 0)
        putchar('\n');
    size_t index;
    json_t *epoch;
    json_array_foreach(history, index, epoch) if (count > 0) print_epoch(epoch, columns, count);
    json_decref(history);
}

/* "11x11x1x64", "scalar". */
static void describe_shape(const dt_inspected_tensor *tensor, char text[CELL]) {
    size_t used = 0;
    snprintf(text, CELL, "scalar");
    for (int i = 0; i < tensor->rank && used < CELL; i++)
        used += (size_t)snprintf(text + used, CELL - used, "%s%" PRId64, i ? "x" : "", tensor->dims[i]);
}

static void print_tensors(const dt_inspection *found) {
    if (found->count > 0)
        printf("%-40s  %-26s  %14s  %11s  %11s  %11s  %11s  checksum\n", "tensor", "", "shape", "mean", "sd",
               "min", "max");
    for (int i = 0; i < found->count; i++) {
        const dt_inspected_tensor *tensor = &found->tensors[i];
        char shape[CELL];
        describe_shape(tensor, shape);
        dt_text_print(stdout, "%-40s  %-26s  %14s  %11.4g  %11.4g  %11.4g  %11.4g  %s", tensor->place,
                      tensor->name, shape, tensor->mean, tensor->sd, tensor->min, tensor->max,
                      state_names[tensor->checksum]);
        if (tensor->not_finite > 0)
            printf("  %" PRId64 " not finite", tensor->not_finite);
        printf("\n");
    }
}

static void print_tables(const char *path, const dt_inspection *found) {
    print_row("file", path);
    print_value("kind", "%s, %.1f MB", kind_names[found->kind], (double)found->bytes / 1e6);
    if (found->format > 0) {
        print_value("program", "%s, format %d", found->program, found->format);
        print_value("tables", "%s", found->sealed ? "sealed, the seal holds" : "without a seal");
        print_value("network", "width %g, dropout %g, batch normalisation over %s after %s",
                    found->network.width, (double)found->network.dropout,
                    dt_bn_axis_names[found->network.bn_axis], dt_bn_layers_names[found->network.bn_layers]);
    }
    if (found->kind == DT_FILE_CHECKPOINT) {
        print_position(&found->position);
        print_options(found->options);
        print_history(found->history);
    }
    print_tensors(found);
}

/* JSON knows no infinity: null. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *tensor_json(const dt_inspected_tensor *tensor) {
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer(tensor->dims[i]));
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:s}", "place", tensor->place, "name",
                     tensor->name, "shape", shape, "count", (json_int_t)tensor->count, "not_finite",
                     (json_int_t)tensor->not_finite, "mean", number(tensor->mean), "sd", number(tensor->sd),
                     "min", number(tensor->min), "max", number(tensor->max), "checksum",
                     tensor->checksum == DT_CHECKSUM_FAILS ? "fails" : state_names[tensor->checksum]);
}

static json_t *position_json(const dt_checkpoint_position *position) {
    char fingerprint[20];
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, position->data_fingerprint);
    return json_pack("{s:I, s:i, s:i, s:I, s:I, s:I, s:o, s:f, s:i, s:i, s:s}", "step",
                     (json_int_t)position->step, "epoch", position->epoch, "batch", position->batch,
                     "train_loss", (json_int_t)position->train_loss, "train_correct",
                     (json_int_t)position->train_correct, "train_samples",
                     (json_int_t)position->train_samples, "best_loss", number(position->best_loss),
                     "learning_rate", position->learning_rate, "rewinds", position->rewinds, "ranks",
                     position->ranks, "data_fingerprint", fingerprint);
}

/* What was stored as JSON; null when it is none. */
static json_t *stored_json(const char *text) {
    json_t *value = text ? json_loads(text, 0, NULL) : NULL;
    return value ? value : json_null();
}

static json_t *network_json(const dt_network_config *network) {
    return json_pack("{s:f, s:f, s:s, s:s}", "width", network->width, "dropout", (double)network->dropout,
                     "bn_axis", dt_bn_axis_names[network->bn_axis], "bn_layers",
                     dt_bn_layers_names[network->bn_layers]);
}

static json_t *file_json(const char *path, const dt_inspection *found) {
    json_t *tensors = json_array();
    for (int i = 0; i < found->count; i++)
        json_array_append_new(tensors, tensor_json(&found->tensors[i]));
    json_t *all = json_pack("{s:s, s:s, s:I, s:i, s:i, s:b}", "file", path, "kind", kind_names[found->kind],
                            "bytes", (json_int_t)found->bytes, "failed_checksums", found->failures,
                            "missing_tensors", found->missing, "sealed", (int)found->sealed);
    if (found->format > 0) {
        json_object_set_new(all, "format", json_integer(found->format));
        json_object_set_new(all, "program", json_string(found->program));
        json_object_set_new(all, "network", network_json(&found->network));
    }
    if (found->kind == DT_FILE_CHECKPOINT) {
        json_object_set_new(all, "position", position_json(&found->position));
        json_object_set_new(all, "options", stored_json(found->options));
        json_object_set_new(all, "history", stored_json(found->history));
    }
    json_object_set_new(all, "tensors", tensors);
    return all;
}

static dt_status print_json(const char *path, const dt_inspection *found) {
    json_t *all = file_json(path, found);
    char *text = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(all);
    if (!text)
        return dt_fail(DT_FILE, "%s: its content cannot be told as JSON: use inspect without --json", path);
    printf("%s\n", text);
    free(text);
    return dt_ok();
}

static void list_failure(char *list, size_t room, const char *place) {
    size_t used = strlen(list);
    snprintf(list + used, room - used, "%s%s", used ? ", " : "", place);
}

static dt_status checksum_verdict(const char *path, const dt_inspection *found) {
    char list[800] = "";
    if (found->options_state == DT_CHECKSUM_FAILS)
        list_failure(list, sizeof list, "dtrain/options");
    if (found->history_state == DT_CHECKSUM_FAILS)
        list_failure(list, sizeof list, "dtrain/history");
    for (int i = 0; i < found->count; i++)
        if (found->tensors[i].checksum == DT_CHECKSUM_FAILS)
            list_failure(list, sizeof list, found->tensors[i].place);
    if (found->failures == 0)
        return dt_ok();
    return dt_fail(DT_FILE, "%s: is damaged: %d checksum%s fail%s: %s", path, found->failures,
                   found->failures == 1 ? "" : "s", found->failures == 1 ? "s" : "", list);
}

static dt_status verdict(const char *path, const dt_inspection *found) {
    DT_TRY(checksum_verdict(path, found));
    if (found->missing > 0)
        return dt_fail(DT_FILE,
                       "%s: is damaged: %d of its tensors %s missing, %s first: use another checkpoint", path,
                       found->missing, found->missing == 1 ? "is" : "are", found->first_missing);
    if (found->count == 0)
        return dt_fail(DT_FILE, "%s: no tensor is in it: give a file of weights or a checkpoint", path);
    return dt_ok();
}

dt_status dt_command_inspect(const dt_options *options) {
    dt_inspection found;
    char path[DT_WEIGHTS_PATH];
    DT_TRY(dt_weights_resolve(options->weights, path));
    DT_TRY(dt_inspect_file(path, &found));
    dt_status status = dt_ok();
    if (options->json)
        status = print_json(path, &found);
    else
        print_tables(path, &found);
    if (!dt_failed(&status))
        status = verdict(path, &found);
    dt_inspection_release(&found);
    return status;
}
