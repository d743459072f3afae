/* SPDX-License-Identifier: BSD-3-Clause */
/* Which kind of result a path is, and what is to be printed of it. */
#include "dtrain/report.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dtrain/log.h"
#include "dtrain/text.h"
#include "report/comparison.h"
#include "report/files.h"
#include "report/scaling.h"
#include "report/sweep.h"

enum { LEVELS = 4 };

/* What stands behind one path: trials of the scaling benchmark, or runs. */
typedef struct dt_result_set {
    const char *path;
    bool is_folder, is_scaling;
    int unread; /* files and folders that could not be read */
    dt_trials trials;
    dt_records records;
} dt_result_set;

static bool is_folder(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* A link that leads nowhere hides no run; a name that may not be looked at may. */
static bool is_hidden(const char *path) {
    struct stat about;
    return stat(path, &about) != 0 && errno != ENOENT && errno != ELOOP;
}

static bool has_file(const char *folder, const char *name) {
    char path[DT_FILES_PATH];
    struct stat about;
    dt_status status = dt_files_join(path, folder, name, NULL);
    return !dt_failed(&status) && stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Memory is needed by all; anything else is the trouble of one file or folder, and the rest goes on. */
static dt_status pass_over(dt_result_set *set, dt_status status) {
    if (!dt_failed(&status) || status.code == DT_MEMORY)
        return status;
    dt_log_warning("%s. It is left out", status.text);
    set->unread++;
    return dt_ok();
}

static dt_status add_file(dt_result_set *set, dt_file_set *met, const char *path) {
    bool known;
    int before = set->records.count;
    DT_TRY(dt_file_set_add(met, path, &known));
    if (known) {
        dt_log_warning("%s: another name of a file that is counted already: it is left out", path);
        return dt_ok();
    }
    dt_status status = dt_records_read(path, &set->records);
    if (!dt_failed(&status) && set->records.count == before)
        dt_log_warning("%s: no run is in it", path);
    return pass_over(set, status);
}

static dt_status read_tree(dt_result_set *set, dt_file_set *met, const char *folder, int levels);

static dt_status read_entry(dt_result_set *set, dt_file_set *met, const char *folder, const char *name,
                            int levels) {
    char path[DT_FILES_PATH];
    bool known;
    dt_status status = dt_files_join(path, folder, name, NULL);
    if (dt_failed(&status))
        return pass_over(set, status);
    if (strcmp(name, "metrics.jsonl") == 0)
        return add_file(set, met, path);
    if (name[0] == '.' || levels == 0)
        return dt_ok();
    if (is_hidden(path))
        return pass_over(set, dt_fail(DT_FILE, "%s: cannot be read: %s", path, strerror(errno)));
    if (!is_folder(path))
        return dt_ok();
    DT_TRY(dt_file_set_add(met, path, &known));
    return known ? dt_ok() : read_tree(set, met, path, levels - 1);
}

/* Reads the metrics.jsonl of a folder and of the folders in it, by name; each but once, by whatever links. */
static dt_status read_tree(dt_result_set *set, dt_file_set *met, const char *folder, int levels) {
    struct dirent **entries = NULL;
    dt_status status = dt_ok();
    int count = scandir(folder, &entries, NULL, by_name);
    if (count < 0)
        return pass_over(set, dt_fail(DT_FILE, "%s: cannot be read: %s", folder, strerror(errno)));
    for (int i = 0; i < count; i++) {
        if (!dt_failed(&status))
            status = read_entry(set, met, folder, entries[i]->d_name, levels);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static dt_status read_runs(dt_result_set *set) {
    dt_file_set met = {0};
    bool known;
    dt_status status = dt_file_set_add(&met, set->path, &known);
    if (!dt_failed(&status))
        status = read_tree(set, &met, set->path, LEVELS);
    dt_file_set_release(&met);
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
    DT_TRY(dt_files_read_lines(set->path, take_first_event, event));
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
        status = dt_trials_gather(set->path, &set->trials, &set->unread);
    else
        status = read_runs(set);
    dt_records_drop_superseded(&set->records);
    if (!dt_failed(&status) && (set->is_scaling ? set->trials.count : set->records.count) == 0)
        status =
            dt_fail(DT_FILE, "%s: no run is in it%s", set->path, set->unread > 0 ? " that can be read" : "");
    return status;
}

/* A folder that cannot be written to does not take the table away. */
static void warn(dt_status status) {
    if (dt_failed(&status))
        dt_log_warning("%s", status.text);
}

static dt_status write_trials(const dt_result_set *set) {
    dt_output output;
    DT_TRY(dt_output_open(&output, set->path, "scaling.jsonl"));
    return dt_output_close(&output, dt_trials_write(&set->trials, output.stream));
}

static dt_status write_rows(const dt_result_set *set, const dt_scaling *scaling) {
    dt_output output;
    DT_TRY(dt_output_open(&output, set->path, "scaling.csv"));
    dt_scaling_write_csv(&set->trials, scaling, output.stream);
    return dt_output_close(&output, dt_ok());
}

static dt_status report_scaling(const dt_result_set *set, FILE *stream) {
    dt_scaling scaling;
    DT_TRY(dt_scaling_make(&set->trials, &scaling));
    dt_status status = dt_scaling_print(&set->trials, &scaling, stream);
    if (set->is_folder && !dt_failed(&status)) {
        warn(write_trials(set));
        warn(write_rows(set, &scaling));
    }
    dt_scaling_release(&scaling);
    return status;
}

static dt_status report_sweep(const dt_result_set *set, FILE *stream) {
    dt_output output = {0};
    if (set->is_folder)
        warn(dt_output_open(&output, set->path, "sweep.csv"));
    dt_status status = dt_sweep_print(&set->records, stream, output.stream);
    if (!output.stream)
        return status;
    dt_status written = dt_output_close(&output, status);
    if (!dt_failed(&status))
        warn(written);
    return status;
}

static dt_status introduce(const dt_result_set *set, const char *rank, FILE *stream) {
    dt_text_print(stream, "%s: %s", rank, set->path);
    fputc('\n', stream);
    if (set->is_scaling) {
        dt_scaling_describe(&set->trials, "  ", stream);
        return dt_ok();
    }
    const char **names;
    int unfinished = 0, varying;
    DT_TRY(dt_sweep_varying(&set->records, &names, &varying));
    for (int i = 0; i < set->records.count; i++)
        unfinished += !set->records.runs[i].ended;
    fprintf(stream, "  %d runs, %d of them not ended and left out\n", set->records.count, unfinished);
    for (int i = 0; i < varying; i++) {
        dt_text_print(stream, "  warning: its runs differ in --%s", names[i]);
        fputc('\n', stream);
    }
    free(names);
    return dt_ok();
}

static dt_status compare(const dt_result_set *a, const dt_result_set *b, FILE *stream) {
    if (a->is_scaling != b->is_scaling)
        return dt_fail(DT_USAGE, "%s holds %s and %s holds %s: they cannot be compared", a->path,
                       a->is_scaling ? "a scaling benchmark" : "runs", b->path,
                       b->is_scaling ? "a scaling benchmark" : "runs");
    DT_TRY(introduce(a, "first", stream));
    DT_TRY(introduce(b, "second", stream));
    fputc('\n', stream);
    dt_comparison comparison;
    DT_TRY(a->is_scaling ? dt_comparison_of_trials(&a->trials, &b->trials, &comparison)
                         : dt_comparison_of_runs(&a->records, &b->records, &comparison));
    dt_status status = dt_comparison_print(&comparison, stream);
    dt_comparison_release(&comparison);
    return status;
}

/* What cannot be compared with the first is left out, and the others are. */
static dt_status read_sets(dt_result_set *sets, const char *const *paths, int count, int *unread) {
    for (int i = 0; i < count; i++) {
        sets[i].path = paths[i];
        dt_status status = read_set(&sets[i]);
        *unread += sets[i].unread;
        if (dt_failed(&status) && (i == 0 || count == 2 || status.code == DT_MEMORY))
            return status;
        if (dt_failed(&status)) {
            dt_log_warning("%s. It is left out", status.text);
            sets[i].path = NULL;
            ++*unread;
        }
    }
    return dt_ok();
}

static dt_status print_sets(const dt_result_set *sets, int count, FILE *stream) {
    if (count == 1)
        return sets->is_scaling ? report_scaling(sets, stream) : report_sweep(sets, stream);
    bool printed = false;
    for (int i = 1; i < count; i++) {
        if (!sets[i].path)
            continue;
        if (printed)
            fputc('\n', stream);
        DT_TRY(compare(&sets[0], &sets[i], stream));
        printed = true;
    }
    return dt_ok();
}

dt_status dt_report_run(const char *const *paths, int count, FILE *stream) {
    int unread = 0;
    dt_result_set *sets = calloc((size_t)count, sizeof *sets);
    dt_status status =
        sets ? read_sets(sets, paths, count, &unread) : dt_fail(DT_MEMORY, "no memory for %d results", count);
    assert(sets || dt_failed(&status));
    if (!dt_failed(&status))
        status = print_sets(sets, count, stream);
    if (!dt_failed(&status) && unread > 0)
        status = dt_fail(DT_FILE, "%d file%s or folder%s could not be read and %s left out: see the warnings",
                         unread, unread == 1 ? "" : "s", unread == 1 ? "" : "s", unread == 1 ? "is" : "are");
    for (int i = 0; sets && i < count; i++) {
        dt_trials_release(&sets[i].trials);
        dt_records_release(&sets[i].records);
    }
    free(sets);
    return status;
}
