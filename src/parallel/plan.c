/* SPDX-License-Identifier: BSD-3-Clause */
/* Predictions of a step's time. */
#include "dtrain/plan.h"

#include <assert.h>
#include <math.h>

#include "dtrain/memory.h"
#include "parallel/cut.h"
#include "parallel/slices.h"
#include "parallel/strategy_ops.h"

/* Floats of the slab that are summed over ranks: before and behind the split tensors, and those. */
typedef struct parts {
    size_t front, split, back;
} parts;

static parts parts_of(const dt_network *network) {
    dt_parameters parameters = dt_parameters_layout(network);
    dt_split_layout layout = dt_split_layout_of(network, &parameters, 1, 0);
    parts found = {.front = parameters.summed_floats};
    size_t end = 0;
    for (int i = 0; i < layout.count; i++) {
        const dt_tensor *row = &parameters.tensors[layout.tensors[i].tensor];
        found.front = row->offset < found.front ? row->offset : found.front;
        end =
            row->offset + dt_align_floats(row->count) > end ? row->offset + dt_align_floats(row->count) : end;
    }
    found.split = end - found.front;
    found.back = parameters.summed_floats - end;
    return found;
}

/* Roots of a rank's share of `leaves` leaves or blocks. */
static int roots_of(int leaves, int ranks, int rank) {
    dt_share share = dt_leaves_share(leaves * DT_LEAF_SAMPLES, ranks, rank);
    return dt_cut_roots(leaves, share.first_leaf, share.leaves);
}

static double total_roots(int leaves, int ranks) {
    int total = 0;
    for (int rank = 0; rank < ranks; rank++)
        total += roots_of(leaves, ranks, rank);
    return total;
}

/* A range's slices: each root to the owners, each sum (or new weight) to the others. */
static double exchange_bytes(size_t floats, int batch, int ranks, int rank) {
    dt_slices slices = {ranks, floats, DT_PIECE_FLOATS};
    double own = 0.0, roots = roots_of(dt_leaves_count(batch), ranks, rank);
    for (int piece = 0; piece < dt_slices_pieces(&slices); piece++)
        own += (double)dt_slices_of(&slices, piece, rank).count;
    return sizeof(float) * (roots * ((double)floats - own) + (ranks - 1) * own);
}

/* Samples or units of a rank, and of the others. */
static double others(int all, dt_share share) {
    return (double)(all - share.samples);
}

/* The six exchanges of model.h's forms around two split layers. */
static double activation_bytes(const dt_network *network, int batch, int ranks, int rank) {
    dt_share samples = dt_leaves_share(batch, ranks, rank);
    double floats = 0.0;
    for (int i = 0; i < network->count; i++) {
        const dt_layer_spec *layer = &network->layers[i];
        if (!dt_split_is_split(layer))
            continue;
        int in = layer->in.channels, out = layer->out.channels;
        bool follows = i > 0 && dt_split_is_split(layer - 1);
        bool leads = i + 1 < network->count && dt_split_is_split(layer + 1);
        dt_share units = dt_blocks_share(out, ranks, rank), inputs = dt_blocks_share(in, ranks, rank);
        double roots = roots_of(dt_blocks_count(out), ranks, rank);
        if (!follows) /* samples to all, partial sums to their samples */
            floats += (ranks - 1) * (double)samples.samples * in + roots * others(batch, samples) * in;
        else
            floats += roots * (double)batch * others(in, inputs);
        if (leads)
            floats += (ranks - 1) * (double)batch * units.samples;
        else /* units to samples and back */
            floats += others(batch, samples) * units.samples + (double)samples.samples * others(out, units);
    }
    return sizeof(float) * floats;
}

double dt_plan_bytes(dt_strategy_kind kind, const dt_network *network, int batch, int ranks, int rank) {
    parts floats = parts_of(network);
    if (ranks == 1)
        return 0.0;
    if (kind != DT_STRATEGY_HYBRID)
        return exchange_bytes(floats.front + floats.split + floats.back, batch, ranks, rank);
    return exchange_bytes(floats.front, batch, ranks, rank) +
           exchange_bytes(floats.back, batch, ranks, rank) + activation_bytes(network, batch, ranks, rank);
}

double dt_plan_one_rank(const dt_plan_setup *setup, const dt_plan_times *times) {
    parts floats = parts_of(setup->network);
    double share = (double)dt_leaves_share(setup->batch, setup->ranks, setup->ranks - 1).samples;
    double convolutions = (times->conv_forward + times->conv_backward) * setup->batch / fmax(share, 1.0);
    double dense = (times->split_forward + times->split_backward + times->split_update) * setup->ranks;
    return convolutions + dense + times->adam * (double)(floats.front + floats.back);
}

/* Seconds that a rank sends: inside its node, and to other nodes. */
typedef struct sending {
    double within, across;
} sending;

static sending send_time(const dt_plan_setup *setup, const dt_plan_times *times, double bytes,
                         double messages) {
    double peers = setup->ranks - 1, near = fmin(setup->node_ranks, setup->ranks) - 1, far = peers - near;
    sending time = {0};
    if (near > 0)
        time.within = near / peers * (bytes / times->within.bandwidth + messages * times->within.latency);
    if (far > 0)
        time.across = far / peers * (bytes / times->across.bandwidth + messages * times->across.latency);
    return time;
}

