/* SPDX-License-Identifier: BSD-3-Clause */
/* Measuring what a plan needs. */
#include "parallel/measurement.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "dtrain/timer.h"
#include "parallel/slices.h"

enum {
    PASSES = 3,              /* at most, behind one that warms up */
    STREAM_FLOATS = 1 << 22, /* of the measurement of Adam and additions: no cache holds them */
    PINGS = 50,              /* small messages */
    BURSTS = 4,              /* large ones */
    BURST_FLOATS = 1 << 18,  /* 1 MB, as a slice of a piece on four ranks */
    PIXELS = 784,
    WIDEST = 1024 /* units of a hidden dense layer that is timed: 27 MB of weights and gradients */
};

/* Seconds after which no further pass is begun. */
static const double patience = 0.1;

/* A model with the share of the last of setup->ranks ranks, which is never the smallest; a split one with a
 * single sample of its own, since what its convolutions take is known from the other. Hidden dense layers are
 * no wider than WIDEST: what a pass does to a weight does not depend on how many there are, while to make and
 * touch all of them takes longer than the passes. */
typedef struct trial {
    dt_network network;
    double scale; /* weights of the hidden dense layers over those of the trial's */
    dt_model *model;
    dt_phases phases;
    dt_slab memory;
    dt_batch batch;
    dt_exchange exchange;
    int leaves;
} trial;

static void skip_reshape(void *context, dt_reshape shape, const float *source, float *target) {
    (void)context, (void)shape, (void)source, (void)target;
}

static double dense_weights(const dt_network *network) {
    double weights = 0.0;
    for (int i = 0; i < network->count; i++)
        if (dt_split_is_split(&network->layers[i]))
            weights += (double)network->layers[i].in.channels * network->layers[i].out.channels;
    return weights;
}

static dt_network narrow(const dt_network *network) {
    dt_network result = *network;
    for (int i = 0; i + 1 < result.count; i++) {
        dt_layer_spec *spec = &result.layers[i];
        if (!dt_split_is_split(spec) || spec->out.channels <= WIDEST)
            continue;
        spec->out.channels = WIDEST;
        spec[1].in.channels = WIDEST;
    }
    return result;
}

static dt_status open_trial(dt_kernels *kernels, const dt_plan_setup *setup, bool split, trial *t) {
    *t = (trial){.network = narrow(setup->network)};
    t->scale = dense_weights(setup->network) / dense_weights(&t->network);
    dt_share share = dt_leaves_share(setup->batch, setup->ranks, setup->ranks - 1);
    if (split && share.samples > 1)
        share.samples = share.leaves = 1;
    size_t samples = (size_t)share.samples, batch = (size_t)setup->batch;
    dt_model_config config = {.network = &t->network,
                              .kernels = kernels,
                              .samples = share.samples > 0 ? share.samples : 1,
                              .leaves = share.leaves > 0 ? share.leaves : 1,
                              .roots = dt_strategy_roots(setup->batch, setup->ranks),
                              .seed = 1};
    if (split)
        config.split = (dt_split){.ranks = setup->ranks, .rank = setup->ranks - 1, .batch = setup->batch};
    DT_TRY(dt_model_create(&config, &t->model));
    size_t bytes = (samples * PIXELS + batch) * sizeof(float) + samples;
    DT_TRY(dt_slab_reserve(bytes, "a batch to measure with", &t->memory));
    float *x = t->memory.base;
    int *numbers = (int *)(void *)(x + samples * PIXELS);
    uint8_t *labels = (uint8_t *)(numbers + batch);
    for (size_t i = 0; i < samples * PIXELS; i++)
        x[i] = (float)(i * 2654435761u % 1021) / 1021.0f;
    t->batch = (dt_batch){share, x, labels, numbers, 1, numbers};
    /* Weights stay zero: no kernel's time depends on values, and drawing them would take longer than a pass.
     */
    t->leaves = share.leaves;
    t->exchange = dt_exchange_alone(&t->leaves);
    t->exchange.reshape = skip_reshape;
    dt_model_set_phases(t->model, &t->phases);
    return dt_ok();
}

