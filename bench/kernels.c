/* SPDX-License-Identifier: BSD-3-Clause */
/* build/bench/kernels: every kernel by itself on the shapes of the network: milliseconds, GFLOP/s as direct
 * computation would count them and as they are executed, the share of the peak of the precision or of the
 * memory bandwidth, and the error against the plain twin in float32. */
#include "kernels_jobs.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/locale.h"
#include "dtrain/methods.h"
#include "dtrain/probe.h"

enum { MOST_BATCHES = 8, KEY_JSON = 256, KEY_ISA, KEY_KERNEL, KEY_PRECISION };

typedef struct bench_options {
    int batches[MOST_BATCHES];
    int batch_count, threads, repeats;
    bool json, every_isa;
    dt_isa isa;
    dt_precision precision;
    const char *kernel; /* a part of the names to measure */
    double width;
} bench_options;

/* The bench with the kernels of one instruction set. */
typedef struct bench {
    bench_options options;
    dt_network network;
    dt_team *team;
    dt_kernels *kernels, *twin;
    double fma_peak, bf16_peak; /* GFLOP/s; the latter 0 where it is emulated, and in float32 */
    double bandwidth;           /* GB/s */
} bench;

/* One line of the result. What does not apply is 0; error NaN. */
typedef struct result {
    const char *name;
    int batch;
    double seconds, direct_flop, executed_flop, bytes, error;
} result;

static const struct argp_option option_table[] = {
    {"batch", 'b', "N,..", 0, "samples of a call (default: 64)", 0},
    {"threads", 't', "N", 0, "threads (default: 1)", 0},
    {"repeats", 'r', "N", 0, "timed calls; the median counts (default: 5)", 0},
    {"width", 'x', "F", 0, "width of the network (default: 1)", 0},
    {"isa", KEY_ISA, "NAME", 0, "instruction set, or all (default: the best)", 0},
    {"precision", KEY_PRECISION, "fp32|bf16", 0, "of the operands of products (default: fp32)", 0},
    {"kernel", KEY_KERNEL, "TEXT", 0, "only kernels with this text in their names, such as conv2.forward", 0},
    {"json", KEY_JSON, NULL, 0, "print one JSON object a line", 0},
    {0},
};

static void need(dt_status status) {
    if (!dt_failed(&status))
        return;
    fprintf(stderr, "kernels: %s\n", status.text);
    exit((int)status.code);
}

static int whole(struct argp_state *state, const char *text, long most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1 || value > most)
        argp_error(state, "not a whole number from 1 to %ld: %s", most, text);
    return (int)value;
}

static void read_batches(struct argp_state *state, char *text, bench_options *options) {
    options->batch_count = 0;
    for (char *word = strsep(&text, ","); word; word = strsep(&text, ",")) {
        if (options->batch_count == MOST_BATCHES)
            argp_error(state, "more than %d batches", MOST_BATCHES);
        options->batches[options->batch_count++] = whole(state, word, 4096);
    }
}

static void read_isa(struct argp_state *state, const char *text, bench_options *options) {
    options->every_isa = strcmp(text, "all") == 0;
    for (int isa = DT_ISA_BASELINE; isa < DT_ISA_BEST && !options->every_isa; isa++)
        if (strcmp(dt_isa_name((dt_isa)isa), text) == 0) {
            options->isa = (dt_isa)isa;
            return;
        }
    if (!options->every_isa)
        argp_error(state, "no such instruction set: %s", text);
}

static dt_precision read_precision(struct argp_state *state, const char *text) {
    for (int precision = DT_PRECISION_FP32; precision <= DT_PRECISION_BF16; precision++)
        if (strcmp(dt_precision_name((dt_precision)precision), text) == 0)
            return (dt_precision)precision;
    argp_error(state, "no such precision: %s", text);
    return DT_PRECISION_FP32;
}

static double read_width(struct argp_state *state, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value > 0 && value <= 8))
        argp_error(state, "not a number above 0, up to 8: %s", text);
    return value;
}

