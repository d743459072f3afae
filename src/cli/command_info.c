/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain info: what was built, and what this machine has and does. */
#include "cli/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/libraries.h"
#include "cli/option_values.h"
#include "cli/tuning_table.h"
#include "dtrain/dataset.h"
#include "dtrain/denormals.h"
#include "dtrain/log.h"
#include "dtrain/placement.h"
#include "dtrain/probe.h"
#include "dtrain/version.h"
#include "train/choice.h"

__attribute__((format(printf, 2, 3))) static void print_row(const char *name, const char *format, ...) {
    char text[DT_STATUS_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dt_log_note("%-12s%s", name, text);
}

/* The values that a choice may have in this build. */
static void print_choices(const char *name, const char *option_name) {
    char text[256];
    for (int row = 0; row < dt_option_table_count(); row++)
        if (strcmp(dt_option_table_row(row)->name, option_name) == 0)
            print_row(name, "%s", dt_option_values_allowed(dt_option_table_row(row), text, sizeof text));
}

static void print_build(void) {
    dt_log_note("%s", dt_version_text());
    print_row("build", "%s, %s", dt_version_build(), dt_version_compiler());
    for (int i = 0; i < dt_libraries_count(); i++) {
        dt_linked library = dt_libraries_row(i);
        print_row(i == 0 ? "libraries" : "", "%-9s%s loaded, %s at build%s", library.name, library.loaded,
                  library.headers, library.fits ? "" : ": these do not fit");
    }
    print_choices("engines", "engine");
    print_choices("strategies", "strategy");
}

static void print_machine(const dt_comm *comm, const dt_place *place) {
    double bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
    int ranks = dt_comm_size(comm), hosts = dt_comm_nodes(comm);
    print_row("CPU", "%s, %d core%s", place->cpu, place->machine_cores, place->machine_cores == 1 ? "" : "s");
    print_row("memory", "%.1f GB", bytes / 1e9);
    print_row("MPI", "%s", dt_comm_library(comm));
    print_row("", "%d rank%s on %d host%s", ranks, ranks == 1 ? "" : "s", hosts, hosts == 1 ? "" : "s");
    print_row("BLAS", "%s", dt_probe_blas());
}

/* What is measured at the same time on several ranks, each a part of the machine. */
enum { THREADS, GFLOPS, BF16_GFLOPS, GIGABYTES, SPEEDS };

/* The threads that this rank measures with. Ranks that take turns on the same cores would each find the whole
 * speed of a core, so there the first rank of a node measures alone. */
static int measuring_threads(const dt_comm *comm, const dt_placement_table *table) {
    const dt_place *place = &table->places[dt_comm_rank(comm)];
    if (!place->oversubscribed)
        return place->threads;
    return dt_comm_node_rank(comm) == 0 ? place->core_count : 0;
}

/* Measures on this rank with `threads` threads, 0 for none; tells which instruction sets the kernels use, and
 * would use for bfloat16. */
static dt_status measure(dt_comm *comm, const dt_options *options, int threads, double *speeds, dt_isa *isa,
                         dt_isa *bf16_isa) {
    dt_team *team = NULL;
    dt_kernels *kernels = NULL;
    dt_status status = dt_team_create(threads > 0 ? threads : 1, &team);
    if (!dt_failed(&status)) {
        dt_kernels_config config = {
            .team = team, .isa = options->isa, .engine = options->engine, .precision = options->precision};
        status = dt_kernels_create(&config, &kernels);
    }
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, status));
    *isa = dt_kernels_isa(kernels);
    *bf16_isa = dt_probe_bf16_isa(kernels);
    if (threads > 0) {
        speeds[THREADS] = threads;
        speeds[GFLOPS] = dt_probe_fma_gflops(kernels);
        speeds[BF16_GFLOPS] = dt_probe_bf16_gflops(kernels);
        status = dt_probe_bandwidth(kernels, &speeds[GIGABYTES]);
    }
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, status));
cleanup:
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
    return status;
}

