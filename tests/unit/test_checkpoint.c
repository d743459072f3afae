/* SPDX-License-Identifier: BSD-3-Clause */
/* Checkpoints: what is saved is loaded, stands where Keras looks for it, damage is named, and a folder always
 * has the newest that is whole. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dtrain/checkpoint.h"
#include "dtrain/weights.h"

static const dt_network_config small = {DT_BN_ROWS, DT_BN_ALL, 0.03, 0.5f};

/* A network with a whole state; an owner. */
typedef struct contents {
    dt_network network;
    dt_parameters parameters;
    dt_checkpoint checkpoint;
} contents;

static contents empty_contents(dt_network_config config) {
    contents made = {.network = dt_network_build(config)};
    made.parameters = dt_parameters_layout(&made.network);
    made.checkpoint.weights = calloc(made.parameters.floats, sizeof(float));
    made.checkpoint.m = calloc(made.parameters.floats, sizeof(float));
    made.checkpoint.v = calloc(made.parameters.floats, sizeof(float));
    made.checkpoint.states = calloc(made.parameters.state_floats + 1, sizeof(float));
    assert_true(made.checkpoint.weights && made.checkpoint.m && made.checkpoint.v && made.checkpoint.states);
    return made;
}

static void fill(const dt_tensor *tensors, int count, float *slab, float base) {
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < tensors[i].count; k++)
            slab[tensors[i].offset + k] = base * ((float)(i + 1) + (float)k * 0x1p-17f);
}

/* Every value differs from every other of its slab, and no two slabs share one. */
static contents full_contents(int64_t step) {
    contents made = empty_contents(small);
    float scale = 1.0f + (float)step;
    fill(made.parameters.tensors, made.parameters.count, made.checkpoint.weights, scale);
    fill(made.parameters.tensors, made.parameters.count, made.checkpoint.m, 100 * scale);
    fill(made.parameters.tensors, made.parameters.count, made.checkpoint.v, 1000 * scale);
    fill(made.parameters.states, made.parameters.state_count, made.checkpoint.states, 10 * scale);
    made.checkpoint.position = (dt_checkpoint_position){
        .step = step,
        .epoch = 2,
        .batch = 5,
        .train_loss = (INT64_C(77) << 43) - 3,
        .train_correct = 76,
        .train_samples = 77,
        .best_loss = 0.1,
        .learning_rate = 1.0 / 3.0,
        .rewinds = 2,
        .ranks = 4,
        .data_fingerprint = UINT64_MAX - 5,
    };
    made.checkpoint.options = strdup("{\"name\": \"\xc3\xa9t\xc3\xa9\"}");
    made.checkpoint.history = strdup("[{\"epoch\": 1, \"loss\": 0.25}]");
    return made;
}

static void release(contents *held) {
    free(held->checkpoint.weights);
    free(held->checkpoint.m);
    free(held->checkpoint.v);
    free(held->checkpoint.states);
    free(held->checkpoint.options);
    free(held->checkpoint.history);
}

/* The folder of one test, and a file name in it. */
static char folder[64], path[DT_CHECKPOINT_PATH];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/dtrain-checkpoint-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/x.weights.h5", folder);
    return 0;
}

static int count_entries(void) {
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(stream));)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

static int remove_folder(void **state) {
    (void)state;
    ssize_t open_objects = H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL);
    DIR *stream = opendir(folder);
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        (void)unlinkat(dirfd(stream), entry->d_name, 0);
    if (stream)
        closedir(stream);
    return rmdir(folder) == 0 && open_objects == 0 ? 0 : 1;
}

static const char *in_folder(const char *name) {
    static char text[DT_CHECKPOINT_PATH];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static void save_step(int64_t step, const char *where) {
    contents held = full_contents(step);
    dt_checkpoint_result result = {0};
    assert_ok(dt_checkpoint_save(where, &held.network, &held.parameters, &held.checkpoint, &result));
    struct stat found;
    assert_int_equal(stat(where, &found), 0);
    assert_int_equal(result.bytes, found.st_size);
    assert_true(result.seconds > 0.0);
    release(&held);
}

static void assert_position(const dt_checkpoint_position *a, const dt_checkpoint_position *b) {
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->batch, b->batch);
    assert_int_equal(a->train_loss, b->train_loss);
    assert_int_equal(a->train_correct, b->train_correct);
    assert_int_equal(a->train_samples, b->train_samples);
    assert_true(a->best_loss == b->best_loss && a->learning_rate == b->learning_rate);
    assert_int_equal(a->rewinds, b->rewinds);
    assert_int_equal(a->ranks, b->ranks);
    assert_true(a->data_fingerprint == b->data_fingerprint);
}

