/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of two results matched, tested and judged. */
#include "report/comparison.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/sweep.h"
#include "report/table.h"

#define LEVEL 0.05

static bool same_kind(const dt_trial *a, const dt_trial *b) {
    return a->ranks == b->ranks && a->threads == b->threads && a->batch == b->batch &&
           strcmp(a->strategy, b->strategy) == 0;
}

/* Speeds of the valid trials like `kind`, as they are and as logarithms; `room` holds one value a trial. */
static void summarise(const dt_trials *trials, const dt_trial *kind, double *room, dt_summary *plain,
                      dt_summary *logarithms) {
    int count = 0;
    for (int i = 0; i < trials->count; i++)
        if (trials->list[i].state == DT_TRIAL_VALID && same_kind(&trials->list[i], kind) &&
            trials->list[i].images_per_s > 0.0)
            room[count++] = trials->list[i].images_per_s;
    *plain = dt_estimate_summary(room, count);
    for (int i = 0; i < count; i++)
        room[i] = log(room[i]);
    *logarithms = dt_estimate_summary(room, count);
}

/* Corrects the rows that were tested for having been asked together. */
static dt_status correct(dt_comparison *comparison) {
    double *p = malloc((size_t)(comparison->count + 1) * sizeof *p);
    if (!p)
        return dt_fail(DT_MEMORY, "no memory for %d rows", comparison->count);
    for (int i = 0; i < comparison->count; i++)
        if (comparison->rows[i].contrast.tested)
            p[comparison->tested++] = comparison->rows[i].contrast.p;
    dt_estimate_holm(p, comparison->tested);
    for (int i = 0, next = 0; i < comparison->count; i++)
        comparison->rows[i].p = comparison->rows[i].contrast.tested ? p[next++] : NAN;
    free(p);
    return dt_ok();
}

static bool has_row(const dt_comparison *comparison, const dt_trial *kind) {
    for (int i = 0; i < comparison->count; i++)
        if (same_kind(comparison->rows[i].trial, kind))
            return true;
    return false;
}

static void add_rows(dt_comparison *comparison, const dt_trials *a, const dt_trials *b,
                     const dt_trials *kinds, double *room) {
    for (int i = 0; i < kinds->count; i++) {
        const dt_trial *kind = &kinds->list[i];
        if (has_row(comparison, kind))
            continue;
        dt_comparison_row *row = &comparison->rows[comparison->count++];
        dt_summary first, second;
        *row = (dt_comparison_row){.trial = kind};
        summarise(a, kind, room, &row->a, &first);
        summarise(b, kind, room, &row->b, &second);
        row->contrast = dt_estimate_welch(first, second);
    }
}

dt_status dt_comparison_of_trials(const dt_trials *a, const dt_trials *b, dt_comparison *comparison) {
    size_t most = (size_t)(a->count + b->count + 1);
    *comparison = (dt_comparison){.rows = calloc(most, sizeof *comparison->rows)};
    double *room = calloc(most, sizeof *room);
    dt_status status = dt_fail(DT_MEMORY, "no memory for a comparison of %zu trials", most);
    if (comparison->rows && room) {
        add_rows(comparison, a, b, a, room);
        add_rows(comparison, a, b, b, room);
        status = correct(comparison);
    }
    free(room);
    if (dt_failed(&status))
        dt_comparison_release(comparison);
    return status;
}

/* Two single runs still have their epochs, which repeat the same work. */
static dt_status compare_epochs(const dt_records *a, const dt_records *b, dt_comparison *comparison) {
    dt_summary first, second;
    DT_TRY(dt_sweep_epoch_speeds(a, &first));
    DT_TRY(dt_sweep_epoch_speeds(b, &second));
    if (first.count == 0 || second.count == 0)
        return dt_ok();
    dt_comparison_row *row = &comparison->rows[DT_QUANTITY_SPEED];
    row->a = first;
    row->b = second;
    row->contrast = dt_estimate_welch(first, second);
    comparison->by_epoch = true;
    return dt_ok();
}

dt_status dt_comparison_of_runs(const dt_records *a, const dt_records *b, dt_comparison *comparison) {
    *comparison = (dt_comparison){.rows = calloc(DT_QUANTITIES, sizeof *comparison->rows)};
    dt_status status = comparison->rows ? dt_ok() : dt_fail(DT_MEMORY, "no memory for a comparison");
    for (int quantity = 0; quantity < DT_QUANTITIES && !dt_failed(&status); quantity++) {
        dt_comparison_row *row = &comparison->rows[comparison->count++];
        row->quantity = quantity;
        status = dt_sweep_summarise(a, NULL, 0, (dt_quantity)quantity, &row->a);
        if (!dt_failed(&status))
            status = dt_sweep_summarise(b, NULL, 0, (dt_quantity)quantity, &row->b);
        if (!dt_failed(&status))
            row->contrast = dt_estimate_welch(row->a, row->b);
    }
    if (!dt_failed(&status))
        status = compare_epochs(a, b, comparison);
    if (!dt_failed(&status))
        status = correct(comparison);
    if (dt_failed(&status))
        dt_comparison_release(comparison);
    return status;
}

