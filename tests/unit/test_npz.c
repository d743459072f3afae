/* SPDX-License-Identifier: BSD-3-Clause */
/* mnist.npz: both of Keras' forms, everything between them, and everything that can be wrong with it. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/npz.h"
#include "samples.h"

static const char file_name[] = "mnist.npz";

/* How the arrays of one half are written. */
typedef struct form {
    char pixels;             /* as for pixel_data */
    const char *pixel_shape; /* what follows the count: ", 28, 28)" */
    int label_bytes;         /* 0: one-hot */
    bool deflated;
    int version;
} form;

static buffer make_pixels(int half, form as) {
    char shape[64], descr[8];
    snprintf(shape, sizeof shape, "(%d%s", sample_count(half), as.pixel_shape);
    snprintf(descr, sizeof descr, "'%s'", as.pixels == 'u' ? "|u1" : as.pixels == 'f' ? "<f4" : "<f8");
    return npy(as.version, descr, "False", shape, pixel_data(half, as.pixels));
}

static buffer make_labels(int half, form as) {
    char shape[64], descr[8];
    if (as.label_bytes == 0) {
        snprintf(shape, sizeof shape, "(%d, 10)", sample_count(half));
        return npy(as.version, "'<f8'", "False", shape, one_hot_data(half));
    }
    snprintf(shape, sizeof shape, "(%d,)", sample_count(half));
    snprintf(descr, sizeof descr, as.label_bytes == 1 ? "'|u1'" : "'<i%d'", as.label_bytes);
    return npy(as.version, descr, "False", shape, label_data(half, as.label_bytes));
}

static void write_npz(const char *folder, form train, form test) {
    zip_maker zip = {0};
    zip_add(&zip, "x_train.npy", make_pixels(0, train), train.deflated);
    zip_add(&zip, "y_train.npy", make_labels(0, train), train.deflated);
    zip_add(&zip, "x_test.npy", make_pixels(1, test), test.deflated);
    zip_add(&zip, "y_test.npy", make_labels(1, test), test.deflated);
    write_file(folder, file_name, zip_finish(&zip));
}

static void check_labels(const dt_dataset *dataset) {
    const dt_images halves[2] = {dataset->train, dataset->test};
    for (int half = 0; half < 2; half++) {
        assert_int_equal(halves[half].count, sample_count(half));
        for (int i = 0; i < halves[half].count; i++)
            assert_int_equal(halves[half].labels[i], sample_label(half, i));
    }
}

static void check_bytes(const dt_dataset *dataset) {
    const dt_images halves[2] = {dataset->train, dataset->test};
    for (int half = 0; half < 2; half++) {
        assert_int_equal(halves[half].kind, DT_PIXEL_BYTE);
        const uint8_t *pixels = halves[half].pixels;
        for (int i = 0; i < halves[half].count * DT_IMAGE_PIXELS; i++)
            assert_int_equal(pixels[i], sample_pixel(half, i / DT_IMAGE_PIXELS, i % DT_IMAGE_PIXELS));
    }
}

static const form keras_bytes = {'u', ", 28, 28)", 1, true, 1};

static void test_reads_every_form(void **state) {
    const form forms[] = {
        keras_bytes,
        {'u', ", 28, 28)", 8, false, 1},
        {'u', ", 784)", 4, true, 2},
        {'u', ", 28, 28, 1)", 2, false, 3},
        {'u', ", 28, 28)", 0, true, 1},
        {'f', ", 28, 28)", 0, true, 1},
        {'f', ", 784)", 1, false, 1},
        {'d', ", 28, 28, 1)", 0, true, 1},
        {'d', ", 784)", 4, true, 2},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        dt_dataset dataset = {0};
        write_npz(*state, forms[i], forms[(i + 3) % (sizeof forms / sizeof *forms)]);
        assert_ok(dt_npz_read(path_in(*state, file_name), &dataset));
        check_labels(&dataset);
        check_bytes(&dataset);
        assert_string_equal(dataset.warnings, "");
        dt_dataset_release(&dataset);
    }
}

