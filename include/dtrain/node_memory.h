/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the ranks of a node share: each rank's gradients, which the others read in place instead of
 * receiving them, and where a strategy allows it one copy of the weights a node. */
#ifndef DTRAIN_NODE_MEMORY_H
#define DTRAIN_NODE_MEMORY_H

#include "dtrain/comm.h"
#include "dtrain/model.h"

typedef struct dt_node_memory dt_node_memory;

/* Takes the memory for the gradients of a model (its network, roots and split count) and, if asked to, for
 * its weights; zero, on huge pages where the system grants them, each rank's part touched by that rank first.
 * NULL, the same on all ranks, if every rank is alone on its node, or if the system refuses: then a note in
 * the log says why, and the model takes memory of its own. Collective. Must outlive the model and the
 * strategy. */
dt_node_memory *dt_node_memory_create(dt_comm *comm, const dt_model_config *config, bool shares_weights);
void dt_node_memory_release(dt_node_memory *memory); /* takes NULL; local */

/* dt_model_config.weights and .gradients: this rank's slabs; NULL where the model has its own. The weights
 * are the same memory on all ranks of the node: they may all be set to the same values before the first step.
 * `memory` may be NULL. */
float *dt_node_memory_weights(const dt_node_memory *memory);
float *dt_node_memory_gradients(const dt_node_memory *memory);

#endif
