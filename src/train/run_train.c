/* SPDX-License-Identifier: BSD-3-Clause */
/* Training: the loop over epochs and steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dtrain/denormals.h"
#include "dtrain/log.h"
#include "dtrain/sampler.h"
#include "train/checkpointing.h"
#include "train/resume.h"
#include "train/run.h"
#include "train/signals.h"

int dt_run_batches(const dt_run *run) {
    return dt_sampler_batches(run->session.corpus.train.count, run->session.options->batch);
}

/* The step at which --max-steps ends the run. */
static int64_t step_limit(const dt_run *run) {
    int limit = run->session.options->max_steps;
    return limit > 0 ? limit : INT64_MAX;
}

bool dt_run_is_complete(const dt_run *run) {
    return run->position.epoch >= run->session.options->epochs || run->position.step >= step_limit(run);
}

dt_pace dt_run_pace(const dt_run *run) {
    double steps = run->steps_timed > 0 ? (double)run->steps_timed : NAN;
    return (dt_pace){dt_planning_step(&run->session.planning, run->session.strategy),
                     run->seconds_timed / steps};
}

dt_status dt_run_renew_strategy(dt_run *run) {
    dt_session *session = &run->session;
    dt_strategy_config config = {.kind = session->strategy,
                                 .comm = session->comm,
                                 .model = session->model,
                                 .memory = session->node_memory,
                                 .kernels = session->kernels,
                                 .batch = session->options->batch,
                                 .adam = run->adam};
    dt_strategy_destroy(run->strategy);
    run->strategy = NULL;
    DT_TRY(dt_comm_agree(session->comm, dt_strategy_create(&config, &run->strategy)));
    run->exchange = dt_watchdog_wrap(run->watchdog, dt_strategy_exchange(run->strategy));
    return dt_ok();
}

static dt_status open_saver(dt_run *run) {
    dt_session *session = &run->session;
    dt_saver_config config = {.folder = session->options->out,
                              .network = &session->network,
                              .parameters = dt_model_parameters(session->model),
                              .keep = session->options->keep};
    if (dt_run_rank(run) != 0)
        return dt_ok();
    return dt_saver_create(&config, &run->saver);
}

/* Rank 0: before anything in the folder changes. One that does not exist yet is locked as soon as it is made.
 */
static dt_status lock_folder(dt_run *run, const dt_options *options, const dt_comm *comm) {
    if (dt_comm_rank(comm) != 0)
        return dt_ok();
    return dt_folder_lock_take(&run->lock, options->out, options->resume != NULL);
}

/* Rank 0. */
static dt_status open_folder(dt_run *run, const dt_resume *resume) {
    const dt_options *options = run->session.options;
    DT_TRY(dt_metrics_make_folder(options->out));
    DT_TRY(lock_folder(run, options, run->session.comm));
    DT_TRY(dt_metrics_open(options->out, true, &run->metrics));
    return dt_resume_clear_folder(run, resume);
}

static dt_status open_locally(dt_run *run, const dt_resume *resume) {
    dt_session *session = &run->session;
    run->order = malloc((size_t)session->corpus.train.count * sizeof(int));
    if (!run->order)
        return dt_fail(DT_MEMORY, "no memory for the order of %d samples", session->corpus.train.count);
    if (dt_run_rank(run) == 0)
        return open_folder(run, resume);
    return dt_metrics_open(session->options->out, false, &run->metrics);
}

static void close_run(dt_run *run) {
    dt_watchdog_set_last_words(run->watchdog, NULL, NULL);
    dt_saver_destroy(run->saver);
    dt_history_destroy(run->history);
    dt_metrics_close(run->metrics);
    dt_strategy_destroy(run->strategy);
    free(run->order);
    dt_session_close(&run->session);
}

static void plan_progress(dt_run *run) {
    const dt_checkpoint_position *at = &run->position;
    int batches = dt_run_batches(run), epochs = run->session.options->epochs;
    int64_t steps = at->step + (int64_t)(epochs - at->epoch) * batches - at->batch;
    if (steps > step_limit(run))
        steps = step_limit(run);
    run->progress = (dt_progress){
        .epochs = epochs, .steps = steps, .steps_an_epoch = steps < batches ? (int)steps : batches};
}

