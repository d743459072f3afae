/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON lines through jansson. */
#include "train/metrics.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "dtrain/probe.h"
#include "dtrain/version.h"

struct dt_metrics {
    FILE *file; /* NULL on ranks that do not write */
    char path[1100];
};

/* Makes a folder and those above it. */
static dt_status make_folder(const char *folder) {
    char path[1024];
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return dt_fail(DT_FILE, "the name of the folder for results is too long: %s", folder);
    for (char *slash = path + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        char kept = *slash;
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return dt_fail(DT_FILE, "%s: cannot make this folder for results: %s", path, strerror(errno));
        *slash = kept;
        if (kept == '\0')
            return dt_ok();
    }
}

dt_status dt_metrics_open(const char *folder, bool writes, dt_metrics **out) {
    dt_metrics *metrics = calloc(1, sizeof *metrics);
    *out = metrics;
    if (!metrics)
        return dt_fail(DT_MEMORY, "no memory for the metrics file");
    if (!writes)
        return dt_ok();
    dt_status status = make_folder(folder);
    snprintf(metrics->path, sizeof metrics->path, "%s/metrics.jsonl", folder);
    if (!dt_failed(&status)) {
        metrics->file = fopen(metrics->path, "a");
        if (!metrics->file)
            status =
                dt_fail(DT_FILE, "%s: cannot open this file for writing: %s", metrics->path, strerror(errno));
    }
    if (dt_failed(&status)) {
        dt_metrics_close(metrics);
        *out = NULL;
    }
    return status;
}

void dt_metrics_close(dt_metrics *metrics) {
    if (!metrics)
        return;
    if (metrics->file)
        fclose(metrics->file);
    free(metrics);
}

/* Takes the line (and frees it). */
static dt_status write_line(dt_metrics *metrics, json_t *line) {
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(16)) : NULL;
    json_decref(line);
    if (!text)
        return dt_fail(DT_FILE, "%s: a line could not be written as JSON", metrics->path);
    errno = 0;
    bool written = fprintf(metrics->file, "%s\n", text) > 0 && fflush(metrics->file) == 0;
    free(text);
    return written ? dt_ok() : dt_fail(DT_FILE, "%s: cannot write: %s", metrics->path, strerror(errno));
}

/* JSON has no NaN: what is not finite becomes null. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *hexadecimal(uint64_t value) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
    return json_string(text);
}

static void add_setting(void *context, const char *name, const char *value, bool quoted) {
    json_t *settings = context;
    if (!value)
        json_object_set_new(settings, name, json_null());
    else if (quoted)
        json_object_set_new(settings, name, json_string(value));
    else
        json_object_set_new(settings, name, json_loads(value, JSON_DECODE_ANY, NULL));
}

static json_t *hosts(const dt_placement_table *table) {
    json_t *list = json_array();
    for (int rank = 0; rank < table->ranks; rank++) {
        const dt_place *place = &table->places[rank];
        json_array_append_new(list, json_pack("{s:i,s:s,s:i,s:s,s:s,s:i}", "rank", rank, "host", place->host,
                                              "node", place->node, "cpu", place->cpu, "cores", place->cores,
                                              "threads", place->threads));
    }
    return list;
}

static json_t *versions(const dt_session *session) {
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "dtrain", dt_version_text(), "mpi",
                     dt_comm_library(session->comm), "blas", dt_probe_blas(), "isa",
                     dt_isa_name(dt_kernels_isa(session->kernels)), "compiler", dt_version_compiler());
}

static json_t *data(const dt_corpus *corpus) {
    return json_pack("{s:s,s:s,s:o,s:b,s:i,s:i,s:i}", "name", corpus->name, "source", corpus->source,
                     "fingerprint", hexadecimal(corpus->fingerprint), "standard", corpus->standard, "train",
                     corpus->train.count, "validation", corpus->validation.count, "test", corpus->test.count);
}

/* The strategies' predicted times; nothing where nothing was measured. */
static json_t *plan(const dt_planning *planning) {
    json_t *list = json_array();
    for (int i = 0; i < planning->count; i++) {
        const dt_plan_row *row = &planning->rows[i];
        if (row->possible)
            json_array_append_new(
                list, json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "strategy", dt_strategy_name(row->kind),
                                "compute_s", number(row->compute), "exposed_s", number(row->exposed),
                                "optimizer_s", number(row->optimizer), "step_s", number(row->step), "speedup",
                                number(row->speedup), "bytes", number(row->bytes)));
    }
    return list;
}

