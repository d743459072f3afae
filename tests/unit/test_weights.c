/* SPDX-License-Identifier: BSD-3-Clause */
/* Weights files: what is saved is loaded, stands where Keras looks for it, and damage is named. */
#include "test.h"

#include <dirent.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/weights.h"

static const dt_network_config small = {DT_BN_ROWS, DT_BN_ALL, 0.03, 0.5f};

/* A network with its values; an owner. */
typedef struct contents {
    dt_network network;
    dt_parameters parameters;
    float *weights, *states;
} contents;

static contents empty_contents(dt_network_config config) {
    contents made = {.network = dt_network_build(config)};
    made.parameters = dt_parameters_layout(&made.network);
    made.weights = calloc(made.parameters.floats, sizeof(float));
    made.states = calloc(made.parameters.state_floats + 1, sizeof(float));
    assert_non_null(made.weights);
    assert_non_null(made.states);
    return made;
}

/* Every value differs from every other of its slab, and no two slabs share one. */
static contents full_contents(dt_network_config config) {
    contents made = empty_contents(config);
    for (int i = 0; i < made.parameters.count; i++)
        for (size_t k = 0; k < made.parameters.tensors[i].count; k++)
            made.weights[made.parameters.tensors[i].offset + k] = (float)(i + 1) + (float)k * 0x1p-17f;
    for (int i = 0; i < made.parameters.state_count; i++)
        for (size_t k = 0; k < made.parameters.states[i].count; k++)
            made.states[made.parameters.states[i].offset + k] = (float)(100 + i) + (float)k * 0x1p-17f;
    return made;
}

static void release(contents *held) {
    free(held->weights);
    free(held->states);
}

/* The folder of one test, and a file name in it. */
static char folder[64], path[128];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dtrain-weights-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/x.weights.h5", folder);
    return 0;
}

static int count_entries(void) {
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(listing));)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

static int remove_folder(void **state) {
    (void)state;
    ssize_t open_objects = H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL);
    unlink(path);
    int rest = rmdir(folder);
    return open_objects == 0 && rest == 0 ? 0 : 1;
}

static dt_status save(const contents *held) {
    return dt_weights_save(path, &held->network, &held->parameters, held->weights, held->states);
}

static dt_status load(contents *held) {
    return dt_weights_load(path, &held->parameters, held->weights, held->states);
}

static void save_small(void) {
    contents held = full_contents(small);
    assert_ok(save(&held));
    release(&held);
}

static void assert_loads(dt_network_config config, const contents *expected) {
    contents loaded = empty_contents(config);
    assert_ok(load(&loaded));
    assert_memory_equal(loaded.weights, expected->weights, sizeof(float) * expected->parameters.floats);
    assert_memory_equal(loaded.states, expected->states, sizeof(float) * expected->parameters.state_floats);
    release(&loaded);
}

static void assert_load_fails(dt_network_config config, const char *part) {
    contents loaded = empty_contents(config);
    assert_fails(load(&loaded), DT_FILE, part);
    assert_fails(load(&loaded), DT_FILE, path);
    release(&loaded);
}

/* The file is sound: other options were given. */
static void assert_shape_fails(dt_network_config config, const char *part) {
    contents loaded = empty_contents(config);
    assert_fails(load(&loaded), DT_USAGE, part);
    release(&loaded);
}

static void remove_group(const char *name) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    H5Fclose(file);
}

static void assert_network_fails(const char *part) {
    dt_network_config config;
    assert_fails(dt_weights_network(path, &config), DT_FILE, part);
    assert_fails(dt_weights_network(path, &config), DT_FILE, path);
}

static void test_round_trip(void **state) {
    (void)state;
    for (int axis = DT_BN_ROWS; axis <= DT_BN_CHANNELS; axis++)
        for (int layers = DT_BN_ALL; layers <= DT_BN_NONE; layers++) {
            dt_network_config config = {(dt_bn_axis)axis, (dt_bn_layers)layers, 0.01 * (3 + axis + layers),
                                        0.1f * (float)(axis + layers)};
            contents held = full_contents(config);
            assert_ok(save(&held));
            assert_loads(config, &held);
            dt_network_config found;
            assert_ok(dt_weights_network(path, &found));
            assert_int_equal(found.bn_axis, config.bn_axis);
            assert_int_equal(found.bn_layers, config.bn_layers);
            assert_true(found.width == config.width && found.dropout == config.dropout);
            release(&held);
        }
}

