/* SPDX-License-Identifier: BSD-3-Clause */
/* hostile_case empty FILE: an HDF5 file without a tensor.
 * hostile_case external FILE SECRET: FILE, weights that dtrain exported, gets the bytes of SECRET as values
 * of its first layer, by external storage. hostile_case nan FILE: the first value of the first layer is not a
 * number.
 *
 * Weights that were changed look like those of another program: dtrain's own group, which holds the
 * checksums, goes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <hdf5.h>

static const char header[] = "dtrain", place[] = "layers/conv2d/vars/0";

static int make_empty(const char *path) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t group = H5Gcreate2(file, "layers", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    return H5Gclose(group) >= 0 && H5Fclose(file) >= 0 ? 0 : 1;
}

/* The shape stays, the values come from the other file. */
static int borrow_values(hid_t file, const char *secret) {
    hid_t dataset = H5Dopen2(file, place, H5P_DEFAULT), space = H5Dget_space(dataset);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t bytes = (hsize_t)H5Sget_simple_extent_npoints(space) * sizeof(float);
    int failed = H5Pset_external(creation, secret, 0, bytes) < 0 || H5Dclose(dataset) < 0 ||
                 H5Ldelete(file, place, H5P_DEFAULT) < 0;
    dataset = H5Dcreate2(file, place, H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    return failed || dataset < 0 || H5Dclose(dataset) < 0 || H5Sclose(space) < 0 || H5Pclose(creation) < 0;
}

static int spoil_value(hid_t file) {
    const float nan_value = NAN;
    const hsize_t corner[4] = {0}, one[4] = {1, 1, 1, 1};
    hid_t dataset = H5Dopen2(file, place, H5P_DEFAULT), space = H5Dget_space(dataset);
    hid_t memory = H5Screate_simple(4, one, NULL);
    int failed = H5Sselect_hyperslab(space, H5S_SELECT_SET, corner, NULL, one, NULL) < 0 ||
                 H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, &nan_value) < 0;
    return failed || H5Sclose(memory) < 0 || H5Sclose(space) < 0 || H5Dclose(dataset) < 0;
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "empty") == 0)
        return make_empty(arguments[2]);
    if (count < 3) {
        fprintf(stderr, "usage: hostile_case empty FILE | external FILE SECRET | nan FILE\n");
        return 2;
    }
    hid_t file = H5Fopen(arguments[2], H5F_ACC_RDWR, H5P_DEFAULT);
    int failed = file < 0 || H5Ldelete(file, header, H5P_DEFAULT) < 0;
    if (!failed)
        failed = count == 4 ? borrow_values(file, arguments[3]) : spoil_value(file);
    return failed || H5Fclose(file) < 0;
}
