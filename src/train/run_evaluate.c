/* SPDX-License-Identifier: BSD-3-Clause */
/* Evaluation of saved weights. */
#include <stdlib.h>

#include "dtrain/checkpoint.h"
#include "dtrain/log.h"
#include "dtrain/weights.h"
#include "train/session.h"

/* Rank 0 reads, all receive. Collective. */
static dt_status read_network(dt_comm *comm, const char *path, dt_network_config *config) {
    dt_weights_kind kind = DT_WEIGHTS_FOREIGN;
    dt_status status = dt_ok();
    if (dt_comm_rank(comm) == 0)
        status = dt_weights_find_kind(path, &kind);
    if (!dt_failed(&status) && kind != DT_WEIGHTS_FOREIGN)
        status = dt_weights_network(path, config);
    DT_TRY(dt_comm_agree(comm, status));
    dt_comm_broadcast(comm, config, sizeof *config, 0);
    dt_comm_broadcast(comm, &kind, sizeof kind, 0);
    if (kind == DT_WEIGHTS_FOREIGN)
        dt_log_note("network: --width %g --bn-axis %s --bn-layers %s: %s does not tell it", config->width,
                    dt_bn_axis_names[config->bn_axis], dt_bn_layers_names[config->bn_layers], path);
    return dt_ok();
}

/* Rank 0: losses on other images are not those of the run, and some of the images may be those of its
 * training.
 */
static void compare_data(const dt_session *session, const char *path) {
    dt_checkpoint checkpoint = {0};
    dt_weights_kind kind;
    dt_status status = dt_weights_find_kind(path, &kind);
    if (dt_failed(&status) || kind != DT_WEIGHTS_CHECKPOINT)
        return;
    status = dt_checkpoint_peek(path, &checkpoint);
    if (!dt_failed(&status) && checkpoint.position.data_fingerprint != session->corpus.fingerprint)
        dt_log_warning(
            "other data than the run's: fingerprint %016llx then, %016llx now. Images of its training "
            "may be among these",
            (unsigned long long)checkpoint.position.data_fingerprint,
            (unsigned long long)session->corpus.fingerprint);
    free(checkpoint.options);
    free(checkpoint.history);
}

static dt_status read_weights(dt_session *session, const char *path) {
    const dt_parameters *parameters = dt_model_parameters(session->model);
    float *weights = dt_model_weights(session->model), *states = dt_model_states(session->model);
    dt_status status = dt_ok();
    dt_comm_tell(session->comm, DT_COMM_FILES);
    if (dt_comm_rank(session->comm) == 0)
        status = dt_weights_load(path, parameters, weights, states);
    DT_TRY(dt_comm_agree(session->comm, status));
    dt_comm_tell(session->comm, DT_COMM_WORKS);
    dt_comm_broadcast(session->comm, weights, parameters->floats * sizeof(float), 0);
    dt_comm_broadcast(session->comm, states, parameters->state_floats * sizeof(float), 0);
    return dt_ok();
}

static void evaluate(dt_session *session, const char *name, dt_images images) {
    dt_totals totals;
    (void)dt_session_evaluate(session, images, NULL, NULL, &totals);
    if (totals.samples > 0)
        dt_log_note("%-10s  loss %.6f  accuracy %.2f %%  (%lld of %lld)", name, dt_totals_loss(totals),
                    100.0 * dt_totals_accuracy(totals), (long long)totals.correct, (long long)totals.samples);
}

dt_status dt_evaluate_run(const dt_options *options, dt_comm *comm) {
    char path[DT_WEIGHTS_PATH];
    dt_network_config network = options->network;
    DT_TRY(dt_weights_resolve(options->weights, path));
    DT_TRY(read_network(comm, path, &network));
    dt_options alone = *options;
    alone.batch = 1; /* nothing is trained: the data need not hold a batch */
    dt_session session;
    DT_TRY(dt_session_open(comm, &alone, network, false, &session));
    dt_status status = read_weights(&session, path);
    if (!dt_failed(&status)) {
        dt_log_note("weights: %s", path);
        if (dt_comm_rank(comm) == 0)
            compare_data(&session, path);
        evaluate(&session, "validation", session.corpus.validation);
        evaluate(&session, "test", session.corpus.test);
    }
    dt_session_close(&session);
    return status;
}
