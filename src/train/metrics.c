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
#include <unistd.h>

#include "dtrain/denormals.h"
#include "dtrain/log.h"
#include "dtrain/path.h"
#include "dtrain/probe.h"
#include "dtrain/version.h"
#include "train/journal.h"
#include "train/settings.h"

struct dt_metrics {
    bool writes;         /* this rank does */
    dt_journal *journal; /* NULL: not open */
    char folder[DT_PATH_ROOM];
    char path[DT_PATH_ROOM];
    int lost;        /* lines that could not be written */
    dt_status cause; /* of the first of them */
};

struct dt_history {
    json_t *epochs;
};

/* With room for what a run makes in it: a checkpoint under its temporary name, which has that of the host. */
enum { LONGEST_FOLDER = DT_PATH_ROOM - 256 };

dt_status dt_metrics_make_folder(const char *folder) {
    char path[DT_PATH_ROOM];
    if (strlen(folder) > LONGEST_FOLDER)
        return dt_fail(DT_FILE, "--out: the name has %zu bytes, more than %d: give a shorter one: %s",
                       strlen(folder), LONGEST_FOLDER, folder);
    DT_TRY(dt_path_write(DT_FILE, path, "%s", folder));
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

static dt_status name_files(dt_metrics *metrics, const char *folder) {
    DT_TRY(dt_path_write(DT_FILE, metrics->folder, "%s", folder));
    return dt_path_write(DT_FILE, metrics->path, "%s/metrics.jsonl", folder);
}

static dt_status open_file(dt_metrics *metrics) {
    DT_TRY(dt_metrics_make_folder(metrics->folder));
    return dt_journal_open(metrics->path, &metrics->journal);
}

dt_status dt_metrics_open(const char *folder, bool writes, dt_metrics **out) {
    dt_metrics *metrics = calloc(1, sizeof *metrics);
    *out = metrics;
    if (!metrics)
        return dt_fail(DT_MEMORY, "no memory for the metrics file");
    if (!writes)
        return dt_ok();
    metrics->writes = true;
    dt_status status = name_files(metrics, folder);
    if (!dt_failed(&status))
        status = open_file(metrics);
    if (dt_failed(&status)) {
        dt_metrics_close(metrics);
        *out = NULL;
    }
    return status;
}

void dt_metrics_close(dt_metrics *metrics) {
    if (!metrics)
        return;
    dt_journal_close(metrics->journal);
    free(metrics);
}

/* A file that was removed from under the run, or with its folder: a new one takes its place. */
static dt_status reopen_if_removed(dt_metrics *metrics) {
    if (metrics->journal && !dt_journal_is_gone(metrics->journal))
        return dt_ok();
    dt_journal_close(metrics->journal);
    metrics->journal = NULL;
    return open_file(metrics);
}

/* Takes the line (and frees it). */
static dt_status try_line(dt_metrics *metrics, json_t *line) {
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(16)) : NULL;
    json_decref(line);
    if (!text)
        return dt_fail(DT_FILE, "%s: a line could not be written as JSON", metrics->path);
    dt_status status = reopen_if_removed(metrics);
    if (!dt_failed(&status))
        status = dt_journal_append(metrics->journal, text);
    free(text);
    return status;
}

static void write_line(dt_metrics *metrics, json_t *line) {
    dt_status status = try_line(metrics, line);
    if (!dt_failed(&status))
        return;
    if (metrics->lost++ == 0) {
        metrics->cause = status;
        dt_log_warning("%s. The run goes on without such lines", status.text);
    }
}

dt_status dt_metrics_check(const dt_metrics *metrics) {
    if (metrics->lost == 0)
        return dt_ok();
    return dt_fail(DT_FILE, "%d line%s of the record of this run %s lost: %.1000s", metrics->lost,
                   metrics->lost == 1 ? "" : "s", metrics->lost == 1 ? "is" : "are", metrics->cause.text);
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
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "dtrain", dt_version_text(), "mpi",
                     dt_comm_library(session->comm), "blas", dt_probe_blas(), "isa",
                     dt_isa_name(dt_kernels_isa(session->kernels)), "denormals",
                     dt_denormals_flushed() ? "flushed to 0" : "kept", "compiler", dt_version_compiler());
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

