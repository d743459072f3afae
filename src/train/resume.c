/* SPDX-License-Identifier: BSD-3-Clause */
/* Fresh starts, resumed ones, rewinds. */
#include "train/resume.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dtrain/log.h"
#include "dtrain/sampler.h"
#include "dtrain/weights.h"
#include "train/checkpointing.h"
#include "train/folder.h"
#include "train/settings.h"

static bool is_folder(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static void pass_over(void *context, const char *path, const char *trouble) {
    int *passed = context;
    (*passed)++;
    dt_log_warning("checkpoint passed over: %s", strstr(trouble, path) ? trouble : path);
    if (!strstr(trouble, path))
        dt_log_warning("  %s", trouble);
}

/* Whether the file is of a network with other tensors, and by which options. What cannot be looked into is
 * left to the loading. */
static bool has_another_shape(dt_run *run, const char *path, char difference[DT_SHAPE_DIFFERENCE]) {
    dt_network_config config;
    dt_status status = dt_weights_network(path, &config);
    if (dt_failed(&status))
        return false;
    dt_network network = dt_network_build(config);
    dt_parameters then = dt_parameters_layout(&network);
    return dt_parameters_differ(&then, dt_model_parameters(run->session.model), difference);
}

/* Rank 0: --override can change what is computed, not what it is computed with. */
static dt_status check_shape(dt_run *run, const char *path) {
    char difference[DT_SHAPE_DIFFERENCE];
    if (!has_another_shape(run, path, difference))
        return dt_ok();
    return dt_fail(
        DT_USAGE,
        "--resume: %s is of another shape: %s. --override does not change the shape of a network: give "
        "the options of then, or start without --resume",
        path, difference);
}

/* Rank 0: the options in the checkpoint against those of now. */
static dt_status check_settings(dt_run *run, const char *path, const dt_checkpoint *checkpoint, bool speaks) {
    char mathematics[DT_DIFFERENCES], bits[DT_DIFFERENCES];
    DT_TRY(dt_settings_compare(checkpoint->options, checkpoint->position.data_fingerprint, &run->session,
                               mathematics, bits));
    char unused[DT_SHAPE_DIFFERENCE];
    if (mathematics[0] && !run->session.options->override)
        return dt_fail(DT_USAGE, "--resume: %s is of another run: %s. Give the same options, or %s", path,
                       mathematics,
                       has_another_shape(run, path, unused)
                           ? "start without --resume: --override does not change the shape of a network"
                           : "--override to go on with the new ones");
    if (mathematics[0] && speaks)
        dt_log_warning("--override: going on from %s with other options: %s", path, mathematics);
    if (bits[0] && speaks)
        dt_log_warning("the last bits will not be those of an uninterrupted run: %s", bits);
    return dt_ok();
}

static void free_texts(dt_checkpoint *checkpoint) {
    free(checkpoint->options);
    free(checkpoint->history);
    checkpoint->options = checkpoint->history = NULL;
}

/* Before the tensors are read, whose shapes would say less clearly that the options differ. What cannot be
 * looked into is left to the loading. */
static dt_status check_before_loading(dt_run *run, const char *source) {
    char path[DT_CHECKPOINT_PATH];
    dt_checkpoint peeked = {0};
    DT_TRY(dt_weights_resolve(source, path));
    dt_status status = dt_checkpoint_peek(path, &peeked);
    status = dt_failed(&status) ? dt_ok() : check_settings(run, path, &peeked, false);
    free_texts(&peeked);
    return dt_failed(&status) ? status : check_shape(run, path);
}

/* Rank 0: --override alone can have made an epoch shorter. */
static dt_status check_batch(const dt_run *run, const char *path, const dt_checkpoint_position *at) {
    int batches = dt_run_batches(run);
    if (run->session.options->override || at->batch <= batches)
        return dt_ok();
    return dt_fail(DT_FILE, "%s: the attribute dtrain/batch is %d: an epoch has %d batches", path, at->batch,
                   batches);
}

/* Batches done, counted in the batches of now, when --override changed their size. */
static void recount_batches(dt_run *run, const char *stored) {
    dt_checkpoint_position *at = &run->position;
    int batch = run->session.options->batch, batches = dt_run_batches(run);
    if (dt_settings_number(stored, "batch", batch) != batch)
        at->batch = (int)(at->train_samples / batch);
    if (at->batch > batches)
        at->batch = batches;
}

/* "1 epoch and 3 steps", "2 epochs". */
static void describe_progress(const dt_checkpoint_position *at, char *text, size_t room) {
    int used = snprintf(text, room, "%d epoch%s", at->epoch, at->epoch == 1 ? "" : "s");
    if (at->batch > 0)
        snprintf(text + used, room - (size_t)used, " and %d step%s", at->batch, at->batch == 1 ? "" : "s");
}

/* Rank 0: what is done cannot be undone. A run that is exactly done has nothing to do. */
static dt_status check_goal(const dt_options *options, const char *path, const dt_checkpoint_position *at) {
    char progress[64];
    describe_progress(at, progress, sizeof progress);
    if (at->epoch > options->epochs || (at->epoch == options->epochs && at->batch > 0))
        return dt_fail(
            DT_USAGE,
            "--epochs: %d is less than what %s has done: %s. Give --epochs %d or more, or --resume with "
            "an earlier checkpoint",
            options->epochs, path, progress, at->epoch + 1);
    if (options->max_steps > 0 && at->step > options->max_steps)
        return dt_fail(
            DT_USAGE,
            "--max-steps: %d is less than what %s has done: %lld steps. Give more than that, 0 for no "
            "limit, or --resume with an earlier checkpoint",
            options->max_steps, path, (long long)at->step);
    return dt_ok();
}

/* Rank 0: a checkpoint that was loaded becomes the run's state. */
static dt_status adopt(dt_run *run, const char *path, const dt_checkpoint *checkpoint) {
    const dt_options *options = run->session.options;
    DT_TRY(check_settings(run, path, checkpoint, true));
    DT_TRY(check_batch(run, path, &checkpoint->position));
    DT_TRY(check_goal(options, path, &checkpoint->position));
    DT_TRY(dt_history_create(checkpoint->history, &run->history));
    run->position = checkpoint->position;
    recount_batches(run, checkpoint->options);
    /* A new --lr stands; else a rewind may have left another one in force. */
    if (dt_settings_differ(checkpoint->options, options, "lr"))
        run->position.learning_rate = options->adam.lr;
    return dt_ok();
}

/* Rank 0: loads the newest whole checkpoint of `source` into the image. */
static dt_status load(dt_run *run, const char *source, dt_checkpoint *checkpoint, dt_resume *resume) {
    const dt_parameters *parameters = dt_model_parameters(run->session.model);
    dt_strategy_image image = dt_saver_image(run->saver);
    int passed = 0;
    *checkpoint =
        (dt_checkpoint){.weights = image.weights, .m = image.m, .v = image.v, .states = image.states};
    DT_TRY(dt_checkpoint_load_newest(source, parameters, pass_over, &passed, checkpoint, resume->path,
                                     &resume->found));
    if (!resume->found && passed > 0)
        return dt_fail(
            DT_FILE,
            "%s: none of the %d checkpoints can be gone on from, as said above. A start without --resume "
            "keeps them in a folder earlier-N",
            source, passed);
    return dt_ok();
}

/* Rank 0. */
static dt_status read_checkpoint(dt_run *run, dt_resume *resume) {
    const dt_options *options = run->session.options;
    const char *source = options->resume;
    dt_checkpoint checkpoint = {0};
    if (!source)
        return dt_ok();
    if (!*source)
        source = options->out;
    if (!*options->resume && !is_folder(source))
        return dt_ok();
    DT_TRY(check_before_loading(run, source));
    dt_status status = load(run, source, &checkpoint, resume);
    if (!dt_failed(&status) && !resume->found && *options->resume)
        status = dt_fail(DT_FILE, "--resume: there is no checkpoint in %s", source);
    if (!dt_failed(&status) && resume->found)
        status = adopt(run, resume->path, &checkpoint);
    free_texts(&checkpoint);
    return status;
}

static void share_position(dt_run *run, dt_resume *resume) {
    dt_comm_broadcast(run->session.comm, &run->position, sizeof run->position, 0);
    dt_comm_broadcast(run->session.comm, resume, sizeof *resume, 0);
    run->adam.lr = run->position.learning_rate;
    run->position.ranks = dt_comm_size(run->session.comm);
    run->position.data_fingerprint = run->session.corpus.fingerprint;
}

/* Whether the state is under the name in --out that a checkpoint of it would have. */
static bool is_in_place(const dt_run *run, const dt_resume *resume) {
    char path[DT_CHECKPOINT_PATH];
    dt_status status = dt_checkpoint_name(run->session.options->out, run->position.step, path);
    return !dt_failed(&status) && resume->found && strcmp(path, resume->path) == 0;
}

dt_status dt_resume_read(dt_run *run, dt_resume *resume) {
    *resume = (dt_resume){0};
    run->position = (dt_checkpoint_position){.best_loss = INFINITY, .learning_rate = run->adam.lr};
    dt_status status = dt_ok();
    if (dt_run_rank(run) == 0) {
        status = read_checkpoint(run, resume);
        if (!dt_failed(&status) && !resume->found)
            status = dt_history_create(NULL, &run->history);
    }
    DT_TRY(dt_comm_agree(run->session.comm, status));
    share_position(run, resume);
    const dt_checkpoint_position *at = &run->position;
    run->saved =
        (dt_run_saved){at->step, is_in_place(run, resume) ? at->epoch : -1, at->batch, dt_timer_now()};
    if (run->session.options->resume && !resume->found)
        dt_log_note("--resume: no checkpoint in %s: a fresh start", run->session.options->out);
    return dt_ok();
}

/* What a file has and --init does not take: moments as a matter of course, layers perhaps by mistake. */
static dt_status say_unused(const char *path, const dt_parameters *parameters) {
    dt_weights_unused unused;
    DT_TRY(dt_weights_find_unused(path, parameters, &unused));
    if (unused.optimizer > 0)
        dt_log_note("--init: %s: the optimizer's state is not used (%d tensors)", path, unused.optimizer);
    if (unused.others > 0)
        dt_log_warning("--init: %s: not used: %s", path, unused.text);
    return dt_ok();
}

/* Rank 0: the weights of a file and the optimizer's state of a beginning. */
static dt_status read_weights(dt_run *run, dt_strategy_image image) {
    const char *path = run->session.options->init;
    const dt_parameters *parameters = dt_model_parameters(run->session.model);
    memset(image.m, 0, parameters->floats * sizeof(float));
    memset(image.v, 0, parameters->floats * sizeof(float));
    DT_TRY(dt_weights_load(path, parameters, image.weights, image.states));
    return say_unused(path, parameters);
}

dt_status dt_resume_place(dt_run *run, const dt_resume *resume) {
    dt_session *session = &run->session;
    dt_strategy_image image = {0};
    bool writes = dt_run_rank(run) == 0;
    if (writes)
        image = dt_saver_image(run->saver);
    if (!resume->found && !session->options->init) {
        dt_parameters_init(dt_model_parameters(session->model), session->options->seed,
                           dt_model_weights(session->model), dt_model_states(session->model));
        return dt_ok();
    }
    if (!resume->found)
        DT_TRY(dt_comm_agree(session->comm, writes ? read_weights(run, image) : dt_ok()));
    dt_strategy_restore(run->strategy, image);
    return dt_ok();
}

dt_status dt_resume_clear_folder(const dt_run *run, const dt_resume *resume) {
    char aside[DT_CHECKPOINT_PATH];
    int moved;
    int64_t above = resume->found ? run->position.step : -1;
    DT_TRY(dt_folder_set_aside(run->session.options->out, above, aside, &moved));
    if (moved > 0)
        dt_log_note("%d file%s of an earlier run %s moved to %s", moved, moved == 1 ? "" : "s",
                    moved == 1 ? "was" : "were", aside);
    return dt_ok();
}

/* Rank 0. */
static dt_status read_last(dt_run *run, dt_resume *resume) {
    dt_checkpoint checkpoint = {0};
    dt_checkpointing_finish(run);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_FILES, run->position.step);
    run->trouble = dt_ok();
    dt_status status = load(run, run->session.options->out, &checkpoint, resume);
    if (!dt_failed(&status) && !resume->found)
        status = dt_fail(DT_FILE, "%s: no checkpoint to go back to", run->session.options->out);
    if (!dt_failed(&status)) {
        dt_history_destroy(run->history);
        run->history = NULL;
        status = dt_history_create(checkpoint.history, &run->history);
        run->position = checkpoint.position;
    }
    free_texts(&checkpoint);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_GRADIENTS, run->position.step);
    return status;
}