static void assert_step(const contents *found, int64_t step) {
    contents expected = full_contents(step);
    size_t bytes = expected.parameters.floats * sizeof(float);
    assert_position(&found->checkpoint.position, &expected.checkpoint.position);
    assert_memory_equal(found->checkpoint.weights, expected.checkpoint.weights, bytes);
    assert_memory_equal(found->checkpoint.m, expected.checkpoint.m, bytes);
    assert_memory_equal(found->checkpoint.v, expected.checkpoint.v, bytes);
    assert_memory_equal(found->checkpoint.states, expected.checkpoint.states,
                        expected.parameters.state_floats * sizeof(float));
    assert_string_equal(found->checkpoint.options, expected.checkpoint.options);
    assert_string_equal(found->checkpoint.history, expected.checkpoint.history);
    release(&expected);
}

/* Arrays that a load must fill wholly, gaps included. */
static contents dirty_contents(void) {
    contents made = empty_contents(small);
    memset(made.checkpoint.weights, 0x55, made.parameters.floats * sizeof(float));
    memset(made.checkpoint.m, 0x55, made.parameters.floats * sizeof(float));
    memset(made.checkpoint.v, 0x55, made.parameters.floats * sizeof(float));
    memset(made.checkpoint.states, 0x55, made.parameters.state_floats * sizeof(float));
    return made;
}

static void assert_loads(const char *where, int64_t step) {
    contents found = dirty_contents();
    assert_ok(dt_checkpoint_load(where, &found.parameters, &found.checkpoint));
    assert_step(&found, step);
    release(&found);
}

static void assert_load_fails(const char *part) {
    contents found = empty_contents(small);
    assert_fails(dt_checkpoint_load(path, &found.parameters, &found.checkpoint), DT_FILE, part);
    assert_fails(dt_checkpoint_load(path, &found.parameters, &found.checkpoint), DT_FILE, path);
    assert_null(found.checkpoint.options);
    assert_null(found.checkpoint.history);
    release(&found);
}

static void test_round_trip(void **state) {
    (void)state;
    save_step(12345, path);
    assert_loads(path, 12345);
    assert_int_equal(count_entries(), 1);
    save_step(7, path);
    assert_loads(path, 7);
    assert_int_equal(count_entries(), 1);
}

static void test_weights_of_a_checkpoint(void **state) {
    (void)state;
    save_step(3, path);
    dt_network_config config;
    assert_ok(dt_weights_network(path, &config));
    assert_true(config.width == small.width && config.dropout == small.dropout);
    contents expected = full_contents(3), found = empty_contents(small);
    assert_ok(dt_weights_load(path, &found.parameters, found.checkpoint.weights, found.checkpoint.states));
    assert_memory_equal(found.checkpoint.weights, expected.checkpoint.weights,
                        expected.parameters.floats * sizeof(float));
    release(&expected);
    release(&found);
}

static void test_peek(void **state) {
    (void)state;
    save_step(99, path);
    contents expected = full_contents(99);
    dt_checkpoint found = {.options = NULL};
    assert_ok(dt_checkpoint_peek(path, &found));
    assert_position(&found.position, &expected.checkpoint.position);
    assert_string_equal(found.options, expected.checkpoint.options);
    assert_string_equal(found.history, expected.checkpoint.history);
    assert_null(found.weights);
    free(found.options);
    free(found.history);
    release(&expected);
}

static void test_no_best_yet_and_no_texts(void **state) {
    (void)state;
    contents held = full_contents(1);
    free(held.checkpoint.options);
    free(held.checkpoint.history);
    held.checkpoint.options = held.checkpoint.history = NULL;
    held.checkpoint.position.best_loss = INFINITY;
    assert_ok(dt_checkpoint_save(path, &held.network, &held.parameters, &held.checkpoint, NULL));
    dt_checkpoint found;
    assert_ok(dt_checkpoint_peek(path, &found));
    assert_true(isinf(found.position.best_loss) && found.position.best_loss > 0);
    assert_string_equal(found.options, "{}");
    assert_string_equal(found.history, "[]");
    free(found.options);
    free(found.history);
    release(&held);
}

