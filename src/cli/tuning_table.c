/* SPDX-License-Identifier: BSD-3-Clause */
/* Candidates, milliseconds, the choice. */
#include "cli/tuning_table.h"

#include <stdio.h>
#include <string.h>

#include "dtrain/log.h"

/* A fixed choice that is slower by less than this is as fast: measurements differ by as much. */
static const double noise = 0.05;

static void print_method(const char *layer, dt_conv_method method, const dt_methods_times *times, int index,
                         bool used) {
    const dt_conv_times *t = &times->of[index][method];
    char backward[16] = "-";
    if (index > 0)
        snprintf(backward, sizeof backward, "%.3f", 1e3 * t->backward);
    dt_log_note("  %-6s %-15s %9.3f %9.3f %9s %9.3f%s", layer, dt_conv_method_name(method), 1e3 * t->forward,
                1e3 * t->weights, backward, 1e3 * dt_methods_step(times, index, method),
                used                               ? "  used"
                : method == DT_CONV_WINOGRAD_LARGE ? "  less exact, on request alone"
                                                   : "");
}

/* Returns whether the method in use is as fast as any that stands for election. */
static bool compare(const dt_methods_times *times, int index, const char *layer, dt_conv_method used,
                    dt_conv_method fastest) {
    double mine = dt_methods_step(times, index, used), best = dt_methods_step(times, index, fastest);
    if (mine <= best * (1 + noise))
        return true;
    dt_log_note("  %s: %s is %.0f %% faster than %s", layer, dt_conv_method_name(fastest),
                100 * (mine / best - 1), dt_conv_method_name(used));
    return false;
}

void dt_tuning_table_print(const dt_network *network, const dt_methods_times *times, dt_methods used) {
    dt_methods fastest = dt_methods_fastest(times);
    char text[DT_METHODS_TEXT];
    bool good = true;
    dt_log_note("  %-6s %-15s %9s %9s %9s %9s", "layer", "method", "forward", "weights", "backward", "step");
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++) {
        const char *layer = dt_methods_layer(network, i)->name;
        for (dt_conv_method method = DT_CONV_PASSES; method < DT_CONV_METHODS; method++)
            if (times->of[i][method].possible)
                print_method(layer, method, times, i, method == used.of[i]);
    }
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        good = compare(times, i, dt_methods_layer(network, i)->name, used.of[i], fastest.of[i]) && good;
    if (good)
        dt_log_note("  no method is faster than the one in use");
    else
        dt_log_note("  to use the faster ones (other bits): --methods %s", dt_methods_write(fastest, text));
}
