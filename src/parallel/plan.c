/* SPDX-License-Identifier: BSD-3-Clause */
/* Predictions of a step's time. */
#include "dtrain/plan.h"

#include <assert.h>
#include <math.h>

#include "dtrain/memory.h"
#include "parallel/cut.h"
#include "parallel/numbers.h"
#include "parallel/slices.h"
#include "parallel/strategy_ops.h"

/* Floats of the slab that are summed over ranks: before and behind the split tensors, and those. */
typedef struct parts {
    size_t front, split, back;
} parts;

static parts parts_of(const dt_network *network) {
    dt_parameters parameters = dt_parameters_layout(network);
    size_t begin, end;
    dt_split_span(network, &parameters, &begin, &end);
    return (parts){.front = begin, .split = end - begin, .back = parameters.summed_floats - end};
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

/* The ranks first .. first + ranks - 1 of `of` share units, or all of them do. */
typedef struct group {
    int first, ranks, of;
} group;

static int roots_of_group(int leaves, group g) {
    dt_share share = dt_leaves_run(leaves * DT_LEAF_SAMPLES, g.of, g.first, g.ranks);
    return dt_cut_roots(leaves, share.first_leaf, share.leaves);
}

/* A range's slices, which `owners` share, number `owner` with so many roots: each root to the owners, each
 * sum (or new weight) to the others. */
static double slices_bytes(size_t floats, int owners, int owner, int roots) {
    dt_slices slices = {owners, floats, DT_PIECE_FLOATS};
    double own = 0.0;
    for (int piece = 0; piece < dt_slices_pieces(&slices); piece++)
        own += (double)dt_slices_of(&slices, piece, owner).count;
    return sizeof(float) * (roots * ((double)floats - own) + (owners - 1) * own);
}

/* The node of a rank, where neighbours fill the nodes. */
static group node_of(int ranks, int node_ranks, int rank) {
    int first = rank / node_ranks * node_ranks;
    return (group){first, smaller(node_ranks, ranks - first), ranks};
}

static int nodes_of(int ranks, int node_ranks) {
    return (ranks + node_ranks - 1) / node_ranks;
}

/* Floats of a rank's slices of all pieces. */
static double slice_floats(size_t floats, int ranks, int rank) {
    dt_slices slices = {ranks, floats, DT_PIECE_FLOATS};
    double own = 0.0;
    for (int piece = 0; piece < dt_slices_pieces(&slices); piece++)
        own += (double)dt_slices_of(&slices, piece, rank).count;
    return own;
}

/* Floats of the slices that a rank holds for owners on other nodes, as node_map.h deals them out. */
static double held_floats(size_t floats, int ranks, int node_ranks, int rank) {
    group mine = node_of(ranks, node_ranks, rank);
    double held = 0.0;
    if (node_ranks == 1)
        return (double)floats - slice_floats(floats, ranks, rank);
    for (int first = 0; first < ranks; first += node_ranks)
        for (int place = rank - mine.first;
             first != mine.first && place < node_of(ranks, node_ranks, first).ranks; place += mine.ranks)
            held += slice_floats(floats, ranks, first + place);
    return held;
}

/* What all ranks share: the roots that a node's ranks leave, to the owners on other nodes; each sum (or new
 * weight) to the holders there. */
static double exchange_bytes(size_t floats, int batch, int ranks, int node_ranks, int rank) {
    int roots = roots_of_group(dt_leaves_count(batch), node_of(ranks, node_ranks, rank));
    return sizeof(float) * (roots * held_floats(floats, ranks, node_ranks, rank) +
                            (nodes_of(ranks, node_ranks) - 1) * slice_floats(floats, ranks, rank));
}

/* Samples or units of a rank, and of the others. */
static double others(int all, dt_share share) {
    return (double)(all - share.samples);
}

/* The six exchanges of model.h's forms around two split layers, by the group's rank `rank`. */
static double activation_bytes(const dt_network *network, int batch, group g, int rank) {
    dt_share samples = dt_leaves_share(batch, g.of, g.first + rank);
    int all = dt_leaves_run(batch, g.of, g.first, g.ranks).samples, ranks = g.ranks;
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
            floats += (ranks - 1) * (double)samples.samples * in + roots * others(all, samples) * in;
        else
            floats += roots * (double)all * others(in, inputs);
        if (leads)
            floats += (ranks - 1) * (double)all * units.samples;
        else /* units to samples and back */
            floats += others(all, samples) * units.samples + (double)samples.samples * others(out, units);
    }
    return sizeof(float) * floats;
}

/* All of it is gradients, updates or activations, so all of it is as wide as the wire. */
static double on_wire(dt_wire wire, double bytes) {
    return wire == DT_WIRE_BF16 ? bytes * sizeof(uint16_t) / sizeof(float) : bytes;
}