static void close_trial(trial *t) {
    dt_model_destroy(t->model);
    dt_slab_release(&t->memory);
}

/* Passes until the patience is over; returns how many count. moments NULL: without the update of split
 * layers. */
static int run_passes(trial *t, const dt_slab *moments, double *update) {
    double begun = 0.0;
    for (int pass = 0; pass <= PASSES; pass++) {
        dt_totals totals;
        if (pass == 1) {
            t->phases = (dt_phases){{0}};
            *update = 0.0;
            begun = dt_timer_now();
        }
        dt_model_train(t->model, &t->batch, &t->exchange, &totals);
        double start = dt_timer_now();
        if (moments) {
            float *m = moments->base;
            dt_adam_step step = {1e-6f, 0.1f, 1e-3f, 1e-8f};
            dt_model_update_split(t->model, step, m, m + dt_model_split_layout(t->model)->floats);
        }
        *update += dt_timer_now() - start;
        if (pass > 0 && dt_timer_now() - begun > patience)
            return pass;
    }
    return PASSES;
}

/* Seconds of a pass in each phase, and of the update of split layers. */
static dt_status time_passes(dt_comm *comm, dt_kernels *kernels, const dt_plan_setup *setup, bool split,
                             dt_phases *phases, double *update) {
    trial t;
    dt_slab moments = {0};
    *update = 0.0;
    dt_status status = open_trial(kernels, setup, split, &t);
    if (!dt_failed(&status))
        status = dt_slab_reserve(2 * dt_model_split_layout(t.model)->floats * sizeof(float),
                                 "moments to measure with", &moments);
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, status));
    int passes = run_passes(&t, split ? &moments : NULL, update);
    for (int phase = 0; phase < DT_PHASES; phase++)
        phases->seconds[phase] = t.phases.seconds[phase] / passes;
    phases->seconds[DT_PHASE_DENSE_FORWARD] *= t.scale;
    phases->seconds[DT_PHASE_DENSE_BACKWARD] *= t.scale;
    *update *= t.scale / passes;
cleanup:
    close_trial(&t);
    dt_slab_release(&moments);
    return status;
}

static dt_status time_streams(dt_comm *comm, dt_kernels *kernels, dt_plan_times *times) {
    dt_slab slab;
    size_t count = STREAM_FLOATS;
    DT_TRY(dt_comm_agree(comm, dt_slab_reserve(4 * count * sizeof(float), "arrays to measure with", &slab)));
    float *a = slab.base;
    dt_adam_step step = {1e-6f, 0.1f, 1e-3f, 1e-8f};
    double start = dt_timer_now();
    dt_adam_update(kernels, step, count, a, a + count, a + 2 * count, a + 3 * count);
    double middle = dt_timer_now();
    dt_add_to(kernels, count, a, a + count);
    times->adam = (middle - start) / (double)count;
    times->add = (dt_timer_now() - middle) / (double)count;
    dt_slab_release(&slab);
    return dt_ok();
}

/* This rank's partner: pairs inside nodes, or the same place on the neighbouring node. -1: none. */
static int partner_of(const dt_comm *comm, const int *nodes, const int *places, bool across) {
    int size = dt_comm_size(comm), rank = dt_comm_rank(comm);
    int node = nodes[rank], place = places[rank];
    int wanted_node = across ? node ^ 1 : node, wanted_place = across ? place : place ^ 1;
    for (int peer = 0; peer < size; peer++)
        if (peer != rank && nodes[peer] == wanted_node && places[peer] == wanted_place)
            return peer;
    return -1;
}

/* There and back of `count` values, `rounds` times: seconds of one way while both ways are in use. */
static double swap(dt_transfers *transfers, int partner, float *values, size_t count, int rounds) {
    double start = dt_timer_now();
    for (int round = 0; round < rounds; round++) {
        dt_transfers_receive(transfers, partner, DT_TAG_PROBE, values + count, count);
        dt_transfers_send(transfers, partner, DT_TAG_PROBE, values, count);
        dt_transfers_wait(transfers);
    }
    return (dt_timer_now() - start) / rounds;
}

