/* SPDX-License-Identifier: BSD-3-Clause */
/* The formats, and the first of them, the whole-model form of an HDF5 file: attributes model_config and
 * training_config in JSON, groups model_weights and optimizer_weights, in which attributes list the names of
 * the datasets in the order in which Keras takes them. */
#include "dtrain/export.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dtrain/checkpoint.h"
#include "dtrain/limits.h"
#include "dtrain/memory.h"
#include "dtrain/weights.h"
#include "io/attributes.h"
#include "io/header.h"
#include "io/image.h"
#include "io/layout.h"

/* The form has not changed since; readers use it to mend older files. */
static const char keras_version[] = "3.0.0";

enum { NAME_BYTES = 2 * DT_PLACE_BYTES };

/* A model under export. */
typedef struct model {
    dt_network network;
    dt_parameters parameters;
    dt_slab memory;
    float *weights, *states; /* in it */
    double learning_rate, beta1, beta2, epsilon;
} model;

/* An entry of the configuration's list of layers. Takes over `settings`. */
static json_t *layer_config(const char *class_name, const char *name, json_t *settings) {
    if (settings && json_object_set_new(settings, "name", json_string(name)) != 0) {
        json_decref(settings);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "class_name", class_name, "config", settings);
}

/* A list of layers in the making; numbers of the classes that have no tensors. */
typedef struct layer_list {
    json_t *layers;
    int pools, dropouts, counts[3];
    bool failed;
} layer_list;

static void append(layer_list *list, const char *class_name, const char *name, json_t *settings) {
    if (json_array_append_new(list->layers, layer_config(class_name, name, settings)) != 0)
        list->failed = true;
}

/* "dropout", "dropout_1", .. */
static void append_numbered(layer_list *list, const char *class_name, const char *stem, int number,
                            json_t *settings) {
    char name[DT_PLACE_BYTES];
    snprintf(name, sizeof name, number > 0 ? "%s_%d" : "%s", stem, number);
    append(list, class_name, name, settings);
}

static void append_conv(layer_list *list, const dt_layer_spec *layer, const char *name) {
    append(list, "Conv2D", name,
           json_pack("{s:i, s:[ii], s:[ii], s:s, s:s, s:s, s:b}", "filters", layer->out.channels,
                     "kernel_size", layer->kernel, layer->kernel, "strides", 1, 1, "padding", "same",
                     "data_format", "channels_last", "activation", "relu", "use_bias", 1));
    if (layer->pool)
        append_numbered(list, "AveragePooling2D", "average_pooling2d", list->pools++,
                        json_pack("{s:[ii], s:[ii], s:s, s:s}", "pool_size", 2, 2, "strides", 2, 2, "padding",
                                  "valid", "data_format", "channels_last"));
}

static void append_norm(layer_list *list, const dt_layer_spec *layer, const char *name) {
    append(list, "BatchNormalization", name,
           json_pack("{s:i, s:f, s:f, s:b, s:b}", "axis", layer->by_rows ? 1 : -1, "momentum",
                     DT_NORM_MOMENTUM, "epsilon", 1e-3, "center", 1, "scale", 1));
}

static void append_dense(layer_list *list, const dt_layer_spec *layer, const char *name, bool first) {
    if (first)
        append(list, "Flatten", "flatten", json_pack("{s:s}", "data_format", "channels_last"));
    append(list, "Dense", name,
           json_pack("{s:i, s:s, s:b}", "units", layer->out.channels, "activation",
                     layer->relu ? "relu" : "softmax", "use_bias", 1));
    if (layer->relu)
        append_numbered(list, "Dropout", "dropout", list->dropouts++,
                        json_pack("{s:f}", "rate", (double)layer->dropout));
}

static void append_layer(layer_list *list, const dt_layer_spec *layer) {
    char name[DT_PLACE_BYTES];
    int number = list->counts[layer->kind]++;
    dt_layout_layer_name(layer->kind, number, name);
    if (layer->kind == DT_LAYER_CONV)
        append_conv(list, layer, name);
    else if (layer->kind == DT_LAYER_NORM)
        append_norm(list, layer, name);
    else
        append_dense(list, layer, name, number == 0);
}

