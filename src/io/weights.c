/* SPDX-License-Identifier: BSD-3-Clause */
/* The layout of a weights file: where each tensor of the table stands, and the options of the network. */
#include "dtrain/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dtrain/version.h"
#include "io/library.h"
#include "io/replacement.h"

/* Rises when a reader of the old number would misread the file. */
enum { FORMAT_VERSION = 1 };

/* No network wider than this fits a machine; a damaged file may ask for anything. */
static const double width_limit = 64.0;

static const char options_group[] = "dtrain";
static const char *const axis_names[] = {[DT_BN_ROWS] = "rows", [DT_BN_CHANNELS] = "channels"};
static const char *const bn_layers_names[] = {
    [DT_BN_ALL] = "all", [DT_BN_FIRST2] = "first2", [DT_BN_NONE] = "none"};

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* Keras names an unnamed layer after its class, and counts the layers of a class. */
static const char *const class_names[] = {
    [DT_LAYER_CONV] = "conv2d", [DT_LAYER_NORM] = "batch_normalization", [DT_LAYER_DENSE] = "dense"};

/* A variable's number within its layer: in the order of creation, learnt ones first. */
static const int variable_numbers[] = {
    [DT_TENSOR_KERNEL] = 0, [DT_TENSOR_BIAS] = 1,        [DT_TENSOR_GAMMA] = 0,
    [DT_TENSOR_BETA] = 1,   [DT_TENSOR_MOVING_MEAN] = 2, [DT_TENSOR_MOVING_VARIANCE] = 3,
};

enum { PLACE_BYTES = 80, SHAPE_BYTES = 160, WHAT_BYTES = 160 };

/* The table knows layers by number; their kind shows in the kernel's rank. */
static dt_layer_kind layer_kind(const dt_parameters *parameters, int layer) {
    int kernel = dt_parameters_find(parameters, layer, DT_TENSOR_KERNEL);
    if (kernel < 0)
        return DT_LAYER_NORM;
    return parameters->tensors[kernel].rank == 4 ? DT_LAYER_CONV : DT_LAYER_DENSE;
}

/* Layers of a kind in front of `layer`. */
static int count_before(const dt_parameters *parameters, dt_layer_kind kind, int layer) {
    int count = 0;
    for (int i = 0; i < layer; i++)
        count += layer_kind(parameters, i) == kind;
    return count;
}

/* "layers/conv2d_1": layer number `number`, from 0, of a kind. */
static void layer_place(dt_layer_kind kind, int number, char *place) {
    int length = snprintf(place, PLACE_BYTES, "layers/%s", class_names[kind]);
    if (number > 0)
        snprintf(place + length, (size_t)(PLACE_BYTES - length), "_%d", number);
}

/* "layers/conv2d_1/vars/0". */
static void tensor_place(const dt_parameters *parameters, const dt_tensor *tensor, char *place) {
    dt_layer_kind kind = layer_kind(parameters, tensor->layer);
    layer_place(kind, count_before(parameters, kind, tensor->layer), place);
    size_t length = strlen(place);
    snprintf(place + length, PLACE_BYTES - length, "/vars/%d", variable_numbers[tensor->role]);
}

/* An open file, and the name that messages call it by. */
typedef struct weights_file {
    const char *path;
    hid_t handle;
} weights_file;

/* How datasets are created: with the groups above them, and without the time of day, so that equal weights
 * make equal files. */
typedef struct creation_properties {
    hid_t link, dataset;
} creation_properties;

static dt_status tensor_failure(const weights_file *file, const dt_tensor *tensor, const char *place,
                                const char *trouble) {
    char what[WHAT_BYTES];
    snprintf(what, sizeof what, "tensor %s (%s) %s", tensor->name, place, trouble);
    return dt_library_failure(file->path, what);
}

