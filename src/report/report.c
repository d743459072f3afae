/* SPDX-License-Identifier: BSD-3-Clause */
/* Which kind of result a path is, and what is to be printed of it. */
#include "dtrain/report.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dtrain/log.h"
#include "report/comparison.h"
#include "report/scaling.h"
#include "report/sweep.h"

enum { PATH_ROOM = 4096, LEVELS = 4 };

/* What stands behind one path: trials of the scaling benchmark, or runs. */
typedef struct dt_result_set {
    const char *path;
    bool is_folder, is_scaling;
    dt_trials trials;
    dt_records records;
} dt_result_set;

static bool is_folder(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static bool has_file(const char *folder, const char *name) {
    char path[PATH_ROOM];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Reads the metrics.jsonl of a folder and of the folders in it, by name. */
static dt_status read_tree(const char *folder, int levels, dt_records *records) {
    char path[PATH_ROOM];
    struct dirent **entries = NULL;
    dt_status status = dt_ok();
    int count = scandir(folder, &entries, NULL, by_name);
    if (count < 0)
        return dt_fail(DT_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        bool fits = snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path;
        if (fits && !dt_failed(&status) && strcmp(name, "metrics.jsonl") == 0)
            status = dt_records_read(path, records);
        else if (fits && !dt_failed(&status) && name[0] != '.' && levels > 0 && is_folder(path))
            status = read_tree(path, levels - 1, records);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static dt_status take_first_event(void *context, json_t *line) {
    char *event = context;
    const char *found = json_string_value(json_object_get(line, "event"));
    if (!event[0])
        snprintf(event, 32, "%s", found ? found : "?");
    return dt_ok();
}

static dt_status read_file(dt_result_set *set) {
    char event[32] = "";
    DT_TRY(dt_json_lines_read(set->path, take_first_event, event));
    set->is_scaling = strcmp(event, "setup") == 0;
    return set->is_scaling ? dt_trials_read(set->path, &set->trials)
                           : dt_records_read(set->path, &set->records);
}

static dt_status read_set(dt_result_set *set) {
    dt_status status;
    set->is_folder = is_folder(set->path);
    if (!set->is_folder)
        status = read_file(set);
    else if ((set->is_scaling = has_file(set->path, "setup.json")))
        status = dt_trials_gather(set->path, &set->trials);
    else
        status = read_tree(set->path, LEVELS, &set->records);
    if (!dt_failed(&status) && (set->is_scaling ? set->trials.count : set->records.count) == 0)
        status = dt_fail(DT_FILE, "%s: no run is in it", set->path);
    return status;
}

static void warn(dt_status status) {
    if (dt_failed(&status))
        dt_log_warning("%s", status.text);
}

static dt_status report_scaling(const dt_result_set *set, FILE *stream) {
    dt_scaling scaling;
    DT_TRY(dt_scaling_make(&set->trials, &scaling));
    dt_status status = dt_scaling_print(&set->trials, &scaling, stream);
    if (set->is_folder && !dt_failed(&status)) {
        char path[PATH_ROOM];
        snprintf(path, sizeof path, "%s/scaling.jsonl", set->path);
        warn(dt_trials_write(&set->trials, path));
        snprintf(path, sizeof path, "%s/scaling.csv", set->path);
        warn(dt_scaling_write_csv(&set->trials, &scaling, path));
    }
    dt_scaling_release(&scaling);
    return status;
}

static dt_status report_sweep(const dt_result_set *set, FILE *stream) {
    char path[PATH_ROOM];
    FILE *csv = NULL;
    snprintf(path, sizeof path, "%s/sweep.csv", set->path);
    if (set->is_folder && !(csv = fopen(path, "w")))
        dt_log_warning("%s: cannot be written: %s", path, strerror(errno));
    dt_status status = dt_sweep_print(&set->records, stream, csv);
    bool failed = csv && ferror(csv);
    if (csv && (fclose(csv) != 0 || failed))
        dt_log_warning("%s: cannot be written: %s", path, strerror(errno));
    return status;
}

static void introduce(const dt_result_set *set, const char *rank, FILE *stream) {
    fprintf(stream, "%s: %s\n", rank, set->path);
    if (set->is_scaling) {
        dt_scaling_describe(&set->trials, "  ", stream);
        return;
    }
    const char *names[8];
    int unfinished = 0, varying = dt_sweep_varying(&set->records, names, 8);
    for (int i = 0; i < set->records.count; i++)
        unfinished += !set->records.runs[i].ended;
    fprintf(stream, "  %d runs, %d of them not ended and left out\n", set->records.count, unfinished);
    for (int i = 0; i < varying; i++)
        fprintf(stream, "  warning: its runs differ in --%s\n", names[i]);
}

static dt_status compare(const dt_result_set *a, const dt_result_set *b, FILE *stream) {
    if (a->is_scaling != b->is_scaling)
        return dt_fail(DT_USAGE, "%s holds %s and %s holds %s: they cannot be compared", a->path,
                       a->is_scaling ? "a scaling benchmark" : "runs", b->path,
                       b->is_scaling ? "a scaling benchmark" : "runs");
    introduce(a, "first", stream);
    introduce(b, "second", stream);
    fputc('\n', stream);
    dt_comparison comparison;
    DT_TRY(a->is_scaling ? dt_comparison_of_trials(&a->trials, &b->trials, &comparison)
                         : dt_comparison_of_runs(&a->records, &b->records, &comparison));
    dt_status status = dt_comparison_print(&comparison, stream);
    dt_comparison_release(&comparison);
    return status;
}

dt_status dt_report_run(const char *const *paths, int count, FILE *stream) {
    dt_result_set *sets = calloc((size_t)count, sizeof *sets);
    dt_status status = sets ? dt_ok() : dt_fail(DT_MEMORY, "no memory for %d results", count);
    for (int i = 0; i < count && !dt_failed(&status); i++) {
        sets[i].path = paths[i];
        status = read_set(&sets[i]);
    }
    if (!dt_failed(&status) && count == 1)
        status = sets->is_scaling ? report_scaling(sets, stream) : report_sweep(sets, stream);
    for (int i = 1; i < count && !dt_failed(&status); i++) {
        if (i > 1)
            fputc('\n', stream);
        status = compare(&sets[0], &sets[i], stream);
    }
    for (int i = 0; sets && i < count; i++) {
        dt_trials_release(&sets[i].trials);
        dt_records_release(&sets[i].records);
    }
    free(sets);
    return status;
}