/* A history that no attribute would hold. */
static void test_long_texts(void **state) {
    (void)state;
    contents held = full_contents(1);
    size_t bytes = 3 << 20;
    free(held.checkpoint.history);
    held.checkpoint.history = malloc(bytes + 1);
    assert_non_null(held.checkpoint.history);
    memset(held.checkpoint.history, 'h', bytes);
    held.checkpoint.history[bytes] = '\0';
    assert_ok(dt_checkpoint_save(path, &held.network, &held.parameters, &held.checkpoint, NULL));
    dt_checkpoint found;
    assert_ok(dt_checkpoint_peek(path, &found));
    assert_string_equal(found.history, held.checkpoint.history);
    free(found.options);
    free(found.history);
    release(&held);
}

/* Keras' order: iteration, learning rate, then momentum and velocity of each variable in turn. */
static void test_adam_is_where_keras_looks(void **state) {
    (void)state;
    save_step(41, path);
    contents held = full_contents(41);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), optimizer = H5Gopen2(file, "optimizer/vars", 0);
    H5G_info_t info;
    assert_true(optimizer >= 0 && H5Gget_info(optimizer, &info) >= 0);
    assert_int_equal(info.nlinks, 2 + 2 * held.parameters.count);
    hid_t iteration = H5Dopen2(optimizer, "0", H5P_DEFAULT), rate = H5Dopen2(optimizer, "1", H5P_DEFAULT);
    int64_t steps;
    float learning_rate;
    assert_true(H5Dread(iteration, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &steps) >= 0);
    assert_true(H5Dread(rate, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, &learning_rate) >= 0);
    assert_int_equal(steps, 41);
    assert_true(learning_rate == 1.0f / 3.0f);
    H5Dclose(iteration);
    H5Dclose(rate);
    float *values = malloc(held.parameters.floats * sizeof(float));
    for (int i = 0; i < 2 * held.parameters.count; i++) {
        const dt_tensor *tensor = &held.parameters.tensors[i / 2];
        const float *expected = (i % 2 ? held.checkpoint.v : held.checkpoint.m) + tensor->offset;
        char name[16];
        snprintf(name, sizeof name, "%d", 2 + i);
        hid_t slot = H5Dopen2(optimizer, name, H5P_DEFAULT);
        assert_true(H5Dget_storage_size(slot) == tensor->count * sizeof(float));
        assert_true(H5Dread(slot, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        assert_memory_equal(values, expected, tensor->count * sizeof(float));
        H5Dclose(slot);
    }
    free(values);
    H5Gclose(optimizer);
    H5Fclose(file);
    release(&held);
}

/* The place in the file of a dataset's first byte. */
static off_t place_of(const char *where, const char *dataset_name) {
    hid_t file = H5Fopen(where, H5F_ACC_RDONLY, H5P_DEFAULT), dataset = H5Dopen2(file, dataset_name, 0);
    haddr_t place = H5Dget_offset(dataset);
    assert_true(place != HADDR_UNDEF);
    H5Dclose(dataset);
    H5Fclose(file);
    return (off_t)place;
}

static void flip_byte(const char *where, off_t place) {
    unsigned char byte;
    int handle = open(where, O_RDWR);
    assert_true(handle >= 0);
    assert_int_equal(pread(handle, &byte, 1, place), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(handle, &byte, 1, place), 1);
    close(handle);
}

static void test_damaged_tensor_is_named(void **state) {
    (void)state;
    const struct {
        const char *place, *message;
    } cases[] = {
        {"layers/conv2d_4/vars/0", "tensor conv5/kernel (layers/conv2d_4/vars/0) fails its checksum"},
        {"layers/batch_normalization/vars/3", "tensor bn1/moving_variance (layers/batch_"},
        {"optimizer/vars/2", "tensor conv1/kernel momentum (optimizer/vars/2) fails its checksum"},
        {"optimizer/vars/53", "tensor fc3/bias velocity (optimizer/vars/53) fails its checksum"},
        {"dtrain/history", "dtrain/history fails its checksum"},
        {"dtrain/options", "dtrain/options fails its checksum"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        save_step(1, path);
        flip_byte(path, place_of(path, cases[i].place));
        assert_load_fails(cases[i].message);
    }
}

/* Puts a number in the place of an attribute of the position; whole as an int64, else as a double. */
static void set_attribute(const char *name, bool whole, double value) {
    const int64_t number = whole ? (value >= 0x1p63 ? INT64_MAX : (int64_t)value) : 0;
    hid_t type = whole ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), group = H5Gopen2(file, "dtrain", H5P_DEFAULT);
    assert_true(H5Adelete(group, name) >= 0);
    hid_t space = H5Screate(H5S_SCALAR), attribute = H5Acreate2(group, name, type, space, 0, 0);
    assert_true(H5Awrite(attribute, type, whole ? (const void *)&number : (const void *)&value) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
    H5Gclose(group);
    H5Fclose(file);
}

static const struct {
    const char *name;
    bool whole;
    double value;
    const char *message; /* NULL: allowed */
} claims[] = {
    {"learning_rate", false, -1, "is -1: it must be a number above 0, up to 1000"},
    {"learning_rate", false, 0, "is 0: "},
    {"learning_rate", false, 1e300, "is 1e+300: "},
    {"learning_rate", false, NAN, "nan: "},
    {"learning_rate", false, INFINITY, "is inf: "},
    {"learning_rate", false, 1000, NULL},
    {"step", true, -1, "is -1: it must be a whole number from 0 to 2147483647000000"},
    {"step", true, 0x1p63, "is 9.223372037e+18: "},
    {"epoch", true, -1, "is -1: it must be a whole number from 0 to 1000000"},
    {"epoch", true, 1000001, "is 1000001: "},
    {"epoch", true, 0x1p63, "is 9.223372037e+18: "},
    {"epoch", true, 1000000, NULL},
    {"batch", true, -7, "is -7: it must be a whole number from 0 to 2147483647"},
    {"batch", true, 0x1p31, "is 2147483648: "},
    {"batch", true, 0x1p32 + 1, "is 4294967297: "},
    {"rewinds", true, -5, "is -5: it must be a whole number from 0 to 3"},
    {"rewinds", true, 4, "is 4: "},
    {"rewinds", true, 3, NULL},
    {"ranks", true, 0, "is 0: it must be a whole number from 1 to 2147483647"},
    {"ranks", true, -1, "is -1: "},
    {"train_samples", true, -1, "is -1: "},
    {"train_samples", true, 75, "dtrain/train_correct is 76, of 75 samples"},
    {"train_samples", true, 76, "dtrain/train_loss is 677299162710013, too much for 76 samples"},
    {"train_correct", true, 78, "is 78, of 77 samples"},
    {"train_correct", true, -1, "is -1: "},
    {"train_loss", true, -1, "is -1: "},
    {"train_loss", true, 0x1p63, "is 9.223372037e+18: "},
    {"train_loss", true, 0x1p60, "is 1152921504606846976, too much for 77 samples"},
    {"best_loss", false, -1, "is -1: it must be a number from 0 to inf"},
    {"best_loss", false, NAN, "nan: "},
    {"best_loss", false, INFINITY, NULL},
    {"epoch", false, 2.5, "dtrain/epoch is not one value of the expected kind"},
    {"width", false, 8.5, "is 8.5: it must be a number above 0, up to 8"},
    {"dropout", false, NAN, "nan: it must be a number from 0 to 0.999"},
};

static void test_claims_are_checked_like_options(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        save_step(3, path);
        set_attribute(claims[i].name, claims[i].whole, claims[i].value);
        contents found = empty_contents(small);
        dt_status status = dt_checkpoint_load(path, &found.parameters, &found.checkpoint);
        const char *expected = claims[i].message;
        if (expected ? status.code != DT_FILE || !strstr(status.text, expected) || !strstr(status.text, path)
                     : dt_failed(&status))
            fail_msg("%s %g: %s", claims[i].name, claims[i].value, status.text);
        release(&found);
    }
}

static void set_moment(const char *place, float value) {
    save_step(3, path);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), dataset = H5Dopen2(file, place, H5P_DEFAULT);
    assert_true(H5Ldelete(file, "dtrain/checksums", H5P_DEFAULT) >= 0);
    hid_t space = H5Dget_space(dataset), one = H5Screate(H5S_SCALAR);
    hsize_t first[4] = {0}, count[4] = {1, 1, 1, 1};
    assert_true(H5Sselect_hyperslab(space, H5S_SELECT_SET, first, NULL, count, NULL) >= 0);
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, one, space, H5P_DEFAULT, &value) >= 0);
    H5Sclose(one);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void test_moments_are_checked(void **state) {
    (void)state;
    set_moment("optimizer/vars/2", NAN);
    assert_load_fails("tensor conv1/kernel momentum (optimizer/vars/2) has the value nan at place 0");
    set_moment("optimizer/vars/53", INFINITY);
    assert_load_fails("tensor fc3/bias velocity (optimizer/vars/53) has the value inf at place 0");
    set_moment("optimizer/vars/53", -1e-20f);
    assert_load_fails(
        "(optimizer/vars/53) has the value -1e-20 at place 0, which must be finite and not below 0");
    set_moment("optimizer/vars/2", -5.0f);
    contents found = empty_contents(small);
    assert_ok(dt_checkpoint_load(path, &found.parameters, &found.checkpoint));
    release(&found);
}

