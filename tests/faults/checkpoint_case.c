/* SPDX-License-Identifier: BSD-3-Clause */
/* checkpoint_case save FOLDER STEP WIDTH: saves and publishes the checkpoint of a step, best too when the
 * step is even, two kept. Prints what failed; exit code 4 when the save did, 0 when only the publishing.
 * checkpoint_case newest FOLDER WIDTH: loads the newest that is whole, checks that it holds exactly what its
 * step says, and prints the step; exit code 1 when there is none, 3 when the values are wrong.
 * checkpoint_case file FILE WIDTH: loads one file; the same codes, and 4 with a message when it is refused.
 * checkpoint_case claim FILE NAME VALUE: puts a number in the place of an attribute of the position.
 * checkpoint_case strip FILE PLACE: removes a group, "dtrain" for what Keras would not have written.
 *
 * The values of a step are a function of the step. */
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/checkpoint.h"

static dt_network network;
static dt_parameters parameters;
static dt_checkpoint checkpoint;

static float *take(size_t floats) {
    float *slab = calloc(floats + 1, sizeof(float));
    if (!slab)
        exit(5);
    return slab;
}

static void set_up(double width) {
    network = dt_network_build((dt_network_config){DT_BN_ROWS, DT_BN_ALL, width, 0.5f});
    parameters = dt_parameters_layout(&network);
    checkpoint.weights = take(parameters.floats);
    checkpoint.m = take(parameters.floats);
    checkpoint.v = take(parameters.floats);
    checkpoint.states = take(parameters.state_floats);
}

static void tear_down(void) {
    free(checkpoint.weights);
    free(checkpoint.m);
    free(checkpoint.v);
    free(checkpoint.states);
    free(checkpoint.options);
    free(checkpoint.history);
}

static float value_of(long step, int slab, size_t index) {
    return (float)(step * 10 + slab) + (float)(index % 8191) * 0x1p-14f;
}

/* Sets the values of a tensor, or counts those that are wrong. */
static long visit(const dt_tensor *tensor, float *slab, long step, int number, bool set) {
    long wrong = 0;
    for (size_t k = 0; k < tensor->count; k++) {
        float value = value_of(step, number, tensor->offset + k);
        if (set)
            slab[tensor->offset + k] = value;
        else
            wrong += slab[tensor->offset + k] != value;
    }
    return wrong;
}

static long visit_all(long step, bool set) {
    long wrong = 0;
    for (int i = 0; i < parameters.count; i++) {
        wrong += visit(&parameters.tensors[i], checkpoint.weights, step, 1, set);
        wrong += visit(&parameters.tensors[i], checkpoint.m, step, 2, set);
        wrong += visit(&parameters.tensors[i], checkpoint.v, step, 3, set);
    }
    for (int i = 0; i < parameters.state_count; i++)
        wrong += visit(&parameters.states[i], checkpoint.states, step, 4, set);
    return wrong;
}

static int save(const char *folder, long step) {
    char path[DT_CHECKPOINT_PATH];
    visit_all(step, true);
    checkpoint.position =
        (dt_checkpoint_position){.step = step, .epoch = (int)step, .learning_rate = 0.001, .ranks = 1};
    checkpoint.options = strdup("{\"seed\":1}");
    checkpoint.history = strdup("[{\"epoch\":1,\"loss\":0.5}]");
    dt_checkpoint_name(folder, step, path);
    dt_status status = dt_checkpoint_save(path, &network, &parameters, &checkpoint, NULL);
    if (dt_failed(&status)) {
        printf("not saved: %s\n", status.text);
        return 4;
    }
    status = dt_checkpoint_publish(folder, path, step % 2 == 0, 2);
    if (dt_failed(&status))
        printf("not published: %s\n", status.text);
    return 0;
}

static int judge(void) {
    long step = (long)checkpoint.position.step, wrong = visit_all(step, false);
    if (checkpoint.position.epoch != (int)step || wrong != 0 ||
        strcmp(checkpoint.options, "{\"seed\":1}") != 0) {
        printf("step %ld: %ld values are wrong\n", step, wrong);
        return 3;
    }
    printf("%ld\n", step);
    return 0;
}

static void tell(void *context, const char *path, const char *trouble) {
    (void)context;
    fprintf(stderr, "passed over %s: %s\n", path, trouble);
}

static int load(const char *source) {
    char path[DT_CHECKPOINT_PATH];
    bool found;
    dt_status status = dt_checkpoint_load_newest(source, &parameters, tell, NULL, &checkpoint, path, &found);
    if (dt_failed(&status)) {
        fprintf(stderr, "%s\n", status.text);
        return 4;
    }
    return found ? judge() : 1;
}

/* As a whole number when the text is one. */
static int claim(const char *path, const char *name, const char *text) {
    const double value = atof(text);
    const int64_t number = atoll(text);
    bool whole = !text[strspn(text, "-0123456789")];
    hid_t type = whole ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, space = H5Screate(H5S_SCALAR);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), group = H5Gopen2(file, "dtrain", H5P_DEFAULT);
    H5Adelete(group, name);
    hid_t attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t done = H5Awrite(attribute, type, whole ? (const void *)&number : (const void *)&value);
    H5Aclose(attribute);
    H5Gclose(group);
    H5Sclose(space);
    return H5Fclose(file) < 0 || done < 0;
}

static int strip(const char *path, const char *place) {
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    herr_t done = H5Ldelete(file, place, H5P_DEFAULT);
    return H5Fclose(file) < 0 || done < 0;
}

int main(int count, char **arguments) {
    if (count == 5 && strcmp(arguments[1], "claim") == 0)
        return claim(arguments[2], arguments[3], arguments[4]);
    if (count == 4 && strcmp(arguments[1], "strip") == 0)
        return strip(arguments[2], arguments[3]);
    bool saves = count == 5 && strcmp(arguments[1], "save") == 0;
    if (!saves &&
        (count != 4 || (strcmp(arguments[1], "newest") != 0 && strcmp(arguments[1], "file") != 0))) {
        fprintf(stderr,
                "usage: checkpoint_case save FOLDER STEP WIDTH | newest FOLDER WIDTH | file FILE WIDTH\n");
        return 2;
    }
    set_up(atof(arguments[count - 1]));
    int code = saves ? save(arguments[2], atol(arguments[3])) : load(arguments[2]);
    fflush(stdout);
    tear_down();
    return code;
}