static error_t parse(int key, char *text, struct argp_state *state) {
    bench_options *options = state->input;
    if (key == 'b')
        read_batches(state, text, options);
    else if (key == 't')
        options->threads = whole(state, text, 1024);
    else if (key == 'r')
        options->repeats = whole(state, text, 63);
    else if (key == 'x')
        options->width = read_width(state, text);
    else if (key == KEY_ISA)
        read_isa(state, text, options);
    else if (key == KEY_PRECISION)
        options->precision = read_precision(state, text);
    else if (key == KEY_KERNEL)
        options->kernel = text;
    else if (key == KEY_JSON)
        options->json = true;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static bool wanted(const bench *b, const char *name) {
    return !b->options.kernel || strstr(name, b->options.kernel);
}

/* What products are measured against: emulated ones are made of FMA. */
static double peak_of(const bench *b) {
    return b->bf16_peak > 0 ? b->bf16_peak : b->fma_peak;
}

static void print_machine(const bench *b) {
    const char *isa = dt_isa_name(dt_kernels_isa(b->kernels));
    const char *precision = dt_precision_name(b->options.precision);
    if (b->options.json) {
        printf("{\"event\":\"machine\",\"isa\":\"%s\",\"precision\":\"%s\",\"threads\":%d,"
               "\"fma_peak_gflops\":%.1f,\"bf16_peak_gflops\":%.1f,\"bandwidth_gb_s\":%.1f}\n",
               isa, precision, b->options.threads, b->fma_peak, b->bf16_peak, b->bandwidth);
        return;
    }
    printf("%s, %s, %d thread%s: %s peak %.1f GFLOP/s, bandwidth %.1f GB/s\n", isa, precision,
           b->options.threads, b->options.threads == 1 ? "" : "s", b->bf16_peak > 0 ? "bf16" : "FMA",
           peak_of(b), b->bandwidth);
    printf("%-34s %5s %10s %9s %6s %9s %6s %7s %6s %8s\n", "kernel", "batch", "ms", "GFLOP/s", "of",
           "executed", "of", "GB/s", "of", "error");
}

static void print_rate(double rate, double limit, int width) {
    if (rate > 0)
        printf(" %*.1f %4.0f %%", width, rate, 100 * rate / limit);
    else
        printf(" %*s %6s", width, "-", "-");
}

static void print_json(const bench *b, const result *r, double direct, double executed, double bytes) {
    printf("{\"event\":\"kernel\",\"isa\":\"%s\",\"precision\":\"%s\",\"threads\":%d,\"kernel\":\"%s\","
           "\"batch\":%d,\"ms\":%.5f",
           dt_isa_name(dt_kernels_isa(b->kernels)), dt_precision_name(b->options.precision),
           b->options.threads, r->name, r->batch, 1e3 * r->seconds);
    if (direct > 0)
        printf(",\"gflops\":%.2f,\"of_peak\":%.4f,\"executed_gflops\":%.2f,\"executed_of_peak\":%.4f", direct,
               direct / peak_of(b), executed, executed / peak_of(b));
    if (bytes > 0)
        printf(",\"gb_s\":%.2f,\"of_bandwidth\":%.4f", bytes, bytes / b->bandwidth);
    if (!isnan(r->error))
        printf(",\"error\":%.3e", r->error);
    printf("}\n");
}

static void print_result(const bench *b, const result *r) {
    double scale = 1e-9 / r->seconds;
    double direct = scale * r->direct_flop, executed = scale * r->executed_flop, bytes = scale * r->bytes;
    if (b->options.json) {
        print_json(b, r, direct, executed, bytes);
        return;
    }
    printf("%-34s %5d %10.4f", r->name, r->batch, 1e3 * r->seconds);
    print_rate(direct, peak_of(b), 9);
    print_rate(executed, peak_of(b), 9);
    print_rate(bytes, b->bandwidth, 7);
    if (isnan(r->error))
        printf(" %8s\n", "-");
    else
        printf(" %8.1e\n", r->error);
}

static dt_conv_config conv_config(dt_kernels *kernels, dt_conv_shape shape, dt_conv_method method,
                                  int batch) {
    return (dt_conv_config){.kernels = kernels,
                            .shape = shape,
                            .method = method,
                            .samples = batch,
                            .leaves = dt_leaves_count(batch)};
}

static double executed_flop(dt_conv_config config, dt_conv_pass pass) {
    dt_conv *conv;
    need(dt_conv_create(&config, &conv));
    double flop = dt_conv_executed_flop(conv, pass);
    dt_conv_destroy(conv);
    return flop * config.samples;
}

/* The three calls of one convolution by one method. `backward` is both gradients, the way training calls it.
 */
static void bench_method(const bench *b, const char *layer, dt_conv_shape shape, dt_conv_method method) {
    static const char *const calls[] = {"forward", "weights", "backward"};
    char names[3][48];
    for (int i = 0; i < 3; i++)
        snprintf(names[i], sizeof names[i], "%s.%s.%s", layer, calls[i], dt_conv_method_name(method));
    if (!wanted(b, names[0]) && !wanted(b, names[1]) && !wanted(b, names[2]))
        return;
    conv_errors errors = {NAN, NAN, NAN};
    for (int i = 0; i < b->options.batch_count; i++) {
        dt_conv_config config = conv_config(b->kernels, shape, method, b->options.batches[i]);
        dt_conv_times times;
        need(dt_tuning_measure(&config, b->options.repeats, &times));
        if (!times.possible)
            return;
        if (i == 0)
            need(conv_errors_measure(b->kernels, b->twin, shape, method, &errors));
        double direct = config.samples * dt_conv_direct_flop(shape);
        double weights = executed_flop(config, DT_CONV_BACKWARD_WEIGHTS);
        double data = executed_flop(config, DT_CONV_BACKWARD_DATA);
        const result results[] = {
            {names[0], config.samples, times.forward, direct, executed_flop(config, DT_CONV_FORWARD), 0,
             errors.y},
            {names[1], config.samples, times.weights, direct, weights, 0, errors.dweights},
            {names[2], config.samples, times.backward, 2 * direct, weights + data, 0, errors.dx}};
        for (int call = 0; call < 3; call++)
            if (wanted(b, names[call]))
                print_result(b, &results[call]);
    }
}

static void bench_conv(const bench *b, const dt_layer_spec *spec) {
    for (dt_conv_method method = DT_CONV_PASSES; method < DT_CONV_METHODS; method++)
        bench_method(b, spec->name, dt_methods_shape(spec), method);
}

/* One job on all batches. */
static void bench_job(const bench *b, const job_kind *kind, const dt_layer_spec *spec) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", spec->name, kind->name);
    if (!wanted(b, name) || !kind->fits(spec))
        return;
    double error = NAN;
    for (int i = 0; i < (kind->takes_batch ? b->options.batch_count : 1); i++) {
        job_times times;
        int batch = kind->takes_batch ? b->options.batches[i] : 1;
        if (i == 0)
            need(job_error(kind, spec, b->kernels, b->twin, &error));
        need(job_measure(kind, spec, b->kernels, batch, b->options.repeats, &times));
        print_result(b, &(result){name, batch, times.seconds, times.flop, times.flop, times.bytes, error});
    }
}

