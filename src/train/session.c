/* SPDX-License-Identifier: BSD-3-Clause */
/* Setting up and taking down. */
#include "train/session.h"

#include <stdio.h>
#include <string.h>

#include "dtrain/log.h"
#include "dtrain/strategy.h"
#include "dtrain/version.h"
#include "train/fingerprint.h"

/* Evaluation goes in calls of at least so many samples, that the threads have enough to share. */
enum { EVALUATION_SAMPLES = 64 };

static int largest(int a, int b) {
    return a > b ? a : b;
}

/* The most samples that a rank has in a step. Shares differ by a leaf at most and the last rank's is never
 * the smallest. */
static dt_share largest_share(const dt_session *session) {
    int ranks = dt_comm_size(session->comm);
    return dt_leaves_share(session->options->batch, ranks, ranks - 1);
}

static dt_status create_kernels(dt_session *session) {
    dt_kernels_config config = {
        .team = session->team, .isa = session->options->isa, .engine = session->options->engine};
    return dt_kernels_create(&config, &session->kernels);
}

static dt_status create_model(dt_session *session, bool training) {
    int ranks = dt_comm_size(session->comm);
    dt_model_config config = {.network = &session->network,
                              .kernels = session->kernels,
                              .samples = session->samples,
                              .leaves = largest_share(session).leaves,
                              .roots = training ? dt_strategy_roots(session->options->batch, ranks) : 0,
                              .seed = session->options->seed};
    if (training)
        config.split = dt_strategy_split(session->strategy, session->comm, session->options->batch);
    return dt_model_create(&config, &session->model);
}

static dt_status reserve_batch(dt_session *session) {
    size_t samples = (size_t)session->samples;
    dt_arena arena = {0};
    for (int pass = 0; pass < 2; pass++) {
        session->x = dt_arena_take_floats(&arena, samples * DT_IMAGE_PIXELS);
        session->labels = dt_arena_take(&arena, samples);
        session->index = dt_arena_take(&arena, samples * sizeof(int));
        if (pass == 0)
            DT_TRY(dt_slab_reserve(arena.used, "a batch", &session->batch_memory));
        arena = (dt_arena){.base = session->batch_memory.base};
    }
    return dt_ok();
}

static dt_status create_team(dt_session *session) {
    int threads = session->placement.places[dt_comm_rank(session->comm)].threads;
    DT_TRY(dt_team_create(threads, &session->team));
    return create_kernels(session);
}

/* The rest of what each rank sets up for itself. */
static dt_status open_locally(dt_session *session, bool training) {
    DT_TRY(create_model(session, training));
    return reserve_batch(session);
}

static void say_data(const dt_corpus *corpus) {
    dt_log_note("data: %s from %s: %d training, %d validation, %d test images, fingerprint %016llx%s",
                corpus->name, corpus->source, corpus->train.count, corpus->validation.count,
                corpus->test.count, (unsigned long long)corpus->fingerprint,
                corpus->standard ? " (as published)" : "");
    char lines[sizeof corpus->warnings], *rest = lines;
    memcpy(lines, corpus->warnings, sizeof lines);
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
        if (*line)
            dt_log_warning("%s", line);
}

dt_status dt_session_open(dt_comm *comm, const dt_options *options, dt_network_config network, bool training,
                          dt_session *session) {
    *session = (dt_session){.comm = comm, .options = options, .network = dt_network_build(network)};
    dt_status status;
    DT_TRY_CLEANUP(status, dt_fingerprint_check_program(comm, dt_version_text(), options));
    DT_TRY_CLEANUP(status, dt_placement_gather(comm, options->threads, &session->placement));
    dt_placement_print(&session->placement);
    DT_TRY_CLEANUP(status, dt_corpus_create(comm, options, &session->corpus));
    DT_TRY_CLEANUP(status, dt_fingerprint_check_data(comm, dt_fingerprint_of_data(&session->corpus)));
    say_data(&session->corpus);
    session->samples = largest(EVALUATION_SAMPLES, largest_share(session).samples + DT_LEAF_SAMPLES);
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, create_team(session)));
    DT_TRY_CLEANUP(status, dt_fingerprint_check_isa(comm, dt_kernels_isa(session->kernels)));
    if (training)
        DT_TRY_CLEANUP(status, dt_planning_resolve(comm, session->kernels, options, &session->network,
                                                   &session->planning, &session->strategy));
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, open_locally(session, training)));
    return status;
cleanup:
    dt_session_close(session);
    return status;
}

void dt_session_close(dt_session *session) {
    dt_slab_release(&session->batch_memory);
    dt_model_destroy(session->model);
    dt_kernels_destroy(session->kernels);
    dt_team_destroy(session->team);
    dt_corpus_release(&session->corpus);
    dt_placement_release(&session->placement);
    *session = (dt_session){0};
}

dt_totals dt_session_sum(dt_session *session, dt_totals mine) {
    int64_t values[4] = {mine.loss, mine.correct, mine.samples, mine.not_finite};
    dt_comm_sum_i64(session->comm, values, 4);
    return (dt_totals){values[0], values[1], values[2], values[3]};
}

dt_totals dt_session_evaluate(dt_session *session, dt_images images) {
    dt_totals totals = {0};
    long ranks = dt_comm_size(session->comm), rank = dt_comm_rank(session->comm);
    int begin = (int)(images.count * rank / ranks), end = (int)(images.count * (rank + 1) / ranks);
    for (int first = begin; first < end; first += session->samples) {
        int samples = end - first < session->samples ? end - first : session->samples;
        for (int i = 0; i < samples; i++)
            session->index[i] = first + i;
        dt_images_fetch(images, session->index, samples, session->x, session->labels);
        dt_model_evaluate(session->model, samples, session->x, session->labels, &totals);
    }
    return dt_session_sum(session, totals);
}
