/* SPDX-License-Identifier: BSD-3-Clause */
/* Setting up and taking down. */
#include "train/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/log.h"
#include "dtrain/strategy.h"
#include "dtrain/version.h"
#include "train/choice.h"
#include "train/fingerprint.h"

/* Evaluation goes in calls of at least so many samples, that the threads have enough to share. */
enum { EVALUATION_SAMPLES = 64 };

static int largest(int a, int b) {
    return a > b ? a : b;
}

static int smallest(int a, int b) {
    return a < b ? a : b;
}

/* The most samples that a rank has in a step. Shares differ by a leaf at most and the last rank's is never
 * the smallest. */
static dt_share largest_share(const dt_session *session) {
    int ranks = dt_comm_size(session->comm);
    return dt_leaves_share(session->options->batch, ranks, ranks - 1);
}

/* "; avx2: ranks 4-7 (n2), 9 (n3)": the ranks of one instruction set, in runs on one host. */
static void list_ranks(const dt_session *session, const int *all, int isa, char *text, size_t room) {
    const dt_place *places = session->placement.places;
    int ranks = dt_comm_size(session->comm), count = 0;
    size_t used = strlen(text);
    for (int first = 0, end; first < ranks && used < room; first = end) {
        for (end = first + 1;
             end < ranks && all[end] == all[first] && strcmp(places[end].host, places[first].host) == 0;
             end++)
            continue;
        if (all[first] != isa)
            continue;
        if (count++ == 0)
            used += (size_t)snprintf(text + used, room - used, "; %s: ", dt_isa_name((dt_isa)isa));
        else
            used += (size_t)snprintf(text + used, room - used, ", ");
        if (used < room)
            used += (size_t)(end - first > 1 ? snprintf(text + used, room - used, "ranks %d-%d (%s)", first,
                                                        end - 1, places[first].host)
                                             : snprintf(text + used, room - used, "rank %d (%s)", first,
                                                        places[first].host));
    }
}

/* Collective. */
static dt_status warn_of_mixture(const dt_session *session, dt_isa mine) {
    char text[1200] = "";
    int own = (int)mine, *all = malloc((size_t)dt_comm_size(session->comm) * sizeof(int));
    dt_status status =
        dt_comm_agree(session->comm, all ? dt_ok() : dt_fail(DT_MEMORY, "no memory for a list of ranks"));
    if (all && !dt_failed(&status)) {
        dt_comm_allgather(session->comm, &own, sizeof own, all);
        for (int isa = DT_ISA_BASELINE; isa <= DT_ISA_AMX_BF16; isa++)
            list_ranks(session, all, isa, text, sizeof text);
        dt_log_warning("the ranks' instruction sets differ: all use %s%s", dt_isa_name(session->isa), text);
    }
    free(all);
    return status;
}

/* The best that every rank may use, so that all compute the same bits. Collective. */
static dt_status choose_isa(dt_session *session) {
    dt_precision precision = session->options->precision;
    dt_isa wish = session->options->isa, best = dt_isa_used(dt_isa_highest(), precision), mine;
    dt_status status = dt_isa_choose(wish, getenv("DTRAIN_ISA"), dt_isa_highest(), &mine);
    DT_TRY(dt_comm_agree(session->comm, status));
    mine = dt_isa_used(mine, precision);
    double extremes[] = {-(double)mine, (double)mine};
    dt_comm_max_f64(session->comm, extremes, 2);
    session->isa = (dt_isa)-extremes[0];
    if (extremes[0] != -extremes[1])
        return warn_of_mixture(session, mine);
    if (session->isa < best)
        dt_log_note("kernels: %s, as %s says; this CPU has %s", dt_isa_name(session->isa),
                    wish == DT_ISA_BEST ? "DTRAIN_ISA" : "--isa", dt_isa_name(best));
    return dt_ok();
}

static dt_status create_kernels(dt_session *session) {
    dt_kernels_config config = {.team = session->team,
                                .isa = session->isa,
                                .engine = session->options->engine,
                                .precision = session->options->precision,
                                .wire = session->options->wire};
    return dt_kernels_create(&config, &session->kernels);
}