static void bench_layers(const bench *b) {
    for (int i = 0; i < b->network.count; i++) {
        const dt_layer_spec *spec = &b->network.layers[i];
        if (spec->kind == DT_LAYER_CONV)
            bench_conv(b, spec);
        for (int kind = 0; kind < job_kinds_count; kind++)
            bench_job(b, &job_kinds[kind], spec);
    }
}

static void bench_isa(bench *b, dt_isa isa) {
    dt_precision precision = b->options.precision;
    need(dt_kernels_create(&(dt_kernels_config){.team = b->team, .isa = isa, .precision = precision},
                           &b->kernels));
    b->fma_peak = dt_probe_fma_gflops(b->kernels);
    b->bf16_peak = precision == DT_PRECISION_BF16 ? dt_probe_bf16_gflops(b->kernels) : 0;
    need(dt_probe_bandwidth(b->kernels, &b->bandwidth));
    print_machine(b);
    bench_layers(b);
    dt_kernels_destroy(b->kernels);
}

int main(int count, char **arguments) {
    need(dt_locale_use_c());
    bench b = {
        .options = {
            .batches = {64}, .batch_count = 1, .threads = 1, .repeats = 5, .isa = DT_ISA_BEST, .width = 1}};
    const struct argp parser = {
        option_table,
        parse,
        NULL,
        "The speed and the error of each kernel on the shapes of the network, with the "
        "limits of the machine beside them. Errors are the root mean square of the difference "
        "from plain C in float32 over that of the values, on two samples.",
        0,
        0,
        0};
    argp_parse(&parser, count, arguments, 0, NULL, &b.options);
    b.network = dt_network_build((dt_network_config){.width = b.options.width, .dropout = 0.5f});
    need(dt_team_create(b.options.threads, &b.team));
    need(dt_kernels_create(
        &(dt_kernels_config){.team = b.team, .isa = DT_ISA_BASELINE, .engine = DT_ENGINE_REFERENCE},
        &b.twin));
    dt_isa highest = b.options.precision == DT_PRECISION_BF16 ? dt_isa_highest() : dt_isa_best();
    if (b.options.every_isa)
        for (dt_isa isa = DT_ISA_BASELINE; isa <= highest; isa++)
            bench_isa(&b, isa);
    else
        bench_isa(&b, b.options.isa);
    dt_kernels_destroy(b.twin);
    dt_team_destroy(b.team);
    return 0;
}
