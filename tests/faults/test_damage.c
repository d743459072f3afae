/* SPDX-License-Identifier: BSD-3-Clause */
/* Damaged checkpoints: every kind of byte is changed in turn, the file is cut short everywhere. A load either
 * refuses with a message that names the file, or returns exactly what was saved; nothing else, and no crash.
 */
#include "test.h"

#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/checkpoint.h"
#include "dtrain/inspect.h"
#include "dtrain/weights.h"
#include "io/library.h"

static char folder[64], path[96], altered[96];
static dt_network network;
static dt_parameters parameters;
static dt_checkpoint saved, loaded;
static unsigned char *image;
static size_t image_bytes;

static float *take(size_t floats) {
    float *slab = calloc(floats + 1, sizeof(float));
    assert_non_null(slab);
    return slab;
}

static void reserve(dt_checkpoint *checkpoint) {
    checkpoint->weights = take(parameters.floats);
    checkpoint->m = take(parameters.floats);
    checkpoint->v = take(parameters.floats);
    checkpoint->states = take(parameters.state_floats);
}

static void release(dt_checkpoint *checkpoint) {
    free(checkpoint->weights);
    free(checkpoint->m);
    free(checkpoint->v);
    free(checkpoint->states);
    free(checkpoint->options);
    free(checkpoint->history);
}

static void fill(const dt_tensor *tensors, int count, float *slab, float base) {
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < tensors[i].count; k++)
            slab[tensors[i].offset + k] = base + (float)i + (float)(k % 4096) * 0x1p-12f;
}

static void read_image(void) {
    struct stat found;
    int handle = open(path, O_RDONLY);
    assert_true(handle >= 0 && fstat(handle, &found) == 0);
    image_bytes = (size_t)found.st_size;
    image = malloc(image_bytes);
    assert_non_null(image);
    assert_int_equal(read(handle, image, image_bytes), image_bytes);
    close(handle);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dtrain-damage-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/whole.weights.h5", folder);
    snprintf(altered, sizeof altered, "%s/altered.weights.h5", folder);
    network = dt_network_build((dt_network_config){DT_BN_ROWS, DT_BN_ALL, 0.02, 0.5f});
    parameters = dt_parameters_layout(&network);
    reserve(&saved);
    reserve(&loaded);
    fill(parameters.tensors, parameters.count, saved.weights, 1.0f);
    fill(parameters.tensors, parameters.count, saved.m, 100.0f);
    fill(parameters.tensors, parameters.count, saved.v, 200.0f);
    fill(parameters.states, parameters.state_count, saved.states, 300.0f);
    saved.position = (dt_checkpoint_position){.step = 860, .epoch = 1, .learning_rate = 1e-3, .ranks = 1};
    saved.options = strdup("{\"seed\":1}");
    saved.history = strdup("[{\"epoch\":1}]");
    assert_ok(dt_checkpoint_save(path, &network, &parameters, &saved, NULL));
    read_image();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    ssize_t open_objects = H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL);
    release(&saved);
    release(&loaded);
    free(image);
    unlink(path);
    unlink(altered);
    return open_objects == 0 && rmdir(folder) == 0 ? 0 : 1;
}

/* Writes the first `bytes` bytes of the image to the altered file. */
static void write_altered(size_t bytes) {
    int handle = open(altered, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, image, bytes), bytes);
    close(handle);
}

static void write_byte(size_t place, unsigned char byte) {
    int handle = open(altered, O_WRONLY);
    assert_true(handle >= 0);
    assert_int_equal(pwrite(handle, &byte, 1, (off_t)place), 1);
    close(handle);
}