dt_status dt_resume_rewind(dt_run *run, const dt_status *trouble) {
    int64_t from = run->position.step;
    int rewinds = run->position.rewinds + 1;
    double rate = run->position.learning_rate / 2;
    dt_resume resume = {0};
    if (rewinds > DT_MOST_REWINDS)
        return dt_fail(trouble->code, "%s. The run went back %d times already", trouble->text,
                       DT_MOST_REWINDS);
    dt_watchdog_note(run->watchdog, DT_ACTIVITY_FILES, from);
    DT_TRY(dt_comm_agree(run->session.comm, dt_run_rank(run) == 0 ? read_last(run, &resume) : dt_ok()));
    run->position.learning_rate = rate;
    run->position.rewinds = rewinds;
    share_position(run, &resume);
    DT_TRY(dt_run_renew_strategy(run));
    DT_TRY(dt_resume_place(run, &resume));
    const dt_checkpoint_position *at = &run->position;
    run->saved = (dt_run_saved){at->step, at->epoch, at->batch, dt_timer_now()};
    dt_log_warning("%s", trouble->text);
    dt_log_warning("rewind %d of %d: back to %s, learning rate %g", rewinds, DT_MOST_REWINDS, resume.path,
                   rate);
    dt_metrics_rewind(run->metrics, from, at);
    return dt_ok();
}