/* NULL: no memory. */
static json_t *model_config(const dt_network *network) {
    layer_list list = {.layers = json_array()};
    append(&list, "InputLayer", "input_layer",
           json_pack("{s:[niii], s:s}", "batch_shape", 28, 28, 1, "dtype", "float32"));
    for (int i = 0; i < network->count; i++)
        append_layer(&list, &network->layers[i]);
    json_t *config = json_pack("{s:s, s:{s:s, s:o}}", "class_name", "Sequential", "config", "name", "dtrain",
                               "layers", list.layers);
    if (config && list.failed) {
        json_decref(config);
        return NULL;
    }
    return config;
}

/* The number that the run's options have under a name. */
static dt_status read_option(const char *in, const json_t *options, const char *name, dt_limits limits,
                             double *number) {
    const json_t *value = json_object_get(options, name);
    char allowed[96];
    if (!json_is_number(value))
        return dt_ok();
    *number = json_number_value(value);
    if (dt_limits_hold(limits, *number))
        return dt_ok();
    return dt_fail(DT_FILE, "%s: its --%s is %.10g: it must be %s", in, name, *number,
                   dt_limits_describe(limits, false, allowed, sizeof allowed));
}

static dt_status read_adam(const char *in, const char *text, model *held) {
    static const dt_limits beta = DT_LIMITS_BETA, epsilon = DT_LIMITS_EPSILON;
    json_t *options = json_loads(text, 0, NULL);
    dt_status status = read_option(in, options, "beta1", beta, &held->beta1);
    if (!dt_failed(&status))
        status = read_option(in, options, "beta2", beta, &held->beta2);
    if (!dt_failed(&status))
        status = read_option(in, options, "eps", epsilon, &held->epsilon);
    json_decref(options);
    return status;
}

static json_t *training_config(const model *held) {
    return json_pack("{s:s, s:n, s:[s], s:n, s:{s:s, s:{s:s, s:f, s:f, s:f, s:f, s:b}}}", "loss",
                     "categorical_crossentropy", "loss_weights", "metrics", "accuracy", "weighted_metrics",
                     "optimizer_config", "class_name", "Adam", "config", "name", "adam", "learning_rate",
                     held->learning_rate, "beta_1", held->beta1, "beta_2", held->beta2, "epsilon",
                     held->epsilon, "amsgrad", 0);
}

/* Takes over `value`. */
static dt_status write_json(const dt_group *group, const char *name, json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (!text)
        return dt_fail(DT_MEMORY, "no memory to write %s", group->path);
    dt_status status = dt_attribute_write_text(group, name, text);
    free(text);
    return status;
}

/* A list of names as one attribute. */
static dt_status write_names(const dt_group *group, const char *attribute_name, int count,
                             char names[][NAME_BYTES]) {
    hsize_t dims[1] = {(hsize_t)count};
    dt_status status = dt_ok();
    hid_t attribute = H5I_INVALID_HID, type = dt_attribute_text_type(NAME_BYTES),
          space = H5Screate_simple(1, dims, NULL);
    if (type >= 0 && space >= 0)
        attribute = H5Acreate2(group->handle, attribute_name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, names) < 0)
        status = dt_library_failure(group->path, attribute_name);
    dt_library_close(attribute, H5Aclose, group->path, &status);
    dt_library_close(space, H5Sclose, group->path, &status);
    dt_library_close(type, H5Tclose, group->path, &status);
    return status;
}

static dt_status open_group(const dt_image *image, const char *name, dt_group *group) {
    *group = (dt_group){image->file.path, name, H5Gopen2(image->file.handle, name, H5P_DEFAULT)};
    return group->handle < 0 ? dt_library_failure(image->file.path, name) : dt_ok();
}

static dt_status write_root(const dt_image *image, const model *held) {
    dt_group root;
    DT_TRY(open_group(image, "/", &root));
    dt_status status;
    DT_TRY_CLEANUP(status, dt_attribute_write_text(&root, "keras_version", keras_version));
    DT_TRY_CLEANUP(status, dt_attribute_write_text(&root, "backend", "tensorflow"));
    DT_TRY_CLEANUP(status, write_json(&root, "model_config", model_config(&held->network)));
    DT_TRY_CLEANUP(status, write_json(&root, "training_config", training_config(held)));
cleanup:
    dt_library_close(root.handle, H5Gclose, root.path, &status);
    return status;
}