static void print_speeds(const double *speeds, dt_isa bf16_isa) {
    print_row("FMA peak", "%.1f GFLOP/s on %.0f thread%s, %.1f each", speeds[GFLOPS], speeds[THREADS],
              speeds[THREADS] > 1 ? "s" : "", speeds[GFLOPS] / speeds[THREADS]);
    if (speeds[BF16_GFLOPS] > 0)
        print_row("bf16 peak", "%.1f GFLOP/s, %.2f times that (%s)", speeds[BF16_GFLOPS],
                  speeds[BF16_GFLOPS] / speeds[GFLOPS], dt_isa_name(bf16_isa));
    else
        print_row("bf16 peak", "none: neither AVX512_BF16 nor AMX_BF16; --precision bf16 is emulated");
    print_row("bandwidth", "%.1f GB/s", speeds[GIGABYTES]);
}

/* Times all methods with the threads and the samples that training would have. */
static dt_status tune(dt_comm *comm, const dt_options *options, int threads) {
    dt_network network = dt_network_build(options->network);
    int samples = dt_leaves_share(options->batch, dt_comm_size(comm), dt_comm_size(comm) - 1).samples;
    dt_team *team = NULL;
    dt_kernels *kernels = NULL;
    dt_methods_times times;
    dt_methods used;
    dt_kernels_config config = {
        .isa = options->isa, .engine = options->engine, .precision = options->precision};
    dt_status status = dt_team_create(threads, &team);
    config.team = team;
    if (!dt_failed(&status))
        status = dt_kernels_create(&config, &kernels);
    DT_TRY_CLEANUP(status, dt_comm_agree(comm, status));
    DT_TRY_CLEANUP(status, dt_choice_make(comm, options->methods, &network, kernels, samples, &used));
    print_row("methods", "milliseconds for %d samples on %d thread%s, the slowest rank's", samples, threads,
              threads == 1 ? "" : "s");
    DT_TRY_CLEANUP(status, dt_choice_measure(comm, &network, kernels, samples, &times));
    dt_tuning_table_print(&network, &times, used);
cleanup:
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
    return status;
}

/* What training would read. Rank 0 alone: nothing depends on it. */
static void print_data(const dt_options *options) {
    dt_dataset dataset;
    dt_status status = dt_dataset_read(options->data, options->seed, &dataset);
    if (dt_failed(&status)) {
        print_row("data", "none: %s", status.text);
        return;
    }
    print_row("data", "%s in %s", dataset.name, dataset.source);
    print_row("", "%d training and %d test images, fingerprint %016llx", dataset.train.count,
              dataset.test.count, (unsigned long long)dataset.fingerprint);
    dt_dataset_release(&dataset);
}

dt_status dt_command_info(const dt_options *options, dt_comm *comm) {
    dt_placement_table table;
    DT_TRY(dt_placement_gather(comm, options->threads, &table));
    print_build();
    print_machine(comm, &table.places[0]);
    double speeds[SPEEDS] = {0};
    dt_isa isa, bf16_isa;
    dt_status status;
    DT_TRY_CLEANUP(status, measure(comm, options, measuring_threads(comm, &table), speeds, &isa, &bf16_isa));
    dt_comm_sum_f64(comm, speeds, SPEEDS);
    print_row("ISA", "%s (the CPU's best: %s)", dt_isa_name(isa), dt_isa_name(dt_isa_highest()));
    print_row("denormals", "%s", dt_denormals_flushed() ? "flushed to 0 on every thread" : "kept");
    print_speeds(speeds, bf16_isa);
    if (options->tune)
        DT_TRY_CLEANUP(status, tune(comm, options, table.places[dt_comm_rank(comm)].threads));
    dt_comm_tell(comm, DT_COMM_FILES);
    if (dt_comm_rank(comm) == 0)
        print_data(options);
    dt_comm_tell(comm, DT_COMM_WORKS);
    dt_placement_print(&table);
cleanup:
    dt_placement_release(&table);
    return status;
}
