/* SPDX-License-Identifier: BSD-3-Clause */
/* checkpoint FOLDER [ROUNDS]: seconds and MB/s to save and to load a checkpoint of the full network,
 * beside the disk's own speed: as many bytes written 4 MB at a time and flushed, as dd conv=fsync does.
 * Alternately, so that a busy machine is busy for all; the median of the rounds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dtrain/checkpoint.h"
#include "dtrain/locale.h"
#include "dtrain/memory.h"
#include "dtrain/timer.h"

enum { MAX_ROUNDS = 50, BLOCK = 4 << 20, RAW = 0, SAVE, LOAD, COLD, KINDS };

static const char *const names[] = {"plain write and flush", "save", "load from memory", "load from disk"};

static void need(dt_status status) {
    if (!dt_failed(&status))
        return;
    fprintf(stderr, "bench_checkpoint: %s\n", status.text);
    exit((int)status.code);
}

static double write_plainly(const char *path, uint64_t bytes) {
    static char block[BLOCK];
    memset(block, 1, sizeof block);
    double start = dt_timer_now();
    int handle = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    for (uint64_t done = 0; done < bytes && handle >= 0; done += BLOCK)
        if (write(handle, block, BLOCK) != BLOCK)
            need(dt_fail(DT_FILE, "%s: cannot be written", path));
    if (handle < 0 || fsync(handle) != 0 || close(handle) != 0)
        need(dt_fail(DT_FILE, "%s: cannot be written", path));
    return dt_timer_now() - start;
}

static void forget(const char *path) {
    int handle = open(path, O_RDONLY);
    if (handle >= 0) {
        (void)posix_fadvise(handle, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(handle);
    }
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double load(const char *path, const dt_parameters *parameters, dt_checkpoint *checkpoint) {
    double start = dt_timer_now();
    need(dt_checkpoint_load(path, parameters, checkpoint));
    double seconds = dt_timer_now() - start;
    free(checkpoint->options);
    free(checkpoint->history);
    checkpoint->options = checkpoint->history = NULL;
    return seconds;
}

int main(int count, char **arguments) {
    need(dt_locale_use_c());
    int rounds = count > 2 ? atoi(arguments[2]) : 5;
    if (count < 2 || rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: checkpoint FOLDER [ROUNDS]\n");
        return 2;
    }
    dt_network network = dt_network_build((dt_network_config){DT_BN_ROWS, DT_BN_ALL, 1.0, 0.5f});
    dt_parameters parameters = dt_parameters_layout(&network);
    dt_slab slab;
    need(dt_slab_reserve((3 * parameters.floats + parameters.state_floats) * sizeof(float), "a checkpoint",
                         &slab));
    float *base = slab.base;
    dt_checkpoint checkpoint = {.weights = base,
                                .m = base + parameters.floats,
                                .v = base + 2 * parameters.floats,
                                .states = base + 3 * parameters.floats,
                                .position = {.learning_rate = 1e-3, .ranks = 1}};
    dt_parameters_init(&parameters, 1, checkpoint.weights, checkpoint.states);
    dt_parameters_init(&parameters, 2, checkpoint.m, checkpoint.states);
    dt_parameters_init(&parameters, 3, checkpoint.v, checkpoint.states);
    for (size_t i = 0; i < parameters.floats; i++)
        checkpoint.v[i] *= checkpoint.v[i];
    char path[1100], plain[1100];
    snprintf(path, sizeof path, "%s/bench.weights.h5", arguments[1]);
    snprintf(plain, sizeof plain, "%s/bench.plain", arguments[1]);
    double seconds[KINDS][MAX_ROUNDS];
    dt_checkpoint_result result = {.seconds = 0.0};
    need(dt_checkpoint_save(path, &network, &parameters, &checkpoint, &result));
    for (int round = 0; round < rounds; round++) {
        seconds[RAW][round] = write_plainly(plain, result.bytes);
        need(dt_checkpoint_save(path, &network, &parameters, &checkpoint, &result));
        seconds[SAVE][round] = result.seconds;
        seconds[LOAD][round] = load(path, &parameters, &checkpoint);
        forget(path);
        seconds[COLD][round] = load(path, &parameters, &checkpoint);
    }
    printf("%.1f MB, median of %d\n", (double)result.bytes / 1e6, rounds);
    for (int kind = 0; kind < KINDS; kind++) {
        qsort(seconds[kind], (size_t)rounds, sizeof(double), by_size);
        double median = seconds[kind][rounds / 2];
        printf("%-22s %6.3f s  %7.1f MB/s\n", names[kind], median, (double)result.bytes / 1e6 / median);
    }
    unlink(path);
    unlink(plain);
    dt_slab_release(&slab);
    return 0;
}