/* "kernel" of "conv1/kernel". */
static const char *variable_name(const dt_tensor *tensor) {
    return strrchr(tensor->name, '/') + 1;
}

static dt_status add_tensor(dt_image *image, const dt_tensor *tensor, const char *group, const char *name,
                            const float *slab) {
    char place[NAME_BYTES + DT_PLACE_BYTES + 1];
    hsize_t dims[4];
    for (int i = 0; i < tensor->rank; i++)
        dims[i] = (hsize_t)tensor->dims[i];
    snprintf(place, sizeof place, "%s/%s", group, name);
    return dt_image_add(image, place, H5T_NATIVE_FLOAT, tensor->rank, dims, slab + tensor->offset);
}

/* The layer's tensors of one table, appended to its names. */
static dt_status add_layer_tensors(dt_image *image, const dt_tensor *tensors, int count, int layer,
                                   const float *slab, const char *layer_name, int *names_count,
                                   char names[][NAME_BYTES]) {
    char group[NAME_BYTES];
    snprintf(group, sizeof group, "model_weights/%.100s", layer_name);
    for (int i = 0; i < count; i++) {
        if (tensors[i].layer != layer)
            continue;
        char *name = names[(*names_count)++];
        snprintf(name, NAME_BYTES, "%s/%s", layer_name, variable_name(&tensors[i]));
        DT_TRY(add_tensor(image, &tensors[i], group, name, slab));
    }
    return dt_ok();
}

/* Keras' order: what is learnt, then what is not. */
static dt_status add_layer(dt_image *image, const model *held, int layer, const char *layer_name) {
    const dt_parameters *parameters = &held->parameters;
    char names[4][NAME_BYTES] = {{0}}, place[NAME_BYTES];
    int count = 0;
    DT_TRY(add_layer_tensors(image, parameters->tensors, parameters->count, layer, held->weights, layer_name,
                             &count, names));
    DT_TRY(add_layer_tensors(image, parameters->states, parameters->state_count, layer, held->states,
                             layer_name, &count, names));
    dt_group group;
    snprintf(place, sizeof place, "model_weights/%.100s", layer_name);
    DT_TRY(open_group(image, place, &group));
    dt_status status = write_names(&group, "weight_names", count, names);
    dt_library_close(group.handle, H5Gclose, group.path, &status);
    return status;
}

static dt_status write_layer_names(const dt_image *image, int count, char names[][NAME_BYTES]) {
    dt_group group;
    DT_TRY(open_group(image, "model_weights", &group));
    dt_status status;
    DT_TRY_CLEANUP(status, write_names(&group, "layer_names", count, names));
    DT_TRY_CLEANUP(status, dt_attribute_write_text(&group, "keras_version", keras_version));
    DT_TRY_CLEANUP(status, dt_attribute_write_text(&group, "backend", "tensorflow"));
cleanup:
    dt_library_close(group.handle, H5Gclose, group.path, &status);
    return status;
}

/* Layers without tensors need not be listed. */
static dt_status write_weights(dt_image *image, const model *held) {
    char names[DT_MAX_LAYERS][NAME_BYTES] = {{0}};
    int counts[3] = {0};
    for (int layer = 0; layer < held->network.count; layer++) {
        dt_layer_kind kind = held->network.layers[layer].kind;
        dt_layout_layer_name(kind, counts[kind]++, names[layer]);
        DT_TRY(add_layer(image, held, layer, names[layer]));
    }
    return write_layer_names(image, held->network.count, names);
}

static dt_status write_model(const char *out, const model *held) {
    dt_image image;
    DT_TRY(dt_image_begin(out, &image));
    dt_status status;
    DT_TRY_CLEANUP(status, write_root(&image, held));
    DT_TRY_CLEANUP(status, write_weights(&image, held));
    return dt_image_write(&image, NULL);
cleanup:
    dt_image_discard(&image);
    return status;
}