/* Everything that a run needs before it knows whether anything is left to do. */
static dt_status open_run(dt_run *run, const dt_options *options, dt_comm *comm, dt_resume *resume) {
    DT_TRY(dt_session_open(comm, options, options->network, true, &run->session));
    dt_status status;
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, open_saver(run)));
    dt_comm_tell(comm, DT_COMM_FILES);
    DT_TRY_CLEANUP(status, dt_resume_read(run, resume));
    dt_comm_tell(comm, DT_COMM_WORKS);
    if (dt_run_is_complete(run))
        return status;
    DT_TRY_CLEANUP(status, dt_run_renew_strategy(run));
    dt_comm_tell(comm, DT_COMM_FILES);
    DT_TRY_CLEANUP(status, dt_resume_place(run, resume));
    dt_comm_tell(comm, DT_COMM_FILES);
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, open_locally(run, resume)));
    dt_comm_tell(comm, DT_COMM_WORKS);
    dt_model_set_phases(run->session.model, &run->phases);
    plan_progress(run);
    return status;
cleanup:
    close_run(run);
    return status;
}

/* Fills the session's batch with this rank's share of the next batch of the epoch. */
static dt_batch fetch_share(dt_run *run, dt_share share) {
    double start = dt_timer_now();
    dt_session *session = &run->session;
    size_t first = (size_t)run->position.batch * (size_t)session->options->batch;
    const int *all = run->order + first, *samples = all + share.first_sample;
    dt_images_fetch(session->corpus.train, samples, share.samples, session->x, session->labels);
    dt_phases_add(&run->phases, DT_PHASE_DATA, start);
    return (dt_batch){share, session->x, session->labels, samples, (uint32_t)run->position.epoch + 1, all};
}

/* One sum over the ranks for all that a step must agree on. */
static void sum_step(dt_run *run, dt_totals *totals, dt_votes *votes) {
    int64_t values[] = {totals->loss, totals->correct, totals->samples, totals->not_finite,
                        votes->stop,  votes->save,     votes->trouble};
    dt_comm_sum_i64(run->session.comm, values, sizeof values / sizeof *values);
    *totals = (dt_totals){values[0], values[1], values[2], values[3]};
    *votes = (dt_votes){values[4], values[5], values[6]};
}

/* "the loss of 8 of 64 samples, first on rank 1 (host)"; in the worst case a message is all that is left, so
 * who was first is asked only now. Collective. */
static void describe_losses(dt_run *run, int64_t mine, dt_totals totals, char *text, size_t room) {
    int rank = dt_comm_lowest(run->session.comm, mine > 0 ? dt_run_rank(run) : -1);
    int used = snprintf(text, room, "the loss of %lld of %lld samples", (long long)totals.not_finite,
                        (long long)totals.samples);
    if (rank >= 0 && used < (int)room)
        snprintf(text + used, room - (size_t)used, " (first on rank %d, %s)", rank,
                 run->session.placement.places[rank].host);
}

/* The same verdict on all ranks: the sums and the gradient are the same everywhere. `mine`: samples of this
 * rank whose loss is not finite. */
static dt_status check_finite(dt_run *run, int64_t mine, dt_totals totals) {
    int tensor = dt_strategy_first_not_finite(run->strategy);
    if (totals.not_finite == 0 && tensor < 0)
        return dt_ok();
    char losses[512];
    describe_losses(run, mine, totals, losses, sizeof losses);
    const char *name = tensor < 0 ? "none" : dt_model_parameters(run->session.model)->tensors[tensor].name;
    return dt_fail(
        DT_NOT_FINITE,
        "epoch %d, step %d: not finite: %s; first gradient concerned: %s. The weights were not changed "
        "by this step. A smaller --lr may help",
        run->position.epoch + 1, run->position.batch + 1, losses, name);
}