static void test_not_a_checkpoint(void **state) {
    (void)state;
    contents held = full_contents(1);
    assert_load_fails("No such file or directory");
    assert_ok(dt_weights_save(path, &held.network, &held.parameters, held.checkpoint.weights,
                              held.checkpoint.states));
    assert_load_fails("has weights but not the state of a run");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, "dtrain", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    assert_load_fails("has no group \"dtrain\"");
    release(&held);
}

/* What a search passed over, one line each. */
static char passed[4096];

static void note_passed(void *context, const char *where, const char *trouble) {
    assert_ptr_equal(context, passed);
    size_t used = strlen(passed);
    snprintf(passed + used, sizeof passed - used, "%s: %s\n", where, trouble);
}

static void test_other_network_is_refused(void **state) {
    (void)state;
    save_step(1, path);
    contents other = empty_contents((dt_network_config){DT_BN_ROWS, DT_BN_ALL, 0.04, 0.5f});
    assert_fails(dt_checkpoint_load(path, &other.parameters, &other.checkpoint), DT_USAGE,
                 "is whole, but of another shape: --width 0.03 then, 0.04 now. Give the options of then");
    release(&other);
}

/* Nothing is passed over, since nothing is damaged. */
static void test_other_network_ends_the_search(void **state) {
    (void)state;
    char where[DT_CHECKPOINT_PATH];
    bool any;
    dt_checkpoint_name(folder, 10, where);
    save_step(10, where);
    contents other = empty_contents((dt_network_config){DT_BN_CHANNELS, DT_BN_FIRST2, 0.03, 0.5f});
    passed[0] = '\0';
    assert_fails(dt_checkpoint_load_newest(folder, &other.parameters, note_passed, passed, &other.checkpoint,
                                           where, &any),
                 DT_USAGE,
                 "another shape: --bn-axis rows then, channels now; --bn-layers all then, first2 now");
    assert_string_equal(passed, "");
    assert_false(any);
    release(&other);
}

