/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of saving. */
#include "train/checkpointing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/log.h"
#include "train/settings.h"
#include "train/signals.h"

static void say(dt_run *run, const dt_saver_report *report) {
    double megabytes = 1e-6 * (double)report->result.bytes;
    dt_metrics_checkpoint(run->metrics, report);
    if (!dt_failed(&report->status))
        dt_log_note("checkpoint: %s, %.1f MB in %.2f s (%.0f MB/s)%s; training waited %.2f s", report->path,
                    megabytes, report->result.seconds, megabytes / report->result.seconds,
                    report->best ? ", the best" : "", report->held_up);
    else if (!run->session.options->checkpoint_required && report->status.code != DT_NOT_FINITE)
        dt_log_warning(
            "the checkpoint of step %lld was not written: %s. Training goes on; earlier checkpoints "
            "are untouched",
            (long long)report->step, report->status.text);
}

/* Rank 0: what a finished save came to, if there is one. */
static void take_report(dt_run *run) {
    dt_saver_report report;
    if (!dt_saver_take_report(run->saver, &report))
        return;
    say(run, &report);
    run->last_save = report.status;
    if (report.status.code == DT_NOT_FINITE || run->session.options->checkpoint_required)
        run->trouble = report.status;
}

void dt_checkpointing_finish(dt_run *run) {
    if (!run->saver)
        return;
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_FILES, run->position.step);
    dt_saver_wait(run->saver);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COLLECT, run->position.step);
    take_report(run);
}

/* Rank 0. Epochs are counted where they end. */
static bool is_due(const dt_run *run, double now) {
    dt_interval every = run->session.options->checkpoint_every;
    if (every.unit == DT_INTERVAL_STEPS)
        return (run->position.step + 1) / every.amount > run->saved.step / every.amount;
    return every.unit == DT_INTERVAL_SECONDS && now - run->saved.moment >= every.amount;
}

/* Rank 0: whether the run must stop now to have ended in time. What is still to come: a step or a part of an
 * evaluation until the next look, the save, and perhaps the one before it; a second for MPI to start, before
 * we could look at the clock, and to end. */
static bool is_time_up(dt_run *run, double now) {
    if (run->session.options->max_time == 0)
        return false;
    double gap = now - run->last_vote, saves = dt_saver_is_busy(run->saver) ? 2 : 1;
    if (run->last_vote > 0 && gap > run->longest_gap)
        run->longest_gap = gap;
    run->last_vote = now;
    double reserve = 1.0 + 2 * run->longest_gap + saves * dt_saver_estimate(run->saver);
    return now - run->started + reserve >= run->session.options->max_time;
}

dt_votes dt_checkpointing_vote(dt_run *run) {
    dt_votes votes = {.stop = dt_signals_caught() != 0};
    if (!run->saver)
        return votes;
    double now = dt_timer_now();
    take_report(run);
    votes.trouble = dt_failed(&run->trouble);
    votes.stop |= is_time_up(run, now);
    /* A save that falls due while the one before is being written begins with the first step after that. */
    votes.save = is_due(run, now) && !dt_saver_is_busy(run->saver);
    return votes;
}

/* Rank 0: hands the image to the saver, in a folder that somebody may have removed. */
static void start_save(dt_run *run, bool best, double held_up) {
    const dt_options *options = run->session.options;
    char *settings = dt_settings_text(&run->session), *history = dt_history_text(run->history);
    (void)dt_metrics_make_folder(options->out);
    dt_saver_start(run->saver, &run->position, settings, history, best, held_up);
}

/* Where rank 0 has no earlier save under way. `since`: when training stopped for it. */
static void save_at_once(dt_run *run, bool best, double since) {
    dt_checkpoint_position *at = &run->position;
    dt_strategy_image image = {0};
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COLLECT, at->step);
    if (run->saver) {
        dt_checkpointing_finish(run);
        image = dt_saver_image(run->saver);
    }
    dt_strategy_collect(run->strategy, image);
    run->saved = (dt_run_saved){at->step, at->epoch, at->batch, dt_timer_now()};
    if (run->saver)
        start_save(run, best, run->saved.moment - since);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COMPUTE, at->step);
}

