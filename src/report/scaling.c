/* SPDX-License-Identifier: BSD-3-Clause */
/* From trials to rows. */
#include "report/scaling.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool same_kind(const dt_trial *a, const dt_trial *b) {
    return a->ranks == b->ranks && a->threads == b->threads && a->batch == b->batch &&
           strcmp(a->strategy, b->strategy) == 0;
}

static dt_scaling_row *row_of(dt_scaling *scaling, const dt_trial *trial, dt_experiment experiment) {
    for (int i = 0; i < scaling->count; i++)
        if (scaling->rows[i].experiment == experiment && same_kind(scaling->rows[i].first, trial))
            return &scaling->rows[i];
    dt_scaling_row *row = &scaling->rows[scaling->count++];
    *row = (dt_scaling_row){.experiment = experiment, .first = trial};
    return row;
}

static void count_trial(dt_scaling_row *row, const dt_trial *trial) {
    row->trials++;
    row->valid += trial->state == DT_TRIAL_VALID;
    row->oversubscribed |= trial->oversubscribed;
    if (trial->state != DT_TRIAL_VALID && !row->why)
        row->why = trial->why;
    if (trial->state == DT_TRIAL_INVALID)
        row->state = DT_TRIAL_INVALID;
}

/* The median over the valid trials of the field at `offset` of dt_trial. */
static dt_summary summarise(const dt_trials *trials, const dt_trial *kind, size_t offset, double *room) {
    int count = 0;
    for (int i = 0; i < trials->count; i++) {
        const dt_trial *trial = &trials->list[i];
        double value;
        memcpy(&value, (const char *)trial + offset, sizeof value);
        if (trial->state == DT_TRIAL_VALID && same_kind(trial, kind) && isfinite(value))
            room[count++] = value;
    }
    return dt_estimate_summary(room, count);
}

static void measure(dt_scaling_row *row, const dt_trials *trials, double *room) {
    bool counts = row->state == DT_TRIAL_VALID && row->valid > 0;
    if (row->state == DT_TRIAL_VALID && row->valid == 0)
        row->state = DT_TRIAL_FAILED;
    const dt_trial *kind = row->first;
    row->speed = counts ? summarise(trials, kind, offsetof(dt_trial, images_per_s), room)
                        : dt_estimate_summary(NULL, 0);
#define MEDIAN(field) (counts ? summarise(trials, kind, offsetof(dt_trial, field), room).median : NAN)
    row->exposed_ms = MEDIAN(exposed_ms);
    row->bytes_a_step = MEDIAN(bytes_a_step);
    row->gflops = MEDIAN(gflops);
    row->peak_gflops = MEDIAN(peak_gflops);
#undef MEDIAN
    for (int phase = 0; phase < DT_PHASES; phase++) {
        size_t offset = offsetof(dt_trial, phases_ms) + (size_t)phase * sizeof(double);
        row->phases_ms[phase] = counts ? summarise(trials, kind, offset, room).median : NAN;
    }
    row->peak_share = row->gflops / row->peak_gflops;
}

/* What `row` is a multiple of; NULL if that was not measured. */
static const dt_scaling_row *base_of(const dt_scaling *scaling, const dt_scaling_row *row) {
    const dt_trial *kind = row->first;
    int threads = row->experiment == DT_EXPERIMENT_CORES ? 1 : kind->threads;
    int batch = row->experiment == DT_EXPERIMENT_WEAK ? kind->batch / kind->ranks : kind->batch;
    for (int i = 0; i < scaling->count; i++) {
        const dt_scaling_row *base = &scaling->rows[i];
        if (base->experiment == row->experiment && base->first->ranks == 1 &&
            base->first->threads == threads && base->first->batch == batch)
            return base;
    }
    return NULL;
}

static void compare_with_base(const dt_scaling *scaling, dt_scaling_row *row) {
    const dt_scaling_row *base = base_of(scaling, row);
    const dt_trial *kind = row->first;
    row->speedup = row->efficiency = row->serial_fraction = NAN;
    if (!base)
        return;
    double cores = (double)kind->ranks * kind->threads / ((double)base->first->ranks * base->first->threads);
    row->speedup = row->speed.median / base->speed.median;
    row->efficiency = row->speedup / cores;
    row->serial_fraction = dt_estimate_serial_fraction(row->speedup, cores);
}

static int order(int a, int b) {
    return (a > b) - (a < b);
}

static int compare_rows(const void *a, const void *b) {
    const dt_scaling_row *x = a, *y = b;
    const dt_trial *p = x->first, *q = y->first;
    bool weak = x->experiment == DT_EXPERIMENT_WEAK;
    int found = order((int)x->experiment, (int)y->experiment);
    if (!found)
        found = order(weak ? p->batch / p->ranks : p->batch, weak ? q->batch / q->ranks : q->batch);
    if (!found)
        found = order(p->ranks, q->ranks);
    if (!found)
        found = order(p->threads, q->threads);
    return found ? found : strcmp(p->strategy, q->strategy);
}

dt_status dt_scaling_make(const dt_trials *trials, dt_scaling *scaling) {
    size_t room_for = (size_t)trials->count + 1;
    *scaling = (dt_scaling){.rows = calloc(room_for * DT_EXPERIMENTS, sizeof *scaling->rows)};
    double *room = calloc(room_for, sizeof *room);
    if (!scaling->rows || !room) {
        free(room);
        dt_scaling_release(scaling);
        return dt_fail(DT_MEMORY, "no memory for a table of %d trials", trials->count);
    }
    for (int i = 0; i < trials->count; i++) {
        scaling->states[trials->list[i].state]++;
        for (int experiment = 0; experiment < DT_EXPERIMENTS; experiment++)
            if (trials->list[i].experiments & 1U << experiment)
                count_trial(row_of(scaling, &trials->list[i], (dt_experiment)experiment), &trials->list[i]);
    }
    for (int i = 0; i < scaling->count; i++)
        measure(&scaling->rows[i], trials, room);
    if (scaling->count > 1)
        qsort(scaling->rows, (size_t)scaling->count, sizeof *scaling->rows, compare_rows);
    for (int i = 0; i < scaling->count; i++)
        compare_with_base(scaling, &scaling->rows[i]);
    free(room);
    return dt_ok();
}

void dt_scaling_release(dt_scaling *scaling) {
    free(scaling->rows);
    *scaling = (dt_scaling){0};
}
