/* SPDX-License-Identifier: BSD-3-Clause */
/* What training and evaluation have in common: places, threads, kernels, data, the model and room for a
 * batch. */
#ifndef DTRAIN_TRAIN_SESSION_H
#define DTRAIN_TRAIN_SESSION_H

#include "dtrain/model.h"
#include "dtrain/node_memory.h"
#include "dtrain/placement.h"
#include "dtrain/train.h"
#include "train/corpus.h"
#include "train/planning.h"

typedef struct dt_session {
    dt_comm *comm;             /* borrowed */
    const dt_options *options; /* borrowed */
    dt_network network;
    dt_placement_table placement;
    dt_team *team;
    dt_isa isa; /* of the kernels, the same on all ranks */
    dt_kernels *kernels;
    dt_strategy_kind strategy;   /* training: what the option came to */
    dt_planning planning;        /* what it was chosen by */
    dt_methods methods;          /* of the convolutions */
    dt_node_memory *node_memory; /* training: of the model's slabs; NULL: it has its own */
    dt_model *model;
    dt_corpus corpus;
    int samples; /* the most samples of one call of the model */
    dt_slab batch_memory;
    float *x;        /* [samples][784] */
    uint8_t *labels; /* [samples] */
    int *index;      /* [samples] */
} dt_session;

/* Sets everything up for the network's options and says what it found. training: with gradients. Collective.
 * Errors, agreed on by all ranks. A failed session is closed already. */
dt_status dt_session_open(dt_comm *comm, const dt_options *options, dt_network_config network, bool training,
                          dt_session *session);
void dt_session_close(dt_session *session);

/* Asked now and then during an evaluation, by all ranks at the same places: whether to break off, the same
 * answer everywhere. Collective. */
typedef bool (*dt_break_off)(void *context);

/* Loss and accuracy on a set of images: each rank takes a slice; the sums are exact, so the same for any
 * number of ranks. False when it was broken off: *totals is of no use then. break_off may be NULL.
 * Collective.
 */
bool dt_session_evaluate(dt_session *session, dt_images images, dt_break_off break_off, void *context,
                         dt_totals *totals);

#endif