static dt_status write_tensor(const weights_file *file, const creation_properties *creation,
                              const dt_tensor *tensor, const char *place, const float *values) {
    hsize_t dims[COUNT(tensor->dims)];
    for (int i = 0; i < tensor->rank; i++)
        dims[i] = (hsize_t)tensor->dims[i];
    dt_status status = dt_ok();
    hid_t dataset = H5I_INVALID_HID, space = H5Screate_simple(tensor->rank, dims, NULL);
    if (space >= 0)
        dataset = H5Dcreate2(file->handle, place, H5T_IEEE_F32LE, space, creation->link, creation->dataset,
                             H5P_DEFAULT);
    if (dataset < 0 || H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        status = tensor_failure(file, tensor, place, "cannot be written");
    dt_library_close(dataset, H5Dclose, file->path, &status);
    dt_library_close(space, H5Sclose, file->path, &status);
    return status;
}

static dt_status write_table(const weights_file *file, const creation_properties *creation,
                             const dt_parameters *parameters, const dt_tensor *tensors, int count,
                             const float *slab) {
    for (int i = 0; i < count; i++) {
        char place[PLACE_BYTES];
        tensor_place(parameters, &tensors[i], place);
        DT_TRY(write_tensor(file, creation, &tensors[i], place, slab + tensors[i].offset));
    }
    return dt_ok();
}

static dt_status write_tensors(const weights_file *file, const dt_parameters *parameters,
                               const float *weights, const float *states) {
    dt_status status = dt_ok();
    creation_properties creation = {H5Pcreate(H5P_LINK_CREATE), H5Pcreate(H5P_DATASET_CREATE)};
    if (creation.link < 0 || creation.dataset < 0 || H5Pset_create_intermediate_group(creation.link, 1) < 0 ||
        H5Pset_obj_track_times(creation.dataset, false) < 0)
        status = dt_library_failure(file->path, "cannot be written");
    if (!dt_failed(&status))
        status = write_table(file, &creation, parameters, parameters->tensors, parameters->count, weights);
    if (!dt_failed(&status))
        status =
            write_table(file, &creation, parameters, parameters->states, parameters->state_count, states);
    dt_library_close(creation.link, H5Pclose, file->path, &status);
    dt_library_close(creation.dataset, H5Pclose, file->path, &status);
    return status;
}

/* An attribute of the options' group: one value of `type`. */
static dt_status write_attribute(const weights_file *file, hid_t group, const char *name, hid_t type,
                                 const void *value) {
    dt_status status = dt_ok();
    hid_t attribute = H5I_INVALID_HID, space = H5Screate(H5S_SCALAR);
    if (space >= 0)
        attribute = H5Acreate2(group, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0)
        status = dt_library_failure(file->path, "an option of the network cannot be written");
    dt_library_close(attribute, H5Aclose, file->path, &status);
    dt_library_close(space, H5Sclose, file->path, &status);
    return status;
}

/* A type for texts of at most `bytes` bytes, the ending 0 included; H5I_INVALID_HID when it fails. */
static hid_t text_type(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, bytes) < 0) {
        (void)H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

static dt_status write_text(const weights_file *file, hid_t group, const char *name, const char *text) {
    hid_t type = text_type(strlen(text) + 1);
    if (type < 0)
        return dt_library_failure(file->path, "an option of the network cannot be written");
    dt_status status = write_attribute(file, group, name, type, text);
    dt_library_close(type, H5Tclose, file->path, &status);
    return status;
}

static dt_status write_attributes(const weights_file *file, hid_t group, const dt_network_config *config) {
    const int format = FORMAT_VERSION;
    DT_TRY(write_attribute(file, group, "format_version", H5T_NATIVE_INT, &format));
    DT_TRY(write_text(file, group, "program", dt_version_text()));
    DT_TRY(write_text(file, group, "bn_axis", axis_names[config->bn_axis]));
    DT_TRY(write_text(file, group, "bn_layers", bn_layers_names[config->bn_layers]));
    DT_TRY(write_attribute(file, group, "width", H5T_NATIVE_DOUBLE, &config->width));
    return write_attribute(file, group, "dropout", H5T_NATIVE_FLOAT, &config->dropout);
}

static dt_status write_options(const weights_file *file, const dt_network_config *config) {
    hid_t group = H5Gcreate2(file->handle, options_group, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return dt_library_failure(file->path, "the group of options cannot be written");
    dt_status status = write_attributes(file, group, config);
    dt_library_close(group, H5Gclose, file->path, &status);
    return status;
}

/* The variables of the model itself, which has none: Keras before 3.6 refuses a file without their group. */
static dt_status write_model_group(const weights_file *file) {
    hid_t group = H5Gcreate2(file->handle, "vars", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return dt_library_failure(file->path, "the group of the model cannot be written");
    dt_status status = dt_ok();
    dt_library_close(group, H5Gclose, file->path, &status);
    return status;
}

static dt_status fill_file(const weights_file *file, const dt_network *network,
                           const dt_parameters *parameters, const float *weights, const float *states) {
    DT_TRY(write_options(file, &network->config));
    DT_TRY(write_model_group(file));
    return write_tensors(file, parameters, weights, states);
}

static dt_status write_image(const weights_file *file, dt_replacement *replacement) {
    const void *image;
    size_t bytes;
    DT_TRY(dt_library_image(file->handle, file->path, &image, &bytes));
    return dt_replacement_write(replacement, image, bytes);
}

static dt_status write_file(dt_replacement *replacement, const dt_network *network,
                            const dt_parameters *parameters, const float *weights, const float *states) {
    weights_file file = {.path = replacement->path};
    DT_TRY(dt_library_create(replacement->temporary, file.path, &file.handle));
    dt_status status = fill_file(&file, network, parameters, weights, states);
    if (!dt_failed(&status))
        status = write_image(&file, replacement);
    dt_library_close(file.handle, H5Fclose, file.path, &status);
    return status;
}

dt_status dt_weights_save(const char *path, const dt_network *network, const dt_parameters *parameters,
                          const float *weights, const float *states) {
    dt_replacement replacement;
    DT_TRY(dt_replacement_begin(path, &replacement));
    dt_library_voice voice = dt_library_silence();
    dt_status status = write_file(&replacement, network, parameters, weights, states);
    dt_library_restore(voice);
    if (!dt_failed(&status))
        return dt_replacement_commit(&replacement);
    dt_replacement_discard(&replacement);
    return status;
}

/* Reads an attribute whose stored type is of this class, as `type`. */
static dt_status read_attribute(const weights_file *file, hid_t group, const char *name, H5T_class_t class,
                                hid_t type, void *value) {
    char what[WHAT_BYTES];
    snprintf(what, sizeof what, "the attribute %s/%s", options_group, name);
    hid_t attribute = H5Aopen(group, name, H5P_DEFAULT);
    if (attribute < 0)
        return dt_library_failure(file->path, what);
    dt_status status = dt_ok();
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    bool known = stored >= 0 && space >= 0;
    if (known && (H5Tget_class(stored) != class || H5Tis_variable_str(stored) > 0 ||
                  H5Sget_simple_extent_npoints(space) != 1))
        status = dt_fail(DT_FILE, "%s: %s is not one value of the expected kind", file->path, what);
    else if (!known || H5Aread(attribute, type, value) < 0)
        status = dt_library_failure(file->path, what);
    dt_library_close(space, H5Sclose, file->path, &status);
    dt_library_close(stored, H5Tclose, file->path, &status);
    dt_library_close(attribute, H5Aclose, file->path, &status);
    return status;
}

/* The index of the attribute's text among `names`. */
static dt_status read_choice(const weights_file *file, hid_t group, const char *name,
                             const char *const *names, int count, int *choice) {
    char text[32] = "";
    hid_t type = text_type(sizeof text);
    if (type < 0)
        return dt_library_failure(file->path, "the options of the network cannot be read");
    dt_status status = read_attribute(file, group, name, H5T_STRING, type, text);
    dt_library_close(type, H5Tclose, file->path, &status);
    if (dt_failed(&status))
        return status;
    for (*choice = 0; *choice < count; ++*choice)
        if (strcmp(names[*choice], text) == 0)
            return dt_ok();
    return dt_fail(DT_FILE, "%s: the attribute %s/%s is \"%s\", which this program does not know", file->path,
                   options_group, name, text);
}

static dt_status check_options(const weights_file *file, const dt_network_config *config) {
    if (!(config->width > 0.0 && config->width <= width_limit))
        return dt_fail(DT_FILE, "%s: the attribute %s/width is %g: it must be above 0 and at most %g",
                       file->path, options_group, config->width, width_limit);
    if (!(config->dropout >= 0.0f && config->dropout < 1.0f))
        return dt_fail(DT_FILE, "%s: the attribute %s/dropout is %g: it must be at least 0 and below 1",
                       file->path, options_group, (double)config->dropout);
    return dt_ok();
}

static dt_status read_attributes(const weights_file *file, hid_t group, dt_network_config *config) {
    int format = 0, axis = 0, layers = 0;
    DT_TRY(read_attribute(file, group, "format_version", H5T_INTEGER, H5T_NATIVE_INT, &format));
    if (format != FORMAT_VERSION)
        return dt_fail(DT_FILE, "%s: has format %d; this program reads format %d", file->path, format,
                       FORMAT_VERSION);
    DT_TRY(read_choice(file, group, "bn_axis", axis_names, COUNT(axis_names), &axis));
    DT_TRY(read_choice(file, group, "bn_layers", bn_layers_names, COUNT(bn_layers_names), &layers));
    DT_TRY(read_attribute(file, group, "width", H5T_FLOAT, H5T_NATIVE_DOUBLE, &config->width));
    DT_TRY(read_attribute(file, group, "dropout", H5T_FLOAT, H5T_NATIVE_FLOAT, &config->dropout));
    config->bn_axis = (dt_bn_axis)axis;
    config->bn_layers = (dt_bn_layers)layers;
    return check_options(file, config);
}

static dt_status read_options(const weights_file *file, dt_network_config *config) {
    if (H5Lexists(file->handle, options_group, H5P_DEFAULT) == 0)
        return dt_fail(DT_FILE, "%s: has no group \"%s\": dtrain did not write this file", file->path,
                       options_group);
    hid_t group = H5Gopen2(file->handle, options_group, H5P_DEFAULT);
    if (group < 0)
        return dt_library_failure(file->path, "the options of the network cannot be read");
    dt_status status = read_attributes(file, group, config);
    dt_library_close(group, H5Gclose, file->path, &status);
    return status;
}

dt_status dt_weights_network(const char *path, dt_network_config *config) {
    weights_file file = {.path = path};
    *config = (dt_network_config){0};
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file.handle);
    if (!dt_failed(&status)) {
        status = read_options(&file, config);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    return status;
}

/* "(11, 11, 1, 64)". */
static void describe_shape(int rank, const hsize_t *dims, char *text) {
    int length = snprintf(text, SHAPE_BYTES, "(");
    for (int i = 0; i < rank && length < SHAPE_BYTES; i++)
        length += snprintf(text + length, (size_t)(SHAPE_BYTES - length), i ? ", %llu" : "%llu",
                           (unsigned long long)dims[i]);
    if (length < SHAPE_BYTES)
        snprintf(text + length, (size_t)(SHAPE_BYTES - length), ")");
}

static dt_status check_shape(const weights_file *file, const dt_tensor *tensor, const char *place,
                             hid_t space) {
    hsize_t dims[COUNT(tensor->dims)], found[H5S_MAX_RANK];
    for (int i = 0; i < tensor->rank; i++)
        dims[i] = (hsize_t)tensor->dims[i];
    int rank = H5Sget_simple_extent_dims(space, found, NULL);
    if (rank < 0)
        return tensor_failure(file, tensor, place, "has no shape");
    if (rank == tensor->rank && memcmp(dims, found, sizeof dims[0] * (size_t)rank) == 0)
        return dt_ok();
    char expected_text[SHAPE_BYTES], found_text[SHAPE_BYTES];
    describe_shape(tensor->rank, dims, expected_text);
    describe_shape(rank, found, found_text);
    return dt_fail(DT_FILE, "%s: tensor %s (%s) has shape %s in the file and %s in the network", file->path,
                   tensor->name, place, found_text, expected_text);
}

static dt_status read_dataset(const weights_file *file, const dt_tensor *tensor, const char *place,
                              hid_t dataset, float *values) {
    dt_status status = dt_ok();
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    if (type < 0 || space < 0)
        status = tensor_failure(file, tensor, place, "cannot be read");
    else if (H5Tget_class(type) != H5T_FLOAT)
        status = dt_fail(DT_FILE, "%s: tensor %s (%s) does not hold floating-point numbers", file->path,
                         tensor->name, place);
    else
        status = check_shape(file, tensor, place, space);
    if (!dt_failed(&status) && H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        status = tensor_failure(file, tensor, place, "cannot be read");
    dt_library_close(space, H5Sclose, file->path, &status);
    dt_library_close(type, H5Tclose, file->path, &status);
    return status;
}

static dt_status read_tensor(const weights_file *file, const dt_tensor *tensor, const char *place,
                             float *values) {
    hid_t dataset = H5Dopen2(file->handle, place, H5P_DEFAULT);
    if (dataset < 0)
        return tensor_failure(file, tensor, place, "is missing");
    dt_status status = read_dataset(file, tensor, place, dataset, values);
    dt_library_close(dataset, H5Dclose, file->path, &status);
    return status;
}

static dt_status read_table(const weights_file *file, const dt_parameters *parameters,
                            const dt_tensor *tensors, int count, float *slab) {
    for (int i = 0; i < count; i++) {
        char place[PLACE_BYTES];
        tensor_place(parameters, &tensors[i], place);
        DT_TRY(read_tensor(file, &tensors[i], place, slab + tensors[i].offset));
    }
    return dt_ok();
}

/* A file with more layers than the network would fit in silence and mean another network. */
static dt_status check_no_more_layers(const weights_file *file, const dt_parameters *parameters) {
    int layers = parameters->tensors[parameters->count - 1].layer + 1;
    for (int kind = 0; kind < COUNT(class_names); kind++) {
        char place[PLACE_BYTES];
        layer_place((dt_layer_kind)kind, count_before(parameters, (dt_layer_kind)kind, layers), place);
        if (H5Lexists(file->handle, place, H5P_DEFAULT) > 0)
            return dt_fail(DT_FILE, "%s: has the layer %s, which the network has not", file->path, place);
    }
    return dt_ok();
}

static dt_status read_tensors(const weights_file *file, const dt_parameters *parameters, float *weights,
                              float *states) {
    DT_TRY(read_table(file, parameters, parameters->tensors, parameters->count, weights));
    DT_TRY(read_table(file, parameters, parameters->states, parameters->state_count, states));
    return check_no_more_layers(file, parameters);
}

dt_status dt_weights_load(const char *path, const dt_parameters *parameters, float *weights, float *states) {
    weights_file file = {.path = path};
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file.handle);
    if (!dt_failed(&status)) {
        status = read_tensors(&file, parameters, weights, states);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    return status;
}