dt_status dt_checkpointing_obey(dt_run *run, dt_votes votes) {
    run->stopping = run->stopping || votes.stop > 0;
    if (votes.trouble)
        return dt_comm_agree(run->session.comm, run->trouble);
    if (votes.save && !run->stopping)
        save_at_once(run, false, dt_timer_now());
    return dt_ok();
}

bool dt_checkpointing_breaks_off(void *context) {
    dt_run *run = context;
    int64_t stop = dt_signals_caught() != 0 || (run->saver && is_time_up(run, dt_timer_now()));
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_TOTALS, run->position.step);
    dt_comm_sum_i64(run->session.comm, &stop, 1);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_EVALUATE, run->position.step);
    run->stopping = run->stopping || stop > 0;
    return run->stopping;
}

static bool is_saved(const dt_run *run) {
    const dt_checkpoint_position *at = &run->position;
    return run->saved.step == at->step && run->saved.epoch == at->epoch && run->saved.batch == at->batch;
}

/* The disk may take its time, on rank 0; the others must know that it is that which they wait for. Where
 * nothing is being written, whoever is waited for is lost. */
static void await_disk(dt_run *run) {
    int64_t busy = run->saver && dt_saver_is_busy(run->saver);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COLLECT, run->position.step);
    dt_comm_sum_i64(run->session.comm, &busy, 1);
    if (busy == 0)
        return;
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_FILES, run->position.step);
    dt_checkpointing_finish(run);
    dt_comm_barrier(run->session.comm);
}

void dt_checkpointing_save(dt_run *run, bool best) {
    double start = dt_timer_now();
    await_disk(run);
    save_at_once(run, best, start);
}

void dt_checkpointing_end_epoch(dt_run *run, bool best) {
    dt_interval every = run->session.options->checkpoint_every;
    bool due = every.unit == DT_INTERVAL_EPOCHS && run->position.epoch % every.amount == 0;
    if (due || (best && every.unit != DT_INTERVAL_NONE))
        dt_checkpointing_save(run, best);
}

dt_status dt_checkpointing_secure(dt_run *run, uint64_t *hash) {
    bool again = is_saved(run);
    if (!again)
        dt_checkpointing_save(run, false);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_FILES, run->position.step);
    dt_status status = dt_ok();
    if (run->saver) {
        dt_strategy_image image = dt_saver_image(run->saver);
        *hash = dt_parameters_hash(dt_model_parameters(run->session.model), image.weights, image.states);
        dt_checkpointing_finish(run);
        if (again && run->last_save.code == DT_FILE) {
            start_save(run, false, 0);
            dt_checkpointing_finish(run);
        }
        status = run->last_save;
    }
    return dt_comm_agree(run->session.comm, status);
}

/* "SIGTERM at rank 2" or "--max-time". Collective. */
static void find_reason(dt_run *run, char *text, size_t room) {
    int mine = dt_signals_caught(), rank = dt_comm_lowest(run->session.comm, mine ? dt_run_rank(run) : -1);
    if (rank < 0) {
        snprintf(text, room, "--max-time");
        return;
    }
    dt_comm_broadcast(run->session.comm, &mine, sizeof mine, rank);
    snprintf(text, room, "%s at rank %d", dt_signals_name(mine), rank);
}

dt_status dt_checkpointing_stop(dt_run *run) {
    const dt_checkpoint_position *at = &run->position;
    char reason[64], path[DT_CHECKPOINT_PATH];
    uint64_t hash = 0;
    find_reason(run, reason, sizeof reason);
    dt_status status = dt_checkpointing_secure(run, &hash);
    if (dt_failed(&status))
        return dt_fail(status.code,
                       "stopped as asked (%s) after step %lld, but the state could not be saved: %s", reason,
                       (long long)at->step, status.text);
    dt_pace pace = dt_run_pace(run);
    dt_metrics_end(run->metrics, hash, at->step, dt_timer_now() - run->started, "stopped", &pace);
    DT_TRY(dt_checkpoint_name(run->session.options->out, at->step, path));
    return dt_fail(
        DT_STOPPED,
        "stopped as asked (%s) in epoch %d after step %lld: state saved in %s, start again with --resume",
        reason, at->epoch + 1, (long long)at->step, path);
}