static void test_names(void **state) {
    (void)state;
    char name[DT_CHECKPOINT_PATH];
    dt_checkpoint_name("run", 860, name);
    assert_string_equal(name, "run/step-00000860.weights.h5");
    dt_checkpoint_name("run", 1234567890, name);
    assert_string_equal(name, "run/step-1234567890.weights.h5");
}

static void publish_step(int64_t step, bool best, int keep) {
    char name[DT_CHECKPOINT_PATH];
    dt_checkpoint_name(folder, step, name);
    save_step(step, name);
    assert_ok(dt_checkpoint_publish(folder, name, best, keep));
}

static bool exists(int64_t step) {
    char name[DT_CHECKPOINT_PATH];
    dt_checkpoint_name(folder, step, name);
    return access(name, F_OK) == 0;
}

static void test_publish(void **state) {
    (void)state;
    char target[64] = "";
    publish_step(10, true, 2);
    publish_step(20, false, 2);
    assert_loads(in_folder("last.weights.h5"), 20);
    assert_loads(in_folder("best.weights.h5"), 10);
    assert_true(readlink(in_folder("last.weights.h5"), target, sizeof target) > 0);
    assert_string_equal(target, "step-00000020.weights.h5");
    publish_step(30, false, 2);
    assert_false(exists(10));
    assert_true(exists(20) && exists(30));
    assert_loads(in_folder("best.weights.h5"), 10);
    assert_loads(in_folder("last.weights.h5"), 30);
    publish_step(40, true, 1);
    publish_step(40, true, 1); /* the same once more: best is a link to it already */
    assert_true(exists(40) && !exists(30) && !exists(20));
    assert_loads(in_folder("best.weights.h5"), 40);
    assert_int_equal(count_entries(), 3);
}