dt_status dt_metrics_start(dt_metrics *metrics, const dt_session *session) {
    if (!metrics->file)
        return dt_ok();
    json_t *settings = json_object();
    if (session->options->walk)
        session->options->walk(session->options, add_setting, settings);
    char moment[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(moment, sizeof moment, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return write_line(
        metrics,
        json_pack("{s:s,s:s,s:s,s:o,s:i,s:i,s:f,s:o,s:o,s:o,s:o,s:s}", "event", "start", "time", moment,
                  "strategy", dt_strategy_name(session->strategy), "plan", plan(&session->planning), "ranks",
                  dt_comm_size(session->comm), "nodes", dt_comm_nodes(session->comm), "train_flop",
                  dt_network_train_flop(&session->network), "options", settings, "versions",
                  versions(session), "hosts", hosts(&session->placement), "data", data(&session->corpus),
                  "bits", "equal for any number of ranks and threads on one instruction set"));
}

/* What the epoch's communication came to: bytes a step, seconds that nothing hid, and the share of the time
 * with messages on their way that something did. */
static void add_traffic(json_t *line, const dt_epoch_record *record) {
    const double *seconds = record->phases.seconds;
    double steps = record->epoch_steps > 0 ? (double)record->epoch_steps : 1.0;
    double waited = seconds[DT_PHASE_GRADIENTS] + seconds[DT_PHASE_ACTIVATIONS];
    double travelling = record->traffic.seconds;
    double overlap = travelling > 0.0 ? fmax(0.0, 1.0 - waited / travelling) : 0.0;
    json_object_set_new(line, "bytes_sent_a_step", number((double)record->traffic.sent / steps));
    json_object_set_new(line, "bytes_received_a_step", number((double)record->traffic.received / steps));
    json_object_set_new(line, "exposed_communication_s", number(waited + seconds[DT_PHASE_STATISTICS]));
    json_object_set_new(line, "overlap", number(overlap));
}

dt_status dt_metrics_epoch(dt_metrics *metrics, const dt_epoch_record *record) {
    if (!metrics->file)
        return dt_ok();
    json_t *phases = json_object();
    for (int phase = 0; phase < DT_PHASES; phase++)
        json_object_set_new(phases, dt_phase_name((dt_phase)phase), number(record->phases.seconds[phase]));
    json_t *line = json_pack("{s:s,s:i,s:I,s:o,s:o,s:o,s:o}", "event", "epoch", "epoch", record->epoch,
                             "step", (json_int_t)record->steps, "loss", number(dt_totals_loss(record->train)),
                             "accuracy", number(dt_totals_accuracy(record->train)), "test_loss",
                             number(dt_totals_loss(record->test)), "test_accuracy",
                             number(dt_totals_accuracy(record->test)));
    bool validated = record->validation.samples > 0;
    json_object_set_new(line, "val_loss",
                        validated ? number(dt_totals_loss(record->validation)) : json_null());
    json_object_set_new(line, "val_accuracy",
                        validated ? number(dt_totals_accuracy(record->validation)) : json_null());
    json_object_set_new(line, "seconds", number(record->seconds));
    json_object_set_new(line, "images_per_s", number(record->images_per_s));
    add_traffic(line, record);
    json_object_set_new(line, "phases", phases);
    return write_line(metrics, line);
}

dt_status dt_metrics_end(dt_metrics *metrics, uint64_t weights_hash, int64_t steps, double seconds,
                         const char *reason) {
    if (!metrics->file)
        return dt_ok();
    return write_line(metrics, json_pack("{s:s,s:s,s:o,s:I,s:o}", "event", "end", "reason", reason,
                                         "weights_hash", hexadecimal(weights_hash), "step", (json_int_t)steps,
                                         "seconds", number(seconds)));
}
