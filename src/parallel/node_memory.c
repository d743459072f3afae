/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows for gradients, weights and counters. */
#include "parallel/node_memory.h"

#include <assert.h>
#include <stdlib.h>

#include "dtrain/log.h"

struct dt_node_memory {
    int *node_of; /* [ranks] */
    dt_comm_window *gradients, *weights, *counters;
    dt_sharing sharing;
};

/* Every rank brings the pages of its gradients, and as many of the node's weights as the others. */
static dt_status open_windows(dt_comm *comm, const dt_model_config *config, bool shares_weights,
                              dt_node_memory *memory) {
    dt_parameters parameters = dt_parameters_layout(config->network);
    size_t begin, end, bytes = parameters.floats * sizeof(float);
    dt_split_span(config->network, &parameters, &begin, &end);
    size_t left_out = config->split.ranks > 0 ? (end - begin) * sizeof(float) : 0;
    size_t members = (size_t)dt_comm_node_size(comm);
    size_t counters = DT_SHARED_RANGES * members * sizeof(dt_rank_counters);
    DT_TRY(dt_comm_window_create_parts(comm, (size_t)config->roots * (bytes - left_out), &memory->gradients));
    DT_TRY(dt_comm_window_create(comm, counters, &memory->counters));
    if (!shares_weights)
        return dt_ok();
    return dt_comm_window_create_parts(comm, (bytes + members - 1) / members, &memory->weights);
}

static void connect(dt_comm *comm, dt_node_memory *memory) {
    dt_sharing *sharing = &memory->sharing;
    sharing->node_of = memory->node_of;
    sharing->members = dt_comm_node_size(comm);
    sharing->place = dt_comm_node_rank(comm);
    sharing->gradients = dt_comm_window_data(memory->gradients);
    sharing->gradient_stride = dt_comm_window_part(memory->gradients) / sizeof(float);
    sharing->weights = memory->weights ? dt_comm_window_data(memory->weights) : NULL;
    sharing->counters = dt_comm_window_data(memory->counters);
}

/* The description, before there are windows. */
static dt_status describe(dt_comm *comm, dt_node_memory **memory) {
    *memory = calloc(1, sizeof **memory);
    if (*memory)
        (*memory)->node_of = calloc((size_t)dt_comm_size(comm), sizeof(int));
    bool complete = *memory && (*memory)->node_of;
    DT_TRY(dt_comm_agree(comm, complete ? dt_ok() : dt_fail(DT_MEMORY, "no memory for its description")));
    assert(complete);
    for (int rank = 0; rank < dt_comm_size(comm); rank++)
        (*memory)->node_of[rank] = dt_comm_node_of(comm, rank);
    return dt_ok();
}

dt_node_memory *dt_node_memory_create(dt_comm *comm, const dt_model_config *config, bool shares_weights) {
    dt_node_memory *memory = NULL;
    if (dt_comm_nodes(comm) == dt_comm_size(comm))
        return NULL;
    dt_status status = describe(comm, &memory);
    if (!dt_failed(&status))
        status = open_windows(comm, config, shares_weights, memory);
    if (dt_failed(&status)) {
        dt_log_note("the ranks of a node share no memory, each holds its own copies: %s", status.text);
        dt_node_memory_release(memory);
        return NULL;
    }
    connect(comm, memory);
    return memory;
}

void dt_node_memory_release(dt_node_memory *memory) {
    if (!memory)
        return;
    dt_comm_window_release(memory->weights);
    dt_comm_window_release(memory->counters);
    dt_comm_window_release(memory->gradients);
    free(memory->node_of);
    free(memory);
}

float *dt_node_memory_weights(const dt_node_memory *memory) {
    return memory ? memory->sharing.weights : NULL;
}

float *dt_node_memory_gradients(const dt_node_memory *memory) {
    if (!memory)
        return NULL;
    return memory->sharing.gradients + (size_t)memory->sharing.place * memory->sharing.gradient_stride;
}

const dt_sharing *dt_node_memory_sharing(const dt_node_memory *memory) {
    return memory ? &memory->sharing : NULL;
}