static dt_model_config describe_model(const dt_session *session, bool training) {
    int ranks = dt_comm_size(session->comm);
    dt_model_config config = {.network = &session->network,
                              .kernels = session->kernels,
                              .samples = session->samples,
                              .leaves = largest_share(session).leaves,
                              .roots = training ? dt_strategy_roots(session->options->batch, ranks) : 0,
                              .seed = session->options->seed,
                              .methods = session->methods};
    if (training)
        config.split = dt_strategy_split(session->strategy, session->comm, session->options->batch);
    return config;
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

/* The parts that each rank sets up for itself. */
static dt_status open_kernels(dt_session *session) {
    int threads = session->placement.places[dt_comm_rank(session->comm)].threads;
    DT_TRY(dt_team_create(threads, &session->team));
    return create_kernels(session);
}

static dt_status create_model(dt_session *session, const dt_model_config *config) {
    DT_TRY(dt_model_create(config, &session->model));
    return reserve_batch(session);
}

static dt_status open_model(dt_session *session, bool training) {
    dt_model_config config = describe_model(session, training);
    if (training)
        session->node_memory =
            dt_node_memory_create(session->comm, &config, dt_strategy_shares_weights(session->strategy));
    config.weights = dt_node_memory_weights(session->node_memory);
    config.gradients = dt_node_memory_gradients(session->node_memory);
    return dt_comm_agree(session->comm, create_model(session, &config));
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
    char program[240];
    snprintf(program, sizeof program, "%s, %s", dt_version_text(), dt_version_arithmetic());
    DT_TRY_CLEANUP(status, dt_fingerprint_check_program(comm, program, options));
    DT_TRY_CLEANUP(status, dt_placement_gather(comm, options->threads, &session->placement));
    dt_placement_print(&session->placement);
    DT_TRY_CLEANUP(status, choose_isa(session));
    dt_comm_tell(comm, DT_COMM_FILES);
    DT_TRY_CLEANUP(status, dt_corpus_create(comm, options, &session->corpus));
    dt_comm_tell(comm, DT_COMM_WORKS);
    DT_TRY_CLEANUP(status, dt_fingerprint_check_data(comm, dt_fingerprint_of_data(&session->corpus)));
    say_data(&session->corpus);
    session->samples = largest(EVALUATION_SAMPLES, largest_share(session).samples + DT_LEAF_SAMPLES);
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, open_kernels(session)));
    DT_TRY_CLEANUP(status, dt_choice_make(comm, options->methods, &session->network, session->kernels,
                                          largest_share(session).samples, &session->methods));
    DT_TRY_CLEANUP(status, dt_fingerprint_check_isa(comm, dt_kernels_isa(session->kernels)));
    if (training)
        DT_TRY_CLEANUP(status, dt_planning_resolve(comm, session->kernels, options, &session->network,
                                                   &session->planning, &session->strategy));
    DT_TRY_CLEANUP(status, open_model(session, training));
    return status;
cleanup:
    dt_session_close(session);
    return status;
}

void dt_session_close(dt_session *session) {
    dt_slab_release(&session->batch_memory);
    dt_model_destroy(session->model);
    dt_node_memory_release(session->node_memory);
    dt_kernels_destroy(session->kernels);
    dt_team_destroy(session->team);
    dt_corpus_release(&session->corpus);
    dt_placement_release(&session->placement);
    *session = (dt_session){0};
}

static dt_totals sum_over_ranks(dt_comm *comm, dt_totals mine) {
    int64_t values[4] = {mine.loss, mine.correct, mine.samples, mine.not_finite};
    dt_comm_sum_i64(comm, values, 4);
    return (dt_totals){values[0], values[1], values[2], values[3]};
}

/* `samples` images of the set, from number `first` on. */
static void evaluate_call(dt_session *session, dt_images images, int first, int samples, dt_totals *totals) {
    for (int i = 0; i < samples; i++)
        session->index[i] = first + i;
    dt_images_fetch(images, session->index, samples, session->x, session->labels);
    dt_model_evaluate(session->model, samples, session->x, session->labels, totals);
}

bool dt_session_evaluate(dt_session *session, dt_images images, dt_break_off break_off, void *context,
                         dt_totals *totals) {
    /* Calls between two questions: a second or two of the full network on one core, and little enough talk
     * for the smallest. Slices differ by an image at most; all ranks make as many calls as the longest needs.
     */
    enum { CALLS = 8 };
    long ranks = dt_comm_size(session->comm), rank = dt_comm_rank(session->comm);
    int first = (int)(images.count * rank / ranks), end = (int)(images.count * (rank + 1) / ranks);
    int longest = (int)((images.count + ranks - 1) / ranks);
    int calls = (longest + session->samples - 1) / session->samples;
    dt_totals mine = {0};
    for (int call = 0; call < calls; call++, first += session->samples) {
        if (first < end)
            evaluate_call(session, images, first, smallest(session->samples, end - first), &mine);
        if (break_off && call % CALLS == CALLS - 1 && break_off(context))
            return false;
    }
    *totals = sum_over_ranks(session->comm, mine);
    return true;
}
