/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines about a run's progress. */
#include "train/progress.h"

#include <math.h>
#include <stdio.h>

#include "dtrain/log.h"
#include "dtrain/timer.h"

/* Seconds between two lines: quick enough to look alive, seldom enough to keep a log file readable. */
static const double terminal_interval = 0.2, plain_interval = 15.0;

void dt_progress_epoch_begins(dt_progress *progress, int step, int64_t samples) {
    progress->shown = dt_timer_now();
    dt_speed_begin(&progress->speed, progress->shown, samples, step);
}

/* "3h05m", "12m30s" or "9s". */
static void duration_text(double seconds, char *text, size_t size) {
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%ldh%02ldm", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        snprintf(text, size, "%ldm%02lds", whole / 60, whole % 60);
    else
        snprintf(text, size, "%lds", whole);
}

/* Joins the fields of rank `first` and above; returns the columns that they take. */
static int join(char *line, size_t room, const char *const *fields, const int *ranks, int count, int first,
                const char *between) {
    size_t used = 0;
    line[0] = '\0';
    for (int i = 0; i < count && used < room; i++)
        if (ranks[i] >= first)
            used += (size_t)snprintf(line + used, room - used, "%s%s", used ? between : "", fields[i]);
    return (int)used;
}

void dt_progress_compose(char *line, size_t room, const char *const *fields, const int *ranks, int count,
                         int columns) {
    if (join(line, room, fields, ranks, count, 0, "  ") <= columns)
        return;
    for (int first = 0; first < count; first++)
        if (join(line, room, fields, ranks, count, first, " ") <= columns)
            return;
}

enum { FIELDS = 6, FIELD_ROOM = 48, LINE_ROOM = FIELDS * FIELD_ROOM };

/* The last column stays free: some terminals break the line when it is written. */
static void write_fields(char fields[FIELDS][FIELD_ROOM], bool terminal) {
    static const int ranks[FIELDS] = {1, 5, 4, 0, 2, 3};
    const char *list[FIELDS];
    char line[LINE_ROOM];
    for (int i = 0; i < FIELDS; i++)
        list[i] = fields[i];
    dt_progress_compose(line, sizeof line, list, ranks, FIELDS, terminal ? dt_log_columns() - 1 : LINE_ROOM);
    if (terminal)
        dt_log_progress("%s", line);
    else
        dt_log_note("%s", line);
}

void dt_progress_step(dt_progress *progress, int epoch, int step, int64_t steps_done, dt_totals totals) {
    double now = dt_timer_now();
    dt_speed_note(&progress->speed, now, totals.samples, step);
    if (now - progress->shown < terminal_interval)
        return;
    bool terminal = dt_log_is_terminal();
    if (!terminal && now - progress->shown < plain_interval)
        return;
    progress->shown = now;
    double left = dt_speed_step(&progress->speed) * (double)(progress->steps - steps_done) +
                  progress->evaluation * (progress->epochs - epoch + 1);
    char left_text[32], fields[FIELDS][FIELD_ROOM];
    duration_text(left, left_text, sizeof left_text);
    snprintf(fields[0], FIELD_ROOM, "epoch %d/%d", epoch, progress->epochs);
    snprintf(fields[1], FIELD_ROOM, "step %d/%d", step, progress->steps_an_epoch);
    snprintf(fields[2], FIELD_ROOM, "loss %.4f", dt_totals_loss(totals));
    snprintf(fields[3], FIELD_ROOM, "accuracy %.2f %%", 100.0 * dt_totals_accuracy(totals));
    snprintf(fields[4], FIELD_ROOM, "%.1f images/s", dt_speed_samples(&progress->speed));
    snprintf(fields[5], FIELD_ROOM, "%s left", left_text);
    write_fields(fields, terminal);
}

/* Below this share of initial values in the moving statistics they are settled. */
static const double settled_share = 0.01;

void dt_progress_say_unsettled(dt_progress *progress, int64_t steps) {
    double share = pow(DT_NORM_MOMENTUM, (double)steps);
    if (progress->settling || share <= settled_share)
        return;
    progress->settling = true;
    dt_log_note("after %lld steps the moving statistics of batch normalisation are not settled: %.0f %% of "
                "them are still the initial values. Validation and test are worse than training until some "
                "%.0f steps are done",
                (long long)steps, 100.0 * share, ceil(log(settled_share) / log(DT_NORM_MOMENTUM)));
}

static void append_result(char *line, size_t size, size_t *used, const char *name, dt_totals totals) {
    if (totals.samples == 0 || *used >= size)
        return;
    int written = snprintf(line + *used, size - *used, "  %sloss %.4f accuracy %.2f %%", name,
                           dt_totals_loss(totals), 100.0 * dt_totals_accuracy(totals));
    *used += written > 0 ? (size_t)written : 0;
}

void dt_progress_epoch_ends(const dt_progress *progress, const dt_epoch_record *record) {
    char line[320];
    size_t used = 0;
    line[0] = '\0';
    append_result(line, sizeof line, &used, "", record->train);
    append_result(line, sizeof line, &used, "| validation ", record->validation);
    append_result(line, sizeof line, &used, "| test ", record->test);
    dt_log_note("epoch %d/%d%s  | %.1f s, %.1f images/s", record->epoch, progress->epochs, line,
                record->seconds, record->images_per_s);
}
