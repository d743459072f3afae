/* SPDX-License-Identifier: BSD-3-Clause */
/* Checkpoints: saving and loading one file. */
#include "dtrain/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/memory.h"
#include "dtrain/timer.h"
#include "io/header.h"
#include "io/tensors.h"
#include "io/weights_file.h"

/* What stands until the image is written. */
typedef struct scalars {
    int64_t iteration;
    float learning_rate;
} scalars;

static dt_status add_contents(dt_image *image, const dt_group *checksums, const dt_catalogue *catalogue,
                              const dt_checkpoint *checkpoint, const scalars *values) {
    DT_TRY(
        dt_tensors_add(image, checksums, dt_layout_iteration, H5T_NATIVE_INT64, 0, NULL, &values->iteration));
    DT_TRY(dt_tensors_add(image, checksums, dt_layout_learning_rate, H5T_NATIVE_FLOAT, 0, NULL,
                          &values->learning_rate));
    DT_TRY(dt_tensors_add_all(image, checksums, catalogue));
    DT_TRY(dt_tensors_add_text(image, checksums, dt_header_options,
                               checkpoint->options ? checkpoint->options : "{}"));
    return dt_tensors_add_text(image, checksums, dt_header_history,
                               checkpoint->history ? checkpoint->history : "[]");
}

static dt_status fill_image(dt_image *image, const dt_network *network, const dt_catalogue *catalogue,
                            const dt_checkpoint *checkpoint, const scalars *values) {
    dt_group checksums;
    DT_TRY(dt_header_write(image, &network->config, &checkpoint->position));
    DT_TRY(dt_image_add_group(image, dt_layout_model_group));
    DT_TRY(dt_checksums_begin(image, &checksums));
    dt_status status = add_contents(image, &checksums, catalogue, checkpoint, values);
    dt_library_close(checksums.handle, H5Gclose, image->file.path, &status);
    return status;
}

static dt_catalogue list_tensors(const dt_parameters *parameters, const dt_checkpoint *checkpoint) {
    dt_catalogue catalogue = {.count = 0};
    dt_catalogue_add_network(&catalogue, parameters, checkpoint->weights, checkpoint->states);
    dt_catalogue_add_adam(&catalogue, parameters, checkpoint->m, checkpoint->v);
    return catalogue;
}

dt_status dt_checkpoint_save(const char *path, const dt_network *network, const dt_parameters *parameters,
                             const dt_checkpoint *checkpoint, dt_checkpoint_result *result) {
    double start = dt_timer_now();
    const scalars values = {checkpoint->position.step, (float)checkpoint->position.learning_rate};
    dt_catalogue catalogue = list_tensors(parameters, checkpoint);
    dt_image image;
    uint64_t bytes = 0;
    DT_TRY(dt_image_begin(path, &image));
    dt_status status = fill_image(&image, network, &catalogue, checkpoint, &values);
    if (dt_failed(&status))
        dt_image_discard(&image);
    else
        status = dt_image_write(&image, &bytes);
    if (!dt_failed(&status) && result)
        *result = (dt_checkpoint_result){dt_timer_now() - start, bytes};
    return status;
}

static dt_status read_position(const dt_library_file *file, dt_checkpoint_position *position) {
    dt_group group;
    DT_TRY(dt_header_open(file, &group));
    dt_status status =
        dt_header_has_position(&group)
            ? dt_header_read_position(&group, position)
            : dt_fail(DT_FILE,
                      "%s: has weights but not the state of a run: it can be evaluated, but not resumed",
                      file->path);
    dt_library_close(group.handle, H5Gclose, file->path, &status);
    return status;
}

static dt_status read_texts(const dt_library_file *file, dt_checkpoint *checkpoint) {
    DT_TRY(dt_tensors_read_text(file, dt_header_options, &checkpoint->options));
    dt_status status = dt_tensors_read_text(file, dt_header_history, &checkpoint->history);
    if (dt_failed(&status)) {
        free(checkpoint->options);
        checkpoint->options = NULL;
    }
    return status;
}

/* Sets the gaps behind the tensors to zero. */
static void clear_gaps(const dt_tensor *tensors, int count, float *slab) {
    for (int i = 0; i < count; i++) {
        size_t end = tensors[i].offset + tensors[i].count,
               next = tensors[i].offset + dt_align_floats(tensors[i].count);
        memset(slab + end, 0, (next - end) * sizeof(float));
    }
}

/* What Keras would go by, and the position must be the same step. */
static dt_status check_scalars(const dt_library_file *file, const dt_checkpoint_position *position) {
    scalars found;
    DT_TRY(dt_tensors_read_number(file, dt_layout_iteration, H5T_NATIVE_INT64, &found.iteration));
    DT_TRY(dt_tensors_read_number(file, dt_layout_learning_rate, H5T_NATIVE_FLOAT, &found.learning_rate));
    if (found.iteration != position->step)
        return dt_fail(DT_FILE, "%s: Adam's state is of step %lld and the position of step %lld", file->path,
                       (long long)found.iteration, (long long)position->step);
    return dt_ok();
}

static dt_status read_tensors(const dt_library_file *file, const dt_parameters *parameters,
                              const dt_checkpoint *checkpoint) {
    dt_catalogue catalogue = list_tensors(parameters, checkpoint);
    DT_TRY(dt_weights_read(file, parameters, &catalogue));
    DT_TRY(check_scalars(file, &checkpoint->position));
    clear_gaps(parameters->tensors, parameters->count, checkpoint->weights);
    clear_gaps(parameters->tensors, parameters->count, checkpoint->m);
    clear_gaps(parameters->tensors, parameters->count, checkpoint->v);
    clear_gaps(parameters->states, parameters->state_count, checkpoint->states);
    return dt_ok();
}

/* parameters NULL: without the tensors. */
static dt_status read_file(const dt_library_file *file, const dt_parameters *parameters,
                           dt_checkpoint *checkpoint) {
    DT_TRY(read_position(file, &checkpoint->position));
    if (parameters)
        DT_TRY(read_tensors(file, parameters, checkpoint));
    return read_texts(file, checkpoint);
}

static dt_status open_and_read(const char *path, const dt_parameters *parameters, dt_checkpoint *checkpoint) {
    dt_library_file file;
    checkpoint->options = checkpoint->history = NULL;
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file);
    if (!dt_failed(&status)) {
        status = read_file(&file, parameters, checkpoint);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    return status;
}

/* -1: the file cannot be read, or does not say. */
static int64_t step_within(const char *path) {
    dt_library_file file;
    dt_checkpoint_position position = {.step = -1};
    dt_library_voice voice = dt_library_silence();
    dt_status status = dt_library_open(path, &file);
    if (!dt_failed(&status)) {
        status = read_position(&file, &position);
        dt_library_close(file.handle, H5Fclose, path, &status);
    }
    dt_library_restore(voice);
    return dt_failed(&status) ? -1 : position.step;
}

int64_t dt_checkpoint_step_of(const char *folder, const char *name) {
    char path[DT_CHECKPOINT_PATH];
    dt_status status = dt_path_write(DT_FILE, path, "%s/%s", folder, name);
    int64_t step = dt_failed(&status) ? -1 : step_within(path);
    return step >= 0 ? step : dt_checkpoint_step(name);
}

dt_status dt_checkpoint_load(const char *path, const dt_parameters *parameters, dt_checkpoint *checkpoint) {
    return open_and_read(path, parameters, checkpoint);
}

dt_status dt_checkpoint_peek(const char *path, dt_checkpoint *checkpoint) {
    return open_and_read(path, NULL, checkpoint);
}