/* Forward and backward pass over the next batch, and the sums of the step. */
static dt_status pass(dt_run *run, dt_totals *totals, dt_votes *votes) {
    dt_session *session = &run->session;
    dt_checkpoint_position *at = &run->position;
    int samples = dt_sampler_batch_samples(session->corpus.train.count, session->options->batch, at->batch);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_GRADIENTS, at->step + 1);
    dt_share share = dt_strategy_begin(run->strategy, samples);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COMPUTE, at->step + 1);
    dt_batch batch = fetch_share(run, share);
    dt_model_train(session->model, &batch, &run->exchange, totals);
    int64_t mine = totals->not_finite;
    double moment = dt_timer_now();
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_TOTALS, at->step + 1);
    sum_step(run, totals, votes);
    moment = dt_phases_add(&run->phases, DT_PHASE_STATISTICS, moment);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_GRADIENTS, at->step + 1);
    dt_strategy_finish(run->strategy);
    moment = dt_phases_add(&run->phases, DT_PHASE_GRADIENTS, moment);
    dt_status status = check_finite(run, mine, *totals);
    dt_phases_add(&run->phases, DT_PHASE_OPTIMIZER, moment);
    return status;
}

static void advance(dt_run *run, dt_totals totals) {
    dt_checkpoint_position *at = &run->position;
    double moment = dt_timer_now();
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_UPDATE, at->step + 1);
    dt_strategy_update(run->strategy, ++at->step);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COMPUTE, at->step);
    dt_phases_add(&run->phases, DT_PHASE_OPTIMIZER, moment);
    at->batch++;
    at->train_loss += totals.loss;
    at->train_correct += totals.correct;
    at->train_samples += totals.samples;
}

static dt_totals epoch_totals(const dt_checkpoint_position *at) {
    return (dt_totals){at->train_loss, at->train_correct, at->train_samples, 0};
}

/* Copies of weights and Adam's moments, compared among the ranks. */
static dt_status check_replicas(dt_run *run) {
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_GRADIENTS, run->position.step);
    dt_status status = dt_strategy_check_replicas(run->strategy, run->position.step);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COMPUTE, run->position.step);
    return status;
}

static dt_status run_step(dt_run *run) {
    dt_totals totals;
    dt_votes votes = dt_checkpointing_vote(run);
    DT_TRY(pass(run, &totals, &votes));
    advance(run, totals);
    const dt_checkpoint_position *at = &run->position;
    dt_progress_step(&run->progress, at->epoch + 1, at->batch, at->step, epoch_totals(at));
    int interval = run->session.options->check_replicas;
    if (interval > 0 && at->step % interval == 0)
        DT_TRY(check_replicas(run));
    return dt_checkpointing_obey(run, votes);
}

/* The steps that are left of the epoch. */
static dt_status run_steps(dt_run *run) {
    const dt_checkpoint_position *at = &run->position;
    int batches = dt_run_batches(run);
    dt_sampler_shuffle(run->session.options->seed, (uint32_t)at->epoch + 1, run->session.corpus.train.count,
                       run->order);
    dt_progress_epoch_begins(&run->progress, at->batch, at->train_samples);
    while (at->batch < batches && at->step < step_limit(run) && !run->stopping)
        DT_TRY(run_step(run));
    return dt_ok();
}

/* False when it was broken off. */
static bool evaluate(dt_run *run, dt_epoch_record *record) {
    dt_session *session = &run->session;
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_EVALUATE, run->position.step);
    bool whole =
        dt_session_evaluate(session, session->corpus.validation, dt_checkpointing_breaks_off, run,
                            &record->validation) &&
        dt_session_evaluate(session, session->corpus.test, dt_checkpointing_breaks_off, run, &record->test);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_COMPUTE, run->position.step);
    return whole;
}

/* A whole epoch is done and evaluated. */
static void close_epoch(dt_run *run, const dt_epoch_record *record) {
    dt_checkpoint_position *at = &run->position;
    at->epoch++;
    at->batch = 0;
    at->train_loss = at->train_correct = at->train_samples = 0;
    bool best = record->validation.samples > 0 && dt_totals_loss(record->validation) < at->best_loss;
    if (best)
        at->best_loss = dt_totals_loss(record->validation);
    if (run->history)
        dt_history_add(run->history, record);
    dt_checkpointing_end_epoch(run, best);
}

/* Whether the moving statistics began with the initial values, and not with those of a file. */
static bool has_new_statistics(const dt_run *run) {
    const dt_options *options = run->session.options;
    return options->network.bn_layers != DT_BN_NONE && !options->init;
}

