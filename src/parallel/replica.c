/* SPDX-License-Identifier: BSD-3-Clause */
/* Parameters that every rank holds. */
#include "parallel/replica.h"

#include <string.h>

#include "dtrain/hash.h"

static float *moments_of(const dt_replica *replica, bool second) {
    return (float *)replica->moments.base + (second ? replica->range.count : 0);
}

dt_status dt_replica_create(dt_comm *comm, dt_kernels *kernels, const dt_sharing *sharing, dt_range range,
                            float *weights, const float *gradients, dt_replica *replica) {
    *replica = (dt_replica){.comm = comm,
                            .kernels = kernels,
                            .sharing = sharing,
                            .range = range,
                            .weights = weights,
                            .gradients = gradients};
    return dt_slab_reserve(2 * range.count * sizeof(float), "Adam's moments", &replica->moments);
}

void dt_replica_release(dt_replica *replica) {
    dt_slab_release(&replica->moments);
}

void dt_replica_update(dt_replica *replica, dt_adam_step step) {
    size_t begin = replica->range.begin;
    if (replica->range.count > 0 && dt_sharing_leads(replica->sharing))
        dt_adam_update(replica->kernels, step, replica->range.count, replica->gradients,
                       replica->weights + begin, moments_of(replica, false), moments_of(replica, true));
}

uint64_t dt_replica_hash(const dt_replica *replica, dt_range range, uint64_t hash) {
    dt_range common = dt_range_meet(range, replica->range);
    size_t place = common.begin - replica->range.begin, bytes = common.count * sizeof(float);
    if (common.count == 0)
        return hash;
    return dt_hash(dt_hash(hash, moments_of(replica, false) + place, bytes),
                   moments_of(replica, true) + place, bytes);
}

void dt_replica_collect(const dt_replica *replica, float *m, float *v) {
    size_t bytes = replica->range.count * sizeof(float);
    if (dt_comm_rank(replica->comm) != 0 || bytes == 0)
        return;
    memcpy(m + replica->range.begin, moments_of(replica, false), bytes);
    memcpy(v + replica->range.begin, moments_of(replica, true), bytes);
}

void dt_replica_restore(dt_replica *replica, const float *m, const float *v) {
    size_t bytes = replica->range.count * sizeof(float);
    if (bytes == 0)
        return;
    if (dt_comm_rank(replica->comm) == 0) {
        memcpy(moments_of(replica, false), m + replica->range.begin, bytes);
        memcpy(moments_of(replica, true), v + replica->range.begin, bytes);
    }
    dt_comm_broadcast(replica->comm, replica->moments.base, 2 * bytes, 0);
}
