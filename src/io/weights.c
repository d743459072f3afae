/* SPDX-License-Identifier: BSD-3-Clause */
/* Weights files. */
#include "dtrain/weights.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dtrain/checkpoint.h"
#include "io/header.h"
#include "io/tensors.h"
#include "io/weights_file.h"

static dt_status fill_image(dt_image *image, const dt_network *network, const dt_catalogue *catalogue) {
    dt_group checksums;
    DT_TRY(dt_header_write(image, &network->config, NULL));
    DT_TRY(dt_image_add_group(image, dt_layout_model_group));
    DT_TRY(dt_checksums_begin(image, &checksums));
    dt_status status = dt_tensors_add_all(image, &checksums, catalogue);
    dt_library_close(checksums.handle, H5Gclose, image->file.path, &status);
    return status;
}

dt_status dt_weights_save(const char *path, const dt_network *network, const dt_parameters *parameters,
                          const float *weights, const float *states) {
    dt_catalogue catalogue = {.count = 0};
    dt_image image;
    /* A catalogue is for reading too; here nothing is written through it. */
    dt_catalogue_add_network(&catalogue, parameters, (float *)weights, (float *)states);
    DT_TRY(dt_image_begin(path, &image));
    dt_status status = fill_image(&image, network, &catalogue);
    if (!dt_failed(&status))
        return dt_image_write(&image, NULL);
    dt_image_discard(&image);
    return status;
}

dt_status dt_weights_resolve(const char *name, char path[DT_WEIGHTS_PATH]) {
    struct stat found;
    bool folder = stat(name, &found) == 0 && S_ISDIR(found.st_mode);
    return dt_path_write(DT_FILE, path, folder ? "%s/" DT_CHECKPOINT_LAST : "%s", name);
}

dt_status dt_weights_network(const char *path, dt_network_config *config) {
    bool unused;
    return dt_header_peek(path, config, &unused);
}

/* A file with more layers than the network would fit in silence and mean another network. */
static dt_status check_no_more_layers(const dt_library_file *file, const dt_parameters *parameters) {
    static const dt_layer_kind kinds[] = {DT_LAYER_CONV, DT_LAYER_NORM, DT_LAYER_DENSE};
    for (int i = 0; i < (int)(sizeof kinds / sizeof kinds[0]); i++) {
        char place[DT_PLACE_BYTES];
        dt_layout_next_layer(parameters, kinds[i], place);
        if (H5Lexists(file->handle, place, H5P_DEFAULT) > 0)
            return dt_fail(DT_FILE, "%s: has the layer %s, which the network has not", file->path, place);
    }
    return dt_ok();
}

/* A file that tells its network is sound when its tensors are those of that network; when these are not the
 * tensors that are wanted, other options were given, and nothing is damaged. */
static dt_status check_network(const dt_library_file *file, const dt_group *group,
                               const dt_parameters *parameters) {
    dt_network_config config;
    char difference[DT_SHAPE_DIFFERENCE];
    DT_TRY(dt_header_read_network(group, &config));
    dt_network network = dt_network_build(config);
    dt_parameters stored = dt_parameters_layout(&network);
    if (dt_parameters_differ(&stored, parameters, difference))
        return dt_fail(DT_USAGE, "%s: is whole, but of another shape: %s. Give the options of then",
                       file->path, difference);
    return dt_ok();
}

/* Of a file of a newer format nothing is known, not even that its tensors mean the same. */
static dt_status check_header(const dt_library_file *file, const dt_parameters *parameters) {
    dt_group group;
    if (!dt_header_exists(file))
        return dt_ok();
    DT_TRY(dt_header_open(file, &group));
    dt_status status = check_network(file, &group, parameters);
    dt_library_close(group.handle, H5Gclose, file->path, &status);
    return status;
}

enum { FEW = 4 };

/* A visit under way. */
typedef struct search {
    const dt_catalogue *catalogue;
    dt_weights_unused *unused;
} search;

static bool begins_with(const char *place, const char *folder) {
    return strncmp(place, folder, strlen(folder)) == 0;
}

static dt_status note_unused(void *context, const char *place) {
    const search *held = context;
    dt_weights_unused *unused = held->unused;
    if (begins_with(place, "dtrain/"))
        return dt_ok();
    for (int i = 0; i < held->catalogue->count; i++)
        if (strcmp(held->catalogue->entries[i].place, place) == 0)
            return dt_ok();
    if (begins_with(place, "optimizer/") || begins_with(place, "optimizer_weights/")) {
        unused->optimizer++;
        return dt_ok();
    }
    size_t used = strlen(unused->text);
    if (unused->others++ < FEW)
        snprintf(unused->text + used, sizeof unused->text - used, "%s%.80s", used ? ", " : "", place);
    return dt_ok();
}