/* Loads the altered file; true when it was refused. */
static bool refused(void) {
    free(loaded.options);
    free(loaded.history);
    dt_status status = dt_checkpoint_load(altered, &parameters, &loaded);
    if (dt_failed(&status)) {
        assert_int_equal(status.code, DT_FILE);
        assert_non_null(strstr(status.text, altered));
        return true;
    }
    assert_int_equal(loaded.position.step, saved.position.step);
    assert_string_equal(loaded.options, saved.options);
    assert_string_equal(loaded.history, saved.history);
    assert_memory_equal(loaded.weights, saved.weights, parameters.floats * sizeof(float));
    assert_memory_equal(loaded.m, saved.m, parameters.floats * sizeof(float));
    assert_memory_equal(loaded.v, saved.v, parameters.floats * sizeof(float));
    assert_memory_equal(loaded.states, saved.states, parameters.state_floats * sizeof(float));
    return false;
}

/* A byte is changed and put back. */
static bool refused_with(size_t place, unsigned char change) {
    write_byte(place, image[place] ^ change);
    bool result = refused();
    write_byte(place, image[place]);
    return result;
}

typedef struct payload {
    dt_library_file file;
    size_t first, end; /* of all datasets together */
    int count;
} payload;

/* Every first and last byte of a dataset. */
static dt_status damage_dataset(void *context, const char *name) {
    payload *all = context;
    hid_t dataset = H5Dopen2(all->file.handle, name, H5P_DEFAULT);
    size_t first = (size_t)H5Dget_offset(dataset), bytes = (size_t)H5Dget_storage_size(dataset);
    H5Dclose(dataset);
    const size_t places[] = {first, first + bytes / 2, first + bytes - 1};
    for (int i = 0; i < 3; i++)
        if (!refused_with(places[i], 0x01))
            return dt_fail(DT_FILE, "%s: a damaged byte at %zu is not noticed", name, places[i]);
    all->first = all->count == 0 || first < all->first ? first : all->first;
    all->end = first + bytes > all->end ? first + bytes : all->end;
    all->count++;
    return dt_ok();
}

static void test_every_byte_region(void **state) {
    (void)state;
    payload all = {0};
    write_altered(image_bytes);
    assert_false(refused());
    assert_ok(dt_library_open(path, &all.file));
    assert_ok(dt_library_visit_datasets(&all.file, damage_dataset, &all));
    H5Fclose(all.file.handle);
    assert_int_equal(all.count, 3 * parameters.count + parameters.state_count + 4);
    /* The tables: the superblock byte by byte, the rest at an odd stride. */
    assert_true(all.first > 10000);
    for (size_t place = 0; place < all.first; place += place < 1024 ? 1 : 37)
        if (!refused_with(place, (unsigned char)(1u << place % 8)))
            fail_msg("a damaged table at byte %zu is not noticed", place);
    /* The seal. Its letters gone, the file is one with something behind its end. */
    for (size_t place = all.end; place < image_bytes; place++)
        if (!refused_with(place, 0x80))
            fail_msg("a damaged seal at byte %zu is not noticed", place);
}

static void test_cut_short_everywhere(void **state) {
    (void)state;
    size_t step = image_bytes / 211;
    for (size_t bytes = 0; bytes < image_bytes;
         bytes += bytes < 600 || bytes + 600 > image_bytes ? 7 : step) {
        write_altered(bytes);
        if (!refused())
            fail_msg("a file cut to %zu of %zu bytes is taken for whole", bytes, image_bytes);
    }
}

/* As when a part was never written. */
static void test_zeros_in_place_of_blocks(void **state) {
    (void)state;
    enum { BLOCK = 4096 };
    unsigned char *whole = image, *copy = malloc(image_bytes);
    assert_non_null(copy);
    for (size_t first = 0; first < image_bytes; first += first < 20 * BLOCK ? BLOCK : 16 * BLOCK) {
        size_t bytes = image_bytes - first < BLOCK ? image_bytes - first : BLOCK;
        memcpy(copy, whole, image_bytes);
        memset(copy + first, 0, bytes);
        image = copy;
        write_altered(image_bytes);
        image = whole;
        bool same = memcmp(copy, whole, image_bytes) == 0;
        if (refused() == same)
            fail_msg("zeros from byte %zu on: noticed %d", first, !same);
    }
    free(copy);
}