static dt_plan_link slower_link(const dt_plan_setup *setup, const dt_plan_times *times) {
    return setup->ranks > setup->node_ranks ? times->across : times->within;
}

/* Two sums of statistics for each normalisation and one of losses, each a tree there and back. */
static double statistics_time(const dt_plan_setup *setup, const dt_plan_times *times) {
    int sums = 1;
    for (int i = 0; i < setup->network->count; i++)
        sums += setup->network->layers[i].kind == DT_LAYER_NORM ? 2 : 0;
    return sums * 2.0 * ceil(log2(setup->ranks)) * slower_link(setup, times).latency;
}

/* What remains of a transfer behind the time that it has: at least its last piece. */
static double remainder_of(double time, double hidden_behind, double last) {
    return fmax(time - hidden_behind, fmin(time, last));
}

static double largest_bytes(dt_strategy_kind kind, const dt_plan_setup *setup) {
    double largest = 0.0;
    for (int rank = 0; rank < setup->ranks; rank++)
        largest = fmax(largest, dt_plan_bytes(kind, setup->network, setup->batch, setup->ranks, rank));
    return largest;
}

static double largest_activation_bytes(const dt_plan_setup *setup) {
    double largest = 0.0;
    for (int rank = 0; rank < setup->ranks; rank++)
        largest = fmax(largest, activation_bytes(setup->network, setup->batch, setup->ranks, rank));
    return largest;
}

/* Gradients on their way during the backward pass, and with `apart` the weights during the next forward
 * pass. */
static double exposed_exchange(const dt_plan_setup *setup, const dt_plan_times *times, double bytes,
                               double floats, bool apart) {
    double pieces = ceil(floats / DT_PIECE_FLOATS), messages = 2.0 * pieces * (setup->ranks - 1);
    sending time = send_time(setup, times, bytes, messages);
    double last = time.across / (2.0 * pieces);
    if (!apart)
        return time.within + remainder_of(time.across, times->conv_backward, 2.0 * last);
    return time.within + remainder_of(time.across / 2.0, times->conv_backward, last) +
           remainder_of(time.across / 2.0, times->conv_forward, last);
}

static void predict_whole(dt_plan_row *row, const dt_plan_setup *setup, const dt_plan_times *times,
                          parts floats) {
    double all = (double)(floats.front + floats.split + floats.back);
    bool sharded = row->kind == DT_STRATEGY_SHARDED;
    row->compute += times->dense_forward + times->dense_backward;
    row->compute +=
        times->add * all / setup->ranks * (total_roots(dt_leaves_count(setup->batch), setup->ranks) - 1);
    row->exposed += exposed_exchange(setup, times, row->bytes, all, sharded);
    row->optimizer = times->adam * all / (sharded ? setup->ranks : 1);
}

static void predict_split(dt_plan_row *row, const dt_plan_setup *setup, const dt_plan_times *times,
                          parts floats) {
    double rest = (double)(floats.front + floats.back), travelling = largest_activation_bytes(setup);
    sending activations = send_time(setup, times, travelling, 6.0 * (setup->ranks - 1));
    row->compute += times->split_forward + times->split_backward;
    row->compute +=
        times->add * rest / setup->ranks * (total_roots(dt_leaves_count(setup->batch), setup->ranks) - 1);
    row->exposed += activations.within + activations.across;
    row->exposed += exposed_exchange(setup, times, fmax(row->bytes - travelling, 0.0), rest, true);
    row->optimizer = times->split_update + times->adam * rest / setup->ranks;
}

dt_plan_row dt_plan_predict(dt_strategy_kind kind, const dt_plan_setup *setup, const dt_plan_times *times) {
    dt_status refusal = dt_strategy_check(kind, setup->network, setup->ranks);
    dt_plan_row row = {.kind = kind, .possible = !dt_failed(&refusal)};
    parts floats = parts_of(setup->network);
    if (!row.possible)
        return row;
    if (setup->ranks == 1) {
        row.compute =
            times->conv_forward + times->conv_backward + times->split_forward + times->split_backward;
        row.optimizer = times->split_update + times->adam * (double)(floats.front + floats.back);
        row.step = row.compute + row.optimizer;
        row.speedup = 1.0;
        return row;
    }
    row.bytes = largest_bytes(kind, setup);
    row.compute = times->conv_forward + times->conv_backward;
    row.exposed = statistics_time(setup, times);
    if (kind == DT_STRATEGY_HYBRID)
        predict_split(&row, setup, times, floats);
    else
        predict_whole(&row, setup, times, floats);
    row.step = row.compute + row.exposed + row.optimizer;
    row.speedup = dt_plan_one_rank(setup, times) / row.step;
    return row;
}

dt_strategy_kind dt_plan_choose(const dt_plan_row *rows, int count) {
    const dt_plan_row *best = NULL;
    for (int i = 0; i < count; i++)
        if (rows[i].possible && (!best || rows[i].step < best->step))
            best = &rows[i];
    assert(best);
    return best->kind;
}
