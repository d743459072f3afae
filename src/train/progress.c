/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines about a run's progress. */
#include "train/progress.h"

#include <stdio.h>

#include "dtrain/log.h"
#include "dtrain/timer.h"

/* Seconds between two lines: quick enough to look alive, seldom enough to keep a log file readable. */
static const double terminal_interval = 0.2, plain_interval = 15.0;

void dt_progress_epoch_begins(dt_progress *progress, int step, int64_t samples) {
    progress->first_step = step;
    progress->samples = samples;
    progress->started = progress->shown = dt_timer_now();
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

void dt_progress_step(dt_progress *progress, int epoch, int step, int64_t steps_done, dt_totals totals) {
    double now = dt_timer_now();
    bool terminal = dt_log_is_terminal();
    if (now - progress->shown < (terminal ? terminal_interval : plain_interval))
        return;
    progress->shown = now;
    double seconds = now - progress->started;
    double left = seconds / (step - progress->first_step) * (double)(progress->steps - steps_done) +
                  progress->evaluation * (progress->epochs - epoch + 1);
    char left_text[32], line[160];
    duration_text(left, left_text, sizeof left_text);
    snprintf(line, sizeof line,
             "epoch %d/%d  step %d/%d  loss %.4f  accuracy %.2f %%  %.1f images/s  %s left", epoch,
             progress->epochs, step, progress->steps_an_epoch, dt_totals_loss(totals),
             100.0 * dt_totals_accuracy(totals), (double)(totals.samples - progress->samples) / seconds,
             left_text);
    if (terminal)
        dt_log_progress("%s", line);
    else
        dt_log_note("%s", line);
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
