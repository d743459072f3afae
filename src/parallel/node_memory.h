/* SPDX-License-Identifier: BSD-3-Clause */
/* What the strategies see of the memory that ranks share. */
#ifndef DTRAIN_PARALLEL_NODE_MEMORY_H
#define DTRAIN_PARALLEL_NODE_MEMORY_H

#include "dtrain/node_memory.h"
#include "parallel/sharing.h"

/* NULL for NULL. */
const dt_sharing *dt_node_memory_sharing(const dt_node_memory *memory);

#endif