/* What the epoch's communication came to (dt_traffic in comm.h): bytes a step, its seconds, those that
 * nothing hid, and the share of it that computing did hide; null where there was none. */
static void add_traffic(json_t *line, const dt_epoch_record *record) {
    const dt_traffic *traffic = &record->traffic;
    double steps = record->epoch_steps > 0 ? (double)record->epoch_steps : 1.0;
    json_object_set_new(line, "bytes_sent_a_step", number((double)traffic->sent / steps));
    json_object_set_new(line, "bytes_received_a_step", number((double)traffic->received / steps));
    json_object_set_new(line, "communication_s", number(traffic->seconds));
    json_object_set_new(line, "exposed_communication_s", number(traffic->waited));
    json_object_set_new(line, "overlap",
                        number(traffic->seconds > 0.0 ? 1.0 - traffic->waited / traffic->seconds : NAN));
}

/* The moment in UTC. */
static json_t *moment(void) {
    char text[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return json_string(text);
}

void dt_metrics_start(dt_metrics *metrics, const dt_session *session) {
    char methods[DT_METHODS_TEXT];
    if (metrics->writes)
        write_line(metrics,
                   json_pack("{s:s,s:o,s:s,s:o,s:i,s:i,s:f,s:o,s:o,s:s,s:o,s:o,s:s}", "event", "start",
                             "time", moment(), "strategy", dt_strategy_name(session->strategy), "plan",
                             plan(&session->planning), "ranks", dt_comm_size(session->comm), "nodes",
                             dt_comm_nodes(session->comm), "train_flop",
                             dt_network_train_flop(&session->network), "options",
                             dt_settings_object(session->options), "versions", versions(session), "methods",
                             dt_methods_write(session->methods, methods), "hosts", hosts(&session->placement),
                             "data", data(&session->corpus), "bits",
                             "equal for any number of ranks and threads on one instruction set"));
}

void dt_metrics_resume(dt_metrics *metrics, const char *path, const dt_checkpoint_position *position) {
    if (metrics->writes)
        write_line(metrics,
                   json_pack("{s:s,s:o,s:s,s:I,s:i,s:i,s:i}", "event", "resume", "time", moment(), "path",
                             path, "step", (json_int_t)position->step, "epochs_done", position->epoch,
                             "batches_done", position->batch, "ranks_then", position->ranks));
}

/* What a line and the history say alike. */
static json_t *epoch_values(const dt_epoch_record *record) {
    bool validated = record->validation.samples > 0;
    return json_pack("{s:i,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "epoch", record->epoch, "step",
                     (json_int_t)record->steps, "loss", number(dt_totals_loss(record->train)), "accuracy",
                     number(dt_totals_accuracy(record->train)), "test_loss",
                     number(dt_totals_loss(record->test)), "test_accuracy",
                     number(dt_totals_accuracy(record->test)), "val_loss",
                     number(validated ? dt_totals_loss(record->validation) : NAN), "val_accuracy",
                     number(validated ? dt_totals_accuracy(record->validation) : NAN), "seconds",
                     number(record->seconds), "images_per_s", number(record->images_per_s));
}

void dt_metrics_epoch(dt_metrics *metrics, const dt_epoch_record *record) {
    if (!metrics->writes)
        return;
    json_t *phases = json_object();
    for (int phase = 0; phase < DT_PHASES; phase++)
        json_object_set_new(phases, dt_phase_name((dt_phase)phase), number(record->phases.seconds[phase]));
    json_t *line = json_pack("{s:s}", "event", "epoch"), *values = epoch_values(record);
    json_object_update(line, values);
    json_decref(values);
    add_traffic(line, record);
    json_object_set_new(line, "phases", phases);
    write_line(metrics, line);
}

void dt_metrics_checkpoint(dt_metrics *metrics, const dt_saver_report *report) {
    if (!metrics->writes)
        return;
    json_t *line = json_pack("{s:s,s:I,s:s,s:b}", "event", "checkpoint", "step", (json_int_t)report->step,
                             "path", report->path, "best", report->best);
    if (dt_failed(&report->status))
        json_object_set_new(line, "error", json_string(report->status.text));
    else {
        double megabytes = 1e-6 * (double)report->result.bytes;
        json_object_set_new(line, "bytes", json_integer((json_int_t)report->result.bytes));
        json_object_set_new(line, "seconds", number(report->result.seconds));
        json_object_set_new(line, "mb_per_s", number(megabytes / report->result.seconds));
    }
    json_object_set_new(line, "held_up_seconds", number(report->held_up));
    write_line(metrics, line);
}

void dt_metrics_rewind(dt_metrics *metrics, int64_t from_step, const dt_checkpoint_position *position) {
    if (metrics->writes)
        write_line(metrics,
                   json_pack("{s:s,s:I,s:I,s:o,s:i}", "event", "rewind", "from_step", (json_int_t)from_step,
                             "step", (json_int_t)position->step, "learning_rate",
                             number(position->learning_rate), "rewinds", position->rewinds));
}

void dt_metrics_end(dt_metrics *metrics, uint64_t weights_hash, int64_t steps, double seconds,
                    const char *reason, const dt_pace *pace) {
    if (metrics->writes)
        write_line(metrics, json_pack("{s:s,s:s,s:o,s:o,s:o,s:I,s:o}", "event", "end", "reason", reason,
                                      "predicted_step_s", number(pace->predicted), "step_s",
                                      number(pace->measured), "weights_hash", hexadecimal(weights_hash),
                                      "step", (json_int_t)steps, "seconds", number(seconds)));
}

/* Whether a failure's code has a word of its own; "failed" says no more than the error beside it. */
static const char *reason_of(dt_code code) {
    return code == DT_NOT_FINITE ? "not_finite" : "failed";
}

void dt_metrics_fail(dt_metrics *metrics, const dt_status *status, int64_t steps, double seconds) {
    if (metrics->writes)
        write_line(metrics, json_pack("{s:s,s:s,s:i,s:s,s:I,s:o}", "event", "end", "reason",
                                      reason_of(status->code), "code", (int)status->code, "error",
                                      status->text, "step", (json_int_t)steps, "seconds", number(seconds)));
}

void dt_metrics_stall(dt_metrics *metrics, int64_t steps) {
    char line[128];
    snprintf(line, sizeof line, "{\"event\":\"end\",\"reason\":\"stalled\",\"code\":%d,\"step\":%lld}",
             DT_STALLED, (long long)steps);
    if (metrics->writes && metrics->journal)
        (void)dt_journal_append(metrics->journal, line);
}

dt_status dt_history_create(const char *text, dt_history **history) {
    dt_history *created = calloc(1, sizeof *created);
    *history = NULL;
    if (!created)
        return dt_fail(DT_MEMORY, "no memory for the history");
    created->epochs = text ? json_loads(text, 0, NULL) : json_array();
    if (!json_is_array(created->epochs)) {
        dt_history_destroy(created);
        return dt_fail(DT_FILE, "the history in the checkpoint is not an array in JSON");
    }
    *history = created;
    return dt_ok();
}

void dt_history_destroy(dt_history *history) {
    if (!history)
        return;
    json_decref(history->epochs);
    free(history);
}

void dt_history_add(dt_history *history, const dt_epoch_record *record) {
    json_array_append_new(history->epochs, epoch_values(record));
}

char *dt_history_text(const dt_history *history) {
    return json_dumps(history->epochs, JSON_COMPACT | JSON_REAL_PRECISION(17));
}
