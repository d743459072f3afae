/* SPDX-License-Identifier: BSD-3-Clause */
/* Trials: judged, measured, and as JSON lines. */
#include "report/trials.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/text.h"
#include "report/estimate.h"
#include "report/files.h"

const char *dt_experiment_name(dt_experiment experiment) {
    static const char *const names[DT_EXPERIMENTS] = {"strong", "weak", "cores"};
    return names[experiment];
}

const char *dt_trial_state_name(dt_trial_state state) {
    static const char *const names[DT_TRIAL_STATES] = {"VALID", "INVALID", "FAILED"};
    return names[state];
}

/* Two numbers are the same where both are missing, too. Losses are whole multiples of 2^-32 over the number
 * of samples, and the 16 digits of metrics.jsonl tell any two of them apart as long as their sum is below
 * 10^15 such multiples: 232,830, or 100,000 samples at a loss of 2.3. The weights' hash sees every bit. */
static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static bool epoch_differs(const dt_epoch_figures *expected, const dt_epoch_figures *found, int number,
                          char *why, int room) {
    const struct {
        const char *name;
        double expected, found;
    } pairs[] = {{"steps", (double)expected->step, (double)found->step},
                 {"loss", expected->loss, found->loss},
                 {"accuracy", expected->accuracy, found->accuracy},
                 {"validation loss", expected->val_loss, found->val_loss},
                 {"test loss", expected->test_loss, found->test_loss},
                 {"test accuracy", expected->test_accuracy, found->test_accuracy}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (!same(pairs[i].expected, pairs[i].found)) {
            snprintf(why, (size_t)room, "epoch %d: %s %.16g instead of %.16g", number, pairs[i].name,
                     pairs[i].found, pairs[i].expected);
            return true;
        }
    return false;
}

bool dt_trial_differs(const dt_run_record *reference, const dt_run_record *run, char *why, int room) {
    if (run->epoch_count != reference->epoch_count) {
        snprintf(why, (size_t)room, "%d epochs instead of %d", run->epoch_count, reference->epoch_count);
        return true;
    }
    for (int i = 0; i < run->epoch_count; i++)
        if (epoch_differs(&reference->epochs[i], &run->epochs[i], i + 1, why, room))
            return true;
    if (run->weights_hash[0] && strcmp(run->weights_hash, reference->weights_hash) == 0)
        return false;
    snprintf(why, (size_t)room, "weights hash %s instead of %s", run->weights_hash, reference->weights_hash);
    return true;
}

static double median_speed(const dt_run_record *run, int first) {
    int count = run->epoch_count - first;
    double *speeds = malloc((size_t)count * sizeof *speeds);
    if (!speeds)
        return NAN;
    for (int i = 0; i < count; i++)
        speeds[i] = run->epochs[first + i].images_per_s;
    double median = dt_estimate_summary(speeds, count).median;
    free(speeds);
    return median;
}

void dt_trial_measure(dt_trial *trial, const dt_run_record *run, int warmup) {
    if (run->epoch_count <= warmup)
        return;
    int64_t before = warmup > 0 ? run->epochs[warmup - 1].step : 0;
    double steps = (double)(run->epochs[run->epoch_count - 1].step - before), seconds = 0.0;
    if (!(steps > 0.0))
        steps = NAN;
    double flop = json_number_value(json_object_get(run->start, "train_flop"));
    dt_phases sum = {{0}};
    for (int i = warmup; i < run->epoch_count; i++) {
        seconds += run->epochs[i].exposed_seconds;
        for (int phase = 0; phase < DT_PHASES; phase++)
            sum.seconds[phase] += run->epochs[i].phases.seconds[phase];
    }
    const char *chosen = json_string_value(json_object_get(run->start, "strategy"));
    (void)dt_text_printable(trial->chosen, sizeof trial->chosen, chosen ? chosen : "");
    trial->images_per_s = median_speed(run, warmup);
    trial->exposed_ms = 1e3 * seconds / steps;
    trial->bytes_a_step = run->epochs[run->epoch_count - 1].bytes_a_step;
    trial->gflops = flop > 0.0 ? trial->images_per_s * flop / 1e9 : NAN;
    for (int phase = 0; phase < DT_PHASES; phase++)
        trial->phases_ms[phase] = 1e3 * sum.seconds[phase] / steps;
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static double number_of(const json_t *line, const char *name) {
    const json_t *value = json_object_get(line, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static json_t *experiments(unsigned bits) {
    json_t *list = json_array();
    for (int i = 0; i < DT_EXPERIMENTS; i++)
        if (bits & 1U << i)
            json_array_append_new(list, json_string(dt_experiment_name((dt_experiment)i)));
    return list;
}

static json_t *phases(const double *milliseconds) {
    json_t *object = json_object();
    for (int phase = 0; phase < DT_PHASES; phase++)
        if (phase != DT_PHASE_EVALUATION)
            json_object_set_new(object, dt_phase_name((dt_phase)phase), number(milliseconds[phase]));
    return object;
}

static json_t *line_of(const dt_trial *trial) {
    return json_pack("{s:s,s:i,s:o,s:s,s:s,s:i,s:i,s:i,s:i,s:b,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "event",
                     "run", "order", trial->order, "experiments", experiments(trial->experiments), "strategy",
                     trial->strategy, "chosen", trial->chosen, "ranks", trial->ranks, "threads",
                     trial->threads, "batch", trial->batch, "repeat", trial->repeat, "oversubscribed",
                     trial->oversubscribed, "state", dt_trial_state_name(trial->state), "why", trial->why,
                     "images_per_s", number(trial->images_per_s), "exposed_ms", number(trial->exposed_ms),
                     "bytes_a_step", number(trial->bytes_a_step), "gflops", number(trial->gflops),
                     "peak_gflops", number(trial->peak_gflops), "phases_ms", phases(trial->phases_ms));
}

static dt_status write_line(FILE *file, json_t *line) {
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    if (!text)
        return dt_fail(DT_FILE, "a line could not be written as JSON");
    errno = 0;
    bool written = fprintf(file, "%s\n", text) > 0;
    free(text);
    return written ? dt_ok() : dt_fail(DT_FILE, "cannot be written: %s", strerror(errno));
}

dt_status dt_trials_write(const dt_trials *trials, FILE *file) {
    dt_status status = write_line(file, trials->setup);
    for (int i = 0; i < trials->count && !dt_failed(&status); i++) {
        json_t *line = line_of(&trials->list[i]);
        status = write_line(file, line);
        json_decref(line);
    }
    return status;
}

void dt_trials_release(dt_trials *trials) {
    json_decref(trials->setup);
    free(trials->list);
    *trials = (dt_trials){0};
}

static unsigned experiment_bits(const json_t *names) {
    unsigned bits = 0;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        for (int known = 0; name && known < DT_EXPERIMENTS; known++)
            if (strcmp(name, dt_experiment_name((dt_experiment)known)) == 0)
                bits |= 1U << known;
    }
    return bits;
}

static bool state_of(const char *name, dt_trial_state *state) {
    for (int known = 0; known < DT_TRIAL_STATES; known++)
        if (name && strcmp(name, dt_trial_state_name((dt_trial_state)known)) == 0) {
            *state = (dt_trial_state)known;
            return true;
        }
    return false;
}

/* Whole numbers of a line, within limits: a run has no more of anything. */
static dt_status take_counts(json_t *line, dt_trial *trial) {
    const struct {
        const char *name;
        json_int_t least;
        int *value;
    } counts[] = {{"order", 0, &trial->order},
                  {"ranks", 1, &trial->ranks},
                  {"threads", 1, &trial->threads},
                  {"batch", 1, &trial->batch},
                  {"repeat", 0, &trial->repeat}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const json_t *value = json_object_get(line, counts[i].name);
        json_int_t found = json_integer_value(value);
        if (!json_is_integer(value) || found < counts[i].least || found > INT_MAX)
            return dt_fail(DT_FILE, "not a run of a scaling.jsonl: %s is not a whole number from %d to %d",
                           counts[i].name, (int)counts[i].least, INT_MAX);
        *counts[i].value = (int)found;
    }
    return dt_ok();
}

static dt_status take_name(char name[DT_TRIAL_NAME], const char *found) {
    if (strlen(found) >= DT_TRIAL_NAME)
        return dt_fail(DT_FILE, "a strategy's name has %zu bytes, %d are allowed", strlen(found),
                       DT_TRIAL_NAME - 1);
    memcpy(name, found, strlen(found) + 1);
    return dt_ok();
}

static dt_status trial_of(json_t *line, dt_trial *trial) {
    const char *strategy, *why, *state;
    json_t *names, *times;
    int oversubscribed;
    *trial = (dt_trial){.images_per_s = number_of(line, "images_per_s"),
                        .exposed_ms = number_of(line, "exposed_ms"),
                        .bytes_a_step = number_of(line, "bytes_a_step"),
                        .gflops = number_of(line, "gflops"),
                        .peak_gflops = number_of(line, "peak_gflops")};
    json_error_t error;
    if (json_unpack_ex(line, &error, 0, "{s:o,s:s,s:b,s:s,s:s,s:o}", "experiments", &names, "strategy",
                       &strategy, "oversubscribed", &oversubscribed, "state", &state, "why", &why,
                       "phases_ms", &times) != 0)
        return dt_fail(DT_FILE, "not a run of a scaling.jsonl: %s", error.text);
    DT_TRY(take_counts(line, trial));
    if (!state_of(state, &trial->state))
        return dt_fail(DT_FILE, "state %s is none of VALID, INVALID, FAILED", state);
    trial->experiments = experiment_bits(names);
    trial->oversubscribed = oversubscribed;
    const char *chosen = json_string_value(json_object_get(line, "chosen"));
    DT_TRY(take_name(trial->strategy, strategy));
    DT_TRY(take_name(trial->chosen, chosen ? chosen : ""));
    (void)dt_text_printable(trial->why, sizeof trial->why, why);
    for (int phase = 0; phase < DT_PHASES; phase++)
        trial->phases_ms[phase] = number_of(times, dt_phase_name((dt_phase)phase));
    return dt_ok();
}

static dt_status take_line(void *context, json_t *line) {
    dt_trials *trials = context;
    const char *event = json_string_value(json_object_get(line, "event"));
    if (event && strcmp(event, "setup") == 0 && !trials->setup) {
        trials->setup = json_incref(line);
        return dt_ok();
    }
    if (!trials->setup)
        return dt_fail(DT_FILE, "the first line of a scaling.jsonl is its setup");
    if (!event || strcmp(event, "run") != 0)
        return dt_ok();
    dt_trial *list = realloc(trials->list, (size_t)(trials->count + 1) * sizeof *list);
    if (!list)
        return dt_fail(DT_MEMORY, "no memory for %d trials", trials->count + 1);
    trials->list = list;
    return trial_of(line, &list[trials->count++]);
}

dt_status dt_trials_read(const char *path, dt_trials *trials) {
    dt_status status = dt_files_read_lines(path, take_line, trials);
    if (!dt_failed(&status) && !trials->setup)
        status = dt_fail(DT_FILE, "%s: empty", path);
    return status;
}
