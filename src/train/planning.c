/* SPDX-License-Identifier: BSD-3-Clause */
/* Plans: measured, predicted, printed. */
#include "train/planning.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dtrain/log.h"
#include "dtrain/placement.h"
#include "dtrain/timer.h"
#include "parallel/doubts.h"
#include "parallel/measurement.h"

/* Whether a kind is among those that the options leave to choose from. A grid over the ranks of nodes is a
 * choice of its own where there are several of each. */
static bool is_open(dt_strategy_kind kind, const dt_plan_setup *setup, const dt_options *options) {
    bool over_node = kind == DT_STRATEGY_HYBRID_NODE, hybrid = over_node || kind == DT_STRATEGY_HYBRID;
    dt_strategy_kind wish = hybrid ? DT_STRATEGY_HYBRID : kind;
    if (options->strategy != DT_STRATEGY_AUTO && options->strategy != wish)
        return false;
    if (!hybrid || !dt_plan_is_grid(setup))
        return !over_node;
    return options->grid != (over_node ? DT_GRID_ALL : DT_GRID_NODE);
}

/* Puts in what the options say of the link between nodes. */
static dt_status take_link(const dt_plan_setup *setup, const dt_options *options, dt_plan_times *times) {
    if (options->link_gbits > 0.0)
        times->across.bandwidth = options->link_gbits * 1e9 / 8.0 / setup->node_ranks;
    bool lacks_within = setup->node_ranks > 1 && times->within.bandwidth <= 0.0;
    bool lacks_across = setup->ranks > setup->node_ranks && times->across.bandwidth <= 0.0;
    if (setup->ranks > 1 && (lacks_within || lacks_across))
        return dt_fail(DT_USAGE,
                       "messages can be timed between ranks alone: start the plan on 2 ranks or more "
                       "(mpirun -np 2), or name a link with --link-gbits and --node-ranks 1");
    if (options->link_us > 0.0)
        times->across.latency = options->link_us * 1e-6;
    return dt_ok();
}

static void predict(const dt_options *options, dt_planning *planning) {
    planning->count = 0;
    for (int kind = 0; kind < DT_STRATEGIES; kind++)
        if (is_open((dt_strategy_kind)kind, &planning->setup, options))
            planning->rows[planning->count++] =
                dt_plan_predict((dt_strategy_kind)kind, &planning->setup, &planning->times);
}

/* Links that are used and were not named, and what follows for the strategies. */
static void find_doubt(const dt_options *options, dt_planning *planning) {
    const dt_plan_setup *setup = &planning->setup;
    const dt_plan_times *times = &planning->times;
    bool near = setup->node_ranks > 1 && setup->ranks > 1, far = setup->ranks > setup->node_ranks;
    bool named = options->link_gbits > 0.0 || options->link_us > 0.0;
    char *why = planning->doubt;
    size_t room = sizeof planning->doubt;
    bool found = (near && dt_doubts_find_link(times->within, &dt_doubts_within, why, room)) ||
                 (far && !named && dt_doubts_find_link(times->across, &dt_doubts_across, why, room)) ||
                 dt_doubts_find_row(setup, planning->rows, planning->count, why, room);
    if (!found)
        why[0] = '\0';
}

dt_status dt_planning_measure(dt_comm *comm, dt_kernels *kernels, dt_plan_setup setup,
                              const dt_options *options, dt_planning *planning) {
    enum { ATTEMPTS = 3 };
    double start = dt_timer_now();
    dt_plan_times best, times;
    bool again = true;
    *planning = (dt_planning){.setup = setup};
    while (again) {
        DT_TRY(dt_measurement_run(comm, kernels, &setup, &times));
        best = planning->attempts++ > 0 ? dt_doubts_merge(&best, &times) : times;
        planning->times = best;
        DT_TRY(take_link(&setup, options, &planning->times));
        predict(options, planning);
        find_doubt(options, planning);
        again = planning->doubt[0] && planning->attempts < ATTEMPTS;
        /* Every rank has the same times but for rounding of its own; one decides. */
        dt_comm_broadcast(comm, &again, sizeof again, 0);
    }
    planning->seconds = dt_timer_now() - start;
    return dt_ok();
}

double dt_planning_step(const dt_planning *planning, dt_strategy_kind kind) {
    for (int i = 0; i < planning->count; i++)
        if (planning->rows[i].possible && planning->rows[i].kind == kind)
            return planning->rows[i].step;
    return NAN;
}

static void print_link(const char *where, dt_plan_link link) {
    dt_log_note("  a message %s takes %.1f us + size / %.2f GB/s", where, 1e6 * link.latency,
                link.bandwidth / 1e9);
}

void dt_planning_print(const dt_planning *planning) {
    const dt_plan_setup *setup = &planning->setup;
    dt_strategy_kind best = dt_plan_choose(planning->rows, planning->count);
    dt_log_note("plan: batch %d on %d rank%s, %d a node, predicted from %.1f s of measuring", setup->batch,
                setup->ranks, setup->ranks == 1 ? "" : "s", setup->node_ranks, planning->seconds);
    if (setup->node_ranks > 1 && setup->ranks > 1)
        print_link("inside a node", planning->times.within);
    if (setup->ranks > setup->node_ranks)
        print_link("between nodes", planning->times.across);
    dt_log_note("  %-11s %9s %9s %9s %9s %9s %9s", "strategy", "compute", "exposed", "optimizer", "step",
                "speed-up", "sent");
    for (int i = 0; i < planning->count; i++) {
        const dt_plan_row *row = &planning->rows[i];
        if (!row->possible)
            dt_log_note("  %-11s too many ranks for its columns", dt_strategy_name(row->kind));
        else
            dt_log_note("  %-11s %6.1f ms %6.1f ms %6.1f ms %6.1f ms %9.2f %6.1f MB%s",
                        dt_strategy_name(row->kind), 1e3 * row->compute, 1e3 * row->exposed,
                        1e3 * row->optimizer, 1e3 * row->step, row->speedup, row->bytes / 1e6,
                        row->kind == best ? "  <- fastest" : "");
    }
    if (planning->doubt[0])
        dt_log_note("  doubtful: %s (measured %d times). The cores or links are busy with something else, or "
                    "ranks share cores: plan again when they are not, or name a --strategy",
                    planning->doubt, planning->attempts);
}