/* Where Keras 3 keeps the tensors of the network when its layers have no names of their own. */
static const struct {
    const char *place, *tensor;
} layout[] = {
    {"layers/conv2d/vars/0", "conv1/kernel"},
    {"layers/conv2d/vars/1", "conv1/bias"},
    {"layers/batch_normalization/vars/0", "bn1/gamma"},
    {"layers/batch_normalization/vars/1", "bn1/beta"},
    {"layers/batch_normalization/vars/2", "bn1/moving_mean"},
    {"layers/batch_normalization/vars/3", "bn1/moving_variance"},
    {"layers/conv2d_1/vars/0", "conv2/kernel"},
    {"layers/conv2d_1/vars/1", "conv2/bias"},
    {"layers/batch_normalization_1/vars/0", "bn2/gamma"},
    {"layers/batch_normalization_1/vars/1", "bn2/beta"},
    {"layers/batch_normalization_1/vars/2", "bn2/moving_mean"},
    {"layers/batch_normalization_1/vars/3", "bn2/moving_variance"},
    {"layers/conv2d_2/vars/0", "conv3/kernel"},
    {"layers/conv2d_2/vars/1", "conv3/bias"},
    {"layers/conv2d_3/vars/0", "conv4/kernel"},
    {"layers/conv2d_3/vars/1", "conv4/bias"},
    {"layers/conv2d_4/vars/0", "conv5/kernel"},
    {"layers/conv2d_4/vars/1", "conv5/bias"},
    {"layers/dense/vars/0", "fc1/kernel"},
    {"layers/dense/vars/1", "fc1/bias"},
    {"layers/dense_1/vars/0", "fc2/kernel"},
    {"layers/dense_1/vars/1", "fc2/bias"},
    {"layers/dense_2/vars/0", "fc3/kernel"},
    {"layers/dense_2/vars/1", "fc3/bias"},
};

/* The tensor of that name and its values. */
static const dt_tensor *find_tensor(const contents *held, const char *name, const float **values) {
    for (int i = 0; i < held->parameters.count + held->parameters.state_count; i++) {
        bool learnt = i < held->parameters.count;
        const dt_tensor *tensor =
            learnt ? &held->parameters.tensors[i] : &held->parameters.states[i - held->parameters.count];
        *values = (learnt ? held->weights : held->states) + tensor->offset;
        if (strcmp(tensor->name, name) == 0)
            return tensor;
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void assert_dataset(hid_t file, const char *place, const dt_tensor *tensor, const float *values) {
    hid_t dataset = H5Dopen2(file, place, H5P_DEFAULT), space = H5Dget_space(dataset),
          type = H5Dget_type(dataset);
    hsize_t dims[H5S_MAX_RANK];
    assert_true(H5Tequal(type, H5T_IEEE_F32LE) > 0);
    assert_int_equal(H5Sget_simple_extent_dims(space, dims, NULL), tensor->rank);
    for (int i = 0; i < tensor->rank; i++)
        assert_int_equal(dims[i], tensor->dims[i]);
    float *found = malloc(sizeof(float) * tensor->count);
    assert_non_null(found);
    assert_true(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, found) >= 0);
    assert_memory_equal(found, values, sizeof(float) * tensor->count);
    free(found);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
}

static void test_layout_is_keras(void **state) {
    (void)state;
    contents held = full_contents((dt_network_config){DT_BN_CHANNELS, DT_BN_FIRST2, 0.05, 0.5f});
    int tensors = held.parameters.count + held.parameters.state_count;
    assert_int_equal(tensors, sizeof layout / sizeof layout[0]);
    assert_ok(save(&held));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (int i = 0; i < tensors; i++) {
        const float *values;
        const dt_tensor *tensor = find_tensor(&held, layout[i].tensor, &values);
        assert_dataset(file, layout[i].place, tensor, values);
    }
    assert_true(H5Lexists(file, "vars", H5P_DEFAULT) > 0);
    H5Fclose(file);
    release(&held);
}

/* The content of the file; the caller frees it. */
static char *read_file(size_t *bytes) {
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    struct stat found;
    assert_int_equal(fstat(fileno(stream), &found), 0);
    *bytes = (size_t)found.st_size;
    char *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, stream), *bytes);
    fclose(stream);
    return data;
}

static void write_file(const char *data, size_t bytes) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, bytes, stream), bytes);
    assert_int_equal(fclose(stream), 0);
}

/* The pause is longer than the resolution of the times that HDF5 would store. */
static void test_equal_weights_make_equal_files(void **state) {
    (void)state;
    size_t first_bytes, second_bytes;
    save_small();
    char *first = read_file(&first_bytes);
    usleep(1100000);
    save_small();
    char *second = read_file(&second_bytes);
    assert_int_equal(first_bytes, second_bytes);
    assert_memory_equal(first, second, first_bytes);
    free(first);
    free(second);
}