/* An epoch, from where the run stands in it. --max-steps may end it early: then it is evaluated as it is, but
 * not done. */
static dt_status run_epoch(dt_run *run) {
    const dt_checkpoint_position *at = &run->position;
    dt_epoch_record record = {.epoch = at->epoch + 1};
    double start = dt_timer_now();
    int64_t samples = at->train_samples;
    run->phases = (dt_phases){{0}};
    dt_traffic before = dt_comm_traffic(run->session.comm);
    record.epoch_steps = -at->step;
    DT_TRY(run_steps(run));
    /* What follows, weights for the evaluation on all ranks among it, is no part of a step. */
    double trained = dt_timer_now();
    dt_traffic stepped = dt_comm_traffic(run->session.comm);
    DT_TRY(check_replicas(run));
    dt_traffic after = dt_comm_traffic(run->session.comm);
    record.traffic = (dt_traffic){after.sent - before.sent, after.received - before.received,
                                  stepped.seconds - before.seconds, stepped.waited - before.waited};
    record.epoch_steps += at->step;
    run->steps_timed += record.epoch_steps;
    run->seconds_timed += trained - start;
    record.images_per_s = (double)(at->train_samples - samples) / (trained - start);
    record.train = epoch_totals(at);
    record.steps = at->step;
    if (run->stopping || !evaluate(run, &record))
        return dt_ok();
    double now = dt_timer_now();
    run->progress.evaluation = now - trained;
    record.seconds = now - start;
    record.phases = run->phases;
    dt_progress_epoch_ends(&run->progress, &record);
    if (has_new_statistics(run))
        dt_progress_say_unsettled(&run->progress, at->step);
    dt_metrics_epoch(run->metrics, &record);
    if (at->batch == dt_run_batches(run))
        close_epoch(run, &record);
    return dt_ok();
}

/* The last checkpoint, and the last words. */
static dt_status conclude(dt_run *run) {
    const dt_options *options = run->session.options;
    const dt_checkpoint_position *at = &run->position;
    uint64_t hash = 0;
    DT_TRY(dt_checkpointing_secure(run, &hash));
    double seconds = dt_timer_now() - run->started;
    const char *reason = at->step == options->max_steps ? "max_steps" : "done";
    dt_pace pace = dt_run_pace(run);
    dt_metrics_end(run->metrics, hash, at->step, seconds, reason, &pace);
    dt_log_note("end: %lld steps in %.1f s, weights hash %016llx, results in %s", (long long)at->step,
                seconds, (unsigned long long)hash, options->out);
    return dt_ok();
}

/* Leaves are dealt out whole: with more ranks than leaves some never have one. */
static void warn_of_idle_ranks(const dt_options *options, dt_comm *comm) {
    int ranks = dt_comm_size(comm), leaves = dt_leaves_count(options->batch);
    if (ranks > leaves)
        dt_log_warning("%d of %d ranks never have a sample: a batch of %d is %d lea%s of %d samples; use "
                       "--batch %d or more, or "
                       "%d rank%s",
                       ranks - leaves, ranks, options->batch, leaves, leaves == 1 ? "f" : "ves",
                       DT_LEAF_SAMPLES, ranks * DT_LEAF_SAMPLES, leaves, leaves == 1 ? "" : "s");
}

static void warn_of_emulation(const dt_kernels *kernels) {
    if (dt_kernels_precision(kernels) == DT_PRECISION_BF16 && dt_kernels_isa(kernels) < DT_ISA_AVX512_BF16)
        dt_log_warning(
            "bf16 is emulated with %s, which is slower than --precision fp32: its own instructions "
            "are those of avx512_bf16 and amx_bf16",
            dt_isa_name(dt_kernels_isa(kernels)));
}

static void record_stall(void *context, int64_t step) {
    dt_metrics_stall(context, step);
}

