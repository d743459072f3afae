/* SPDX-License-Identifier: BSD-3-Clause */
/* Training: the loop over epochs and steps. */
#include <stdio.h>
#include <stdlib.h>

#include "dtrain/log.h"
#include "dtrain/sampler.h"
#include "dtrain/strategy.h"
#include "dtrain/weights.h"
#include "train/metrics.h"
#include "train/progress.h"
#include "train/session.h"

/* A run in the making. */
typedef struct dt_run {
    dt_session session;
    dt_strategy *strategy;
    dt_metrics *metrics;
    dt_progress progress;
    dt_phases phases;
    int *order;         /* the epoch's permutation of the training set */
    int64_t steps;      /* done */
    int64_t step_limit; /* of the whole run */
    double started;
} dt_run;

static const char *const weights_name = "last.weights.h5";

static dt_status open_locally(dt_run *run) {
    const dt_session *session = &run->session;
    const dt_options *options = session->options;
    dt_strategy_config config = {.kind = session->strategy,
                                 .comm = session->comm,
                                 .model = session->model,
                                 .kernels = session->kernels,
                                 .batch = options->batch,
                                 .adam = options->adam};
    DT_TRY(dt_strategy_create(&config, &run->strategy));
    run->order = malloc((size_t)session->corpus.train.count * sizeof(int));
    if (!run->order)
        return dt_fail(DT_MEMORY, "no memory for the order of %d samples", session->corpus.train.count);
    DT_TRY(dt_metrics_open(options->out, dt_comm_rank(session->comm) == 0, &run->metrics));
    return dt_metrics_start(run->metrics, session);
}

static void close_run(dt_run *run) {
    dt_metrics_close(run->metrics);
    dt_strategy_destroy(run->strategy);
    free(run->order);
    dt_session_close(&run->session);
}

static void plan_steps(dt_run *run) {
    const dt_options *options = run->session.options;
    int steps_an_epoch = dt_sampler_batches(run->session.corpus.train.count, options->batch);
    run->step_limit = (int64_t)steps_an_epoch * options->epochs;
    if (options->max_steps > 0 && options->max_steps < run->step_limit)
        run->step_limit = options->max_steps;
    run->progress =
        (dt_progress){.epochs = options->epochs, .steps = run->step_limit, .steps_an_epoch = steps_an_epoch};
    if (run->step_limit < steps_an_epoch)
        run->progress.steps_an_epoch = (int)run->step_limit;
}

static dt_status open_run(dt_run *run, const dt_options *options, dt_comm *comm) {
    DT_TRY(dt_session_open(comm, options, options->network, true, &run->session));
    dt_status status = dt_comm_agree(comm, open_locally(run));
    if (dt_failed(&status)) {
        close_run(run);
        return status;
    }
    dt_session *session = &run->session;
    dt_parameters_init(dt_model_parameters(session->model), options->seed, dt_model_weights(session->model),
                       dt_model_states(session->model));
    dt_model_set_phases(session->model, &run->phases);
    plan_steps(run);
    return dt_ok();
}

/* Fills the session's batch with this rank's share of batch number `number`. */
static dt_batch fetch_share(dt_run *run, int epoch, int number, dt_share share) {
    double start = dt_timer_now();
    dt_session *session = &run->session;
    const int *all = run->order + (size_t)number * (size_t)session->options->batch;
    const int *samples = all + share.first_sample;
    dt_images_fetch(session->corpus.train, samples, share.samples, session->x, session->labels);
    dt_phases_add(&run->phases, DT_PHASE_DATA, start);
    return (dt_batch){share, session->x, session->labels, samples, (uint32_t)epoch, all};
}

/* The same verdict on all ranks: the sums and the gradient are the same everywhere. */
static dt_status check_finite(dt_run *run, int epoch, int number, dt_totals totals) {
    int tensor = dt_strategy_first_not_finite(run->strategy);
    if (totals.not_finite == 0 && tensor < 0)
        return dt_ok();
    const char *name = tensor < 0 ? "none" : dt_model_parameters(run->session.model)->tensors[tensor].name;
    return dt_fail(
        DT_NOT_FINITE,
        "epoch %d, step %d: not finite: the loss of %lld of %lld samples; first gradient concerned: %s. The "
        "weights were not changed by this step. A smaller --lr may help",
        epoch, number + 1, (long long)totals.not_finite, (long long)totals.samples, name);
}