dt_status dt_planning_resolve(dt_comm *comm, dt_kernels *kernels, const dt_options *options,
                              const dt_network *network, dt_planning *planning, dt_strategy_kind *kind) {
    int ranks = dt_comm_size(comm);
    *planning = (dt_planning){0};
    dt_plan_setup setup = {.network = network,
                           .batch = options->batch,
                           .ranks = ranks,
                           .node_ranks = dt_strategy_node_ranks(comm),
                           .wire = options->wire};
    *kind = options->strategy == DT_STRATEGY_AUTO ? DT_STRATEGY_ALLREDUCE : options->strategy;
    bool hybrid = options->strategy == DT_STRATEGY_HYBRID;
    if (hybrid && options->grid == DT_GRID_NODE && dt_comm_nodes(comm) > 1)
        *kind = DT_STRATEGY_HYBRID_NODE;
    bool open = options->strategy == DT_STRATEGY_AUTO ||
                (hybrid && options->grid == DT_GRID_AUTO && dt_plan_is_grid(&setup));
    if (!open || ranks == 1)
        return dt_strategy_check(*kind, network, ranks, setup.node_ranks);
    /* Nothing is left to choose where columns do not even suffice for a node. */
    if (hybrid)
        DT_TRY(dt_strategy_check(DT_STRATEGY_HYBRID_NODE, network, ranks, setup.node_ranks));
    DT_TRY(dt_planning_measure(comm, kernels, setup, options, planning));
    *kind = dt_plan_choose(planning->rows, planning->count);
    /* Every rank has the same times but for rounding of its own; one decides. */
    dt_comm_broadcast(comm, kind, sizeof *kind, 0);
    dt_planning_print(planning);
    return dt_ok();
}

/* The next number of a list "2,4,8"; 0 at its end, -1 for anything else. */
static int next_number(const char **list) {
    char *end;
    if (**list == '\0')
        return 0;
    errno = 0;
    long value = strtol(*list, &end, 10);
    if (errno || end == *list || value < 1 || value > 65536 || (*end != ',' && *end != '\0') ||
        (*end == ',' && end[1] == '\0'))
        return -1;
    *list = *end == ',' ? end + 1 : end;
    return (int)value;
}

static dt_status check_list(const char *list) {
    const char *rest = list;
    int ranks = next_number(&rest);
    while (ranks > 0)
        ranks = next_number(&rest);
    return ranks == 0
               ? dt_ok()
               : dt_fail(DT_USAGE,
                         "--ranks %.200s: numbers of ranks from 1 to 65536 with commas between them", list);
}

/* Ranks of a node: what was asked for; else on a named link one; else as they run here. */
static int ranks_of_node(const dt_options *options, const dt_comm *comm, int ranks) {
    int node_ranks = options->node_ranks > 0 ? options->node_ranks : dt_comm_node_size(comm);
    if (options->node_ranks == 0 && dt_comm_nodes(comm) == 1)
        node_ranks = options->link_gbits > 0.0 ? 1 : ranks;
    return node_ranks < ranks ? node_ranks : ranks;
}

static dt_status plan_all(const dt_options *options, dt_comm *comm, dt_kernels *kernels) {
    dt_network network = dt_network_build(options->network);
    char own[16];
    snprintf(own, sizeof own, "%d", dt_comm_size(comm));
    const char *list = options->plan_ranks ? options->plan_ranks : own;
    DT_TRY(check_list(list));
    for (int ranks = next_number(&list); ranks > 0; ranks = next_number(&list)) {
        dt_plan_setup setup = {.network = &network,
                               .batch = options->batch,
                               .ranks = ranks,
                               .node_ranks = ranks_of_node(options, comm, ranks),
                               .wire = options->wire};
        dt_planning planning;
        DT_TRY(dt_planning_measure(comm, kernels, setup, options, &planning));
        dt_planning_print(&planning);
    }
    return dt_ok();
}

dt_status dt_plan_run(const dt_options *options, dt_comm *comm) {
    dt_placement_table table;
    dt_team *team = NULL;
    dt_kernels *kernels = NULL;
    DT_TRY(dt_placement_gather(comm, options->threads, &table));
    dt_placement_print(&table);
    dt_status status = dt_team_create(table.places[dt_comm_rank(comm)].threads, &team);
    if (!dt_failed(&status)) {
        dt_kernels_config config = {.team = team,
                                    .isa = options->isa,
                                    .engine = options->engine,
                                    .precision = options->precision,
                                    .wire = options->wire};
        status = dt_kernels_create(&config, &kernels);
    }
    status = dt_comm_agree(comm, status);
    if (!dt_failed(&status))
        status = plan_all(options, comm, kernels);
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
    dt_placement_release(&table);
    return status;
}