/* After going back, the steps beyond belong to another course: they go first. */
static void test_publish_after_going_back(void **state) {
    (void)state;
    publish_step(10, false, 9);
    publish_step(20, false, 9);
    publish_step(30, false, 9);
    publish_step(15, false, 3);
    assert_true(exists(10) && exists(15));
    assert_int_equal(exists(20) + exists(30), 1);
    publish_step(16, false, 3);
    assert_true(exists(10) && exists(15) && exists(16) && !exists(20) && !exists(30));
}

static void make_file(const char *name, int age_seconds) {
    FILE *stream = fopen(in_folder(name), "wb");
    assert_non_null(stream);
    fclose(stream);
    struct timespec times[2] = {{0}, {0}};
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= age_seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
}

static void test_publish_removes_what_the_dead_left(void **state) {
    (void)state;
    char host[65] = "", name[200], mine[200];
    gethostname(host, sizeof host - 1);
    snprintf(mine, sizeof mine, "step-00000001.weights.h5.partial-%s-%ld", host, (long)getpid());
    make_file(mine, 7200);
    /* Above the highest process number of Linux. */
    snprintf(name, sizeof name, "step-00000002.weights.h5.partial-%s-4194305", host);
    make_file(name, 0);
    make_file("step-00000003.weights.h5.partial-elsewhere-1-77", 60);
    make_file("step-00000004.weights.h5.partial-elsewhere-1-77", 7200);
    make_file("my.partial-notes", 7200);
    publish_step(10, false, 1);
    assert_int_equal(access(in_folder(mine), F_OK), 0);
    assert_int_not_equal(access(in_folder(name), F_OK), 0);
    assert_int_equal(access(in_folder("step-00000003.weights.h5.partial-elsewhere-1-77"), F_OK), 0);
    assert_int_not_equal(access(in_folder("step-00000004.weights.h5.partial-elsewhere-1-77"), F_OK), 0);
    assert_int_equal(access(in_folder("my.partial-notes"), F_OK), 0);
}

static void test_publish_names_what_it_cannot_do(void **state) {
    (void)state;
    char name[DT_CHECKPOINT_PATH];
    dt_checkpoint_name(folder, 1, name);
    save_step(1, name);
    assert_int_equal(mkdir(in_folder("last.weights.h5"), 0777), 0);
    assert_fails(dt_checkpoint_publish(folder, name, false, 1), DT_FILE, "last.weights.h5: cannot be made: ");
    assert_int_equal(rmdir(in_folder("last.weights.h5")), 0);
    assert_loads(name, 1);
    assert_int_equal(count_entries(), 1);
}

/* step < 0: none is found. */
static void assert_newest(const char *source, int64_t step) {
    contents found = dirty_contents();
    char where[DT_CHECKPOINT_PATH];
    bool any;
    passed[0] = '\0';
    assert_ok(dt_checkpoint_load_newest(source, &found.parameters, note_passed, passed, &found.checkpoint,
                                        where, &any));
    assert_int_equal(any, step >= 0);
    if (any)
        assert_step(&found, step);
    release(&found);
}

static void test_newest(void **state) {
    (void)state;
    assert_newest(folder, -1);
    assert_newest(in_folder("none"), -1);
    publish_step(10, true, 9);
    publish_step(20, false, 9);
    publish_step(100000000, false, 9);
    assert_newest(folder, 100000000);
    assert_string_equal(passed, "");
    char name[DT_CHECKPOINT_PATH];
    dt_checkpoint_name(folder, 100000000, name);
    flip_byte(name, place_of(name, "layers/dense/vars/0"));
    assert_newest(folder, 20);
    assert_non_null(strstr(passed, "step-100000000.weights.h5"));
    assert_non_null(strstr(passed, "tensor fc1/kernel (layers/dense/vars/0) fails its checksum"));
    dt_checkpoint_name(folder, 20, name);
    assert_int_equal(truncate(name, 1000), 0);
    assert_newest(folder, 10);
    dt_checkpoint_name(folder, 10, name);
    assert_int_equal(unlink(name), 0);
    assert_newest(folder, 10); /* best is still there */
    assert_int_equal(unlink(in_folder("best.weights.h5")), 0);
    assert_newest(folder, -1);
}