/* Replaces one array of a sound file (or drops it: content without bytes) and reads. */
static dt_status try_with(const char *folder, const char *name, buffer content, dt_dataset *dataset) {
    static const char *const names[4] = {"x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"};
    zip_maker zip = {0};
    for (int i = 0; i < 4; i++) {
        buffer sound = i % 2 ? make_labels(i / 2, keras_bytes) : make_pixels(i / 2, keras_bytes);
        if (strcmp(names[i], name) != 0) {
            zip_add(&zip, names[i], sound, true);
            continue;
        }
        if (content.bytes)
            zip_add(&zip, names[i], content, true);
        buffer_release(&sound);
    }
    write_file(folder, file_name, zip_finish(&zip));
    *dataset = (dt_dataset){0};
    return dt_npz_read(path_in(folder, file_name), dataset);
}

static void expect_failure(const char *folder, const char *name, buffer content, const char *cause) {
    dt_dataset dataset;
    char array[32];
    dt_status status = try_with(folder, name, content, &dataset);
    snprintf(array, sizeof array, "array %.*s", (int)strcspn(name, "."), name);
    assert_fails(status, DT_DATA, path_in(folder, file_name));
    assert_fails(status, DT_DATA, array);
    assert_fails(status, DT_DATA, cause);
    dt_dataset_release(&dataset);
}

static buffer floats(int count, float value) {
    buffer made = {0};
    for (int i = 0; i < count; i++)
        buffer_add(&made, &value, sizeof value);
    return made;
}

/* One float that is no k/255 makes both halves float; bytes of the other half become byte/255. */
static void test_true_floats_stay_floats(void **state) {
    dt_dataset dataset;
    buffer data = floats(SAMPLE_TRAIN * DT_IMAGE_PIXELS, 0.25f);
    assert_ok(try_with(*state, "x_train.npy", npy(1, "'<f4'", "False", "(5, 28, 28)", data), &dataset));
    check_labels(&dataset);
    assert_int_equal(dataset.train.kind, DT_PIXEL_FLOAT);
    assert_int_equal(dataset.test.kind, DT_PIXEL_FLOAT);
    const float *train = dataset.train.pixels, *test = dataset.test.pixels;
    for (int i = 0; i < SAMPLE_TRAIN * DT_IMAGE_PIXELS; i++)
        assert_true(train[i] == 0.25f);
    for (int i = 0; i < SAMPLE_TEST * DT_IMAGE_PIXELS; i++)
        assert_true(test[i] == (float)sample_pixel(1, i / DT_IMAGE_PIXELS, i % DT_IMAGE_PIXELS) / 255.0f);
    dt_dataset_release(&dataset);
}

/* Multiplying by a rounded 1/255, as some loaders do, is k/255 to float rounding too. */
static void test_floats_by_multiplication_become_bytes(void **state) {
    dt_dataset dataset;
    buffer data = {0};
    for (int i = 0; i < SAMPLE_TRAIN * DT_IMAGE_PIXELS; i++)
        buffer_add(&data, &(float){(float)(i % 256) * (1.0f / 255.0f)}, sizeof(float));
    assert_ok(try_with(*state, "x_train.npy", npy(1, "'<f4'", "False", "(5, 28, 28)", data), &dataset));
    assert_int_equal(dataset.train.kind, DT_PIXEL_BYTE);
    for (int i = 0; i < SAMPLE_TRAIN * DT_IMAGE_PIXELS; i++)
        assert_int_equal(((const uint8_t *)dataset.train.pixels)[i], i % 256);
    dt_dataset_release(&dataset);
}

