/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain report on results made by hand, whose tables are known. */
#include "test.h"

#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/report.h"
#include "report/comparison.h"
#include "report/scaling.h"
#include "report/sweep.h"

enum { ROOM = 1024, TEXT = 4096 };

static char folder[64];

static int open_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dtrain-report-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place) {
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static int close_folder(void **state) {
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *place(const char *name) {
    static char path[ROOM];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Writes a file of the folder, and the folders that its name goes through. */
static void put(const char *name, const char *text) {
    char path[ROOM];
    snprintf(path, sizeof path, "%s", place(name));
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0777);
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Two epochs, the first of them slow, with 10 ms a step in the phases that wait for others. */
static const char *run_text(int ranks, int batch, int seed, double loss, double speed, double accuracy,
                            const char *hash) {
    static char text[TEXT];
    snprintf(
        text, sizeof text,
        "{\"event\":\"start\",\"ranks\":%d,\"train_flop\":1e9,\"options\":{\"batch\":%d,\"strategy\":"
        "\"allreduce\",\"lr\":0.001,\"seed\":%d,\"out\":\"r%d\"},\"hosts\":[{\"rank\":0,\"host\":\"h\","
        "\"cpu\":\"c\",\"threads\":1}]}\n"
        "{\"event\":\"epoch\",\"epoch\":1,\"step\":4,\"loss\":%.16g,\"images_per_s\":1.0,\"phases\":{}}\n"
        "{\"event\":\"other\"}\n"
        "{\"event\":\"epoch\",\"epoch\":2,\"step\":8,\"loss\":%.16g,\"test_accuracy\":%.16g,\"test_loss\":2."
        "0,"
        "\"val_loss\":null,\"images_per_s\":%.16g,\"phases\":{\"statistics\":0.03,\"gradients\":0.01}}\n"
        "{\"event\":\"end\",\"weights_hash\":\"%s\",\"step\":8}\n",
        ranks, batch, seed, seed, 2 * loss, loss, accuracy, speed, hash);
    return text;
}

static void append(char *text, size_t room, const char *more) {
    size_t used = strlen(text), length = strlen(more);
    assert_true(used + length < room);
    memcpy(text + used, more, length + 1);
}

static void put_trial(int order, int ranks, int exit_code, const char *metrics) {
    char name[ROOM], text[TEXT];
    snprintf(name, sizeof name, "runs/%04d/asked.json", order);
    snprintf(text, sizeof text,
             "{\"reference\":%s,\"experiments\":\"strong cores\",\"strategy\":\"allreduce\",\"ranks\":%d,"
             "\"threads\":1,\"batch\":64,\"repeat\":1,\"order\":%d,\"oversubscribed\":%s,\"exit_code\":%d,"
             "\"peak_gflops\":%d,\"said\":\"it broke\"}",
             order ? "false" : "true", ranks, order, ranks > 2 ? "true" : "false", exit_code, 200 * ranks);
    put(name, text);
    snprintf(name, sizeof name, "runs/%04d/metrics.jsonl", order);
    if (metrics)
        put(name, metrics);
}

/* One rank at 98, 102 and 100 images/s, two ranks at 160. */
static void put_scaling(void) {
    put("setup.json",
        "{\"warmup\":1,\"repeats\":3,\"blocks\":1,\"steps\":4,\"seed\":1,\"options\":[\"--width\","
        "\"1\"],\"command\":\"x\",\"launcher\":\"l\",\"time\":\"t\"}");
    put_trial(0, 1, 0, run_text(1, 64, 1, 2.5, 100, 0.5, "abc"));
    put_trial(1, 1, 0, run_text(1, 64, 1, 2.5, 98, 0.5, "abc"));
    put_trial(2, 1, 0, run_text(1, 64, 1, 2.5, 102, 0.5, "abc"));
    put_trial(3, 2, 0, run_text(2, 64, 1, 2.5, 160, 0.5, "abc"));
    put_trial(4, 1, 0, run_text(1, 64, 1, 2.5, 100, 0.5, "abc"));
}

static const dt_scaling_row *row_of(const dt_scaling *scaling, int experiment, int ranks) {
    for (int i = 0; i < scaling->count; i++)
        if ((int)scaling->rows[i].experiment == experiment && scaling->rows[i].first->ranks == ranks)
            return &scaling->rows[i];
    fail_msg("no row for %d ranks", ranks);
    return NULL;
}

static void assert_near(double found, double expected) {
    if (!(fabs(found - expected) <= 1e-12 * fabs(expected)))
        fail_msg("%.17g is not %.17g", found, expected);
}

static void speedup_of_valid_trials(void **state) {
    (void)state;
    dt_trials trials;
    int unread;
    dt_scaling scaling;
    put_scaling();
    assert_ok(dt_trials_gather(folder, &trials, &unread));
    assert_ok(dt_scaling_make(&trials, &scaling));
    assert_int_equal(scaling.count, 4);
    assert_int_equal(scaling.states[DT_TRIAL_VALID], 4);
    const dt_scaling_row *one = row_of(&scaling, DT_EXPERIMENT_STRONG, 1);
    const dt_scaling_row *two = row_of(&scaling, DT_EXPERIMENT_STRONG, 2);
    assert_int_equal(one->valid, 3);
    assert_near(one->speed.median, 100);
    assert_near(one->speed.low, 98);
    assert_near(one->speed.high, 102);
    assert_near(one->speedup, 1);
    assert_true(isnan(one->serial_fraction));
    assert_near(two->speedup, 1.6);
    assert_near(two->efficiency, 0.8);
    assert_near(two->serial_fraction, 0.25);
    assert_near(two->exposed_ms, 10);
    assert_true(isnan(two->bytes_a_step));
    assert_near(two->gflops, 160);
    assert_near(two->peak_share, 0.4);
    assert_near(two->phases_ms[DT_PHASE_STATISTICS], 7.5);
    dt_scaling_release(&scaling);
    dt_trials_release(&trials);
}

/* Each kind of trial that must not count, with its reason. */
static void wrong_answers_do_not_count(void **state) {
    (void)state;
    const struct {
        const char *why;
        dt_trial_state state;
    } cases[] = {
        {"epoch 1: loss 5.000000000000001 instead of 5", DT_TRIAL_INVALID},
        {"weights hash abd instead of abc", DT_TRIAL_INVALID},
        {"1 ranks ran instead of 2", DT_TRIAL_INVALID},
        {"exit code 7: it broke", DT_TRIAL_FAILED},
        {"stopped at the time limit", DT_TRIAL_FAILED},
        {"2 runs instead of one", DT_TRIAL_FAILED},
        {"metrics.jsonl has no end line", DT_TRIAL_FAILED},
        {"shared by all nodes", DT_TRIAL_FAILED},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    char twice[2 * TEXT];
    put_scaling();
    put_trial(5, 2, 0, run_text(2, 64, 1, 2.5000000000000004, 160, 0.5, "abc"));
    put_trial(6, 2, 0, run_text(2, 64, 1, 2.5, 160, 0.5, "abd"));
    put_trial(7, 2, 0, run_text(1, 64, 1, 2.5, 160, 0.5, "abc"));
    put_trial(8, 2, 7, NULL);
    put_trial(9, 2, 124, run_text(2, 64, 1, 2.5, 160, 0.5, "abc"));
    snprintf(twice, sizeof twice, "%s", run_text(1, 64, 1, 2.5, 160, 0.5, "abc"));
    snprintf(twice + strlen(twice), TEXT, "%s", run_text(1, 64, 1, 2.5, 160, 0.5, "abc"));
    put_trial(10, 2, 0, twice);
    *strstr(twice, "{\"event\":\"end\"") = '\0';
    put_trial(11, 2, 0, twice);
    put_trial(12, 2, 0, NULL);
    dt_trials trials;
    int unread;
    dt_scaling scaling;
    assert_ok(dt_trials_gather(folder, &trials, &unread));
    assert_int_equal(trials.count, 4 + CASES);
    for (int i = 0; i < CASES; i++) {
        const dt_trial *trial = &trials.list[4 + i];
        assert_int_equal(trial->order, 5 + i);
        if (trial->state != cases[i].state || !strstr(trial->why, cases[i].why))
            fail_msg("%s: %s is not '%s'", dt_trial_state_name(trial->state), trial->why, cases[i].why);
    }
    assert_ok(dt_scaling_make(&trials, &scaling));
    assert_int_equal(scaling.states[DT_TRIAL_INVALID], 3);
    assert_int_equal(scaling.states[DT_TRIAL_FAILED], 5);
    const dt_scaling_row *two = row_of(&scaling, DT_EXPERIMENT_CORES, 2);
    assert_int_equal(two->state, DT_TRIAL_INVALID);
    assert_true(isnan(two->speed.median) && isnan(two->speedup) && isnan(two->exposed_ms));
    assert_near(row_of(&scaling, DT_EXPERIMENT_CORES, 1)->speed.median, 100);
    dt_scaling_release(&scaling);
    dt_trials_release(&trials);
}

/* Without a reference nothing is valid; a folder without trials is an error. */
static void no_reference(void **state) {
    (void)state;
    dt_trials trials;
    int unread;
    const char *const paths[] = {folder};
    put_scaling();
    put_trial(0, 1, 1, NULL);
    assert_ok(dt_trials_gather(folder, &trials, &unread));
    for (int i = 0; i < trials.count; i++) {
        assert_int_equal(trials.list[i].state, DT_TRIAL_INVALID);
        assert_non_null(strstr(trials.list[i].why, "the reference run with batch 64 failed"));
    }
    dt_trials_release(&trials);
    put("setup.json", "[1]");
    assert_fails(dt_report_run(paths, 1, stdout), DT_FILE, "setup.json");
}

/* What dt_report_run prints; its status must be success. */
static char *report(const char *first, const char *second) {
    char *text = NULL, paths[2][ROOM];
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    snprintf(paths[0], ROOM, "%s", place(first));
    snprintf(paths[1], ROOM, "%s", place(second ? second : ""));
    const char *const list[] = {paths[0], paths[1]};
    dt_status status = dt_report_run(list, second ? 2 : 1, stream);
    fclose(stream);
    assert_ok(status);
    return text;
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

/* The folder's table, its scaling.jsonl read back, and its CSV say the same. */
static void scaling_files(void **state) {
    (void)state;
    put_scaling();
    put_trial(5, 4, 0, run_text(4, 64, 1, 2.5, 150, 0.5, "abc"));
    char *first = report("", NULL), *second = report("scaling.jsonl", NULL), line[ROOM];
    assert_string_equal(first, second);
    assert_has(
        first,
        "   64  allreduce  2        1     160.0  0.0      1.60            80        10.0          -     "
        "    40   0.250   1/1  VALID\n");
    assert_has(first, "VALID, oversubscribed\n");
    assert_has(first, "5 runs VALID, 0 INVALID, 0 FAILED\n");
    free(first);
    free(second);
    FILE *csv = fopen(place("scaling.csv"), "r");
    assert_non_null(csv);
    int comments = 0, rows = 0;
    while (fgets(line, sizeof line, csv)) {
        comments += line[0] == '#';
        rows +=
            strncmp(line,
                    "strong,allreduce,2,1,64,VALID,1,1,no,160,160,160,160,,1.6,0.8,0.25,10,,160,400,0.4,400,",
                    87) == 0;
    }
    fclose(csv);
    assert_int_equal(comments, 6);
    assert_int_equal(rows, 1);
}

/* Weak scaling is set beside one rank with the same batch a rank. */
static void weak_scaling(void **state) {
    (void)state;
    dt_trial list[] = {{.experiments = 1U << DT_EXPERIMENT_WEAK, .ranks = 1, .threads = 1, .batch = 64},
                       {.experiments = 1U << DT_EXPERIMENT_WEAK, .ranks = 4, .threads = 1, .batch = 256}};
    dt_trials trials = {.list = list, .count = 2};
    dt_scaling scaling;
    list[0].images_per_s = 100;
    list[1].images_per_s = 360;
    assert_ok(dt_scaling_make(&trials, &scaling));
    assert_near(row_of(&scaling, DT_EXPERIMENT_WEAK, 4)->speedup, 3.6);
    assert_near(row_of(&scaling, DT_EXPERIMENT_WEAK, 4)->efficiency, 0.9);
    dt_scaling_release(&scaling);
}

static void put_line(const char *name, const double *speeds, int count, const char *state_name) {
    char text[8 * TEXT];
    int used = snprintf(text, sizeof text, "{\"event\":\"setup\",\"warmup\":1,\"options\":[]}\n");
    for (int i = 0; i < count; i++)
        used += snprintf(
            text + used, sizeof text - (size_t)used,
            "{\"event\":\"run\",\"order\":%d,\"experiments\":[\"strong\"],\"strategy\":\"allreduce\","
            "\"ranks\":2,\"threads\":1,\"batch\":64,\"repeat\":1,\"oversubscribed\":false,\"state\":"
            "\"%s\",\"why\":\"\",\"images_per_s\":%.17g,\"phases_ms\":{}}\n",
            i, state_name, speeds[i]);
    put(name, text);
}

/* Twice as fast, by far more than the spread: the ratio is that of the geometric means. */
static void comparison_of_scaling(void **state) {
    (void)state;
    const double slow[] = {100, 101, 99, 100.5, 99.5}, fast[] = {200, 202, 198, 201, 199};
    const double near[] = {100, 101.5, 98.6, 100.7, 99.3};
    put_line("a.jsonl", slow, 5, "VALID");
    put_line("b.jsonl", fast, 5, "VALID");
    put_line("c.jsonl", near, 5, "VALID");
    put_line("d.jsonl", fast, 1, "VALID");
    put_line("e.jsonl", fast, 5, "INVALID");
    char *text = report("a.jsonl", "b.jsonl");
    assert_has(text, "2.000");
    assert_has(text, "<0.0001  faster\n");
    assert_has(text, "Welch's t-test on the logarithms of images/s");
    free(text);
    text = report("b.jsonl", "a.jsonl");
    assert_has(text, "slower\n");
    free(text);
    text = report("a.jsonl", "c.jsonl");
    assert_has(text, "not significant\n");
    free(text);
    text = report("a.jsonl", "d.jsonl");
    assert_has(text, "not significant (a single value has no spread)\n");
    free(text);
    text = report("a.jsonl", "e.jsonl");
    assert_has(text, "only in the first\n");
    free(text);
}

static void mixed_processors(void **state) {
    (void)state;
    put("mixed.jsonl",
        "{\"event\":\"setup\",\"hosts\":[{\"cpu\":\"A\",\"host\":\"n1\"},{\"cpu\":\"A\",\"host\":\"n1\"},"
        "{\"cpu\":\"B\",\"host\":\"n2\"}]}\n"
        "{\"event\":\"run\",\"order\":1,\"experiments\":[],\"strategy\":\"s\",\"ranks\":1,\"threads\":1,"
        "\"batch\":8,\"repeat\":1,\"oversubscribed\":false,\"state\":\"VALID\",\"why\":\"\",\"phases_ms\":{}}"
        "\n");
    char *text = report("mixed.jsonl", NULL);
    assert_has(text, "machine: A, 2 hosts (n1, ..)\n");
    assert_has(
        text, "the CPUs are mixed, and the slowest sets the pace: rank 0 runs on A (n1), rank 2 on B (n2)\n");
    free(text);
}

/* Five seeds of two learning rates: 0.001 reads 90 .. 94 %, 0.01 reads 80 .. 84 %. */
static void put_sweep(const char *name, double accuracy, const char *rate) {
    char path[ROOM], text[TEXT];
    for (int seed = 1; seed <= 5; seed++) {
        snprintf(path, sizeof path, "%s/seed%d/metrics.jsonl", name, seed);
        snprintf(text, sizeof text, "%s",
                 run_text(1, 64, seed, 2.0, 100 + seed, accuracy + 0.01 * seed, "abc"));
        char *place_of_rate = strstr(text, "0.001");
        memcpy(place_of_rate, rate, 5);
        put(path, text);
    }
}

static void sweep_table(void **state) {
    (void)state;
    put_sweep("sweep/low", 0.89, "0.001");
    put_sweep("sweep/high", 0.79, "0.010");
    put("sweep/more/metrics.jsonl", run_text(1, 64, 5, 2.0, 106, 0.94, "abc")); /* a seed once more */
    char *text = report("sweep", NULL);
    /* Deviation of 1..5: sqrt(2.5) = 1.58; of 1..6: sqrt(3.5) = 1.87. */
    assert_has(text, "\n0.01   1            82.00  1.58     2.0000  0.0000");
    assert_has(text, "\n0.001  1            92.00  1.58     2.0000  0.0000");
    /* Half-way between the epochs: 51, 51.5 .. */
    assert_has(text, "52.2  0.9     6           0");
    assert_has(text, "52.0  0.8     5           0");
    free(text);
    assert_int_equal(access(place("sweep/sweep.csv"), R_OK), 0);
    text = report("sweep/low", "sweep/high");
    assert_has(text, "lower\n");
    assert_has(text, "-10.0000");
    assert_has(text, "not tested (no spread at all)\n");
    free(text);
}

/* Of two single runs the epochs behind the first are compared; their accuracies are single values. */
static void comparison_of_two_runs(void **state) {
    (void)state;
    const char *const names[] = {"slow.jsonl", "fast.jsonl"};
    for (int i = 0; i < 2; i++) {
        char text[TEXT], *end = text;
        end += sprintf(end, "{\"event\":\"start\",\"ranks\":1,\"options\":{\"seed\":1}}\n");
        for (int epoch = 0; epoch < 5; epoch++)
            end += sprintf(end, "{\"event\":\"epoch\",\"test_accuracy\":0.5,\"images_per_s\":%d}\n",
                           epoch ? 100 * (i + 1) + epoch : 1);
        sprintf(end, "{\"event\":\"end\"}\n");
        put(names[i], text);
    }
    char *text = report("slow.jsonl", "fast.jsonl");
    assert_has(text, "102.5000  1.2910       4  202.5000  1.2910       4    100.0000");
    assert_has(text, "faster\n");
    assert_has(text, "not significant (a single value has no spread)\n");
    assert_has(text, "images/s: an epoch");
    free(text);
}

/* A run broken off and taken up again in the same file counts once; one that never ended is said. */
static void unfinished_runs(void **state) {
    (void)state;
    char text[2 * TEXT];
    snprintf(text, sizeof text, "%s", run_text(1, 64, 1, 2.0, 100, 0.9, "abc"));
    *strstr(text, "{\"event\":\"end\"") = '\0';
    put("s/a/metrics.jsonl", text);
    snprintf(text + strlen(text), TEXT, "%s", run_text(1, 64, 1, 2.0, 100, 0.9, "abc"));
    put("s/b/metrics.jsonl", text);
    char *table = report("s", NULL);
    assert_has(table, "     1           1\n");
    free(table);
}

/* A run that was stopped as asked says so at its end; the one that goes on from there counts. */
static void stopped_runs(void **state) {
    (void)state;
    char text[3 * TEXT] = "";
    append(text, sizeof text, run_text(1, 64, 1, 2.0, 100, 0.9, "abc"));
    char *reason = strstr(text, "\"weights_hash\"");
    strcpy(reason, "\"reason\":\"stopped\",\"x\":0}\n");
    put("s/metrics.jsonl", text);
    char *table = report("s", NULL);
    assert_has(table, "     0           1\n");
    free(table);
    append(text, sizeof text, run_text(1, 64, 1, 2.0, 100, 0.9, "abc"));
    put("s/metrics.jsonl", text);
    table = report("s", NULL);
    assert_has(table, "     1           0\n");
    free(table);
}

/* A run with these options, in JSON, and these figures. */
static void put_run(const char *name, const char *options, const char *figures) {
    char text[2 * TEXT];
    snprintf(text, sizeof text,
             "{\"event\":\"start\",\"ranks\":1,\"options\":{%s}}\n{\"event\":\"epoch\",\"step\":4,%s}\n"
             "{\"event\":\"end\"}\n",
             options, figures);
    put(name, text);
}

static int count_of(const char *text, const char *part) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* A stopped run that was resumed with other limits is one row; a broken-off run with another rate is its own.
 */
static void resumed_runs(void **state) {
    (void)state;
    put("s/metrics.jsonl", "{\"event\":\"start\",\"ranks\":1,\"options\":{\"lr\":0.1,\"max_time\":60}}\n"
                           "{\"event\":\"end\",\"reason\":\"stopped\"}\n"
                           "{\"event\":\"start\",\"ranks\":1,\"options\":{\"lr\":0.1,\"max_time\":0}}\n"
                           "{\"event\":\"resume\",\"step\":3}\n{\"event\":\"epoch\",\"test_accuracy\":0.5}\n{"
                           "\"event\":\"end\"}\n");
    char *table = report("s", NULL);
    assert_int_equal(count_of(table, "\n"), 2);
    assert_has(table, "     1           0\n");
    free(table);
    put("s/b/metrics.jsonl", "{\"event\":\"start\",\"ranks\":1,\"options\":{\"lr\":0.2,\"max_time\":0}}\n");
    table = report("s", NULL);
    assert_int_equal(count_of(table, "\n"), 3);
    assert_has(table, "0.2");
    free(table);
}

/* Runs that differ at the end of long values, in a late digit, or in many options, are different runs. */
static void options_are_compared_whole(void **state) {
    (void)state;
    char options[TEXT], name[64], longest[700];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    for (int i = 0; i < 2; i++) {
        snprintf(options, sizeof options, "\"data\":\"%s%d\"", longest, i);
        snprintf(name, sizeof name, "long/%d/metrics.jsonl", i);
        put_run(name, options, "\"loss\":1");
        snprintf(options, sizeof options, "\"lr\":%s", i ? "0.10000000000000002" : "0.1");
        snprintf(name, sizeof name, "late/%d/metrics.jsonl", i);
        put_run(name, options, "\"loss\":1");
        int used = snprintf(options, sizeof options, "\"z\":%d", i == 0);
        for (int option = 0; option < 30; option++)
            used += snprintf(options + used, sizeof options - (size_t)used, ",\"o%d\":%d", option, i);
        snprintf(name, sizeof name, "many/%d/metrics.jsonl", i);
        put_run(name, options, "\"loss\":1");
        snprintf(name, sizeof name, "new/%d/metrics.jsonl", i);
        put_run(name, i ? "\"lr\":1,\"newer\":[1]" : "\"lr\":1.0", "\"loss\":1");
    }
    const char *const folders[] = {"long", "late", "many", "new"};
    for (int i = 0; i < 4; i++) {
        char *table = report(folders[i], NULL);
        assert_int_equal(count_of(table, "\n"), 3);
        assert_true(i < 3 || !strstr(table, "lr"));
        free(table);
    }
}

/* Three names of one record are one run, and a link back to the folder is no endless way. */
static void links_count_once(void **state) {
    (void)state;
    char path[ROOM], target[ROOM];
    put_run("s/a/metrics.jsonl", "\"seed\":1", "\"loss\":1");
    put("s/b/none", "");
    snprintf(target, sizeof target, "%s", place("s/a/metrics.jsonl"));
    snprintf(path, sizeof path, "%s", place("s/b/metrics.jsonl"));
    assert_int_equal(link(target, path), 0);
    snprintf(path, sizeof path, "%s", place("s/c"));
    assert_int_equal(symlink("a", path), 0);
    snprintf(path, sizeof path, "%s", place("s/loop"));
    assert_int_equal(symlink(".", path), 0);
    char *table = report("s", NULL);
    assert_has(table, "     1           0\n");
    free(table);
    put_scaling();
    snprintf(path, sizeof path, "%s", place("runs/again"));
    assert_int_equal(symlink("0003", path), 0);
    dt_trials trials;
    int unread;
    assert_ok(dt_trials_gather(folder, &trials, &unread));
    assert_int_equal(trials.count, 4);
    assert_int_equal(unread, 0);
    dt_trials_release(&trials);
}

/* What is printed of a folder of which a part cannot be read, and the failure behind it. */
static void what_cannot_be_read_is_left_out(void **state) {
    (void)state;
    char *text = NULL, path[ROOM];
    size_t size;
    put_run("s/a/metrics.jsonl", "\"seed\":1", "\"loss\":1");
    put("s/bad/metrics.jsonl", "{\"event\":\"start\",\"ranks\":1}\n{\"event\":\"epoch\",\"step\":-3}\n");
    put("s/empty/metrics.jsonl", "");
    put("s/fifo/none", "");
    put("s/zero/none", "");
    put("s/folder/metrics.jsonl/none", "");
    assert_int_equal(mkfifo(place("s/fifo/metrics.jsonl"), 0666), 0);
    assert_int_equal(symlink("/dev/zero", place("s/zero/metrics.jsonl")), 0);
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    snprintf(path, sizeof path, "%s", place("s"));
    assert_fails(dt_report_run((const char *const[]){path}, 1, stream), DT_FILE,
                 "4 files or folders could not be read");
    assert_int_equal(fclose(stream), 0);
    assert_has(text, "     1           0\n");
    free(text);
    snprintf(path, sizeof path, "%s", place("s/fifo/metrics.jsonl"));
    assert_fails(dt_report_run((const char *const[]){path}, 1, stderr), DT_FILE, "not a regular file");
    assert_fails(dt_report_run((const char *const[]){"/dev/zero"}, 1, stderr), DT_FILE, "not a regular file");
}

/* The lines of a file of the folder; the caller frees. */
static char *read_back(const char *name) {
    char *text = calloc(1, 4 * TEXT);
    FILE *file = fopen(place(name), "r");
    assert_non_null(text);
    assert_non_null(file);
    size_t length = fread(text, 1, 4 * TEXT - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

/* Fields are quoted, no record takes two lines, no text is a formula, and no terminal obeys a name. */
static void names_are_only_names(void **state) {
    (void)state;
    put_run("s/a/metrics.jsonl", "\"data\":\"a,b \\\"c\\\"\\nd\",\"\\u001b[2J\":\"=1+2\"", "\"loss\":1");
    put_run("s/b/metrics.jsonl", "\"data\":\"@x\",\"\\u001b[2J\":-1.5", "\"loss\":1");
    char *table = report("s", NULL), *csv = read_back("s/sweep.csv");
    assert_null(strchr(table, '\x1b'));
    assert_int_equal(count_of(table, "\n"), 3);
    assert_has(csv, "data,\\x1b[2J,N,");
    assert_has(csv, "\n\"a,b \"\"c\"\"\\x0ad\",\"'=1+2\",1,");
    assert_has(csv, "\n\"'@x\",-1.5,1,");
    assert_int_equal(count_of(csv, "\n"), 3);
    free(table);
    free(csv);
}

/* A link stands where the table would be written: it and its target stay as they are. */
static void links_are_not_written_through(void **state) {
    (void)state;
    put_run("s/metrics.jsonl", "\"seed\":1", "\"loss\":1");
    put("precious", "mine");
    assert_int_equal(symlink("../precious", place("s/sweep.csv")), 0);
    free(report("s", NULL));
    char *kept = read_back("precious");
    assert_string_equal(kept, "mine");
    free(kept);
    assert_int_equal(unlink(place("s/sweep.csv")), 0);
    put("s/sweep.csv", "old");
    free(report("s", NULL));
    char *csv = read_back("s/sweep.csv");
    assert_has(csv, "training loss");
    free(csv);
}

/* Losses of 1e200 have a variance that no double holds. */
static void huge_values(void **state) {
    (void)state;
    char name[64], options[64], figures[128];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s/%d/metrics.jsonl", i < 3 ? "a" : "b", i);
        snprintf(options, sizeof options, "\"seed\":%d", i);
        snprintf(figures, sizeof figures, "\"loss\":%de200,\"test_accuracy\":1.7e308,\"images_per_s\":1e-300",
                 i + 1);
        put_run(name, options, figures);
    }
    char *text = report("a", "b");
    assert_null(strstr(text, " nan"));
    assert_null(strstr(text, " inf"));
    assert_has(text, "3.0000e+200");
    assert_has(text, "higher\n"); /* p is 0.0213, the one row with a spread */
    free(text);
}

/* Lines that are JSON to some readers alone, or none at all. */
static void odd_lines(void **state) {
    (void)state;
    static const char *const lines[][2] = {
        {"\"step\":4,\"step\":5", "duplicate"},         {"\"loss\":1e400", "overflow"},
        {"\"step\":-1", "not a whole number from 0"},   {"\"step\":1e3", "not a whole number from 0"},
        {"\"loss\":\"\xff\"", "unable to decode byte"}, {"\"step\":99999999999999999999", "too big"},
        {"\"loss\":NaN", "not a JSON object"},
    };
    dt_records records = {0};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[TEXT];
        snprintf(text, sizeof text,
                 "{\"event\":\"start\",\"ranks\":1}\n{\"event\":\"epoch\",%s}\n{\"event\":\"end\"}\n",
                 lines[i][0]);
        put("odd.jsonl", text);
        assert_fails(dt_records_read(place("odd.jsonl"), &records), DT_FILE, lines[i][1]);
        assert_int_equal(records.count, 0);
    }
    put("many.jsonl", "{\"event\":\"start\",\"ranks\":4294967297}\n{\"event\":\"end\"}\n");
    assert_fails(dt_records_read(place("many.jsonl"), &records), DT_FILE, "4294967297 ranks");
    /* Zeros that a file system leaves behind a crash. */
    put("zeros.jsonl", "{\"event\":\"start\",\"ranks\":1}\n{\"event\":\"end\"}\n");
    assert_int_equal(truncate(place("zeros.jsonl"), 5000), 0);
    assert_ok(dt_records_read(place("zeros.jsonl"), &records));
    assert_int_equal(records.count, 1);
    assert_int_equal(truncate(place("zeros.jsonl"), 20 << 20), 0);
    assert_fails(dt_records_read(place("zeros.jsonl"), &records), DT_FILE, "line 3: longer than 16 MB");
    assert_int_equal(truncate(place("zeros.jsonl"), (off_t)17 << 30), 0);
    assert_fails(dt_records_read(place("zeros.jsonl"), &records), DT_FILE, "at most 16 GB");
    dt_records_release(&records);
}

/* What auto chose stands beside it. */
static void chosen_strategy(void **state) {
    (void)state;
    dt_trial list[] = {{.experiments = 1,
                        .strategy = "auto",
                        .chosen = "hybrid",
                        .ranks = 2,
                        .threads = 1,
                        .batch = 64,
                        .images_per_s = 1}};
    dt_trials trials = {.setup = json_object(), .list = list, .count = 1}, again = {0};
    json_object_set_new(trials.setup, "event", json_string("setup"));
    FILE *file = fopen(place("auto.jsonl"), "w");
    assert_non_null(file);
    assert_ok(dt_trials_write(&trials, file));
    assert_int_equal(fclose(file), 0);
    assert_ok(dt_trials_read(place("auto.jsonl"), &again));
    assert_string_equal(again.list[0].chosen, "hybrid");
    json_decref(trials.setup);
    dt_trials_release(&again);
    char *text = report("auto.jsonl", NULL);
    assert_has(text, "  auto: hybrid  ");
    free(text);
}

static void damaged_files(void **state) {
    (void)state;
    dt_records records = {0};
    char text[3 * TEXT] = "";
    append(text, sizeof text, run_text(1, 64, 1, 2.0, 100, 0.9, "abc"));
    append(text, sizeof text, "{\"event\":\"epo");
    put("cut.jsonl", text);
    assert_ok(dt_records_read(place("cut.jsonl"), &records)); /* the writer was stopped */
    assert_int_equal(records.count, 1);
    assert_int_equal(records.runs[0].epoch_count, 2);
    assert_true(records.runs[0].ended);
    append(text, sizeof text, "\n");
    append(text, sizeof text, run_text(1, 64, 2, 2.0, 100, 0.9, "abc"));
    put("again.jsonl", text); /* and started again in the same file */
    assert_ok(dt_records_read(place("again.jsonl"), &records));
    assert_int_equal(records.count, 3);
    memcpy(text, "{x", 2);
    put("bad.jsonl", text);
    assert_fails(dt_records_read(place("bad.jsonl"), &records), DT_FILE,
                 "bad.jsonl, line 1: not a JSON object");
    put("epoch.jsonl", "{\"event\":\"epoch\"}\n");
    assert_fails(dt_records_read(place("epoch.jsonl"), &records), DT_FILE,
                 "line 1: event epoch before any start");
    put("list.jsonl", "[]\n");
    assert_fails(dt_records_read(place("list.jsonl"), &records), DT_FILE, "another kind of value");
    put("start.jsonl", "{\"event\":\"start\"}\n");
    assert_fails(dt_records_read(place("start.jsonl"), &records), DT_FILE, "a start line without ranks");
    assert_fails(dt_records_read(place("none.jsonl"), &records), DT_FILE, "none.jsonl: cannot be read");
    dt_records_release(&records);
}

/* Lines that jansson takes and a table cannot. */
static void damaged_trials(void **state) {
    (void)state;
    static const char *const changes[][3] = {
        {"\"ranks\":2", "\"ranks\":0", "ranks is not a whole number from 1"},
        {"\"batch\":64", "\"batch\":-8", "batch is not a whole number from 1"},
        {"\"threads\":1", "\"threads\":4294967297", "threads is not a whole number"},
        {"\"strategy\":\"", "\"strategy\":\"a-name-of-more-than-31-letters-a-", "has 42 bytes"},
        {"\"ranks\":2", "\"ranks\":\"2\"", "not a run of a scaling.jsonl"},
        {"VALID", "GREAT", "state GREAT is none of"},
        {"[\"strong\"]", "[17,null]", NULL},
        {"setup", "seTup", "first line of a scaling.jsonl is its setup"},
    };
    const double speed[] = {100};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[2 * TEXT] = "", whole[TEXT];
        put_line("s.jsonl", speed, 1, "VALID");
        FILE *file = fopen(place("s.jsonl"), "r");
        assert_non_null(file);
        whole[fread(whole, 1, sizeof whole - 1, file)] = '\0';
        fclose(file);
        char *spot = strstr(whole, changes[i][0]);
        assert_non_null(spot);
        *spot = '\0';
        append(text, sizeof text, whole);
        append(text, sizeof text, changes[i][1]);
        append(text, sizeof text, spot + strlen(changes[i][0]));
        put("s.jsonl", text);
        dt_trials trials = {0};
        if (changes[i][2])
            assert_fails(dt_trials_read(place("s.jsonl"), &trials), DT_FILE, changes[i][2]);
        else
            assert_ok(dt_trials_read(place("s.jsonl"), &trials));
        dt_trials_release(&trials);
    }
    put_scaling();
    put("runs/0003/asked.json", "{\"ranks\":2,\"threads\":1}");
    dt_trials trials;
    int unread;
    assert_ok(dt_trials_gather(folder, &trials, &unread));
    assert_int_equal(unread, 1);
    assert_int_equal(trials.count, 3);
    dt_trials_release(&trials);
    put_scaling();
    put("setup.json", "{\"warmup\":-1}");
    assert_fails(dt_trials_gather(folder, &trials, &unread), DT_FILE, "warmup is -1");
}

static void paths_that_do_not_fit(void **state) {
    (void)state;
    const double speeds[] = {1, 2};
    char first[ROOM], second[ROOM];
    put_line("scaling.jsonl", speeds, 2, "VALID");
    put("run/metrics.jsonl", run_text(1, 64, 1, 2.0, 100, 0.9, "abc"));
    put("empty/none", "");
    snprintf(first, sizeof first, "%s", place("scaling.jsonl"));
    snprintf(second, sizeof second, "%s", place("run"));
    assert_fails(dt_report_run((const char *const[]){first, second}, 2, stderr), DT_USAGE,
                 "cannot be compared");
    snprintf(first, sizeof first, "%s", place("empty"));
    assert_fails(dt_report_run((const char *const[]){first}, 1, stderr), DT_FILE, "no run is in it");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        TEST(speedup_of_valid_trials),
        TEST(wrong_answers_do_not_count),
        TEST(no_reference),
        TEST(scaling_files),
        TEST(weak_scaling),
        TEST(comparison_of_scaling),
        TEST(mixed_processors),
        TEST(sweep_table),
        TEST(comparison_of_two_runs),
        TEST(unfinished_runs),
        TEST(stopped_runs),
        TEST(resumed_runs),
        TEST(options_are_compared_whole),
        TEST(links_count_once),
        TEST(what_cannot_be_read_is_left_out),
        TEST(names_are_only_names),
        TEST(links_are_not_written_through),
        TEST(huge_values),
        TEST(odd_lines),
        TEST(chosen_strategy),
        TEST(damaged_files),
        TEST(damaged_trials),
        TEST(paths_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