void dt_comparison_release(dt_comparison *comparison) {
    free(comparison->rows);
    *comparison = (dt_comparison){0};
}

const char *dt_comparison_verdict(const dt_comparison_row *row) {
    if (row->a.count == 0 || row->b.count == 0)
        return row->a.count ? "only in the first" : row->b.count ? "only in the second" : "in neither";
    if (row->a.count < 2 || row->b.count < 2)
        return "not significant (a single value has no spread)";
    if (!row->contrast.tested)
        return row->a.deviation > 0.0 || row->b.deviation > 0.0
                   ? "not tested (values beyond what can be summed)"
                   : "not tested (no spread at all)";
    if (!(row->p < LEVEL))
        return "not significant";
    bool more = row->contrast.difference > 0.0;
    if (row->trial || row->quantity == DT_QUANTITY_SPEED)
        return more ? "faster" : "slower";
    return more ? "higher" : "lower";
}

static void add_interval(dt_table *table, double low, double high) {
    if (isfinite(low) && isfinite(high))
        dt_table_add(table, "%.4g .. %.4g", low, high);
    else
        dt_table_add(table, "-");
}

static void add_probability(dt_table *table, double p) {
    if (isfinite(p))
        dt_table_add(table, p < 0.0001 ? "<0.0001" : "%.4f", p);
    else
        dt_table_add(table, "-");
}

static void add_trial_row(dt_table *table, const dt_comparison_row *row) {
    bool both = row->a.count > 0 && row->b.count > 0;
    dt_table_add(table, "%d", row->trial->batch);
    dt_table_add(table, "%s", row->trial->strategy);
    dt_table_add(table, "%d", row->trial->ranks);
    dt_table_add(table, "%d", row->trial->threads);
    dt_table_add_number(table, row->a.median, 1);
    dt_table_add(table, "%d", row->a.count);
    dt_table_add_number(table, row->b.median, 1);
    dt_table_add(table, "%d", row->b.count);
    dt_table_add_number(table, both ? exp(row->contrast.difference) : NAN, 3);
    add_interval(table, exp(row->contrast.low), exp(row->contrast.high));
    add_probability(table, row->p);
    dt_table_add(table, "%s", dt_comparison_verdict(row));
}

static void add_run_row(dt_table *table, const dt_comparison_row *row) {
    dt_table_add(table, "%s", dt_quantity_name((dt_quantity)row->quantity));
    dt_table_add_number(table, row->a.mean, 4);
    dt_table_add_number(table, row->a.deviation, 4);
    dt_table_add(table, "%d", row->a.count);
    dt_table_add_number(table, row->b.mean, 4);
    dt_table_add_number(table, row->b.deviation, 4);
    dt_table_add(table, "%d", row->b.count);
    dt_table_add_number(table, row->contrast.difference, 4);
    add_interval(table, row->contrast.low, row->contrast.high);
    add_probability(table, row->p);
    dt_table_add(table, "%s", dt_comparison_verdict(row));
}

dt_status dt_comparison_print(const dt_comparison *comparison, FILE *stream) {
    static const char *const trial_heads[] = {"batch",    "<strategy",     "N",        "threads",
                                              "images/s", "runs",          "images/s", "runs",
                                              "ratio",    "95 % interval", "p",        "<"};
    static const char *const run_heads[] = {
        "<", "mean", "+-", "values", "mean", "+-", "values", "difference", "95 % interval", "p", "<"};
    bool trials = comparison->count > 0 && comparison->rows[0].trial;
    dt_table *table = NULL;
    dt_status status = dt_table_create(
        trials ? trial_heads : run_heads,
        (int)(trials ? sizeof trial_heads : sizeof run_heads) / (int)sizeof *run_heads, &table);
    for (int i = 0; i < comparison->count && !dt_failed(&status); i++)
        (trials ? add_trial_row : add_run_row)(table, &comparison->rows[i]);
    if (!dt_failed(&status))
        status = dt_table_print(table, stream);
    dt_table_destroy(table);
    const char *values = trials                 ? "one value a VALID run"
                         : comparison->by_epoch ? "accuracies and losses: one value a run; images/s: an epoch"
                                                : "one value a run, for accuracies and losses a seed";
    fprintf(stream, "Welch's t-test%s, %s; p corrected by Holm for %d row%s; significant below %.2f.\n",
            trials ? " on the logarithms of images/s" : "", values, comparison->tested,
            comparison->tested == 1 ? "" : "s", LEVEL);
    return status;
}