/* From a checkpoint: what the training was set to. */
static dt_status read_settings(const char *in, model *held) {
    dt_checkpoint checkpoint;
    DT_TRY(dt_checkpoint_peek(in, &checkpoint));
    held->learning_rate = checkpoint.position.learning_rate;
    dt_status status = read_adam(in, checkpoint.options, held);
    free(checkpoint.options);
    free(checkpoint.history);
    return status;
}

static dt_status read_model(const char *in, model *held) {
    dt_network_config config;
    bool is_checkpoint;
    DT_TRY(dt_header_peek(in, &config, &is_checkpoint));
    held->network = dt_network_build(config);
    held->parameters = dt_parameters_layout(&held->network);
    if (is_checkpoint)
        DT_TRY(read_settings(in, held));
    size_t floats = held->parameters.floats, state_floats = held->parameters.state_floats;
    DT_TRY(dt_slab_reserve((floats + state_floats) * sizeof(float), in, &held->memory));
    held->weights = held->memory.base;
    held->states = held->weights + floats;
    return dt_weights_load(in, &held->parameters, held->weights, held->states);
}

static dt_status write_weights_alone(const char *out, const model *held) {
    return dt_weights_save(out, &held->network, &held->parameters, held->weights, held->states);
}

/* A row adds a format. The first ending that fits is taken: a longer one stands in front of its own tail. */
static const struct {
    const char *ending, *text;
    dt_status (*write)(const char *out, const model *held);
} formats[] = {
    {".weights.h5", "weights for keras.Model.load_weights", write_weights_alone},
    {".h5", "a model for keras.models.load_model", write_model},
    {".hdf5", "a model for keras.models.load_model", write_model},
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

static bool ends_with(const char *name, const char *ending) {
    size_t length = strlen(name), tail = strlen(ending);
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

static int find_format(const char *out) {
    const char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out;
    for (int i = 0; i < FORMATS; i++)
        if (ends_with(name, formats[i].ending))
            return i;
    return -1;
}

static dt_status unknown_format(const char *out) {
    char list[400] = "";
    for (int i = 0; i < FORMATS; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s (%s)", i ? ", " : "", formats[i].ending,
                 formats[i].text);
    }
    return dt_fail(DT_USAGE, "export: '%s': the ending of the name says what to write; known are %s", out,
                   list);
}

/* A link is not followed: its target would be replaced in a place that the command line does not name. */
static dt_status refuse_link(const char *out) {
    char target[PATH_MAX];
    ssize_t length = readlink(out, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    return dt_fail(DT_FILE,
                   "%s: is a symbolic link to '%s': give the name of the file itself, or remove the link",
                   out, target);
}

/* Before anything is read or computed. */
static dt_status check_target(const char *in, const char *out, bool force) {
    struct stat source, target;
    if (lstat(out, &target) != 0)
        return errno == ENOENT ? dt_ok()
                               : dt_fail(DT_FILE, "%s: cannot be written: %s", out, strerror(errno));
    if (S_ISLNK(target.st_mode))
        return refuse_link(out);
    if (S_ISDIR(target.st_mode))
        return dt_fail(DT_FILE, "%s: cannot be written: it is a folder", out);
    if (!S_ISREG(target.st_mode))
        return dt_fail(DT_FILE, "%s: cannot be written: it is not a regular file", out);
    if (stat(in, &source) == 0 && source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return dt_fail(DT_FILE, "%s: would be replaced by the model made from it: choose another name", in);
    if (!force)
        return dt_fail(DT_FILE, "%s: exists: choose another name, or write over it with --force", out);
    return dt_ok();
}

dt_status dt_export_model(const char *in, const char *out, bool force, const char **what) {
    int format = find_format(out);
    DT_TRY(check_target(in, out, force));
    if (format < 0)
        return unknown_format(out);
    *what = formats[format].text;
    model held = {.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    dt_status status = read_model(in, &held);
    if (!dt_failed(&status))
        status = formats[format].write(out, &held);
    dt_slab_release(&held.memory);
    return status;
}
