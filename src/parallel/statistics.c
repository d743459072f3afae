/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums over leaves that lie with several ranks. */
#include "parallel/statistics.h"

#include <assert.h>
#include <string.h>

#include "dtrain/kernels.h"

/* Two sums a group, in both directions. */
static int widest(const dt_network *network) {
    int width = 0;
    for (int i = 0; i < network->count; i++) {
        const dt_layer_spec *layer = &network->layers[i];
        if (layer->kind != DT_LAYER_NORM)
            continue;
        dt_norm_shape shape = {layer->in.height, layer->in.width, layer->in.channels, layer->by_rows};
        int sums = 2 * dt_norm_groups(shape);
        width = sums > width ? sums : width;
    }
    return width;
}

dt_status dt_statistics_create(dt_comm *comm, const dt_network *network, int batch,
                               dt_statistics *statistics) {
    *statistics = (dt_statistics){.comm = comm, .width = widest(network)};
    if (dt_comm_size(comm) == 1)
        return dt_ok();
    size_t values = (size_t)dt_leaves_count(batch) * (size_t)statistics->width;
    return dt_slab_reserve(values * sizeof(double), "batch statistics", &statistics->slab);
}

void dt_statistics_release(dt_statistics *statistics) {
    dt_slab_release(&statistics->slab);
}

/* Every leaf's values on every rank. A place has one contributor and zeros from all others, so whatever order
 * the library adds in, the value stands as it was, save that -0 becomes +0. */
static const double *gather(dt_statistics *statistics, const dt_share *share, const double *partials,
                            int width) {
    double *all = statistics->slab.base;
    size_t row = (size_t)width;
    memset(all, 0, sizeof(double) * row * (size_t)share->total_leaves);
    if (share->leaves > 0)
        memcpy(all + row * (size_t)share->first_leaf, partials, sizeof(double) * row * (size_t)share->leaves);
    dt_comm_sum_f64(statistics->comm, all, share->total_leaves * width);
    return all;
}

void dt_statistics_combine(dt_statistics *statistics, const dt_share *share, const double *partials,
                           int width, double *sums) {
    assert(width <= statistics->width);
    const double *leaf = partials;
    if (dt_comm_size(statistics->comm) > 1)
        leaf = gather(statistics, share, partials, width);
    /* A sum that starts at +0 does not see the difference between +0 and -0. */
    memset(sums, 0, sizeof(double) * (size_t)width);
    for (int i = 0; i < share->total_leaves; i++, leaf += width)
        for (int j = 0; j < width; j++)
            sums[j] += leaf[j];
}
