/* SPDX-License-Identifier: BSD-3-Clause */
/* One choice of methods for all ranks. */
#include "train/choice.h"

#include <string.h>

#include "dtrain/log.h"

enum { REPEATS = 5 };

dt_status dt_choice_measure(dt_comm *comm, const dt_network *network, dt_kernels *kernels, int samples,
                            dt_methods_times *times) {
    dt_comm_barrier(comm);
    DT_TRY(dt_comm_agree(comm, dt_methods_measure(network, kernels, samples, REPEATS, times)));
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        for (int method = 0; method < DT_CONV_METHODS; method++) {
            dt_conv_times *t = &times->of[i][method];
            double seconds[] = {t->forward, t->weights, t->backward};
            dt_comm_max_f64(comm, seconds, 3);
            t->forward = seconds[0];
            t->weights = seconds[1];
            t->backward = seconds[2];
        }
    return dt_ok();
}

static dt_status tune(dt_comm *comm, const dt_network *network, dt_kernels *kernels, int samples,
                      dt_methods *methods) {
    dt_methods_times times;
    char text[DT_METHODS_TEXT];
    if (dt_kernels_engine(kernels) != DT_ENGINE_AUTO)
        return dt_fail(DT_USAGE, "--methods tuned goes with --engine auto, not with %s",
                       dt_engine_name(dt_kernels_engine(kernels)));
    DT_TRY(dt_choice_measure(comm, network, kernels, samples, &times));
    *methods = dt_methods_fastest(&times);
    dt_log_note("methods: measured; for the same bits again: --methods %s", dt_methods_write(*methods, text));
    return dt_ok();
}

dt_status dt_choice_make(dt_comm *comm, const char *text, const dt_network *network, dt_kernels *kernels,
                         int samples, dt_methods *methods) {
    if (strcmp(text, "tuned") == 0)
        return dt_comm_agree(comm, tune(comm, network, kernels, samples, methods));
    DT_TRY(dt_comm_agree(comm, dt_methods_read(text, methods)));
    if (methods->of[0] == DT_CONV_AUTO)
        *methods = dt_methods_fixed(network, kernels);
    return dt_ok();
}