/* What the holders of columns send to those in other nodes. Nodes are of one size, but for the last, which
 * may be smaller: columns are cut wherever either cuts them. */
static double column_bytes(const dt_network *network, int batch, int ranks, int node_ranks, int rank) {
    dt_parameters parameters = dt_parameters_layout(network);
    group mine = node_of(ranks, node_ranks, rank), last = node_of(ranks, node_ranks, ranks - 1);
    int nodes = nodes_of(ranks, node_ranks), place = rank - mine.first;
    int roots = roots_of_group(dt_leaves_count(batch), mine);
    double bytes = 0.0;
    /* Bounds in units of one over the product of both sizes: a multiple of the one is a cut of the other. */
    int all = node_ranks * last.ranks, end = (place + 1) * all / mine.ranks;
    for (int low = place * all / mine.ranks, high; low < end; low = high) {
        high = smaller((low / last.ranks + 1) * last.ranks, (low / node_ranks + 1) * node_ranks);
        dt_fraction from = {low, all}, to = {high, all};
        size_t floats = dt_split_layout_between(network, &parameters, from, to).floats;
        bytes += slices_bytes(floats, nodes, rank / node_ranks, roots);
    }
    return bytes;
}

double dt_plan_bytes(dt_strategy_kind kind, const dt_network *network, int batch, int ranks, int node_ranks,
                     int rank, dt_wire wire) {
    parts floats = parts_of(network);
    group all = {0, ranks, ranks}, node = node_of(ranks, node_ranks, rank);
    bool by_node = kind == DT_STRATEGY_HYBRID_NODE && node.ranks < ranks;
    if (ranks == 1)
        return 0.0;
    if (kind == DT_STRATEGY_ALLREDUCE || kind == DT_STRATEGY_SHARDED)
        return on_wire(
            wire, exchange_bytes(floats.front + floats.split + floats.back, batch, ranks, node_ranks, rank));
    double rest = exchange_bytes(floats.front, batch, ranks, node_ranks, rank) +
                  exchange_bytes(floats.back, batch, ranks, node_ranks, rank);
    if (!by_node)
        return on_wire(wire, rest + activation_bytes(network, batch, all, rank));
    return on_wire(wire, rest + activation_bytes(network, batch, node, rank - node.first) +
                             column_bytes(network, batch, ranks, node_ranks, rank));
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

/* Of very many ranks some stand for all. */
static double largest_bytes(dt_strategy_kind kind, const dt_plan_setup *setup) {
    enum { LOOKED_AT = 256 };
    double largest = 0.0;
    for (int rank = 0; rank < setup->ranks; rank += 1 + setup->ranks / LOOKED_AT)
        largest = fmax(largest, dt_plan_bytes(kind, setup->network, setup->batch, setup->ranks,
                                              setup->node_ranks, rank, setup->wire));
    return largest;
}

/* Of the group that is the first ranks, and of its largest. */
static double largest_activation_bytes(const dt_plan_setup *setup, int group_ranks) {
    double largest = 0.0;
    for (int rank = 0; rank < group_ranks; rank++)
        largest = fmax(largest, activation_bytes(setup->network, setup->batch,
                                                 (group){0, group_ranks, setup->ranks}, rank));
    return on_wire(setup->wire, largest);
}

static double largest_column_bytes(const dt_plan_setup *setup) {
    double largest = 0.0;
    for (int rank = 0; rank < setup->ranks; rank++)
        largest =
            fmax(largest, column_bytes(setup->network, setup->batch, setup->ranks, setup->node_ranks, rank));
    return on_wire(setup->wire, largest);
}

/* What remains of two transfers on their way during the backward pass and, with `apart`, the second of them
 * during the next forward pass. */
static double exposed_sending(const dt_plan_times *times, sending time, double pieces, bool apart) {
    double last = time.across / (2.0 * pieces);
    if (!apart)
        return time.within + remainder_of(time.across, times->conv_backward, 2.0 * last);
    return time.within + remainder_of(time.across / 2.0, times->conv_backward, last) +
           remainder_of(time.across / 2.0, times->conv_forward, last);
}

static double pieces_of(double floats) {
    return ceil(floats / DT_PIECE_FLOATS);
}

/* Several pieces are on their way at one time, whose latencies are over together. */
static double rounds_of(double floats) {
    enum { PIECES_A_ROUND = 4 };
    return ceil(pieces_of(floats) / PIECES_A_ROUND);
}

/* Gradients, and sums or weights, of so many floats that all ranks share: inside nodes they do not travel. */
static sending exchange_time(const dt_plan_setup *setup, const dt_plan_times *times, double bytes,
                             double floats) {
    int targets = nodes_of(setup->ranks, setup->node_ranks) - 1;
    if (targets == 0)
        return (sending){0};
    double messages = 2.0 * rounds_of(floats) * targets;
    return (sending){.across = bytes / times->across.bandwidth + messages * times->across.latency};
}

/* Sums that a rank copies from the memory of the others of its node; a value copied takes as long as one
 * added. */
static double copying_time(const dt_plan_setup *setup, const dt_plan_times *times, double floats) {
    int members = smaller(setup->node_ranks, setup->ranks);
    return times->add * floats * (members - 1) / members;
}

static void predict_whole(dt_plan_row *row, const dt_plan_setup *setup, const dt_plan_times *times,
                          parts floats) {
    double all = (double)(floats.front + floats.split + floats.back);
    bool sharded = row->kind == DT_STRATEGY_SHARDED;
    row->compute += times->dense_forward + times->dense_backward;
    row->compute +=
        times->add * all / setup->ranks * (total_roots(dt_leaves_count(setup->batch), setup->ranks) - 1);
    sending time = exchange_time(setup, times, row->bytes, all);
    row->exposed += exposed_sending(times, time, pieces_of(all), sharded);
    if (!sharded)
        row->exposed += copying_time(setup, times, all);
    row->optimizer = times->adam * all / (sharded ? setup->ranks : 1);
}

static void predict_split(dt_plan_row *row, const dt_plan_setup *setup, const dt_plan_times *times,
                          parts floats) {
    double rest = (double)(floats.front + floats.back),
           travelling = largest_activation_bytes(setup, setup->ranks);
    sending activations = send_time(setup, times, travelling, 6.0 * (setup->ranks - 1));
    row->compute += times->split_forward + times->split_backward;
    row->compute +=
        times->add * rest / setup->ranks * (total_roots(dt_leaves_count(setup->batch), setup->ranks) - 1);
    row->exposed += activations.within + activations.across;
    sending time = exchange_time(setup, times, fmax(row->bytes - travelling, 0.0), rest);
    row->exposed += exposed_sending(times, time, pieces_of(rest), true);
    row->optimizer = times->split_update + times->adam * rest / setup->ranks;
}

/* The time of dense layers split over `group_ranks` of the ranks: they make the same products whatever the
 * group, but read, and write gradients of, as large a part of the weights as it has ranks. `whole` is the
 * time for a group of one rank, `split` for all ranks. */
static double split_time(double whole, double split, int ranks, int group_ranks) {
    double weights = (whole - split) / (1.0 - 1.0 / ranks);
    return fmax(whole - weights * (1.0 - 1.0 / group_ranks), 0.0);
}

static void predict_split_by_node(dt_plan_row *row, const dt_plan_setup *setup, const dt_plan_times *times,
                                  parts floats) {
    int ranks = setup->ranks, near = setup->node_ranks, leaves = dt_leaves_count(setup->batch);
    double rest = (double)(floats.front + floats.back), travelling = largest_activation_bytes(setup, near);
    double columns = (double)floats.split / near, crossing = largest_column_bytes(setup);
    double nodes = nodes_of(ranks, near), total = 0.0;
    /* Of the fused update what is not Adam: the gradients, here stored. */
    double gradients = fmax(times->split_update - times->adam * (double)floats.split / ranks, 0.0);
    for (int rank = 0; rank < ranks; rank += near)
        total += roots_of_group(leaves, node_of(ranks, near, rank));
    row->compute += split_time(times->dense_forward, times->split_forward, ranks, near) +
                    split_time(times->dense_backward, times->split_backward + gradients, ranks, near);
    row->compute +=
        times->add * (rest / ranks * (total_roots(leaves, ranks) - 1) + columns / nodes * (total - 1));
    row->exposed +=
        travelling / times->within.bandwidth + (near > 1 ? 6.0 * (near - 1) * times->within.latency : 0.0);
    sending time = exchange_time(setup, times, fmax(row->bytes - travelling - crossing, 0.0), rest);
    time.across +=
        crossing / times->across.bandwidth + 2.0 * rounds_of(columns) * (nodes - 1) * times->across.latency;
    row->exposed += exposed_sending(times, time, pieces_of(rest) + pieces_of(columns), true);
    row->optimizer = times->adam * (columns / nodes + rest / ranks);
}

bool dt_plan_is_grid(const dt_plan_setup *setup) {
    return setup->node_ranks > 1 && setup->node_ranks < setup->ranks;
}

dt_plan_row dt_plan_predict(dt_strategy_kind kind, const dt_plan_setup *setup, const dt_plan_times *times) {
    dt_status refusal = dt_strategy_check(kind, setup->network, setup->ranks, setup->node_ranks);
    dt_plan_row row = {.kind = kind, .possible = !dt_failed(&refusal)};
    if (kind == DT_STRATEGY_HYBRID_NODE && !dt_plan_is_grid(setup))
        row.possible = false;
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
    else if (kind == DT_STRATEGY_HYBRID_NODE)
        predict_split_by_node(&row, setup, times, floats);
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
