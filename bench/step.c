/* SPDX-License-Identifier: BSD-3-Clause */
/* build/bench/step: the speed of a training step, or of the forward pass, on data that is already in memory.
 * Reports images/s, the share of the measured FMA peak in direct-counted floating-point operations, and
 * milliseconds by phase. Under mpirun the global batch is shared by the ranks. */
#include <argp.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "dtrain/locale.h"
#include "dtrain/placement.h"
#include "dtrain/probe.h"
#include "dtrain/strategy.h"

enum {
    PIXELS = 784,
    KEY_JSON = 256,
    KEY_ISA,
    KEY_MODE,
    KEY_ENGINE,
    KEY_METHODS,
    KEY_STRATEGY,
    KEY_PRECISION,
    KEY_WIRE
};

typedef struct step_options {
    int batch, steps, warmup, threads, rounds;
    bool json, infer;
    dt_isa isa;
    dt_engine engine;
    dt_strategy_kind strategy;
    dt_methods methods;
    dt_precision precision;
    dt_wire wire;
    double width;
} step_options;

/* One rank's bench. */
typedef struct step_bench {
    step_options options;
    dt_comm *comm;
    dt_team *team;
    dt_kernels *kernels;
    dt_node_memory *memory;
    dt_model *model;
    dt_strategy *strategy;
    dt_phases phases;
    float *x;
    uint8_t *labels;
    int *samples;
    int64_t steps_done;
} step_bench;

static const struct argp_option option_table[] = {
    {"batch", 'b', "N", 0, "global batch (default: 64)", 0},
    {"steps", 's', "N", 0, "steps of a round (default: 10)", 0},
    {"rounds", 'r', "N", 0, "rounds; the median counts (default: 3)", 0},
    {"warmup", 'w', "N", 0, "steps before the first round (default: 3)", 0},
    {"threads", 't', "N", 0, "threads of a rank (default: all cores)", 0},
    {"width", 'x', "F", 0, "width of the network (default: 1)", 0},
    {"mode", KEY_MODE, "train|infer", 0, "whole steps or forward passes (default: train)", 0},
    {"isa", KEY_ISA, "NAME", 0, "highest instruction set (default: the best)", 0},
    {"engine", KEY_ENGINE, "NAME", 0, "auto, direct, blas or reference (default: auto)", 0},
    {"methods", KEY_METHODS, "LIST", 0,
     "of the five convolutions, as dtrain's (default: the engine's choice)", 0},
    {"strategy", KEY_STRATEGY, "NAME", 0, "allreduce, sharded, hybrid or hybrid-node (default: allreduce)",
     0},
    {"precision", KEY_PRECISION, "fp32|bf16", 0, "of the operands of products (default: fp32)", 0},
    {"wire", KEY_WIRE, "fp32|bf16", 0, "what gradients and updates are rounded to (default: fp32)", 0},
    {"json", KEY_JSON, NULL, 0, "print one JSON object alone", 0},
    {0},
};

/* The value of an enumeration whose name function returns `text`, below `end`; ends the parsing if there is
 * none. */
static int named(struct argp_state *state, const char *text, const char *(*name_of)(int), int end) {
    for (int value = 0; value < end; value++)
        if (strcmp(name_of(value), text) == 0)
            return value;
    argp_error(state, "no such name: %s", text);
    return 0;
}

static const char *isa_name(int isa) {
    return dt_isa_name((dt_isa)isa);
}

static const char *engine_name(int engine) {
    return dt_engine_name((dt_engine)engine);
}

static const char *strategy_name(int strategy) {
    return dt_strategy_name((dt_strategy_kind)strategy);
}

static const char *precision_name(int precision) {
    return dt_precision_name((dt_precision)precision);
}

static const char *wire_name(int wire) {
    return dt_wire_name((dt_wire)wire);
}

static int whole(struct argp_state *state, const char *text, int least) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < least || value > 1 << 20)
        argp_error(state, "not a whole number from %d: %s", least, text);
    return (int)value;
}

static double read_width(struct argp_state *state, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value > 0 && value <= 8))
        argp_error(state, "not a number above 0, up to 8: %s", text);
    return value;
}