static void test_array_missing(void **state) {
    dt_dataset dataset;
    dt_status status = try_with(*state, "y_test.npy", (buffer){0}, &dataset);
    assert_fails(status, DT_DATA, "mnist.npz: array y_test is missing");
    assert_fails(status, DT_DATA, "x_train, y_train, x_test and y_test");
    assert_fails(status, DT_DATA, "found: x_train, y_train, x_test");
}

static void test_types_not_supported(void **state) {
    static const struct {
        const char *descr, *cause;
    } bad[] = {
        {"'>f4'", "dtype '>f4' is not supported: big-endian"},
        {"'>i8'", "dtype '>i8' is not supported: big-endian"},
        {"'|O'", "dtype '|O' is not supported: Python objects"},
        {"'<f2'", "dtype '<f2' is not supported"},
        {"'<c8'", "dtype '<c8' is not supported"},
        {"'|S1'", "dtype '|S1' is not supported"},
        {"'<i8'", "dtype '<i8' is not supported for pixels"},
        {"[('a', '|u1')]", "dtype 'structure' is not supported"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(*state, "x_train.npy",
                       npy(1, bad[i].descr, "False", "(5, 28, 28)", floats(5 * 784 * 2, 0.0f)), bad[i].cause);
    expect_failure(*state, "y_train.npy", npy(1, "'<f4'", "False", "(5,)", floats(5, 1.0f)),
                   "dtype '<f4' is not supported for labels");
    expect_failure(*state, "y_test.npy", npy(1, "'|O'", "False", "(3,)", floats(5, 1.0f)),
                   "dtype '|O' is not supported");
}

static void test_fortran_order(void **state) {
    expect_failure(*state, "x_test.npy", npy(1, "'|u1'", "True", "(3, 28, 28)", pixel_data(1, 'u')),
                   "Fortran order (dtype '|u1', shape (3, 28, 28))");
}

/* Python 2 wrote its long numbers with an L. */
static void test_shapes_of_python_2(void **state) {
    dt_dataset dataset = {0};
    assert_ok(try_with(*state, "x_train.npy", npy(1, "'|u1'", "False", "(5L, 28L, 28L)", pixel_data(0, 'u')),
                       &dataset));
    assert_int_equal(dataset.train.count, 5);
    dt_dataset_release(&dataset);
    expect_failure(*state, "x_train.npy", npy(1, "'|u1'", "False", "(5LL, 28, 28)", pixel_data(0, 'u')),
                   "no sensible shape");
}

static void test_shapes(void **state) {
    expect_failure(*state, "x_train.npy", npy(1, "'|u1'", "False", "(5, 28, 29)", pixel_data(0, 'u')),
                   "has shape (5, 28, 29)");
    expect_failure(*state, "x_train.npy", npy(1, "'|u1'", "False", "(5, 28, 28, 3)", pixel_data(0, 'u')),
                   "has shape (5, 28, 28, 3)");
    expect_failure(*state, "x_train.npy", npy(1, "'|u1'", "False", "(1, 5, 28, 28, 1)", pixel_data(0, 'u')),
                   "more than 4 dimensions");
    expect_failure(*state, "x_train.npy", npy(1, "'|u1'", "False", "()", pixel_data(0, 'u')), "has shape ()");
    expect_failure(*state, "y_train.npy", npy(1, "'|u1'", "False", "(5, 2)", label_data(0, 2)),
                   "has shape (5, 2)");
    expect_failure(*state, "x_test.npy", npy(1, "'|u1'", "False", "(0, 28, 28)", pixel_data(1, 'u')),
                   "holds 0 items");
    expect_failure(*state, "x_test.npy", npy(1, "'|u1'", "False", "(2, 28, 28)", pixel_data(1, 'u')),
                   "has 2 images, but there are 3 labels");
    expect_failure(*state, "x_test.npy", npy(1, "'|u1'", "False", "(4, 28, 28)", pixel_data(1, 'u')),
                   "shorter than its header says");
    expect_failure(*state, "x_test.npy",
                   npy(1, "'|u1'", "False", "(18446744073709551615, 28, 28)", pixel_data(1, 'u')),
                   "shorter than its header says");
}

static void test_trailing_bytes_warn(void **state) {
    dt_dataset dataset;
    buffer labels = label_data(1, 1);
    buffer_add(&labels, "abc", 3);
    assert_ok(try_with(*state, "y_test.npy", npy(1, "'|u1'", "False", "(3,)", labels), &dataset));
    assert_non_null(strstr(dataset.warnings, "array y_test: 3 bytes after the last item are ignored"));
    check_labels(&dataset);
    dt_dataset_release(&dataset);
}

static void test_labels_out_of_range(void **state) {
    buffer labels = label_data(0, 4);
    labels.bytes[4 * 2] = 17;
    expect_failure(*state, "y_train.npy", npy(1, "'<i4'", "False", "(5,)", labels),
                   "label number 2 (counted from 0) is 17");
    labels = label_data(0, 8);
    memset(labels.bytes + 8, 0xFF, 8);
    expect_failure(*state, "y_train.npy", npy(1, "'<i8'", "False", "(5,)", labels),
                   "label number 1 (counted from 0) is -1");
}

static void test_rows_that_are_not_one_hot(void **state) {
    buffer rows = one_hot_data(0);
    memcpy(rows.bytes + 8 * (10 * 4 + sample_label(0, 4)), &(double){0.5}, sizeof(double));
    expect_failure(*state, "y_train.npy", npy(1, "'<f8'", "False", "(5, 10)", rows),
                   "row 4 (counted from 0) is not one-hot");
    rows = one_hot_data(0);
    memcpy(rows.bytes + 8 * ((sample_label(0, 0) + 1) % 10), &(double){1.0}, sizeof(double));
    expect_failure(*state, "y_train.npy", npy(1, "'<f8'", "False", "(5, 10)", rows),
                   "row 0 (counted from 0) is not one-hot");
}

static void test_float_pixels_out_of_range(void **state) {
    static const struct {
        float value;
        const char *cause;
    } bad[] = {{255.0f, "is 255; float pixels must be within 0..1"},
               {-0.5f, "is -0.5; float pixels must be within 0..1"},
               {NAN, "float pixels must be finite"},
               {INFINITY, "is inf; float pixels must be finite"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer data = pixel_data(0, 'f');
        memcpy(data.bytes + 4 * (784 * 3 + 17), &bad[i].value, sizeof bad[i].value);
        buffer content = npy(1, "'<f4'", "False", "(5, 28, 28)", data);
        expect_failure(*state, "x_train.npy", content, bad[i].cause);
    }
    buffer data = pixel_data(0, 'd');
    memcpy(data.bytes + 8 * (784 * 3 + 17), &(double){1.5}, sizeof(double));
    expect_failure(*state, "x_train.npy", npy(1, "'<f8'", "False", "(5, 28, 28)", data),
                   "image 3, pixel 17 (counted from 0) is 1.5");
}

static dt_status try_bytes(const char *folder, buffer content) {
    dt_dataset dataset = {0};
    write_file(folder, file_name, content);
    dt_status status = dt_npz_read(path_in(folder, file_name), &dataset);
    dt_dataset_release(&dataset);
    return status;
}

static void test_not_a_zip(void **state) {
    buffer page = {0}, noise = {0}, nothing = {0};
    buffer_add(&page, "<!DOCTYPE html><html></html>", 28);
    buffer_add(&noise, "abcdefghijklmnopqrstuvwxyz", 26);
    assert_fails(try_bytes(*state, page), DT_DATA, "not an .npz (zip) file: it looks like a web page");
    assert_fails(try_bytes(*state, noise), DT_DATA,
                 "not an .npz (zip) file: it begins with the bytes 61 62 63 64");
    assert_fails(try_bytes(*state, nothing), DT_DATA, "not an .npz (zip) file: it is empty");
}

static void test_zip_cut_short(void **state) {
    buffer whole = sample_npz(true), front = {0};
    buffer_add(&front, whole.bytes, whole.count / 2);
    buffer_release(&whole);
    assert_fails(try_bytes(*state, front), DT_DATA, "damaged or cut short");
}

/* A byte of a stored array flipped: only the CRC can tell. */
static void test_wrong_crc(void **state) {
    buffer whole = sample_npz(false);
    whole.bytes[400] ^= 4;
    assert_fails(try_bytes(*state, whole), DT_DATA, "array x_test: damaged: wrong CRC");
}

static void test_other_zip_methods(void **state) {
    buffer whole = sample_npz(false);
    for (size_t i = 0; i + 4 < whole.count; i++)
        if (memcmp(whole.bytes + i, "PK\1\2", 4) == 0)
            whole.bytes[i + 10] = 12;
    assert_fails(try_bytes(*state, whole), DT_DATA, "zip compression method 12 cannot be read");
    whole = sample_npz(false);
    for (size_t i = 0; i + 4 < whole.count; i++)
        if (memcmp(whole.bytes + i, "PK\1\2", 4) == 0)
            whole.bytes[i + 8] = 1;
    assert_fails(try_bytes(*state, whole), DT_DATA, "is encrypted");
}

/* Whatever is done to the bytes of a file: it is read, or refused as data; never worse. */
static void test_survives_damage(void **state) {
    for (int deflated = 0; deflated < 2; deflated++) {
        buffer whole = sample_npz(deflated);
        int refused = 0;
        for (uint32_t number = 0; number < 1000; number++) {
            dt_status status = try_bytes(*state, damaged(&whole, 5000 + 1000 * (uint32_t)deflated + number));
            if (status.code != DT_OK && status.code != DT_DATA)
                fail_msg("damage %u: code %d: %s", number, (int)status.code, status.text);
            refused += status.code == DT_DATA;
        }
        /* Times, versions and the sizes in front of members may be anything; the rest is checked. */
        assert_true(refused > 700);
        buffer_release(&whole);
    }
}

/* Damage under a CRC that agrees with it reaches the array's header, not only the zip's checks. */
static void test_survives_damaged_headers(void **state) {
    buffer content = npy(1, "'<f4'", "False", "(5, 28, 28)", (buffer){0});
    for (uint32_t number = 0; number < 1000; number++) {
        buffer bad = damaged(&content, 9000 + number), data = pixel_data(0, 'f');
        dt_dataset dataset;
        buffer_add(&bad, data.bytes, data.count);
        dt_status status = try_with(*state, "x_train.npy", bad, &dataset);
        if (status.code != DT_OK && status.code != DT_DATA)
            fail_msg("damage %u: code %d: %s", number, (int)status.code, status.text);
        buffer_release(&data);
        dt_dataset_release(&dataset);
    }
    buffer_release(&content);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_create, folder_remove)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_reads_every_form),
        IN_FOLDER(test_true_floats_stay_floats),
        IN_FOLDER(test_floats_by_multiplication_become_bytes),
        IN_FOLDER(test_array_missing),
        IN_FOLDER(test_types_not_supported),
        IN_FOLDER(test_fortran_order),
        IN_FOLDER(test_shapes),
        IN_FOLDER(test_shapes_of_python_2),
        IN_FOLDER(test_trailing_bytes_warn),
        IN_FOLDER(test_labels_out_of_range),
        IN_FOLDER(test_rows_that_are_not_one_hot),
        IN_FOLDER(test_float_pixels_out_of_range),
        IN_FOLDER(test_not_a_zip),
        IN_FOLDER(test_zip_cut_short),
        IN_FOLDER(test_wrong_crc),
        IN_FOLDER(test_other_zip_methods),
        IN_FOLDER(test_survives_damage),
        IN_FOLDER(test_survives_damaged_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