static void test_failed_save_keeps_the_old_file(void **state) {
    (void)state;
    contents old = full_contents(small), new = full_contents(small);
    new.weights[0] = 77.0f;
    assert_ok(save(&old));
    /* A disk that is full after so many bytes. */
    size_t bytes;
    free(read_file(&bytes));
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    const rlim_t limits[] = {0, 100, 5000, bytes / 2, bytes - 1};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct rlimit limit = {limits[i], before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        dt_status status = save(&new);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status.code, DT_FILE);
        assert_non_null(strstr(status.text, "x.weights.h5: cannot be written: File too large"));
        assert_int_equal(count_entries(), 1);
        assert_loads(small, &old);
    }
    assert_ok(save(&new));
    assert_loads(small, &new);
    release(&old);
    release(&new);
}

static void test_save_names_what_it_cannot_write(void **state) {
    (void)state;
    contents held = full_contents(small);
    char elsewhere[160];
    snprintf(elsewhere, sizeof elsewhere, "%s/none/x.weights.h5", folder);
    assert_fails(dt_weights_save(elsewhere, &held.network, &held.parameters, held.weights, held.states),
                 DT_FILE, "none/x.weights.h5: cannot be written: No such file or directory");
    assert_fails(dt_weights_save(folder, &held.network, &held.parameters, held.weights, held.states), DT_FILE,
                 "it is a folder");
    assert_fails(dt_weights_save("/dev/null", &held.network, &held.parameters, held.weights, held.states),
                 DT_FILE, "it is not a regular file");
    assert_int_equal(count_entries(), 0);
    release(&held);
}

static void test_not_a_weights_file(void **state) {
    (void)state;
    const char text[] = "<!DOCTYPE html><html><body>404</body></html>\n";
    assert_load_fails(small, "No such file or directory");
    assert_network_fails("No such file or directory");
    write_file(text, sizeof text - 1);
    assert_load_fails(small, "is not an HDF5 file");
    assert_network_fails("is not an HDF5 file");
    write_file(text, 0);
    assert_load_fails(small, "is empty");
    unlink(path);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_load_fails(small, "is a folder");
    assert_network_fails("is a folder");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_load_fails(small, "is not a regular file");
}

/* Root may read everything, so it becomes somebody else for a moment. */
static void test_unreadable_file(void **state) {
    (void)state;
    save_small();
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(path, 0), 0);
    uid_t self = geteuid();
    if (self == 0)
        assert_int_equal(seteuid(65534), 0);
    dt_network_config config;
    dt_status status = dt_weights_network(path, &config);
    if (self == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(status.code, DT_FILE);
    assert_non_null(strstr(status.text, "cannot be read: Permission denied"));
}

static void test_file_cut_short(void **state) {
    (void)state;
    size_t bytes;
    save_small();
    char *data = read_file(&bytes);
    const size_t lengths[] = {4, 8, 96, 800, 2048, bytes / 3, bytes / 2, bytes - bytes / 10, bytes - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        write_file(data, lengths[i]);
        assert_load_fails(small, lengths[i] < 8           ? "is not an HDF5 file"
                                 : lengths[i] < bytes - 1 ? "cannot be opened: "
                                                          : "the seal at its end is not whole");
        assert_network_fails("");
    }
    write_file(data, bytes / 2);
    assert_load_fails(small, "truncated file");
    free(data);
}

/* Puts a dataset of another shape or type in the place of a tensor. */
static void replace_dataset(const char *place, hid_t type, int rank, const hsize_t *dims,
                            const void *values) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    assert_true(H5Ldelete(file, place, H5P_DEFAULT) >= 0);
    if (dims) {
        hid_t space = H5Screate_simple(rank, dims, NULL);
        hid_t dataset = H5Dcreate2(file, place, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        H5Dclose(dataset);
        H5Sclose(space);
    }
    H5Fclose(file);
}

static void test_other_network_is_refused(void **state) {
    (void)state;
    save_small();
    dt_network_config other = small;
    other.width = 0.04;
    assert_shape_fails(other, "is whole, but of another shape: --width 0.03 then, 0.04 now.");
    remove_group("dtrain");
    assert_load_fails(other, "tensor conv1/kernel (layers/conv2d/vars/0) has shape (11, 11, 1, 1) in the "
                             "file and (11, 11, 1, 2) in the network");
    save_small();
    other = small;
    other.bn_layers = DT_BN_FIRST2;
    assert_shape_fails(other, "--bn-layers all then, first2 now");
    remove_group("dtrain");
    assert_load_fails(other, "has the layer layers/batch_normalization_2, which the network has not");
    other.bn_layers = DT_BN_NONE;
    assert_load_fails(other, "has the layer layers/batch_normalization, which the network has not");
    contents plain = full_contents(other);
    assert_ok(save(&plain));
    release(&plain);
    assert_shape_fails(small, "--bn-layers none then, all now");
    remove_group("dtrain");
    assert_load_fails(small, "tensors are missing: bn1/gamma (layers/batch_normalization/vars/0), bn1/beta");
}