static void test_newest_of_a_file(void **state) {
    (void)state;
    publish_step(10, false, 9);
    publish_step(20, false, 9);
    char name[DT_CHECKPOINT_PATH];
    dt_checkpoint_name(folder, 10, name);
    assert_newest(name, 10);
    assert_newest(in_folder("last.weights.h5"), 20);
    contents found = empty_contents(small);
    bool any;
    assert_fails(dt_checkpoint_load_newest(in_folder("none.weights.h5"), &found.parameters, NULL, NULL,
                                           &found.checkpoint, name, &any),
                 DT_FILE, "none.weights.h5: cannot be read: No such file");
    assert_false(any);
    release(&found);
}

/* A run that was killed between a save and its publishing: the file counts. One that went back: it does not.
 */
static void test_newest_follows_the_course(void **state) {
    (void)state;
    char name[DT_CHECKPOINT_PATH];
    publish_step(10, false, 9);
    dt_checkpoint_name(folder, 20, name);
    save_step(20, name);
    assert_newest(folder, 20);
    usleep(20000);
    publish_step(15, false, 9);
    assert_newest(folder, 15);
    usleep(20000);
    dt_checkpoint_name(folder, 17, name);
    save_step(17, name);
    assert_newest(folder, 17);
}

static void copy_file(const char *from, const char *to) {
    char command[2 * DT_CHECKPOINT_PATH + 8];
    snprintf(command, sizeof command, "cp '%s/%s' '%s/%s'", folder, from, folder, to);
    assert_int_equal(system(command), 0);
}

/* A name says what its user likes. */
static void test_newest_follows_the_step_in_the_file(void **state) {
    (void)state;
    publish_step(10, false, 9);
    publish_step(20, false, 9);
    publish_step(30, false, 9);
    copy_file("step-00000010.weights.h5", "step-00000099.weights.h5");
    assert_int_equal(unlink(in_folder("last.weights.h5")), 0);
    assert_newest(folder, 30);
    copy_file("step-00000030.weights.h5", "step-00000001.weights.h5");
    assert_newest(folder, 30);
    assert_int_equal(unlink(in_folder("step-00000030.weights.h5")), 0);
    assert_newest(folder, 30);
    assert_int_equal(dt_checkpoint_step_of(folder, "step-00000099.weights.h5"), 10);
    assert_int_equal(dt_checkpoint_step_of(folder, "step-00000077.weights.h5"), 77);
    assert_int_equal(dt_checkpoint_step_of(folder, "notes"), -1);
    copy_file("step-00000001.weights.h5", "last.weights.h5");
    assert_int_equal(unlink(in_folder("step-00000001.weights.h5")), 0);
    assert_newest(folder, 30); /* last as a file of its own, above 20 */
    publish_step(40, false, 2);
    assert_true(exists(40) && exists(20) && !exists(99) && !exists(10));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_weights_of_a_checkpoint),
        TEST(test_peek),
        TEST(test_no_best_yet_and_no_texts),
        TEST(test_long_texts),
        TEST(test_adam_is_where_keras_looks),
        TEST(test_damaged_tensor_is_named),
        TEST(test_claims_are_checked_like_options),
        TEST(test_moments_are_checked),
        TEST(test_not_a_checkpoint),
        TEST(test_other_network_is_refused),
        TEST(test_other_network_ends_the_search),
        TEST(test_names),
        TEST(test_publish),
        TEST(test_publish_after_going_back),
        TEST(test_publish_removes_what_the_dead_left),
        TEST(test_publish_names_what_it_cannot_do),
        TEST(test_newest),
        TEST(test_newest_of_a_file),
        TEST(test_newest_follows_the_course),
        TEST(test_newest_follows_the_step_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