static dt_status find_unused(const dt_library_file *file, const dt_catalogue *catalogue,
                             dt_weights_unused *unused) {
    search held = {catalogue, unused};
    *unused = (dt_weights_unused){0};
    DT_TRY(dt_library_visit_datasets(file, note_unused, &held));
    size_t used = strlen(unused->text);
    if (unused->others > FEW)
        snprintf(unused->text + used, sizeof unused->text - used, " and %d more", unused->others - FEW);
    return dt_ok();
}

/* A link on the way that is not there is an error to the library. */
static int list_missing(const dt_library_file *file, const dt_catalogue *catalogue, char *text, size_t room) {
    int count = 0;
    text[0] = '\0';
    for (int i = 0; i < catalogue->count; i++) {
        const dt_entry *entry = &catalogue->entries[i];
        size_t used = strlen(text);
        if (dt_library_has(file, entry->place))
            continue;
        if (count++ < FEW)
            snprintf(text + used, room - used, "%s%s (%s)", used ? ", " : "", entry->label, entry->place);
    }
    return count;
}

/* Keras' older form of a whole model has other places. */
static dt_status check_form(const dt_library_file *file) {
    if (dt_library_has(file, "layers") || !dt_library_has(file, "model_weights"))
        return dt_ok();
    return dt_fail(DT_FILE,
                   "%s: is a whole model of Keras: load it there, and save what dtrain reads with "
                   "model.save_weights(\"x.weights.h5\")",
                   file->path);
}

/* All that is missing is told at once, and what is there in its place. */
static dt_status check_present(const dt_library_file *file, const dt_catalogue *catalogue) {
    char missing[FEW * (DT_LABEL_BYTES + DT_PLACE_BYTES + 8)], more[40] = "";
    int count = list_missing(file, catalogue, missing, sizeof missing);
    if (count == 0)
        return dt_ok();
    dt_weights_unused unused;
    DT_TRY(find_unused(file, catalogue, &unused));
    if (count > FEW)
        snprintf(more, sizeof more, " and %d more", count - FEW);
    return dt_fail(DT_FILE, "%s: tensor%s missing: %s%s%s%s%s", file->path, count == 1 ? " is" : "s are",
                   missing, more, unused.others > 0 ? ". In the file are " : "", unused.text,
                   unused.others > 0
                       ? ": layers are found by the names that Keras counts, conv2d, conv2d_1, .., "
                         "dense, .."
                       : "");
}

dt_status dt_weights_read(const dt_library_file *file, const dt_parameters *parameters,
                          const dt_catalogue *catalogue) {
    DT_TRY(check_header(file, parameters));
    DT_TRY(check_form(file));
    DT_TRY(check_present(file, catalogue));
    DT_TRY(dt_tensors_read_all(file, catalogue));
    return check_no_more_layers(file, parameters);
}

/* What is done with an open file. */
typedef dt_status (*user)(const dt_library_file *file, const dt_parameters *parameters,
                          const dt_catalogue *catalogue, void *context);

static dt_status open_and(user use, const char *path, const dt_parameters *parameters,
                          const dt_catalogue *catalogue, void *context) {
    dt_library_file file;
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file);
    if (!dt_failed(&status)) {
        status = use(&file, parameters, catalogue, context);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    return status;
}

static dt_status use_by_reading(const dt_library_file *file, const dt_parameters *parameters,
                                const dt_catalogue *catalogue, void *context) {
    (void)context;
    return dt_weights_read(file, parameters, catalogue);
}

static dt_status use_by_search(const dt_library_file *file, const dt_parameters *parameters,
                               const dt_catalogue *catalogue, void *context) {
    (void)parameters;
    return find_unused(file, catalogue, context);
}

dt_status dt_weights_load(const char *path, const dt_parameters *parameters, float *weights, float *states) {
    dt_catalogue catalogue = {.count = 0};
    dt_catalogue_add_network(&catalogue, parameters, weights, states);
    return open_and(use_by_reading, path, parameters, &catalogue, NULL);
}

dt_status dt_weights_find_unused(const char *path, const dt_parameters *parameters,
                                 dt_weights_unused *unused) {
    dt_catalogue catalogue = {.count = 0};
    dt_catalogue_add_network(&catalogue, parameters, NULL, NULL);
    return open_and(use_by_search, path, parameters, &catalogue, unused);
}

static dt_status use_by_looking(const dt_library_file *file, const dt_parameters *parameters,
                                const dt_catalogue *catalogue, void *context) {
    dt_weights_kind *kind = context;
    dt_group group;
    (void)parameters, (void)catalogue;
    if (!dt_header_exists(file))
        return dt_ok();
    DT_TRY(dt_header_open(file, &group));
    *kind = dt_header_has_position(&group) ? DT_WEIGHTS_CHECKPOINT : DT_WEIGHTS_ALONE;
    dt_status status = dt_ok();
    dt_library_close(group.handle, H5Gclose, file->path, &status);
    return status;
}

dt_status dt_weights_find_kind(const char *path, dt_weights_kind *kind) {
    *kind = DT_WEIGHTS_FOREIGN;
    return open_and(use_by_looking, path, NULL, NULL, kind);
}
