/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder that bench/scaling fills: a reference run on one rank for each batch, and the trials. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/trials.h"

enum { PATH_ROOM = 2048 };

/* One folder of runs/. */
typedef struct dt_result {
    json_t *asked;
    dt_records records;
    char unreadable[DT_TRIAL_WHY]; /* why metrics.jsonl could not be read; else empty */
} dt_result;

typedef struct dt_results {
    dt_result *list;
    int count;
} dt_results;

static int asked_number(const dt_result *result, const char *name) {
    return (int)json_integer_value(json_object_get(result->asked, name));
}

static bool is_reference(const dt_result *result) {
    return json_is_true(json_object_get(result->asked, "reference"));
}

/* The run that the launcher started; NULL if there is none, or if there are several: ranks that do not know
 * of one another, as srun without PMIx starts them. */
static const dt_run_record *whole_run(const dt_result *result) {
    const dt_records *records = &result->records;
    return records->count == 1 && records->runs[0].ended ? &records->runs[0] : NULL;
}

static dt_status load_object(const char *path, json_t **object) {
    json_error_t error;
    *object = json_load_file(path, 0, &error);
    if (json_is_object(*object))
        return dt_ok();
    json_decref(*object);
    *object = NULL;
    return dt_fail(DT_FILE, "%s: not a JSON object: %s", path, error.text);
}

static dt_status add_result(dt_results *results, const char *folder, const char *name) {
    char path[PATH_ROOM];
    json_t *asked;
    snprintf(path, sizeof path, "%s/runs/%s/asked.json", folder, name);
    DT_TRY(load_object(path, &asked));
    static const char *const needed[] = {"ranks", "threads", "batch"};
    for (int i = 0; i < 3; i++)
        if (json_integer_value(json_object_get(asked, needed[i])) < 1) {
            json_decref(asked);
            return dt_fail(DT_FILE, "%s: %s is missing or below 1", path, needed[i]);
        }
    dt_result *list = realloc(results->list, (size_t)(results->count + 1) * sizeof *list);
    if (!list) {
        json_decref(asked);
        return dt_fail(DT_MEMORY, "no memory for %d runs", results->count + 1);
    }
    results->list = list;
    dt_result *result = &list[results->count++];
    *result = (dt_result){.asked = asked};
    snprintf(path, sizeof path, "%s/runs/%s/metrics.jsonl", folder, name);
    dt_status status = dt_records_read(path, &result->records);
    if (dt_failed(&status))
        snprintf(result->unreadable, sizeof result->unreadable, "%.200s", status.text);
    return status.code == DT_MEMORY ? status : dt_ok();
}

static int by_order(const void *a, const void *b) {
    int first = asked_number(a, "order"), second = asked_number(b, "order");
    return (first > second) - (first < second);
}

static dt_status read_results(const char *folder, dt_results *results) {
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/runs", folder);
    DIR *runs = opendir(path);
    if (!runs)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    dt_status status = dt_ok();
    for (struct dirent *entry; !dt_failed(&status) && (entry = readdir(runs));)
        if (entry->d_name[0] != '.')
            status = add_result(results, folder, entry->d_name);
    closedir(runs);
    if (results->count > 1)
        qsort(results->list, (size_t)results->count, sizeof *results->list, by_order);
    return status;
}

static void release_results(dt_results *results) {
    for (int i = 0; i < results->count; i++) {
        json_decref(results->list[i].asked);
        dt_records_release(&results->list[i].records);
    }
    free(results->list);
}

static const dt_run_record *reference_of(const dt_results *results, int batch) {
    for (int i = 0; i < results->count; i++)
        if (is_reference(&results->list[i]) && asked_number(&results->list[i], "batch") == batch &&
            asked_number(&results->list[i], "exit_code") == 0)
            return whole_run(&results->list[i]);
    return NULL;
}

/* Whether the launcher started something else than it was asked for. */
static bool is_another_run(const dt_trial *trial, const dt_run_record *run, char *why, int room) {
    char batch[DT_TRIAL_NAME], strategy[DT_TRIAL_NAME];
    dt_record_option(run, "batch", batch, sizeof batch);
    dt_record_option(run, "strategy", strategy, sizeof strategy);
    if (dt_record_ranks(run) != trial->ranks)
        snprintf(why, (size_t)room, "%d ranks ran instead of %d", dt_record_ranks(run), trial->ranks);
    else if (dt_record_threads(run) != trial->threads)
        snprintf(why, (size_t)room, "%d threads a rank ran instead of %d", dt_record_threads(run),
                 trial->threads);
    else if (atoi(batch) != trial->batch)
        snprintf(why, (size_t)room, "the batch was %s instead of %d", batch, trial->batch);
    else if (strcmp(strategy, trial->strategy) != 0)
        snprintf(why, (size_t)room, "the strategy was %s instead of %s", strategy, trial->strategy);
    else
        return false;
    return true;
}