static dt_methods read_methods(struct argp_state *state, const char *text) {
    dt_methods methods;
    dt_status status = dt_methods_read(text, &methods);
    if (dt_failed(&status))
        argp_error(state, "%s", status.text);
    return methods;
}

/* Whether to infer. */
static bool read_mode(struct argp_state *state, const char *text) {
    if (strcmp(text, "infer") != 0 && strcmp(text, "train") != 0)
        argp_error(state, "no such mode: %s: train or infer", text);
    return strcmp(text, "infer") == 0;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    step_options *options = state->input;
    if (key == 'b')
        options->batch = whole(state, text, 1);
    else if (key == 's')
        options->steps = whole(state, text, 1);
    else if (key == 'r')
        options->rounds = whole(state, text, 1);
    else if (key == 'w')
        options->warmup = whole(state, text, 0);
    else if (key == 't')
        options->threads = whole(state, text, 1);
    else if (key == 'x')
        options->width = read_width(state, text);
    else if (key == KEY_ISA)
        options->isa = (dt_isa)named(state, text, isa_name, DT_ISA_BEST);
    else if (key == KEY_ENGINE)
        options->engine = (dt_engine)named(state, text, engine_name, DT_ENGINE_REFERENCE + 1);
    else if (key == KEY_STRATEGY)
        options->strategy = (dt_strategy_kind)named(state, text, strategy_name, DT_STRATEGIES);
    else if (key == KEY_PRECISION)
        options->precision = (dt_precision)named(state, text, precision_name, DT_PRECISION_BF16 + 1);
    else if (key == KEY_WIRE)
        options->wire = (dt_wire)named(state, text, wire_name, DT_WIRE_BF16 + 1);
    else if (key == KEY_MODE)
        options->infer = read_mode(state, text);
    else if (key == KEY_METHODS)
        options->methods = read_methods(state, text);
    else if (key == KEY_JSON)
        options->json = true;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static void need(const step_bench *bench, dt_status status) {
    status = dt_comm_agree(bench->comm, status);
    if (!dt_failed(&status))
        return;
    if (dt_comm_rank(bench->comm) == 0)
        fprintf(stderr, "step: %s\n", status.text);
    dt_comm_destroy(bench->comm);
    exit((int)status.code);
}

static void *allocate(const step_bench *bench, size_t bytes) {
    void *block = malloc(bytes);
    need(bench, block ? dt_ok() : dt_fail(DT_MEMORY, "no memory for %zu bytes", bytes));
    return block;
}

/* Images of noise: the time of a step does not depend on what is in them. */
static void fill_batch(step_bench *bench, int samples) {
    bench->x = allocate(bench, (size_t)samples * PIXELS * sizeof(float));
    bench->labels = allocate(bench, (size_t)samples);
    int numbers = bench->options.batch + samples;
    bench->samples = allocate(bench, (size_t)numbers * sizeof(int));
    for (int i = 0; i < numbers; i++)
        bench->samples[i] = i;
    for (int i = 0; i < samples; i++) {
        for (int pixel = 0; pixel < PIXELS; pixel++)
            bench->x[i * PIXELS + pixel] = dt_random_unit(
                dt_random_draw(1, DT_PURPOSE_DIGITS, (uint32_t)i, (uint32_t)pixel, 0, 0).word[0]);
        bench->labels[i] = (uint8_t)(i % 10);
    }
}

static void set_up(step_bench *bench) {
    const step_options *options = &bench->options;
    dt_placement_table table;
    dt_network network = dt_network_build((dt_network_config){.width = options->width, .dropout = 0.5f});
    int ranks = dt_comm_size(bench->comm), rank = dt_comm_rank(bench->comm);
    need(bench, dt_placement_gather(bench->comm, options->threads, &table));
    bench->options.threads = table.places[rank].threads;
    dt_placement_release(&table);
    need(bench, dt_team_create(options->threads, &bench->team));
    dt_kernels_config kernels = {.team = bench->team,
                                 .isa = options->isa,
                                 .engine = options->engine,
                                 .precision = options->precision,
                                 .wire = options->wire};
    need(bench, dt_kernels_create(&kernels, &bench->kernels));
    dt_share largest = dt_leaves_share(options->batch, ranks, ranks - 1);
    int samples = largest.samples + DT_LEAF_SAMPLES;
    dt_model_config model = {.network = &network,
                             .kernels = bench->kernels,
                             .samples = samples,
                             .leaves = largest.leaves,
                             .roots = options->infer ? 0 : dt_strategy_roots(options->batch, ranks),
                             .seed = 1,
                             .methods = options->methods};
    if (!options->infer)
        model.split = dt_strategy_split(options->strategy, bench->comm, options->batch);
    if (!options->infer)
        bench->memory =
            dt_node_memory_create(bench->comm, &model, dt_strategy_shares_weights(options->strategy));
    model.weights = dt_node_memory_weights(bench->memory);
    model.gradients = dt_node_memory_gradients(bench->memory);
    need(bench, dt_model_create(&model, &bench->model));
    dt_model_set_phases(bench->model, &bench->phases);
    dt_parameters_init(dt_model_parameters(bench->model), 1, dt_model_weights(bench->model),
                       dt_model_states(bench->model));
    fill_batch(bench, samples);
    if (options->infer)
        return;
    dt_strategy_config strategy = {.kind = options->strategy,
                                   .comm = bench->comm,
                                   .model = bench->model,
                                   .memory = bench->memory,
                                   .kernels = bench->kernels,
                                   .batch = options->batch,
                                   .adam = {1e-3, 0.9, 0.999, 1e-8}};
    need(bench, dt_strategy_create(&strategy, &bench->strategy));
}

static void train_step(step_bench *bench) {
    dt_share share = dt_strategy_begin(bench->strategy, bench->options.batch);
    dt_batch batch = {share, bench->x, bench->labels, bench->samples + share.first_sample, 1, bench->samples};
    dt_totals totals;
    dt_model_train(bench->model, &batch, dt_strategy_exchange(bench->strategy), &totals);
    double moment = dt_timer_now();
    dt_strategy_finish(bench->strategy);
    moment = dt_phases_add(&bench->phases, DT_PHASE_GRADIENTS, moment);
    if (dt_strategy_first_not_finite(bench->strategy) >= 0)
        need(bench, dt_fail(DT_NOT_FINITE, "the gradient is not finite"));
    dt_strategy_update(bench->strategy, ++bench->steps_done);
    dt_phases_add(&bench->phases, DT_PHASE_OPTIMIZER, moment);
}

static void infer_step(step_bench *bench) {
    dt_share share =
        dt_leaves_share(bench->options.batch, dt_comm_size(bench->comm), dt_comm_rank(bench->comm));
    dt_totals totals = {0};
    dt_model_evaluate(bench->model, share.samples, bench->x, bench->labels, &totals);
}

/* Seconds of a step over one round, the slowest rank's. */
static double run_round(step_bench *bench, int steps) {
    bench->phases = (dt_phases){{0}};
    dt_comm_barrier(bench->comm);
    double start = dt_timer_now();
    for (int step = 0; step < steps; step++) {
        if (bench->options.infer)
            infer_step(bench);
        else
            train_step(bench);
    }
    double seconds = (dt_timer_now() - start) / (steps > 0 ? steps : 1);
    dt_comm_max_f64(bench->comm, &seconds, 1);
    return seconds;
}

static int compare_seconds(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The sum of the ranks' peaks, GFLOP/s, all measuring at the same time. */
static double measure_peak(step_bench *bench, double (*probe)(dt_kernels *kernels)) {
    dt_comm_barrier(bench->comm);
    double mine = probe(bench->kernels), sum = 0.0;
    double *all = allocate(bench, (size_t)dt_comm_size(bench->comm) * sizeof mine);
    dt_comm_allgather(bench->comm, &mine, sizeof mine, all);
    for (int rank = 0; rank < dt_comm_size(bench->comm); rank++)
        sum += all[rank];
    free(all);
    return sum;
}

static double memory_megabytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024.0 / 1e6;
}

/* GFLOP/s; bf16 is 0 where the CPU has no instruction for it. */
typedef struct peaks {
    double fma, bf16;
} peaks;

static void report(const step_bench *bench, double seconds, double spread, peaks peak) {
    const step_options *options = &bench->options;
    const dt_network *network = dt_model_network(bench->model);
    double flop = options->infer ? dt_network_forward_flop(network) : dt_network_train_flop(network);
    double images = options->batch / seconds, gflops = images * flop / 1e9;
    const char *mode = options->infer ? "infer" : "train", *isa = dt_isa_name(dt_kernels_isa(bench->kernels));
    const char *precision = dt_precision_name(options->precision);
    if (options->json) {
        printf("{\"images_per_s\":%.2f,\"seconds_a_step\":%.5f,\"gflops\":%.2f,\"fma_peak_gflops\":%.2f,"
               "\"bf16_peak_gflops\":%.2f,\"precision\":\"%s\",\"threads\":%d,\"ranks\":%d,\"batch\":%d,"
               "\"mode\":\"%s\",\"isa\":\"%s\",\"memory_mb\":%.0f}\n",
               images, seconds, gflops, peak.fma, peak.bf16, precision, options->threads,
               dt_comm_size(bench->comm), options->batch, mode, isa, memory_megabytes());
        return;
    }
    printf("%s, batch %d, %d rank%s x %d thread%s, %s, %s: %.1f images/s, %.1f ms a step (rounds within %.1f "
           "%%), %.0f GFLOP/s = %.0f %% of the FMA peak of %.0f",
           mode, options->batch, dt_comm_size(bench->comm), dt_comm_size(bench->comm) == 1 ? "" : "s",
           options->threads, options->threads == 1 ? "" : "s", isa, precision, images, 1e3 * seconds,
           100.0 * spread, gflops, 100.0 * gflops / peak.fma, peak.fma);
    if (options->precision == DT_PRECISION_BF16 && peak.bf16 > 0)
        printf(", %.0f %% of the bf16 peak of %.0f", 100.0 * gflops / peak.bf16, peak.bf16);
    printf(", %.0f MB\n", memory_megabytes());
    for (int phase = 0; phase < DT_PHASES; phase++)
        if (bench->phases.seconds[phase] > 0.0)
            printf("  %-15s %8.2f ms\n", dt_phase_name((dt_phase)phase),
                   1e3 * bench->phases.seconds[phase] / options->steps);
}

static void tear_down(step_bench *bench) {
    dt_strategy_destroy(bench->strategy);
    dt_model_destroy(bench->model);
    dt_node_memory_release(bench->memory);
    dt_kernels_destroy(bench->kernels);
    dt_team_destroy(bench->team);
    free(bench->x);
    free(bench->labels);
    free(bench->samples);
    dt_comm_destroy(bench->comm);
}

int main(int count, char **arguments) {
    step_bench bench = {
        .options = {.batch = 64, .steps = 10, .rounds = 3, .warmup = 3, .isa = DT_ISA_BEST, .width = 1.0}};
    const struct argp parser = {
        option_table, parse, NULL, "The speed of a step, with its limits beside it.", 0, 0, 0};
    dt_status status = dt_locale_use_c();
    argp_parse(&parser, count, arguments, 0, NULL, &bench.options);
    if (!dt_failed(&status))
        status = dt_comm_create(&bench.comm);
    if (dt_failed(&status)) {
        fprintf(stderr, "step: %s\n", status.text);
        return (int)status.code;
    }
    set_up(&bench);
    peaks peak = {measure_peak(&bench, dt_probe_fma_gflops), measure_peak(&bench, dt_probe_bf16_gflops)};
    run_round(&bench, bench.options.warmup);
    double *rounds = allocate(&bench, (size_t)bench.options.rounds * sizeof(double));
    assert(rounds);
    for (int round = 0; round < bench.options.rounds; round++)
        rounds[round] = run_round(&bench, bench.options.steps);
    qsort(rounds, (size_t)bench.options.rounds, sizeof(double), compare_seconds);
    double median = rounds[bench.options.rounds / 2],
           spread = rounds[bench.options.rounds - 1] / rounds[0] - 1.0;
    if (dt_comm_rank(bench.comm) == 0)
        report(&bench, median, spread, peak);
    free(rounds);
    tear_down(&bench);
    return 0;
}
