/* SPDX-License-Identifier: BSD-3-Clause */
/* allreduce [--largest MB] [--rounds N]: how fast gradients are summed over the ranks. For sizes from 1 KB
 * on: our direct exchange in pieces of 1 MB, in one piece, and one MPI_Allreduce of the whole, beside the
 * bandwidth of a ping-pong. GB/s are bytes of the array a second; what a rank sends is 2 (N-1)/N of them. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

#include "dtrain/comm.h"
#include "dtrain/locale.h"
#include "dtrain/memory.h"
#include "dtrain/timer.h"
#include "parallel/reduction.h"

typedef struct bench_options {
    int largest_mb, rounds;
} bench_options;

typedef struct bench {
    bench_options options;
    dt_comm *comm;
    dt_team *team;
    dt_kernels *kernels;
    dt_cut cut;
    dt_slab memory;
    size_t floats; /* of the largest size */
} bench;

static const struct argp_option option_table[] = {
    {"largest", 'l', "MB", 0, "largest size, in MB (default: 128)", 0},
    {"rounds", 'r', "N", 0, "repeats; the fastest counts (default: 5)", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state) {
    bench_options *options = state->input;
    int *field = key == 'l' ? &options->largest_mb : key == 'r' ? &options->rounds : NULL;
    if (!field)
        return ARGP_ERR_UNKNOWN;
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1 || value > 4096)
        argp_error(state, "not a whole number from 1 to 4096: %s", text);
    *field = (int)value;
    return 0;
}

static void need(const bench *b, dt_status status) {
    status = dt_comm_agree(b->comm, status);
    if (!dt_failed(&status))
        return;
    if (dt_comm_rank(b->comm) == 0)
        fprintf(stderr, "allreduce: %s\n", status.text);
    dt_comm_destroy(b->comm);
    exit((int)status.code);
}

/* Each rank has one root where their number is a power of two: a leaf each. */
static void set_up(bench *b) {
    int ranks = dt_comm_size(b->comm), batch = ranks * DT_LEAF_SAMPLES;
    b->floats = (size_t)b->options.largest_mb << 18;
    need(b, dt_team_create(1, &b->team));
    need(b, dt_kernels_create(&(dt_kernels_config){.team = b->team, .isa = DT_ISA_BEST}, &b->kernels));
    need(b, dt_cut_create(batch, ranks, dt_comm_rank(b->comm), &b->cut));
    dt_cut_set(&b->cut, batch);
    need(b, dt_slab_reserve(b->floats * sizeof(float) * (size_t)b->cut.bounds.roots, "arrays to sum",
                            &b->memory));
}

static void tear_down(bench *b) {
    dt_slab_release(&b->memory);
    dt_cut_release(&b->cut);
    dt_kernels_destroy(b->kernels);
    dt_team_destroy(b->team);
    dt_comm_destroy(b->comm);
}

/* The slowest rank's seconds of the fastest round. */
static double fastest(bench *b, void (*run)(void *context), void *context) {
    double best = 0.0;
    for (int round = 0; round <= b->options.rounds; round++) {
        dt_comm_barrier(b->comm);
        double start = dt_timer_now();
        run(context);
        double seconds = dt_timer_now() - start;
        dt_comm_max_f64(b->comm, &seconds, 1);
        if (round == 1 || (round > 1 && seconds < best))
            best = seconds;
    }
    return best;
}

typedef struct sum_call {
    dt_comm *comm;
    dt_transfers *transfers;
    dt_reduction *reduction;
    float *values;
    size_t floats;
} sum_call;

static void run_exchange(void *context) {
    sum_call *call = context;
    dt_reduction_begin(call->reduction);
    dt_reduction_extend(call->reduction, call->floats);
    dt_reduction_finish(call->reduction);
}

static void run_library(void *context) {
    sum_call *call = context;
    dt_comm_sum_f32_at_once(call->comm, call->values, (int)call->floats);
}

