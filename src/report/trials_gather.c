/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder that bench/scaling fills: a reference run on one rank for each batch, and the trials. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/log.h"
#include "dtrain/text.h"
#include "report/files.h"
#include "report/trials.h"

/* One folder of runs/. */
typedef struct dt_result {
    json_t *asked;
    dt_records records;
    char unreadable[200]; /* why metrics.jsonl could not be read; else empty */
} dt_result;

typedef struct dt_results {
    dt_result *list;
    int count, room;
    int unread;      /* folders of runs that say not what was asked for */
    dt_file_set met; /* runs, by their asked.json */
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

static dt_status check_asked(const char *path, const json_t *asked) {
    static const char *const needed[] = {"ranks", "threads", "batch"};
    for (int i = 0; i < 3; i++) {
        json_int_t value = json_integer_value(json_object_get(asked, needed[i]));
        if (value < 1 || value > INT_MAX)
            return dt_fail(DT_FILE, "%s: %s is missing, below 1 or above %d", path, needed[i], INT_MAX);
    }
    return dt_ok();
}

/* The next place of the list, which takes `asked`. */
static dt_status make_result(dt_results *results, json_t *asked, dt_result **result) {
    if (results->count == results->room) {
        int room = 2 * results->room + 16;
        dt_result *list = realloc(results->list, (size_t)room * sizeof *list);
        if (!list) {
            json_decref(asked);
            return dt_fail(DT_MEMORY, "no memory for %d runs", room);
        }
        results->list = list;
        results->room = room;
    }
    *result = &results->list[results->count++];
    **result = (dt_result){.asked = asked};
    return dt_ok();
}

static dt_status add_result(dt_results *results, const char *runs, const char *name) {
    char path[DT_FILES_PATH];
    json_t *asked;
    bool known;
    dt_result *result = NULL;
    DT_TRY(dt_files_join(path, runs, name, "asked.json"));
    DT_TRY(dt_file_set_add(&results->met, path, &known));
    if (known) {
        dt_log_warning("%s: another name of a run that is counted already: it is left out", path);
        return dt_ok();
    }
    DT_TRY(dt_files_read_object(path, &asked));
    dt_status status = check_asked(path, asked);
    if (dt_failed(&status)) {
        json_decref(asked);
        return status;
    }
    DT_TRY(make_result(results, asked, &result));
    status = dt_files_join(path, runs, name, "metrics.jsonl");
    if (!dt_failed(&status))
        status = dt_records_read(path, &result->records);
    if (dt_failed(&status))
        (void)dt_text_printable(result->unreadable, sizeof result->unreadable, status.text);
    return status.code == DT_MEMORY ? status : dt_ok();
}

static int by_order(const void *a, const void *b) {
    int first = asked_number(a, "order"), second = asked_number(b, "order");
    return (first > second) - (first < second);
}

static dt_status read_results(const char *folder, dt_results *results) {
    char path[DT_FILES_PATH];
    DT_TRY(dt_files_join(path, folder, "runs", NULL));
    DIR *runs = opendir(path);
    if (!runs)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno));
    dt_status status = dt_ok();
    for (struct dirent *entry; status.code != DT_MEMORY && (entry = readdir(runs));) {
        if (entry->d_name[0] == '.')
            continue;
        status = add_result(results, path, entry->d_name);
        if (status.code == DT_FILE) {
            dt_log_warning("%s. The run is left out", status.text);
            results->unread++;
        }
    }
    closedir(runs);
    if (results->count > 1)
        qsort(results->list, (size_t)results->count, sizeof *results->list, by_order);
    return status.code == DT_MEMORY ? status : dt_ok();
}

static void release_results(dt_results *results) {
    for (int i = 0; i < results->count; i++) {
        json_decref(results->list[i].asked);
        dt_records_release(&results->list[i].records);
    }
    free(results->list);
    dt_file_set_release(&results->met);
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
    const json_t *options = json_object_get(run->start, "options");
    json_int_t batch = json_integer_value(json_object_get(options, "batch"));
    const char *strategy = json_string_value(json_object_get(options, "strategy"));
    if (dt_record_ranks(run) != trial->ranks)
        snprintf(why, (size_t)room, "%d ranks ran instead of %d", dt_record_ranks(run), trial->ranks);
    else if (dt_record_threads(run) != trial->threads)
        snprintf(why, (size_t)room, "%d threads a rank ran instead of %d", dt_record_threads(run),
                 trial->threads);
    else if (batch != trial->batch)
        snprintf(why, (size_t)room, "the batch was %lld instead of %d", (long long)batch, trial->batch);
    else if (!strategy || strcmp(strategy, trial->strategy) != 0)
        snprintf(why, (size_t)room, "the strategy was %.40s instead of %s", strategy ? strategy : "-",
                 trial->strategy);
    else
        return false;
    return true;
}

static void fail_trial(dt_trial *trial, const dt_result *result, int exit_code) {
    const char *said = json_string_value(json_object_get(result->asked, "said"));
    char shown[200];
    (void)dt_text_printable(shown, sizeof shown, said ? said : "");
    trial->state = DT_TRIAL_FAILED;
    if (exit_code == 124)
        snprintf(trial->why, sizeof trial->why, "stopped at the time limit of a run");
    else if (exit_code != 0)
        snprintf(trial->why, sizeof trial->why, "exit code %d: %s", exit_code, shown);
    else if (result->unreadable[0])
        snprintf(trial->why, sizeof trial->why, "%s (is the folder shared by all nodes?)",
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
    (void)dt_text_printable(trial.strategy, sizeof trial.strategy, strategy ? strategy : "-");
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

dt_status dt_trials_gather(const char *folder, dt_trials *trials, int *unread) {
    char path[DT_FILES_PATH];
    dt_results results = {0};
    *trials = (dt_trials){0};
    *unread = 0;
    DT_TRY(dt_files_join(path, folder, "setup.json", NULL));
    DT_TRY(dt_files_read_object(path, &trials->setup));
    dt_status status = read_results(folder, &results);
    if (!dt_failed(&status)) {
        json_object_set_new(trials->setup, "event", json_string("setup"));
        describe(trials, &results);
        status = judge_all(trials, &results);
    }
    *unread = results.unread;
    release_results(&results);
    if (dt_failed(&status))
        dt_trials_release(trials);
    return status;
}
