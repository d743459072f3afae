/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding a data set, its fingerprint, and handing out its images. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/dataset.h"
#include "samples.h"

static char *original_folder;

/* A folder of one's own is the working folder and the home; $DTRAIN_DATA is not set. */
static int enter_folder(void **state) {
    if (folder_create(state) != 0 || setenv("HOME", path_in(*state, "home"), 1) != 0)
        return -1;
    unsetenv("DTRAIN_DATA");
    original_folder = getcwd(NULL, 0);
    if (!original_folder || mkdir(path_in(*state, "work"), 0755) != 0)
        return -1;
    return chdir(path_in(*state, "work"));
}

static int leave_folder(void **state) {
    int failed = chdir(original_folder);
    free(original_folder);
    unsetenv("DTRAIN_DATA");
    return failed | folder_remove(state);
}

/* Makes a folder and those above it, below the test's folder. */
static const char *make_folders(const char *folder, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s", path_in(folder, name));
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0755);
    return path_in(folder, name);
}

static dt_status try_read(const char *where) {
    dt_dataset dataset;
    dt_status status = dt_dataset_read(where, 1, &dataset);
    dt_dataset_release(&dataset);
    return status;
}

static uint64_t fingerprint_of(const char *where) {
    dt_dataset dataset;
    assert_ok(dt_dataset_read(where, 1, &dataset));
    uint64_t fingerprint = dataset.fingerprint;
    assert_false(dataset.standard);
    dt_dataset_release(&dataset);
    return fingerprint;
}

static void expect_source(const char *where, const char *source, const char *name) {
    dt_dataset dataset;
    assert_ok(dt_dataset_read(where, 1, &dataset));
    assert_string_equal(dataset.source, source);
    assert_string_equal(dataset.name, name);
    dt_dataset_release(&dataset);
}

static void test_search_order(void **state) {
    const char *const sources[3] = {"data/mnist", "../shared/data/mnist",
                                    path_in(*state, "home/.keras/datasets/mnist.npz")};
    char keras[1024];
    snprintf(keras, sizeof keras, "%s", sources[2]);
    make_folders(*state, "home/.keras/datasets");
    write_file(*state, "home/.keras/datasets/mnist.npz", sample_npz(true));
    expect_source(NULL, keras, "npz file");
    /* A folder that holds nothing of a data set is passed over. */
    make_folders(*state, "shared/data/mnist");
    make_folders(*state, "work/data/mnist");
    expect_source(NULL, keras, "npz file");
    write_idx_folder(path_in(*state, "shared/data/mnist"), '-', true);
    expect_source(NULL, sources[1], "IDX files");
    write_file(path_in(*state, "work/data/mnist"), "mnist.npz", sample_npz(true));
    expect_source(NULL, "data/mnist/mnist.npz", "npz file");
    write_idx_folder(path_in(*state, "work/data/mnist"), '.', false);
    expect_source(NULL, sources[0], "IDX files");
    assert_int_equal(setenv("DTRAIN_DATA", "synthetic:20", 1), 0);
    expect_source(NULL, "synthetic:20", "synthetic digits");
    assert_int_equal(setenv("DTRAIN_DATA", "../shared/data/mnist", 1), 0);
    expect_source(NULL, "../shared/data/mnist", "IDX files");
    expect_source("data/mnist", "data/mnist", "IDX files");
}

static void test_variable_that_points_nowhere_warns(void **state) {
    dt_dataset dataset;
    write_idx_folder(make_folders(*state, "work/data/mnist"), '-', true);
    assert_int_equal(setenv("DTRAIN_DATA", "/nowhere/at/all", 1), 0);
    assert_ok(dt_dataset_read(NULL, 1, &dataset));
    assert_non_null(strstr(dataset.warnings, "$DTRAIN_DATA is /nowhere/at/all"));
    dt_dataset_release(&dataset);
}

static void test_damaged_data_is_not_passed_over(void **state) {
    make_folders(*state, "home/.keras/datasets");
    write_file(*state, "home/.keras/datasets/mnist.npz", sample_npz(true));
    write_text(make_folders(*state, "work/data/mnist"), "train-images-idx3-ubyte", "rubbish");
    assert_fails(try_read(NULL), DT_DATA, "data/mnist: the train-labels file is missing");
}