/* There and back between neighbouring ranks. */
static void run_ping_pong(void *context) {
    sum_call *call = context;
    int rank = dt_comm_rank(call->comm), peer = rank ^ 1;
    for (int turn = 0; turn < 2 && peer < dt_comm_size(call->comm); turn++) {
        if (rank % 2 == turn)
            dt_transfers_send(call->transfers, peer, DT_TAG_PROBE, call->values, call->floats);
        else
            dt_transfers_receive(call->transfers, peer, DT_TAG_PROBE, call->values, call->floats);
        dt_transfers_wait(call->transfers);
    }
}

static double time_exchange(bench *b, size_t floats, size_t piece_floats) {
    dt_reduction_config config = {.comm = b->comm,
                                  .kernels = b->kernels,
                                  .cut = &b->cut,
                                  .base = b->memory.base,
                                  .stride = b->floats,
                                  .floats = floats,
                                  .piece_floats = piece_floats,
                                  .tag = DT_TAG_REDUCTION};
    sum_call call = {.floats = floats};
    need(b, dt_reduction_create(&config, &call.reduction));
    double seconds = fastest(b, run_exchange, &call);
    dt_reduction_destroy(call.reduction);
    return seconds;
}

static void measure(bench *b, size_t bytes) {
    size_t floats = bytes / sizeof(float), piece = (size_t)1 << 20;
    sum_call call = {.comm = b->comm, .values = b->memory.base, .floats = floats};
    need(b, dt_transfers_create(b->comm, 1, &call.transfers));
    double ours = time_exchange(b, floats, piece), whole = time_exchange(b, floats, floats);
    double library = fastest(b, run_library, &call), there = fastest(b, run_ping_pong, &call) / 2.0;
    dt_transfers_destroy(call.transfers);
    double ranks = dt_comm_size(b->comm), gigabytes = (double)bytes / 1e9;
    double sent = 2.0 * (ranks - 1.0) / ranks * gigabytes / ours;
    if (dt_comm_rank(b->comm) == 0)
        printf("%10.0f  %9.3f %7.2f  %9.3f %7.2f  %9.3f %7.2f  %7.2f  %5.0f %%\n", (double)bytes / 1024.0,
               1e3 * ours, gigabytes / ours, 1e3 * whole, gigabytes / whole, 1e3 * library,
               gigabytes / library, gigabytes / there, 100.0 * sent / (gigabytes / there));
}

int main(int count, char **arguments) {
    bench b = {.options = {.largest_mb = 128, .rounds = 5}};
    const struct argp parser = {
        option_table, parse, NULL, "The speed of summing arrays over the ranks.", 0, 0, 0};
    dt_status status = dt_locale_use_c();
    argp_parse(&parser, count, arguments, 0, NULL, &b.options);
    if (!dt_failed(&status))
        status = dt_comm_create(&b.comm);
    if (dt_failed(&status)) {
        fprintf(stderr, "allreduce: %s\n", status.text);
        return (int)status.code;
    }
    if (dt_comm_size(b.comm) < 2) {
        fprintf(stderr, "allreduce: one rank has nothing to sum: mpirun -np 2 allreduce\n");
        dt_comm_destroy(b.comm);
        return DT_USAGE;
    }
    set_up(&b);
    if (dt_comm_rank(b.comm) == 0)
        printf("%d ranks, %s\n%10s  %17s  %17s  %17s  %7s  %7s\n%10s  %9s %7s  %9s %7s  %9s %7s  %7s  %7s\n",
               dt_comm_size(b.comm), dt_comm_library(b.comm), "", "pieces of 1 MB", "one piece",
               "MPI_Allreduce", "", "", "KB", "ms", "GB/s", "ms", "GB/s", "ms", "GB/s", "ping", "of it");
    for (size_t bytes = 1024; bytes <= b.floats * sizeof(float); bytes *= bytes < 1 << 20 ? 8 : 4)
        measure(&b, bytes);
    measure(&b, b.floats * sizeof(float));
    tear_down(&b);
    return 0;
}