static void test_damaged_tensor_is_named(void **state) {
    (void)state;
    const double ones[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int whole[10] = {0};
    save_small();
    replace_dataset("layers/dense_2/vars/1", H5T_NATIVE_INT, 1, (hsize_t[]){10}, whole);
    assert_load_fails(small, "tensor fc3/bias (layers/dense_2/vars/1) does not hold floating-point numbers");
    replace_dataset("layers/dense_2/vars/1", H5T_NATIVE_DOUBLE, 2, (hsize_t[]){5, 2}, ones);
    assert_load_fails(small, "has shape (5, 2) in the file and (10) in the network");
    replace_dataset("layers/dense_2/vars/1", H5T_NATIVE_DOUBLE, 1, (hsize_t[]){9}, ones);
    assert_load_fails(small, "has shape (9) in the file and (10) in the network");
    replace_dataset("layers/dense_2/vars/1", H5T_NATIVE_DOUBLE, 1, NULL, NULL);
    assert_load_fails(small, "tensor is missing: fc3/bias (layers/dense_2/vars/1)");
    save_small();
    replace_dataset("layers/batch_normalization_4/vars/3", H5T_NATIVE_DOUBLE, 1, NULL, NULL);
    assert_load_fails(small, "tensor is missing: bn5/moving_variance (layers/batch_normalization_4/vars/3)");
}

/* Overwrites one value of a dataset whose checksum is gone. */
static void set_value(const char *place, size_t index, double value) {
    save_small();
    remove_group("dtrain/checksums");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), dataset = H5Dopen2(file, place, H5P_DEFAULT),
          space = H5Dget_space(dataset);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    float *values = malloc((size_t)count * sizeof(float));
    assert_non_null(values);
    assert_true(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    values[index] = (float)value;
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    free(values);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void test_values_that_are_none_are_named(void **state) {
    (void)state;
    set_value("layers/conv2d/vars/0", 7, NAN);
    assert_load_fails(small, "tensor conv1/kernel (layers/conv2d/vars/0) has the value nan at place 7, which "
                             "must be finite");
    set_value("layers/dense_2/vars/1", 9, -INFINITY);
    assert_load_fails(small, "tensor fc3/bias (layers/dense_2/vars/1) has the value -inf at place 9");
    set_value("layers/batch_normalization_1/vars/2", 0, -5.0);
    contents loaded = empty_contents(small);
    assert_ok(load(&loaded));
    set_value("layers/batch_normalization_1/vars/3", 2, -0.0);
    assert_ok(load(&loaded));
    release(&loaded);
    set_value("layers/batch_normalization_1/vars/3", 2, -1e-30);
    assert_load_fails(small, "tensor bn2/moving_variance (layers/batch_normalization_1/vars/3) has the value "
                             "-1e-30 at place 2, which must be finite and not below 0");
    const double large[10] = {0, 1e300};
    replace_dataset("layers/dense_2/vars/1", H5T_NATIVE_DOUBLE, 1, (hsize_t[]){10}, large);
    assert_load_fails(small, "has the value ");
}

static void rename_group(const char *from, const char *to) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Lmove(file, from, file, to, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
}

static void test_unused_and_missing_tensors_are_told(void **state) {
    (void)state;
    contents held = full_contents(small);
    dt_weights_unused unused;
    save_small();
    assert_ok(dt_weights_find_unused(path, &held.parameters, &unused));
    assert_int_equal(unused.others + unused.optimizer, 0);
    rename_group("layers/dense_1", "layers/hidden");
    assert_load_fails(small, "tensors are missing: fc2/kernel (layers/dense_1/vars/0), fc2/bias "
                             "(layers/dense_1/vars/1). In the file are layers/hidden/vars/0, "
                             "layers/hidden/vars/1: layers are found by the names that Keras counts");
    rename_group("layers", "model");
    assert_load_fails(small, " and 32 more. In the file are model/");
    assert_ok(dt_weights_find_unused(path, &held.parameters, &unused));
    assert_int_equal(unused.others, 36);
    assert_non_null(strstr(unused.text, " and 32 more"));
    release(&held);
}

static void test_doubles_are_rounded(void **state) {
    (void)state;
    double values[10];
    contents held = full_contents(small);
    const float *unused;
    const dt_tensor *bias = find_tensor(&held, "fc3/bias", &unused);
    for (int i = 0; i < 10; i++) {
        values[i] = 1.0 / (3 + i);
        held.weights[bias->offset + (size_t)i] = (float)values[i];
    }
    save_small();
    replace_dataset("layers/dense_2/vars/1", H5T_NATIVE_DOUBLE, 1, (hsize_t[]){10}, values);
    assert_load_fails(small, "tensor fc3/bias (layers/dense_2/vars/1) fails its checksum");
    replace_dataset("dtrain/checksums", H5I_INVALID_HID, 0, NULL, NULL);
    assert_loads(small, &held);
    release(&held);
}

/* Overwrites an attribute of the group of options; NULL removes it. */
static void replace_attribute(const char *name, hid_t type, const void *value) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), group = H5Gopen2(file, "dtrain", H5P_DEFAULT);
    assert_true(group >= 0);
    assert_true(H5Adelete(group, name) >= 0);
    if (value) {
        hid_t space = H5Screate(H5S_SCALAR);
        hid_t attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Awrite(attribute, type, value) >= 0);
        H5Aclose(attribute);
        H5Sclose(space);
    }
    H5Gclose(group);
    H5Fclose(file);
}