static void say_start(dt_run *run, const dt_resume *resume) {
    dt_session *session = &run->session;
    const dt_checkpoint_position *at = &run->position;
    int ranks = dt_comm_size(session->comm);
    dt_log_note(
        "start: %zu parameters, global batch %d over %d rank%s, %s kernels%s%s, denormals %s, setup %.2f s",
        dt_parameters_total(dt_model_parameters(session->model)), session->options->batch, ranks,
        ranks == 1 ? "" : "s", dt_isa_name(dt_kernels_isa(session->kernels)),
        session->options->precision == DT_PRECISION_BF16 ? " in bf16" : "",
        session->options->wire == DT_WIRE_BF16 ? ", wire bf16" : "",
        dt_denormals_flushed() ? "flushed to 0" : "kept", dt_timer_now() - run->started);
    dt_metrics_start(run->metrics, session);
    dt_watchdog_set_last_words(run->watchdog, record_stall, run->metrics);
    if (resume->found) {
        dt_log_note("resumed: %s: epoch %d, after step %lld", resume->path, at->epoch + 1,
                    (long long)at->step);
        dt_metrics_resume(run->metrics, resume->path, at);
    }
    warn_of_idle_ranks(session->options, session->comm);
    warn_of_emulation(session->kernels);
}

/* All epochs that are left, rewound where that was asked for. */
static dt_status run_epochs(dt_run *run) {
    bool rewinds = run->session.options->on_nan == DT_ON_NAN_REWIND;
    /* So that there is always something to go back to. */
    if (rewinds && run->saved.epoch < 0)
        dt_checkpointing_save(run, false);
    while (!dt_run_is_complete(run) && !run->stopping) {
        dt_status status = run_epoch(run);
        if (status.code == DT_NOT_FINITE && rewinds)
            status = dt_resume_rewind(run, &status);
        DT_TRY(status);
    }
    return dt_ok();
}

/* How good the plan was, where there was one. */
static void say_pace(const dt_run *run) {
    dt_pace pace = dt_run_pace(run);
    if (isfinite(pace.predicted) && isfinite(pace.measured))
        dt_log_note("step: predicted %.1f ms, measured %.1f ms", 1e3 * pace.predicted, 1e3 * pace.measured);
}

static dt_status close_work(dt_run *run) {
    say_pace(run);
    return run->stopping && !dt_run_is_complete(run) ? dt_checkpointing_stop(run) : conclude(run);
}

static dt_status train(dt_run *run, const dt_resume *resume) {
    dt_watchdog_begin_steps(run->watchdog);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_FILES, run->position.step);
    say_start(run, resume);
    dt_status status = run_epochs(run);
    if (!dt_failed(&status))
        status = close_work(run);
    if (!dt_failed(&status))
        return dt_comm_agree(run->session.comm, dt_metrics_check(run->metrics));
    if (status.code != DT_STOPPED)
        dt_metrics_fail(run->metrics, &status, run->position.step, dt_timer_now() - run->started);
    return status;
}

dt_status dt_train_watch(dt_comm *comm, int timeout, dt_watchdog **watchdog) {
    dt_status status = dt_watchdog_create(comm, timeout, watchdog);
    dt_comm_end_guard(comm);
    return status;
}

void dt_train_end_watch(dt_watchdog *watchdog) {
    dt_watchdog_destroy(watchdog);
}

void dt_train_heed_signals(void) {
    dt_signals_install();
}

/* From the folder's lock to the last save. */
static dt_status run_locked(dt_run *run, const dt_options *options, dt_comm *comm) {
    dt_resume resume;
    dt_comm_tell(comm, DT_COMM_FILES);
    DT_TRY(dt_comm_agree(comm, lock_folder(run, options, comm)));
    dt_comm_tell(comm, DT_COMM_WORKS);
    dt_status status = open_run(run, options, comm, &resume);
    if (dt_failed(&status))
        return status;
    dt_signals_heed();
    if (dt_run_is_complete(run))
        dt_log_note("nothing to do: %s is at the end of the run: epoch %d of %d, step %lld. More --epochs or "
                    "--max-steps would go on",
                    resume.path, run->position.epoch, options->epochs, (long long)run->position.step);
    else
        status = train(run, &resume);
    close_run(run);
    return status;
}

dt_status dt_train_run(const dt_options *options, dt_comm *comm, dt_watchdog *watchdog) {
    dt_run run = {.started = dt_timer_now(), .adam = options->adam, .watchdog = watchdog};
    dt_signals_install();
    dt_status status = run_locked(&run, options, comm);
    dt_folder_lock_release(&run.lock);
    return status;
}
