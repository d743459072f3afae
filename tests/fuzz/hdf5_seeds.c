/* SPDX-License-Identifier: BSD-3-Clause */
/* Inputs of the HDF5 targets: files of dtrain, with and without their seal, and files as other programs write
 * them, in the oldest and the newest format. */
#include "hdf5_seeds.h"

#include "test.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dtrain/checkpoint.h"
#include "dtrain/weights.h"
#include "small_network.h"

enum { COUNT = 64 };

static buffer read_back(const char *path) {
    unsigned char bytes[4096];
    buffer content = {0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, file)) > 0;)
        buffer_add(&content, bytes, got);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
    return content;
}

/* The length in front of the seal stands 16 bytes before its end. */
static buffer without_seal(buffer content) {
    size_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (size_t)content.bytes[content.count - 16 + (size_t)i] << 8 * i;
    assert_true(length < content.count);
    content.count = length;
    return content;
}

static void copy_group(hid_t from, hid_t to, const char *name) {
    if (H5Lexists(from, name, H5P_DEFAULT) > 0)
        assert_true(H5Ocopy(from, name, to, name, H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

/* As h5repack would write it: the tables are small and lie between the values. */
static buffer repacked(const char *path) {
    static const char *const groups[] = {"vars", "layers", "optimizer", "dtrain"};
    char copy[520];
    snprintf(copy, sizeof copy, "%s.copy", path);
    hid_t from = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT),
          to = H5Fcreate(copy, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(from >= 0 && to >= 0);
    for (int i = 0; i < 4; i++)
        copy_group(from, to, groups[i]);
    assert_true(H5Fclose(from) >= 0 && H5Fclose(to) >= 0);
    assert_int_equal(unlink(path), 0);
    return read_back(copy);
}

static buffer in_form(const char *path, seed_form form) {
    if (form == SEED_REPACKED)
        return repacked(path);
    buffer content = read_back(path);
    return form == SEED_SEALED ? content : without_seal(content);
}

buffer seed_weights(const char *path, seed_form form) {
    const dt_parameters *parameters = small_parameters();
    float *weights = small_slab(parameters->floats + parameters->state_floats);
    dt_status status =
        dt_weights_save(path, small_network(), parameters, weights, weights + parameters->floats);
    free(weights);
    assert_int_equal(status.code, DT_OK);
    return in_form(path, form);
}

buffer seed_checkpoint(const char *path, seed_form form) {
    const dt_parameters *parameters = small_parameters();
    char options[] = "{\"seed\":1,\"lr\":0.001}", history[] = "[{\"epoch\":1,\"loss\":0.5}]";
    float *zeros = small_slab(parameters->floats + parameters->state_floats);
    const dt_checkpoint checkpoint = {
        .position = {.step = 16, .epoch = 1, .learning_rate = 1e-3, .ranks = 2, .best_loss = 0.5},
        .weights = zeros,
        .m = zeros,
        .v = zeros,
        .states = zeros,
        .options = options,
        .history = history};
    dt_status status = dt_checkpoint_save(path, small_network(), parameters, &checkpoint, NULL);
    free(zeros);
    assert_int_equal(status.code, DT_OK);
    return in_form(path, form);
}

static void add_dataset(hid_t file, const char *name, hid_t type, hid_t creation) {
    static const float values[COUNT] = {1.0f, -2.0f, 3.0f};
    hsize_t dims[2] = {8, COUNT / 8}, chunk[2] = {4, 4};
    if (creation != H5P_DEFAULT && H5Pget_layout(creation) == H5D_CHUNKED)
        assert_true(H5Pset_chunk(creation, 2, chunk) >= 0);
    hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(2, dims, NULL);
    assert_true(H5Pset_create_intermediate_group(links, 1) >= 0);
    hid_t dataset = H5Dcreate2(file, name, type, space, links, creation, H5P_DEFAULT);
    assert_true(dataset >= 0 &&
                H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(links);
}

static void add_attribute(hid_t file) {
    const char *text = "3.0.0";
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    assert_true(H5Tset_size(type, H5T_VARIABLE) >= 0);
    hid_t attribute = H5Acreate2(file, "keras_version", type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attribute >= 0 && H5Awrite(attribute, type, &text) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

buffer seed_foreign(const char *path, bool newest) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), packed = H5Pcreate(H5P_DATASET_CREATE),
          compact = H5Pcreate(H5P_DATASET_CREATE);
    if (newest)
        assert_true(H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    assert_true(file >= 0 && H5Pset_layout(packed, H5D_CHUNKED) >= 0 &&
                H5Pset_layout(compact, H5D_COMPACT) >= 0);
    assert_true(H5Pset_chunk(packed, 2, (const hsize_t[]){4, 4}) >= 0 && H5Pset_shuffle(packed) >= 0 &&
                H5Pset_deflate(packed, 9) >= 0 && H5Pset_fletcher32(packed) >= 0);
    add_attribute(file);
    add_dataset(file, "layers/conv2d/vars/0", H5T_IEEE_F32LE, H5P_DEFAULT);
    add_dataset(file, "layers/conv2d/vars/1", H5T_IEEE_F64BE, packed);
    add_dataset(file, "layers/dense/vars/0", H5T_STD_I16LE, compact);
    H5Pclose(packed);
    H5Pclose(compact);
    H5Pclose(access);
    assert_true(H5Fclose(file) >= 0);
    return read_back(path);
}