static void fail_trial(dt_trial *trial, const dt_result *result, int exit_code) {
    const char *said = json_string_value(json_object_get(result->asked, "said"));
    trial->state = DT_TRIAL_FAILED;
    if (exit_code == 124)
        snprintf(trial->why, sizeof trial->why, "stopped at the time limit of a run");
    else if (exit_code != 0)
        snprintf(trial->why, sizeof trial->why, "exit code %d: %.200s", exit_code, said ? said : "");
    else if (result->unreadable[0])
        snprintf(trial->why, sizeof trial->why, "%.200s (is the folder shared by all nodes?)",
                 result->unreadable);
    else if (result->records.count > 1)
        snprintf(trial->why, sizeof trial->why,
                 "%d runs instead of one: the launcher's ranks do not know of one another",
                 result->records.count);
    else
        snprintf(trial->why, sizeof trial->why, "metrics.jsonl has no end line");
}

static void judge(dt_trial *trial, const dt_result *result, const dt_results *results, int warmup) {
    const dt_run_record *run = whole_run(result), *reference = reference_of(results, trial->batch);
    int exit_code = asked_number(result, "exit_code");
    if (exit_code != 0 || !run) {
        fail_trial(trial, result, exit_code);
        return;
    }
    trial->state = DT_TRIAL_INVALID;
    if (is_another_run(trial, run, trial->why, sizeof trial->why))
        return;
    dt_trial_measure(trial, run, warmup);
    if (!reference)
        snprintf(trial->why, sizeof trial->why, "the reference run with batch %d failed", trial->batch);
    else if (!dt_trial_differs(reference, run, trial->why, sizeof trial->why))
        trial->state = DT_TRIAL_VALID;
}

static dt_trial trial_of(const dt_result *result) {
    dt_trial trial = {.ranks = asked_number(result, "ranks"),
                      .threads = asked_number(result, "threads"),
                      .batch = asked_number(result, "batch"),
                      .repeat = asked_number(result, "repeat"),
                      .order = asked_number(result, "order"),
                      .oversubscribed = json_is_true(json_object_get(result->asked, "oversubscribed")),
                      .images_per_s = NAN,
                      .exposed_ms = NAN,
                      .bytes_a_step = NAN,
                      .gflops = NAN,
                      .peak_gflops = NAN};
    const json_t *peak = json_object_get(result->asked, "peak_gflops");
    const char *strategy = json_string_value(json_object_get(result->asked, "strategy"));
    const char *names = json_string_value(json_object_get(result->asked, "experiments"));
    if (json_is_number(peak))
        trial.peak_gflops = json_number_value(peak);
    snprintf(trial.strategy, sizeof trial.strategy, "%s", strategy ? strategy : "-");
    for (int i = 0; names && i < DT_EXPERIMENTS; i++)
        if (strstr(names, dt_experiment_name((dt_experiment)i)))
            trial.experiments |= 1U << i;
    for (int phase = 0; phase < DT_PHASES; phase++)
        trial.phases_ms[phase] = NAN;
    return trial;
}

/* The first of the runs with the most ranks says which program and machines it was. */
static void describe(dt_trials *trials, const dt_results *results) {
    static const char *const names[] = {"versions", "hosts", "data", "bits", "options"};
    const dt_run_record *widest = NULL;
    for (int i = 0; i < results->count; i++) {
        const dt_records *records = &results->list[i].records;
        if (records->count > 0 && (!widest || dt_record_ranks(&records->runs[0]) > dt_record_ranks(widest)))
            widest = &records->runs[0];
    }
    for (size_t i = 0; widest && i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(widest->start, names[i]);
        json_object_set(trials->setup, strcmp(names[i], "options") == 0 ? "options_of_a_run" : names[i],
                        value);
    }
}

static dt_status judge_all(dt_trials *trials, const dt_results *results) {
    int warmup = (int)json_integer_value(json_object_get(trials->setup, "warmup"));
    if (warmup < 0)
        return dt_fail(DT_FILE, "setup.json: warmup is %d", warmup);
    trials->list = calloc((size_t)results->count + 1, sizeof *trials->list);
    if (!trials->list)
        return dt_fail(DT_MEMORY, "no memory for %d trials", results->count);
    for (int i = 0; i < results->count; i++) {
        if (is_reference(&results->list[i]))
            continue;
        dt_trial *trial = &trials->list[trials->count++];
        *trial = trial_of(&results->list[i]);
        judge(trial, &results->list[i], results, warmup);
    }
    return dt_ok();
}

dt_status dt_trials_gather(const char *folder, dt_trials *trials) {
    char path[PATH_ROOM];
    dt_results results = {0};
    *trials = (dt_trials){0};
    snprintf(path, sizeof path, "%s/setup.json", folder);
    DT_TRY(load_object(path, &trials->setup));
    dt_status status = read_results(folder, &results);
    if (!dt_failed(&status)) {
        json_object_set_new(trials->setup, "event", json_string("setup"));
        describe(trials, &results);
        status = judge_all(trials, &results);
    }
    release_results(&results);
    if (dt_failed(&status))
        dt_trials_release(trials);
    return status;
}
