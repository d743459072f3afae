/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of an epoch: a uniform permutation that follows from seed, epoch and count alone. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "dtrain/random.h"
#include "dtrain/sampler.h"

enum { TRAIN = 55000 };

static void test_is_a_permutation(void **state) {
    (void)state;
    static int order[TRAIN];
    static unsigned char seen[TRAIN];
    const int counts[] = {0, 1, 2, 3, 4, 5, 64, 1001, TRAIN};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        dt_sampler_shuffle(42, 3, counts[i], order);
        memset(seen, 0, sizeof seen);
        for (int position = 0; position < counts[i]; position++) {
            assert_true(order[position] >= 0 && order[position] < counts[i]);
            assert_false(seen[order[position]]++);
        }
    }
}

static void test_follows_seed_and_epoch(void **state) {
    (void)state;
    static int first[1000], other[1000];
    const struct {
        uint64_t seed;
        uint32_t epoch;
    } others[] = {{8, 0}, {7, 1}, {7 + ((uint64_t)1 << 32), 0}};
    dt_sampler_shuffle(7, 0, 1000, first);
    dt_sampler_shuffle(7, 0, 1000, other);
    assert_memory_equal(first, other, sizeof first);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        dt_sampler_shuffle(others[i].seed, others[i].epoch, 1000, other);
        int fixed = 0;
        for (int position = 0; position < 1000; position++)
            fixed += first[position] == other[position];
        /* Two random permutations agree in one place on average (Poisson). */
        assert_true(fixed < 10);
    }
}

/* The definition: at position i the word floor(u (i + 1) / 2^32) is taken unless the low half of the product
 * is among the 2^32 mod (i + 1) surplus ones. */
static int defined_draw(uint64_t seed, uint32_t epoch, uint32_t position, int *rejected) {
    uint64_t bound = position + 1, surplus = ((uint64_t)1 << 32) % bound;
    for (uint32_t attempt = 0;; attempt++) {
        dt_random4 words = dt_random_draw(seed, DT_PURPOSE_SHUFFLE, epoch, position / 4, attempt, 0);
        uint64_t product = words.word[position % 4] * bound;
        if ((product & 0xFFFFFFFF) >= surplus)
            return (int)(product >> 32);
        ++*rejected;
    }
}

static void test_draws_are_unbiased(void **state) {
    (void)state;
    static int order[TRAIN], expected[TRAIN];
    int rejected = 0;
    for (uint32_t epoch = 0; epoch < 24; epoch++) {
        for (int i = 0; i < TRAIN; i++)
            expected[i] = i;
        for (int i = TRAIN - 1; i > 0; i--) {
            int other = defined_draw(11, epoch, (uint32_t)i, &rejected), moved = expected[i];
            expected[i] = expected[other];
            expected[other] = moved;
        }
        dt_sampler_shuffle(11, epoch, TRAIN, order);
        assert_memory_equal(order, expected, sizeof order);
    }
    /* About 0.35 words an epoch are rejected: the branch has run. */
    assert_true(rejected > 0);
}

/* All 24 orders of four samples over 24,000 epochs: chi squared with 23 degrees of freedom has mean 23 and
 * passes 50 once in a thousand; the draw is fixed, so this is no matter of luck at each run. */
static void test_orders_are_uniform(void **state) {
    (void)state;
    int seen[256] = {0};
    for (uint32_t epoch = 0; epoch < 24000; epoch++) {
        int order[4];
        dt_sampler_shuffle(1, epoch, 4, order);
        seen[order[0] << 6 | order[1] << 4 | order[2] << 2 | order[3]]++;
    }
    double chi_squared = 0.0;
    int kinds = 0;
    for (int i = 0; i < 256; i++)
        if (seen[i] > 0) {
            chi_squared += (seen[i] - 1000.0) * (seen[i] - 1000.0) / 1000.0;
            kinds++;
        }
    assert_int_equal(kinds, 24);
    assert_true(chi_squared < 50.0);
}

static void test_batches_cover_the_epoch(void **state) {
    (void)state;
    for (int count = 1; count <= 70; count++)
        for (int batch = 1; batch <= 75; batch++) {
            int total = 0, batches = dt_sampler_batches(count, batch);
            for (int number = 0; number < batches; number++) {
                int samples = dt_sampler_batch_samples(count, batch, number);
                assert_true(number == batches - 1 ? samples >= 1 && samples <= batch : samples == batch);
                total += samples;
            }
            assert_int_equal(total, count);
        }
    assert_int_equal(dt_sampler_batches(0, 64), 0);
    assert_int_equal(dt_sampler_batches(TRAIN, 64), 860);
    assert_int_equal(dt_sampler_batch_samples(TRAIN, 64, 859), 24);
    assert_int_equal(dt_sampler_batches(2147483647, 2147483647), 1);
    assert_int_equal(dt_sampler_batch_samples(2147483647, 2, 1073741823), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_a_permutation),        cmocka_unit_test(test_follows_seed_and_epoch),
        cmocka_unit_test(test_draws_are_unbiased),      cmocka_unit_test(test_orders_are_uniform),
        cmocka_unit_test(test_batches_cover_the_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
