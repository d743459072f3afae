/* SPDX-License-Identifier: BSD-3-Clause */
/* Fisher-Yates by Philox. */
#include "dtrain/sampler.h"

#include <assert.h>

#include "dtrain/random.h"

/* A number in [0, bound), uniform: the high half of word * bound, where words whose low half falls below 2^32
 * mod bound are drawn again (Lemire, "Fast random integer generation in an interval", 2019). `first` is the
 * word of position; the attempts after it come from streams of their own. */
static uint32_t draw_below(uint64_t seed, uint32_t epoch, uint32_t position, uint32_t first, uint32_t bound) {
    uint64_t product = (uint64_t)first * bound;
    if ((uint32_t)product >= bound)
        return (uint32_t)(product >> 32);
    uint32_t excess = -bound % bound;
    for (uint32_t attempt = 1; (uint32_t)product < excess; attempt++) {
        dt_random4 drawn = dt_random_draw(seed, DT_PURPOSE_SHUFFLE, epoch, position / 4, attempt, 0);
        product = (uint64_t)drawn.word[position % 4] * bound;
    }
    return (uint32_t)(product >> 32);
}

void dt_sampler_shuffle(uint64_t seed, uint32_t epoch, int count, int *order) {
    assert(count >= 0);
    dt_random4 drawn = {{0}};
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        uint32_t position = (uint32_t)i;
        if (i == count - 1 || i % 4 == 3)
            drawn = dt_random_draw(seed, DT_PURPOSE_SHUFFLE, epoch, position / 4, 0, 0);
        uint32_t other = draw_below(seed, epoch, position, drawn.word[i % 4], position + 1);
        int moved = order[i];
        order[i] = order[other];
        order[other] = moved;
    }
}

int dt_sampler_batches(int count, int batch) {
    assert(count >= 0 && batch >= 1);
    return count / batch + (count % batch != 0);
}

int dt_sampler_batch_samples(int count, int batch, int number) {
    assert(number >= 0 && number < dt_sampler_batches(count, batch));
    int left = count - (int)((long)number * batch);
    return left < batch ? left : batch;
}