static void expect_ways(const char *where) {
    static const char *const ways[] = {"tools/get-mnist", "--data synthetic",
                                       "--data PATH or DTRAIN_DATA=PATH"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        assert_fails(try_read(where), DT_DATA, ways[i]);
}

static void test_nothing_found(void **state) {
    expect_ways(NULL);
    assert_fails(try_read(NULL), DT_DATA, "$DTRAIN_DATA (not set)");
    assert_fails(try_read(NULL), DT_DATA, "data/mnist, ../shared/data/mnist, ");
    assert_fails(try_read(NULL), DT_DATA, path_in(*state, "home/.keras/datasets/mnist.npz"));
    assert_fails(try_read(NULL), DT_DATA, "train-images-idx3-ubyte");
    expect_ways("/nowhere/at/all");
    assert_fails(try_read("/nowhere/at/all"), DT_DATA, "/nowhere/at/all: no such file or folder");
    expect_ways(*state);
    assert_fails(try_read(*state), DT_DATA,
                 "this folder has no data set; names tried: train-images-idx3-ubyte");
}

static void test_file_that_is_no_npz(void **state) {
    write_text(*state, "some.txt", "some text");
    assert_fails(try_read(path_in(*state, "some.txt")), DT_DATA, "some.txt: not an .npz (zip) file");
}

/* Each with what it is, and the form that is wanted. */
static void test_file_of_another_form(void **state) {
    write_text(*state, "train.csv", "label,pixel0,pixel1,pixel2\n5,0,0,0\n");
    assert_fails(
        try_read(path_in(*state, "train.csv")), DT_DATA,
        "it looks like a table of text (CSV); --data takes a folder with the four IDX files, an .npz "
        "file with the arrays");
    write_idx_folder(*state, '-', true);
    assert_fails(try_read(path_in(*state, "train-images-idx3-ubyte.gz")), DT_DATA,
                 "it is a gzip file; --data takes");
    write_idx_folder(*state, '-', false);
    assert_fails(try_read(path_in(*state, "t10k-labels-idx1-ubyte")), DT_DATA,
                 "it is an IDX file of labels; --data takes");
    assert_fails(try_read(path_in(*state, "t10k-labels-idx1-ubyte")), DT_DATA,
                 "name the folder that holds all four");
    write_text(*state, "mnist.npz", "<html>");
    assert_fails(try_read(path_in(*state, "mnist.npz")), DT_DATA,
                 "download it again (MNIST: tools/get-mnist)");
    write_text(*state, "x.npy", "\x93NUMPY");
    assert_fails(try_read(path_in(*state, "x.npy")), DT_DATA, "numpy.savez");
    zip_maker zip = {0};
    zip_add(&zip, "train-images-idx3-ubyte", pixel_data(0, 'u'), true);
    write_file(*state, "archive.zip", zip_finish(&zip));
    assert_fails(try_read(path_in(*state, "archive.zip")), DT_DATA,
                 "It holds IDX files: unpack it, and name their folder");
}

/* What stands in the place of a data set is named, with what to do. */
static void test_what_is_nearby(void **state) {
    write_idx_folder(*state, '-', false);
    assert_int_equal(
        rename(path_in(*state, "t10k-images-idx3-ubyte"), path_in(*state, "t10k-images -idx3-ubyte")), 0);
    assert_fails(try_read(*state), DT_DATA,
                 "There is 't10k-images -idx3-ubyte': rename it to t10k-images-idx3-ubyte.");
    make_folders(*state, "torch/MNIST");
    write_idx_folder(make_folders(*state, "torch/MNIST/raw"), '-', false);
    const char *torch = path_in(*state, "torch");
    char expected[1200];
    snprintf(expected, sizeof expected, "The folder below it has IDX files: --data '%s/MNIST/raw'.", torch);
    assert_fails(try_read(torch), DT_DATA, expected);
    assert_fails(try_read(path_in(*state, "torch/MNIST")), DT_DATA, expected);
    const char *loads = make_folders(*state, "loads");
    write_text(loads, "mnist.zip", "PK");
    assert_fails(try_read(loads), DT_DATA, "loads/mnist.zip' is an archive: unpack it");
    assert_int_equal(unlink(path_in(loads, "mnist.zip")), 0);
    write_file(loads, "fashion.npz", sample_npz(true));
    assert_fails(try_read(loads), DT_DATA, "An .npz file is named itself: --data '");
}

static void test_choice_of_two_forms_is_said(void **state) {
    dt_dataset dataset;
    write_idx_folder(*state, '-', true);
    write_file(*state, "mnist.npz", sample_npz(true));
    assert_ok(dt_dataset_read(*state, 1, &dataset));
    assert_non_null(strstr(dataset.warnings, "are read, and not mnist.npz, which is there too"));
    dt_dataset_release(&dataset);
}

/* Counts as MNIST's, and a single pixel that is not. */
static void test_what_looks_like_mnist_is_not_called_so(void **state) {
    dt_dataset dataset;
    for (int half = 0; half < 2; half++) {
        uint32_t count = half == 0 ? 60000 : 10000;
        buffer images = {0}, labels = {0};
        buffer_add_big32(&images, 2051);
        buffer_add_big32(&images, count);
        buffer_add_big32(&images, 28);
        buffer_add_big32(&images, 28);
        buffer_add_big32(&labels, 2049);
        buffer_add_big32(&labels, count);
        size_t size = (size_t)count * DT_IMAGE_PIXELS;
        unsigned char *zeros = calloc(size, 1);
        assert_non_null(zeros);
        buffer_add(&images, zeros, size);
        buffer_add(&labels, zeros, count);
        free(zeros);
        write_file(*state, half == 0 ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", images);
        write_file(*state, half == 0 ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte", labels);
    }
    assert_ok(dt_dataset_read(*state, 1, &dataset));
    assert_string_equal(dataset.name, "IDX files, not the standard MNIST");
    assert_false(dataset.standard);
    dt_dataset_release(&dataset);
}

static void test_synthetic_sizes(void **state) {
    (void)state;
    dt_dataset dataset;
    expect_source("synthetic:6", "synthetic:6", "synthetic digits");
    assert_ok(dt_dataset_read("synthetic", 1, &dataset));
    assert_int_equal(dataset.train.count, 12000);
    assert_int_equal(dataset.test.count, 2000);
    assert_string_equal(dataset.source, "synthetic:12000");
    dt_dataset_release(&dataset);
    static const char *const bad[] = {
        "synthetic:",    "synthetic:0",  "synthetic:-5",       "synthetic:x",
        "synthetic:10x", "synthetic: 5", "synthetic:10000001", "synthetic:99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(try_read(bad[i]), DT_DATA, "synthetic:N wants a whole number N");
    assert_fails(try_read("syntheticx"), DT_DATA, "syntheticx: no such file or folder");
}

static void test_fingerprint_does_not_depend_on_format(void **state) {
    uint64_t expected = 0;
    for (int form = 0; form < 4; form++) {
        char name[16];
        snprintf(name, sizeof name, "form%d", form);
        const char *folder = make_folders(*state, name);
        write_idx_folder(folder, form & 1 ? '-' : '.', form & 2);
        if (form == 0)
            expected = fingerprint_of(folder);
        assert_int_equal(fingerprint_of(folder), expected);
    }
    write_file(*state, "bytes.npz", sample_npz(true));
    assert_int_equal(fingerprint_of(path_in(*state, "bytes.npz")), expected);

    zip_maker zip = {0};
    zip_add(&zip, "x_train.npy", npy(1, "'<f4'", "False", "(5, 784)", pixel_data(0, 'f')), true);
    zip_add(&zip, "y_train.npy", npy(1, "'<f8'", "False", "(5, 10)", one_hot_data(0)), true);
    zip_add(&zip, "x_test.npy", npy(1, "'<f8'", "False", "(3, 28, 28, 1)", pixel_data(1, 'd')), true);
    zip_add(&zip, "y_test.npy", npy(1, "'<f8'", "False", "(3, 10)", one_hot_data(1)), true);
    write_file(*state, "floats.npz", zip_finish(&zip));
    assert_int_equal(fingerprint_of(path_in(*state, "floats.npz")), expected);
}

static void test_fingerprint_sees_pixels_and_labels(void **state) {
    const char *folder = *state;
    write_idx_folder(folder, '-', false);
    uint64_t sound = fingerprint_of(folder);
    buffer images = idx_images(1, 2051, SAMPLE_TEST, 28, 28);
    images.bytes[images.count - 1] ^= 1;
    write_file(folder, "t10k-images-idx3-ubyte", images);
    assert_int_not_equal(fingerprint_of(folder), sound);
    write_idx_folder(folder, '-', false);
    buffer labels = idx_labels(0, 2049, SAMPLE_TRAIN);
    labels.bytes[8] = (unsigned char)((labels.bytes[8] + 1) % 10);
    write_file(folder, "train-labels-idx1-ubyte", labels);
    assert_int_not_equal(fingerprint_of(folder), sound);
}

static void test_fetch_and_slice(void **state) {
    dt_dataset dataset;
    float x[3 * DT_IMAGE_PIXELS];
    uint8_t labels[3];
    write_idx_folder(*state, '-', true);
    assert_ok(dt_dataset_read(*state, 1, &dataset));
    assert_int_equal(dt_images_pixel_bytes(dataset.train), SAMPLE_TRAIN * DT_IMAGE_PIXELS);
    dt_images slice = dt_images_slice(dataset.train, 1, 3);
    assert_int_equal(slice.count, 3);
    const int index[3] = {2, 0, 2};
    dt_images_fetch(slice, index, 3, x, labels);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(labels[i], sample_label(0, 1 + index[i]));
        for (int pixel = 0; pixel < DT_IMAGE_PIXELS; pixel++)
            assert_true(x[i * DT_IMAGE_PIXELS + pixel] ==
                        (float)sample_pixel(0, 1 + index[i], pixel) / 255.0f);
    }
    dt_dataset_release(&dataset);
}

static void test_fetch_and_slice_floats(void **state) {
    (void)state;
    static float pixels[4 * DT_IMAGE_PIXELS];
    const uint8_t labels[4] = {3, 1, 4, 1};
    for (int i = 0; i < 4 * DT_IMAGE_PIXELS; i++)
        pixels[i] = (float)i / 5000.0f;
    dt_images images = {4, DT_PIXEL_FLOAT, pixels, labels};
    assert_int_equal(dt_images_pixel_bytes(images), sizeof pixels);
    float x[DT_IMAGE_PIXELS];
    uint8_t label;
    dt_images_fetch(dt_images_slice(images, 2, 2), (const int[1]){0}, 1, x, &label);
    assert_memory_equal(x, pixels + (size_t)2 * DT_IMAGE_PIXELS, sizeof x);
    assert_int_equal(label, 4);
}

static void expect_published(const char *folder, const char *name) {
    dt_dataset dataset;
    assert_ok(dt_dataset_read(folder, 1, &dataset));
    assert_string_equal(dataset.name, name);
    assert_true(dataset.standard);
    assert_int_equal(dataset.train.count, 60000);
    assert_int_equal(dataset.test.count, 10000);
    assert_string_equal(dataset.warnings, "");
    dt_dataset_release(&dataset);
}

static void test_published_sets_are_known(void **state) {
    (void)state;
    const char *checkout = getenv("DT_TEST_SOURCE_DIR"), *fashion = "/usr/share/datasets/fashion-mnist";
    const char *mnist = path_in(checkout ? checkout : ".", "../shared/data/mnist");
    bool has_mnist = access(mnist, F_OK) == 0, has_fashion = access(fashion, F_OK) == 0;
    if (!has_mnist && !has_fashion)
        skip();
    if (has_mnist)
        expect_published(mnist, "MNIST (standard)");
    if (has_fashion)
        expect_published(fashion, "Fashion-MNIST (standard)");
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_search_order),
        IN_FOLDER(test_variable_that_points_nowhere_warns),
        IN_FOLDER(test_damaged_data_is_not_passed_over),
        IN_FOLDER(test_nothing_found),
        IN_FOLDER(test_file_that_is_no_npz),
        IN_FOLDER(test_file_of_another_form),
        IN_FOLDER(test_what_is_nearby),
        IN_FOLDER(test_choice_of_two_forms_is_said),
        IN_FOLDER(test_what_looks_like_mnist_is_not_called_so),
        IN_FOLDER(test_synthetic_sizes),
        IN_FOLDER(test_fingerprint_does_not_depend_on_format),
        IN_FOLDER(test_fingerprint_sees_pixels_and_labels),
        IN_FOLDER(test_fetch_and_slice),
        IN_FOLDER(test_fetch_and_slice_floats),
        IN_FOLDER(test_published_sets_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
