/* SPDX-License-Identifier: BSD-3-Clause */
/* Files made to harm whoever reads them: each is refused, with the place and the reason, before a value is
 * used; and what Keras or h5repack may well write is read. */
#include "test.h"

#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/inspect.h"
#include "dtrain/weights.h"
#include "io/rehearsal.h"
#include "io/seal.h"

enum { COUNT = 6000 };

static char folder[64], path[96], secret[96];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dtrain-screening-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file.weights.h5", folder);
    snprintf(secret, sizeof secret, "%s/secret", folder);
    FILE *file = fopen(secret, "w");
    assert_non_null(file);
    for (int i = 0; i < COUNT; i++)
        fputs("root", file);
    return fclose(file);
}

static int tear_down(void **state) {
    (void)state;
    (void)unlink(path);
    (void)unlink(secret);
    return rmdir(folder);
}

static hid_t begin(void) {
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

/* A dataset of COUNT values under "vars", filled when values is not NULL. */
static void add_dataset(hid_t file, hid_t type, hid_t creation, hsize_t count, const void *values) {
    hid_t space = H5Screate_simple(1, &count, NULL);
    hid_t dataset = H5Dcreate2(file, "vars", type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (values)
        assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Sclose(space);
}

static const float *ramp(void) {
    static float values[COUNT];
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)i;
    return values;
}

static void external_storage(hid_t file) {
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_external(creation, secret, 0, COUNT * sizeof(float)) >= 0);
    add_dataset(file, H5T_NATIVE_FLOAT, creation, COUNT, NULL);
    H5Pclose(creation);
}