/* latency 0: no pair of this kind. The slowest pair counts. */
static dt_plan_link time_link(dt_comm *comm, dt_transfers *transfers, float *values, int partner) {
    double seconds[2] = {0};
    dt_comm_barrier(comm);
    if (partner >= 0) {
        swap(transfers, partner, values, 1, 3);
        seconds[0] = swap(transfers, partner, values, 1, PINGS);
        swap(transfers, partner, values, BURST_FLOATS, 1);
        seconds[1] = swap(transfers, partner, values, BURST_FLOATS, BURSTS);
    }
    dt_comm_max_f64(comm, seconds, 2);
    double bytes = BURST_FLOATS * sizeof(float);
    return (dt_plan_link){seconds[0], seconds[1] > 0.0 ? bytes / seconds[1] : 0.0};
}

static dt_status time_links(dt_comm *comm, dt_plan_times *times) {
    size_t size = (size_t)dt_comm_size(comm);
    dt_slab slab = {0};
    dt_transfers *transfers = NULL;
    int *nodes = calloc(2 * size, sizeof *nodes), mine[2] = {dt_comm_node(comm), dt_comm_node_rank(comm)};
    dt_status status = nodes ? dt_ok() : dt_fail(DT_MEMORY, "no memory for a table of ranks");
    if (!dt_failed(&status))
        status = dt_slab_reserve(2 * BURST_FLOATS * sizeof(float), "messages to measure with", &slab);
    if (!dt_failed(&status))
        status = dt_transfers_create(comm, 2, &transfers);
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, status));
    assert(nodes);
    dt_comm_allgather(comm, &mine[0], sizeof(int), nodes);
    dt_comm_allgather(comm, &mine[1], sizeof(int), nodes + size);
    times->within = time_link(comm, transfers, slab.base, partner_of(comm, nodes, nodes + size, false));
    times->across = time_link(comm, transfers, slab.base, partner_of(comm, nodes, nodes + size, true));
    if (times->within.bandwidth <= 0.0)
        times->within = times->across;
    if (times->across.bandwidth <= 0.0)
        times->across = times->within;
cleanup:
    dt_transfers_destroy(transfers);
    dt_slab_release(&slab);
    free(nodes);
    return status;
}

dt_status dt_measurement_run(dt_comm *comm, dt_kernels *kernels, const dt_plan_setup *setup,
                             dt_plan_times *times) {
    dt_phases whole, split;
    double nothing;
    *times = (dt_plan_times){0};
    DT_TRY(time_passes(comm, kernels, setup, false, &whole, &nothing));
    DT_TRY(time_passes(comm, kernels, setup, true, &split, &times->split_update));
    DT_TRY(time_streams(comm, kernels, times));
    DT_TRY(time_links(comm, times));
    times->conv_forward = whole.seconds[DT_PHASE_CONV_FORWARD] + whole.seconds[DT_PHASE_NORM] / 2.0;
    times->conv_backward = whole.seconds[DT_PHASE_CONV_BACKWARD] + whole.seconds[DT_PHASE_NORM] / 2.0 +
                           whole.seconds[DT_PHASE_LOSS];
    times->dense_forward = whole.seconds[DT_PHASE_DENSE_FORWARD];
    times->dense_backward = whole.seconds[DT_PHASE_DENSE_BACKWARD];
    times->split_forward = split.seconds[DT_PHASE_DENSE_FORWARD];
    times->split_backward = split.seconds[DT_PHASE_DENSE_BACKWARD];
    double *const shared[] = {&times->conv_forward,   &times->conv_backward, &times->dense_forward,
                              &times->dense_backward, &times->split_forward, &times->split_backward,
                              &times->split_update,   &times->adam,          &times->add};
    enum { SHARED = sizeof shared / sizeof *shared };
    double slowest[SHARED];
    for (int i = 0; i < SHARED; i++)
        slowest[i] = *shared[i];
    dt_comm_max_f64(comm, slowest, SHARED);
    for (int i = 0; i < SHARED; i++)
        *shared[i] = slowest[i];
    return dt_ok();
}