/* inspect tells which checksum fails, and reads on. */
static void test_inspect_names_the_damaged(void **state) {
    (void)state;
    dt_inspection found;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT),
          dataset = H5Dopen2(file, "optimizer/vars/4", H5P_DEFAULT);
    size_t first = (size_t)H5Dget_offset(dataset);
    H5Dclose(dataset);
    H5Fclose(file);
    write_altered(image_bytes);
    write_byte(first, image[first] ^ 0x40);
    assert_ok(dt_inspect_file(altered, &found));
    assert_int_equal(found.kind, DT_FILE_CHECKPOINT);
    assert_int_equal(found.failures, 1);
    assert_int_equal(found.missing, 0);
    assert_int_equal(found.count, 3 * parameters.count + parameters.state_count + 2);
    int named = 0;
    for (int i = 0; i < found.count; i++) {
        bool damaged = strcmp(found.tensors[i].place, "optimizer/vars/4") == 0;
        named += damaged && strcmp(found.tensors[i].name, "conv1/bias momentum") == 0;
        assert_int_equal(found.tensors[i].checksum, damaged ? DT_CHECKSUM_FAILS : DT_CHECKSUM_HOLDS);
    }
    assert_int_equal(named, 1);
    dt_inspection_release(&found);
    write_altered(image_bytes / 2);
    assert_fails(dt_inspect_file(altered, &found), DT_FILE, altered);
    write_altered(0);
    assert_fails(dt_inspect_file(altered, &found), DT_FILE, "is empty");
}

/* inspect counts tensors that are no longer there, in any of the file's parts. */
static void test_inspect_counts_the_missing(void **state) {
    (void)state;
    dt_inspection found;
    write_altered(image_bytes);
    hid_t file = H5Fopen(altered, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, "layers/conv2d_1/vars/1", H5P_DEFAULT) >= 0);
    assert_true(H5Ldelete(file, "optimizer/vars/4", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_ok(dt_inspect_file(altered, &found));
    assert_int_equal(found.count, 3 * parameters.count + parameters.state_count);
    assert_int_equal(found.missing, 2);
    assert_string_equal(found.first_missing, "layers/conv2d_1/vars/1");
    dt_inspection_release(&found);
}

static void test_statistics(void **state) {
    (void)state;
    const float values[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, NAN};
    dt_inspection found;
    int bias = dt_parameters_find(&parameters, network.count - 1, DT_TENSOR_BIAS);
    memcpy(saved.weights + parameters.tensors[bias].offset, values, sizeof values);
    assert_ok(dt_weights_save(altered, &network, &parameters, saved.weights, saved.states));
    assert_ok(dt_inspect_file(altered, &found));
    assert_int_equal(found.kind, DT_FILE_WEIGHTS);
    assert_int_equal(found.missing, 0);
    int seen = 0;
    for (int i = 0; i < found.count; i++) {
        const dt_inspected_tensor *tensor = &found.tensors[i];
        if (strcmp(tensor->name, "fc3/bias") != 0)
            continue;
        seen++;
        assert_true(tensor->rank == 1 && tensor->dims[0] == 10 && tensor->count == 10);
        assert_int_equal(tensor->not_finite, 1);
        assert_true(tensor->mean == 5.0 && tensor->min == 1.0 && tensor->max == 9.0);
        assert_true(tensor->sd > 2.5819888 && tensor->sd < 2.5819890); /* sqrt(60 / 9) */
    }
    assert_int_equal(seen, 1);
    dt_inspection_release(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_region),          cmocka_unit_test(test_cut_short_everywhere),
        cmocka_unit_test(test_zeros_in_place_of_blocks),   cmocka_unit_test(test_inspect_names_the_damaged),
        cmocka_unit_test(test_inspect_counts_the_missing), cmocka_unit_test(test_statistics),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
