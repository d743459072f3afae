/* SPDX-License-Identifier: BSD-3-Clause */
/* Drawn digits: the same everywhere, balanced, and such that neither chance nor a stencil can read them. */
#include "test.h"

#include <string.h>

#include "data/synthetic.h"
#include "dtrain/hash.h"

enum { MANY = 3000 };

static void test_is_a_function_of_seed_and_index(void **state) {
    (void)state;
    uint8_t one[DT_IMAGE_PIXELS], other[DT_IMAGE_PIXELS];
    dt_synthetic_draw(5, 17, one);
    dt_synthetic_draw(5, 18, other);
    assert_memory_not_equal(one, other, sizeof one);
    dt_synthetic_draw(6, 17, other);
    assert_memory_not_equal(one, other, sizeof one);
    dt_synthetic_draw(5, 17, other);
    assert_memory_equal(one, other, sizeof one);
}

/* Compilers, optimisation levels and processors must agree: runs on drawn digits are compared across them. */
static void test_bytes_are_the_same_everywhere(void **state) {
    (void)state;
    uint64_t hash = 0;
    for (uint32_t index = 0; index < 1000; index++) {
        uint8_t pixels[DT_IMAGE_PIXELS];
        dt_synthetic_draw(1, index, pixels);
        hash = dt_hash(hash, pixels, sizeof pixels);
    }
    assert_int_equal(hash, UINT64_C(0xf19a67d31ea83ed4));
}

static void test_halves_continue_each_other(void **state) {
    (void)state;
    dt_dataset dataset = {0};
    assert_ok(dt_synthetic_read(3, 60, &dataset));
    assert_int_equal(dataset.train.count, 60);
    assert_int_equal(dataset.test.count, 10);
    for (int i = 0; i < 70; i++) {
        dt_images half = i < 60 ? dataset.train : dataset.test;
        int place = i < 60 ? i : i - 60;
        uint8_t pixels[DT_IMAGE_PIXELS];
        dt_synthetic_draw(3, (uint32_t)i, pixels);
        assert_memory_equal((const uint8_t *)half.pixels + place * DT_IMAGE_PIXELS, pixels, sizeof pixels);
        assert_int_equal(half.labels[place], dt_synthetic_label(3, (uint32_t)i));
    }
    dt_dataset_release(&dataset);
    assert_ok(dt_synthetic_read(3, 1, &dataset));
    assert_int_equal(dataset.test.count, 1);
    dt_dataset_release(&dataset);
}

static void test_labels_are_balanced(void **state) {
    (void)state;
    int first[DT_CLASSES] = {0};
    for (uint32_t block = 0; block < 300; block++) {
        int seen[DT_CLASSES] = {0};
        for (uint32_t i = 0; i < 10; i++)
            seen[dt_synthetic_label(9, 10 * block + i)]++;
        for (int label = 0; label < DT_CLASSES; label++)
            assert_int_equal(seen[label], 1);
        first[dt_synthetic_label(9, 10 * block)]++;
    }
    /* 30 expected in each place; six standard deviations are 31. */
    for (int label = 0; label < DT_CLASSES; label++)
        assert_true(first[label] >= 5 && first[label] <= 61);
}

/* A digit has ink, mostly in the middle, and paper around it. */
static void test_digits_have_ink_inside(void **state) {
    (void)state;
    for (uint32_t index = 0; index < MANY; index++) {
        uint8_t pixels[DT_IMAGE_PIXELS];
        dt_synthetic_draw(2, index, pixels);
        int dark = 0, edge = 0;
        for (int i = 0; i < DT_IMAGE_PIXELS; i++) {
            int row = i / DT_IMAGE_SIDE, column = i % DT_IMAGE_SIDE;
            bool outer = row == 0 || column == 0 || row == DT_IMAGE_SIDE - 1 || column == DT_IMAGE_SIDE - 1;
            dark += pixels[i] > 100;
            edge += outer && pixels[i] > 100;
        }
        assert_true(dark >= 12 && dark <= 330);
        assert_true(edge <= 6);
    }
}

/* Nearest class mean on 3000 digits, tested on 1000 others: far above chance, so labels and pictures belong
 * together; far from all right, so that there is something to learn. */
static void test_stencil_reads_some(void **state) {
    (void)state;
    static double means[DT_CLASSES][DT_IMAGE_PIXELS];
    uint8_t pixels[DT_IMAGE_PIXELS];
    for (uint32_t index = 0; index < MANY; index++) {
        dt_synthetic_draw(4, index, pixels);
        for (int i = 0; i < DT_IMAGE_PIXELS; i++)
            means[dt_synthetic_label(4, index)][i] += pixels[i] / (MANY / 10.0);
    }
    int right = 0;
    for (uint32_t index = MANY; index < MANY + 1000; index++) {
        dt_synthetic_draw(4, index, pixels);
        int nearest = 0;
        double least = 1e300;
        for (int label = 0; label < DT_CLASSES; label++) {
            double distance = 0.0;
            for (int i = 0; i < DT_IMAGE_PIXELS; i++)
                distance += (pixels[i] - means[label][i]) * (pixels[i] - means[label][i]);
            if (distance < least) {
                least = distance;
                nearest = label;
            }
        }
        right += nearest == dt_synthetic_label(4, index);
    }
    assert_true(right >= 400 && right <= 900);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_a_function_of_seed_and_index),
        cmocka_unit_test(test_bytes_are_the_same_everywhere),
        cmocka_unit_test(test_halves_continue_each_other),
        cmocka_unit_test(test_labels_are_balanced),
        cmocka_unit_test(test_digits_have_ink_inside),
        cmocka_unit_test(test_stencil_reads_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