static void external_link(hid_t file) {
    assert_true(H5Lcreate_external("other.h5", "/vars", file, "vars", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void soft_link(hid_t file) {
    assert_true(H5Lcreate_soft("/elsewhere", file, "vars", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void user_link(hid_t file) {
    const H5L_class_t kind = {.version = H5L_LINK_CLASS_T_VERS, .id = (H5L_type_t)200, .trav_func = NULL};
    H5L_class_t known = kind;
    known.trav_func = (H5L_traverse_func_t)(void (*)(void))abort; /* never called: the link is not followed */
    assert_true(H5Lregister(&known) >= 0);
    assert_true(H5Lcreate_ud(file, "vars", known.id, "x", 1, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_true(H5Lunregister(known.id) >= 0);
}

static void virtual_dataset(hid_t file) {
    hsize_t count = COUNT;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &count, NULL);
    assert_true(H5Pset_virtual(creation, space, "other.h5", "/vars", space) >= 0);
    add_dataset(file, H5T_NATIVE_FLOAT, creation, COUNT, NULL);
    H5Sclose(space);
    H5Pclose(creation);
}

static void references(hid_t file) {
    add_dataset(file, H5T_STD_REF_OBJ, H5P_DEFAULT, 1, NULL);
}

static void committed_type(hid_t file) {
    hid_t type = H5Tcopy(H5T_NATIVE_FLOAT);
    assert_true(H5Tcommit2(file, "type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Tclose(type);
}

static size_t unpacked(unsigned flags, size_t count, const unsigned *settings, size_t bytes, size_t *room,
                       void **data) {
    (void)flags, (void)count, (void)settings, (void)room, (void)data;
    return bytes;
}

static void plugin_filter(hid_t file) {
    const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 32004, 1, 1, "foreign", NULL, NULL, unpacked};
    hsize_t chunk = COUNT;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Zregister(&filter) >= 0 && H5Pset_chunk(creation, 1, &chunk) >= 0);
    assert_true(H5Pset_filter(creation, filter.id, 0, 0, NULL) >= 0);
    add_dataset(file, H5T_NATIVE_FLOAT, creation, COUNT, ramp());
    H5Pclose(creation);
}

/* Four gigabytes that were never written. */
static void unwritten_claim(hid_t file) {
    add_dataset(file, H5T_NATIVE_FLOAT, H5P_DEFAULT, (hsize_t)1 << 30, NULL);
}

static void packed_claim(hid_t file) {
    hsize_t chunk = 1 << 16;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(creation, 1, &chunk) >= 0 && H5Pset_deflate(creation, 9) >= 0);
    add_dataset(file, H5T_NATIVE_FLOAT, creation, (hsize_t)1 << 32, NULL);
    H5Pclose(creation);
}

static void cycle(hid_t file) {
    hid_t group = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(group >= 0 && H5Lcreate_hard(file, "/", group, "up", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Gclose(group);
}

static const struct {
    void (*make)(hid_t file);
    const char *said;
} hostile[] = {
    {external_storage, "vars has its values in another file"},
    {external_link, "vars is an external link"},
    {soft_link, "vars is a soft link"},
    {user_link, "vars is a user-defined link"},
    {virtual_dataset, "vars is a virtual dataset"},
    {references, "vars holds references"},
    {committed_type, "type is a committed datatype"},
    {plugin_filter, "vars is packed by HDF5's filter 32004"},
    {unwritten_claim, "vars claims 4294967296 bytes of values"},
    {packed_claim, "vars claims 17179869184 bytes of values"},
    {cycle, "is nested in more than"},
};

static void check_refused(const char *said) {
    dt_inspection found;
    dt_status status = dt_inspect_file(path, &found);
    if (status.code != DT_FILE || !strstr(status.text, said) || !strstr(status.text, path))
        fail_msg("code %d, \"%s\" instead of \"%s\"", status.code, status.text, said);
}

static long peak_kilobytes(void) {
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return used.ru_maxrss;
}

static void test_hostile_files_are_refused(void **state) {
    (void)state;
    long before = peak_kilobytes();
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        hid_t file = begin();
        hostile[i].make(file);
        assert_true(H5Fclose(file) >= 0);
        check_refused(hostile[i].said);
    }
    assert_true(peak_kilobytes() - before < 100 << 10);
}

static bool copy_bytes(void *content, uint64_t first, size_t bytes, void *buffer) {
    memcpy(buffer, (const char *)content + first, bytes);
    return true;
}

/* Puts a sound seal behind the file. */
static void seal_file(void) {
    static char content[1 << 16], end[256];
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    dt_seal seal = {.length = fread(content, 1, sizeof content, file)};
    assert_true(seal.length < sizeof content && dt_seal_bytes(&seal) <= sizeof end);
    dt_seal_write(&seal, copy_bytes, content, end);
    assert_int_equal(fwrite(end, 1, dt_seal_bytes(&seal), file), dt_seal_bytes(&seal));
    assert_int_equal(fclose(file), 0);
}

/* A seal is a checksum and no signature: what is in front of a sound one is looked at too. */
static void test_weights_with_a_link_are_not_loaded(void **state) {
    (void)state;
    dt_network network = dt_network_build((dt_network_config){DT_BN_ROWS, DT_BN_ALL, 0.02, 0.5f});
    dt_parameters parameters = dt_parameters_layout(&network);
    float *weights = calloc(parameters.floats + parameters.state_floats, sizeof *weights);
    assert_non_null(weights);
    hid_t file = begin();
    external_link(file);
    assert_true(H5Fclose(file) >= 0);
    for (int sealed = 0; sealed < 2; sealed++) {
        dt_status status = dt_weights_load(path, &parameters, weights, weights + parameters.floats);
        assert_int_equal(status.code, DT_FILE);
        assert_non_null(strstr(status.text, "external link"));
        seal_file();
    }
    free(weights);
}

static void test_no_regular_file_is_waited_for(void **state) {
    (void)state;
    dt_inspection found;
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    check_refused("is not a regular file");
    dt_status status = dt_inspect_file("/dev/zero", &found);
    assert_int_equal(status.code, DT_FILE);
    status = dt_inspect_file(folder, &found);
    assert_non_null(strstr(status.text, "is a folder"));
    assert_int_equal(unlink(path), 0);
}

/* In rows, in blocks, packed, in the other byte order: more than one piece, and the same statistics. */
static void test_usual_files_are_read(void **state) {
    (void)state;
    enum { LARGE = 3 << 20 };
    static float values[LARGE];
    for (int i = 0; i < LARGE; i++)
        values[i] = (float)(i % 5);
    const hsize_t dims[][3] = {{LARGE, 1, 1}, {1, 1, LARGE}, {3, 1024, 1024}, {2, 1, 3 << 19}};
    const hsize_t chunk[3] = {1, 1, 1 << 10};
    hid_t packed = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_chunk(packed, 3, chunk) >= 0 && H5Pset_shuffle(packed) >= 0 &&
                H5Pset_deflate(packed, 1) >= 0 && H5Pset_fletcher32(packed) >= 0);
    for (int i = 0; i < 4; i++) {
        hid_t file = begin(), space = H5Screate_simple(3, dims[i], NULL);
        hid_t dataset = H5Dcreate2(file, "x", i % 2 ? H5T_IEEE_F64BE : H5T_IEEE_F32LE, space, H5P_DEFAULT,
                                   i == 3 ? packed : H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        H5Dclose(dataset);
        H5Sclose(space);
        assert_true(H5Fclose(file) >= 0);
        dt_inspection found;
        dt_status status = dt_inspect_file(path, &found);
        if (dt_failed(&status))
            fail_msg("%s", status.text);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.tensors[0].count, LARGE);
        assert_true(found.tensors[0].min == 0.0 && found.tensors[0].max == 4.0);
        assert_true(found.tensors[0].mean > 1.99 && found.tensors[0].mean < 2.01);
        assert_true(found.tensors[0].sd > 1.41 && found.tensors[0].sd < 1.42);
        dt_inspection_release(&found);
    }
    H5Pclose(packed);
}

static dt_status crash(const char *name) {
    (void)name;
    raise(SIGSEGV);
    return dt_ok();
}

static dt_status refuse(const char *name) {
    return dt_fail(DT_FILE, "%s: not liked", name);
}

static void test_a_crash_is_a_message(void **state) {
    (void)state;
    dt_status status = dt_rehearsal_run("a.h5", crash);
    assert_int_equal(status.code, DT_FILE);
    assert_non_null(strstr(status.text, "a.h5: is damaged: the HDF5 library crashed on it"));
    status = dt_rehearsal_run("a.h5", refuse);
    assert_string_equal(status.text, "a.h5: not liked");
}

/* The first bytes of a compact dataset's layout message in a file of libhdf5's oldest format: version 3,
 * class 0, size. */
static void test_compact_dataset_of_no_bytes(void **state) {
    (void)state;
    hid_t file = begin(), creation = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_layout(creation, H5D_COMPACT) >= 0);
    add_dataset(file, H5T_NATIVE_FLOAT, creation, 16, ramp());
    H5Pclose(creation);
    assert_true(H5Fclose(file) >= 0);
    FILE *stream = fopen(path, "r+b");
    static unsigned char bytes[1 << 16];
    size_t count = fread(bytes, 1, sizeof bytes, stream), at = 0;
    while (at + 4 < count && memcmp(bytes + at, "\x03\x00\x40\x00", 4) != 0)
        at++;
    assert_true(at + 4 < count);
    assert_int_equal(fseek(stream, (long)at + 2, SEEK_SET), 0);
    assert_int_equal(fwrite("\0", 1, 1, stream), 1);
    assert_int_equal(fclose(stream), 0);
    check_refused("file.weights.h5: ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_files_are_refused),
        cmocka_unit_test(test_weights_with_a_link_are_not_loaded),
        cmocka_unit_test(test_no_regular_file_is_waited_for),
        cmocka_unit_test(test_usual_files_are_read),
        cmocka_unit_test(test_a_crash_is_a_message),
        cmocka_unit_test(test_compact_dataset_of_no_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
