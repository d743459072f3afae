/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows as a table for people and as CSV for programs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/text.h"
#include "report/files.h"
#include "report/scaling.h"
#include "report/table.h"

/* A line with names from a file in it. */
#define print_line(stream, ...) (dt_text_print(stream, __VA_ARGS__), (void)fputc('\n', stream))

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "?";
}

static void describe_machine(const json_t *hosts, const char *mark, FILE *stream) {
    const char *last = NULL;
    int count = 0;
    for (size_t i = 0; i < json_array_size(hosts); i++) {
        const char *host = text_of(json_array_get(hosts, i), "host");
        count += !last || strcmp(host, last) != 0;
        last = host;
    }
    const json_t *first = json_array_get(hosts, 0);
    print_line(stream, "%smachine: %s, %d host%s (%s%s)", mark, text_of(first, "cpu"), count,
               count == 1 ? "" : "s", text_of(first, "host"), count > 1 ? ", .." : "");
}

/* Names the first rank whose CPU is not that of rank 0. */
static void warn_of_mixed(const json_t *hosts, const char *mark, FILE *stream) {
    const json_t *first = json_array_get(hosts, 0);
    for (size_t i = 1; i < json_array_size(hosts); i++) {
        const json_t *host = json_array_get(hosts, i);
        if (strcmp(text_of(host, "cpu"), text_of(first, "cpu")) == 0)
            continue;
        print_line(
            stream,
            "%swarning: the CPUs are mixed, and the slowest sets the pace: rank 0 runs on %s (%s), rank "
            "%zu on %s (%s)",
            mark, text_of(first, "cpu"), text_of(first, "host"), i, text_of(host, "cpu"),
            text_of(host, "host"));
        return;
    }
}

static void describe_options(const json_t *setup, const char *mark, FILE *stream) {
    const json_t *options = json_object_get(setup, "options");
    fprintf(stream, "%soptions:", mark);
    for (size_t i = 0; i < json_array_size(options); i++)
        if (json_is_string(json_array_get(options, i)))
            dt_text_print(stream, " %s", json_string_value(json_array_get(options, i)));
    fputc('\n', stream);
    print_line(
        stream,
        "%smeasured: %s, %d repeats of %d epochs of %d steps behind %d of warm-up, order shuffled with "
        "seed %d",
        mark, text_of(setup, "time"), (int)json_integer_value(json_object_get(setup, "repeats")),
        (int)json_integer_value(json_object_get(setup, "blocks")),
        (int)json_integer_value(json_object_get(setup, "steps")),
        (int)json_integer_value(json_object_get(setup, "warmup")),
        (int)json_integer_value(json_object_get(setup, "seed")));
}

void dt_scaling_describe(const dt_trials *trials, const char *mark, FILE *stream) {
    const json_t *setup = trials->setup, *versions = json_object_get(setup, "versions");
    describe_machine(json_object_get(setup, "hosts"), mark, stream);
    print_line(stream, "%sversions: %s; %s; %s kernels; %s; %s", mark, text_of(versions, "dtrain"),
               text_of(versions, "compiler"), text_of(versions, "isa"), text_of(versions, "mpi"),
               text_of(versions, "blas"));
    print_line(stream, "%scommand: %s", mark, text_of(setup, "command"));
    print_line(stream, "%slauncher: %s", mark, text_of(setup, "launcher"));
    describe_options(setup, mark, stream);
    warn_of_mixed(json_object_get(setup, "hosts"), mark, stream);
}

static const char *const titles[DT_EXPERIMENTS] = {
    "Strong scaling: the global batch is fixed",
    "Weak scaling: the batch a rank is fixed; speed-up in images/s",
    "The same cores as ranks or as threads; speed-up over one rank with one thread",
};

static void add_row(dt_table *table, const dt_scaling_row *row) {
    const dt_trial *kind = row->first;
    dt_table_add(table, "%d", kind->batch);
    bool says_more = kind->chosen[0] && strcmp(kind->chosen, kind->strategy) != 0;
    dt_table_add(table, "%s%s%s", kind->strategy, says_more ? ": " : "", says_more ? kind->chosen : "");
    dt_table_add(table, "%d", kind->ranks);
    dt_table_add(table, "%d", kind->threads);
    dt_table_add_number(table, row->speed.median, 1);
    dt_table_add_number(table, 100.0 * (row->speed.high - row->speed.low) / row->speed.median, 1);
    dt_table_add_number(table, row->speedup, 2);
    dt_table_add_number(table, 100.0 * row->efficiency, 0);
    dt_table_add_number(table, row->exposed_ms, 1);
    dt_table_add_number(table, row->bytes_a_step / 1e6, 1);
    dt_table_add_number(table, 100.0 * row->peak_share, 0);
    dt_table_add_number(table, row->serial_fraction, 3);
    dt_table_add(table, "%d/%d", row->valid, row->trials);
    dt_table_add(table, "%s%s", dt_trial_state_name(row->state),
                 row->oversubscribed ? ", oversubscribed" : "");
}