static void test_damaged_options_are_named(void **state) {
    (void)state;
    hid_t text = H5Tcopy(H5T_C_S1);
    assert_true(H5Tset_size(text, 40) >= 0);
    const char long_name[40] = "a name that is longer than all known on";
    const double not_a_number = NAN, widths[] = {0.0, -1.0, 8.001};
    const int format = 3;
    save_small();
    replace_attribute("bn_axis", text, long_name);
    assert_network_fails("dtrain/bn_axis is \"a name that is longer than all \"");
    save_small();
    replace_attribute("bn_layers", H5T_NATIVE_INT, &format);
    assert_network_fails("dtrain/bn_layers is not one value of the expected kind");
    for (int i = 0; i < 3; i++) {
        save_small();
        replace_attribute("width", H5T_NATIVE_DOUBLE, &widths[i]);
        assert_network_fails("dtrain/width is ");
    }
    replace_attribute("width", H5T_NATIVE_DOUBLE, &not_a_number);
    assert_network_fails("dtrain/width is ");
    save_small();
    replace_attribute("dropout", H5T_NATIVE_DOUBLE, &(double){1.0});
    assert_network_fails("dtrain/dropout is 1: it must be a number from 0 to 0.999");
    replace_attribute("dropout", H5T_NATIVE_DOUBLE, NULL);
    assert_network_fails("dtrain/dropout");
    replace_attribute("format_version", H5T_NATIVE_INT, &format);
    assert_network_fails("has format 3");
    H5Tclose(text);
}

/* Keras' own files have no group of ours: the weights load, the options do not. */
static void test_file_of_another_program(void **state) {
    (void)state;
    contents held = full_contents(small);
    assert_ok(save(&held));
    remove_group("dtrain");
    assert_network_fails("has no group \"dtrain\": dtrain did not write this file");
    assert_loads(small, &held);
    release(&held);
}

static void test_library_speaks_as_before(void **state) {
    (void)state;
    H5E_auto2_t before, after;
    void *before_context, *after_context;
    assert_true(H5Eget_auto2(H5E_DEFAULT, &before, &before_context) >= 0);
    assert_non_null(before);
    save_small();
    assert_shape_fails((dt_network_config){DT_BN_ROWS, DT_BN_ALL, 0.5, 0.0f}, "of another shape");
    assert_true(H5Eget_auto2(H5E_DEFAULT, &after, &after_context) >= 0);
    assert_true(before == after && before_context == after_context);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_layout_is_keras),
        TEST(test_equal_weights_make_equal_files),
        TEST(test_failed_save_keeps_the_old_file),
        TEST(test_save_names_what_it_cannot_write),
        TEST(test_not_a_weights_file),
        TEST(test_unreadable_file),
        TEST(test_file_cut_short),
        TEST(test_other_network_is_refused),
        TEST(test_damaged_tensor_is_named),
        TEST(test_values_that_are_none_are_named),
        TEST(test_unused_and_missing_tensors_are_told),
        TEST(test_doubles_are_rounded),
        TEST(test_damaged_options_are_named),
        TEST(test_file_of_another_program),
        TEST(test_library_speaks_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