static dt_status run_step(dt_run *run, int epoch, int number, dt_totals *totals) {
    dt_session *session = &run->session;
    int samples = dt_sampler_batch_samples(session->corpus.train.count, session->options->batch, number);
    dt_batch batch = fetch_share(run, epoch, number, dt_strategy_begin(run->strategy, samples));
    dt_model_train(session->model, &batch, dt_strategy_exchange(run->strategy), totals);
    double moment = dt_timer_now();
    *totals = dt_session_sum(session, *totals);
    moment = dt_phases_add(&run->phases, DT_PHASE_STATISTICS, moment);
    dt_strategy_finish(run->strategy);
    moment = dt_phases_add(&run->phases, DT_PHASE_GRADIENTS, moment);
    DT_TRY(check_finite(run, epoch, number, *totals));
    dt_strategy_update(run->strategy, ++run->steps);
    dt_phases_add(&run->phases, DT_PHASE_OPTIMIZER, moment);
    return dt_ok();
}

static dt_status run_steps(dt_run *run, int epoch, dt_epoch_record *record) {
    int count = run->session.corpus.train.count;
    dt_sampler_shuffle(run->session.options->seed, (uint32_t)epoch, count, run->order);
    dt_progress_epoch_begins(&run->progress);
    int batches = dt_sampler_batches(count, run->session.options->batch);
    for (int number = 0; number < batches && run->steps < run->step_limit; number++) {
        dt_totals totals;
        DT_TRY(run_step(run, epoch, number, &totals));
        record->train = dt_totals_add(record->train, totals);
        int interval = run->session.options->check_replicas;
        if (interval > 0 && run->steps % interval == 0)
            DT_TRY(dt_strategy_check_replicas(run->strategy, run->steps));
        dt_progress_step(&run->progress, epoch, number + 1, run->steps, record->train);
    }
    return dt_ok();
}

static dt_status run_epoch(dt_run *run, int epoch) {
    dt_epoch_record record = {.epoch = epoch};
    double start = dt_timer_now();
    dt_traffic before = dt_comm_traffic(run->session.comm);
    record.epoch_steps = -run->steps;
    run->phases = (dt_phases){{0}};
    DT_TRY(run_steps(run, epoch, &record));
    DT_TRY(dt_strategy_check_replicas(run->strategy, run->steps));
    dt_traffic after = dt_comm_traffic(run->session.comm);
    record.traffic = (dt_traffic){after.sent - before.sent, after.received - before.received,
                                  after.seconds - before.seconds};
    record.epoch_steps += run->steps;
    double trained = dt_timer_now();
    record.images_per_s = (double)record.train.samples / (trained - start);
    record.validation = dt_session_evaluate(&run->session, run->session.corpus.validation);
    record.test = dt_session_evaluate(&run->session, run->session.corpus.test);
    double now = dt_timer_now();
    run->progress.evaluation = now - trained;
    record.seconds = now - start;
    record.steps = run->steps;
    record.phases = run->phases;
    dt_progress_epoch_ends(&run->progress, &record);
    return dt_metrics_epoch(run->metrics, &record);
}

/* The weights for `dtrain eval`, and the last words. */
static dt_status conclude(dt_run *run) {
    dt_session *session = &run->session;
    const dt_parameters *parameters = dt_model_parameters(session->model);
    const float *weights = dt_model_weights(session->model), *states = dt_model_states(session->model);
    dt_strategy_gather(run->strategy);
    uint64_t hash = dt_parameters_hash(parameters, weights, states);
    double seconds = dt_timer_now() - run->started;
    const char *reason = run->step_limit == session->options->max_steps ? "max_steps" : "done";
    dt_status status = dt_ok();
    if (dt_comm_rank(session->comm) == 0) {
        char path[1100];
        snprintf(path, sizeof path, "%s/%s", session->options->out, weights_name);
        status = dt_weights_save(path, &session->network, parameters, weights, states);
        if (!dt_failed(&status))
            status = dt_metrics_end(run->metrics, hash, run->steps, seconds, reason);
    }
    status = dt_comm_agree(session->comm, status);
    if (!dt_failed(&status))
        dt_log_note("end: %lld steps in %.1f s, weights hash %016llx, results in %s", (long long)run->steps,
                    seconds, (unsigned long long)hash, session->options->out);
    return status;
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

dt_status dt_train_run(const dt_options *options, dt_comm *comm) {
    dt_run run = {.started = dt_timer_now()};
    DT_TRY(open_run(&run, options, comm));
    dt_log_note("start: %zu parameters, global batch %d over %d rank%s, %s kernels, setup %.2f s",
                dt_parameters_total(dt_model_parameters(run.session.model)), options->batch,
                dt_comm_size(comm), dt_comm_size(comm) == 1 ? "" : "s",
                dt_isa_name(dt_kernels_isa(run.session.kernels)), dt_timer_now() - run.started);
    warn_of_idle_ranks(options, comm);
    dt_status status = dt_ok();
    for (int epoch = 1; epoch <= options->epochs && run.steps < run.step_limit && !dt_failed(&status);
         epoch++)
        status = run_epoch(&run, epoch);
    if (!dt_failed(&status))
        status = conclude(&run);
    close_run(&run);
    return status;
}