static dt_status print_experiment(const dt_scaling *scaling, dt_experiment experiment, FILE *stream) {
    static const char *const heads[] = {
        "batch",        "<strategy",  "N",         "threads",   "images/s", "+-%",  "speed-up",
        "efficiency %", "exposed ms", "MB a step", "of peak %", "serial",   "runs", "<"};
    dt_table *table = NULL;
    bool any = false;
    dt_status status = dt_table_create(heads, sizeof heads / sizeof *heads, &table);
    for (int i = 0; i < scaling->count && !dt_failed(&status); i++)
        if (scaling->rows[i].experiment == experiment) {
            add_row(table, &scaling->rows[i]);
            any = true;
        }
    if (any) {
        fprintf(stream, "\n%s\n", titles[experiment]);
        status = dt_table_print(table, stream);
    }
    dt_table_destroy(table);
    return status;
}

static void print_reasons(const dt_trials *trials, const dt_scaling *scaling, FILE *stream) {
    fprintf(stream, "\n%d runs VALID, %d INVALID, %d FAILED\n", scaling->states[DT_TRIAL_VALID],
            scaling->states[DT_TRIAL_INVALID], scaling->states[DT_TRIAL_FAILED]);
    for (int i = 0; i < trials->count; i++) {
        const dt_trial *trial = &trials->list[i];
        if (trial->state != DT_TRIAL_VALID)
            print_line(stream, "run %d (%s, %d x %d, batch %d) %s: %s", trial->order, trial->strategy,
                       trial->ranks, trial->threads, trial->batch, dt_trial_state_name(trial->state),
                       trial->why);
    }
}

dt_status dt_scaling_print(const dt_trials *trials, const dt_scaling *scaling, FILE *stream) {
    dt_scaling_describe(trials, "", stream);
    for (int experiment = 0; experiment < DT_EXPERIMENTS; experiment++)
        DT_TRY(print_experiment(scaling, (dt_experiment)experiment, stream));
    print_reasons(trials, scaling, stream);
    return dt_ok();
}

static void write_number(FILE *file, double value) {
    if (isfinite(value))
        fprintf(file, ",%.6g", value);
    else
        fputc(',', file);
}

/* Empty where there is no figure. */
static void write_row(FILE *file, const dt_scaling_row *row) {
    const dt_trial *kind = row->first;
    fprintf(file, "%s,", dt_experiment_name(row->experiment));
    dt_output_field(file, kind->strategy);
    fprintf(file, ",%d,%d,%d,%s,%d,%d,%s", kind->ranks, kind->threads, kind->batch,
            dt_trial_state_name(row->state), row->valid, row->trials, row->oversubscribed ? "yes" : "no");
    const double figures[] = {row->speed.median,    row->speed.low,
                              row->speed.high,      row->speed.mean,
                              row->speed.deviation, row->speedup,
                              row->efficiency,      row->serial_fraction,
                              row->exposed_ms,      row->bytes_a_step,
                              row->gflops,          row->peak_gflops,
                              row->peak_share,      1e3 * kind->batch / row->speed.median};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        write_number(file, figures[i]);
    for (int phase = 0; phase < DT_PHASES; phase++)
        if (phase != DT_PHASE_EVALUATION)
            write_number(file, row->phases_ms[phase]);
    fputc(',', file);
    dt_output_field(file, kind->chosen);
    fputc('\n', file);
}

static void write_heads(FILE *file) {
    fputs(
        "experiment,strategy,ranks,threads,batch,state,valid,trials,oversubscribed,images_per_s,low,high,"
        "mean,"
        "deviation,speedup,efficiency,serial_fraction,exposed_ms,bytes_a_step,gflops,peak_gflops,peak_share,"
        "step_ms",
        file);
    for (int phase = 0; phase < DT_PHASES; phase++)
        if (phase != DT_PHASE_EVALUATION)
            fprintf(file, ",%s_ms", dt_phase_name((dt_phase)phase));
    fputs(",chosen\n", file);
}

void dt_scaling_write_csv(const dt_trials *trials, const dt_scaling *scaling, FILE *file) {
    dt_scaling_describe(trials, "# ", file);
    write_heads(file);
    for (int i = 0; i < scaling->count; i++)
        write_row(file, &scaling->rows[i]);
}
