/* SPDX-License-Identifier: BSD-3-Clause */
/* interop_case make FOLDER: trains a small network for a few steps and leaves behind, for Keras to repeat:
 * checkpoint.weights.h5, weights.weights.h5 with the same weights alone, and as raw floats in the machine's
 * order images, predictions, the batches of the next steps and their losses. interop_case load FILE FOLDER:
 * reads weights that Keras saved and leaves keras_predictions.f32 of the images.
 *
 * No dropout, since Keras would draw other numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/checkpoint.h"
#include "dtrain/locale.h"
#include "dtrain/random.h"
#include "dtrain/strategy.h"
#include "dtrain/weights.h"

enum { BATCH = 64, PIXELS = 784, CLASSES = 10, IMAGES = 256, WARM_UP = 5, FURTHER = 3 };

static const dt_network_config config = {DT_BN_ROWS, DT_BN_ALL, 0.05, 0.0f};
static const dt_adam_config adam = {5e-4, 0.9, 0.999, 1e-8};

static dt_network network;
static dt_comm *comm;
static dt_team *team;
static dt_kernels *kernels;
static dt_model *model;
static dt_strategy *strategy;
static float images[IMAGES * PIXELS], probabilities[IMAGES * CLASSES];

static void need(dt_status status) {
    if (!dt_failed(&status))
        return;
    fprintf(stderr, "interop_case: %s\n", status.text);
    exit(1);
}

/* Writes an array to a file of the folder. */
static void leave(const char *folder, const char *name, const void *data, size_t bytes) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *stream = fopen(path, "wb");
    if (!stream || fwrite(data, 1, bytes, stream) != bytes || fclose(stream) != 0)
        need(dt_fail(DT_FILE, "%s: cannot be written", path));
}

static void set_up(void) {
    network = dt_network_build(config);
    need(dt_comm_create(&comm));
    need(dt_team_create(1, &team));
    need(dt_kernels_create(&(dt_kernels_config){.team = team, .isa = DT_ISA_BEST, .engine = DT_ENGINE_AUTO},
                           &kernels));
    need(dt_model_create(&(dt_model_config){.network = &network,
                                            .kernels = kernels,
                                            .samples = IMAGES,
                                            .leaves = dt_leaves_count(BATCH),
                                            .roots = dt_strategy_roots(BATCH, 1)},
                         &model));
    need(dt_strategy_create(
        &(dt_strategy_config){.comm = comm, .model = model, .kernels = kernels, .batch = BATCH, .adam = adam},
        &strategy));
    dt_parameters_init(dt_model_parameters(model), 1, dt_model_weights(model), dt_model_states(model));
}

static void tear_down(void) {
    dt_strategy_destroy(strategy);
    dt_model_destroy(model);
    dt_kernels_destroy(kernels);
    dt_team_destroy(team);
    dt_comm_destroy(comm);
}

/* Images whose brighter half tells the label, in noise: something to learn. */
static void draw(uint32_t number, int count, float *x, uint8_t *labels) {
    for (int i = 0; i < count; i++) {
        dt_random4 word = dt_random_draw(1, DT_PURPOSE_INIT, 1000 + number, (uint32_t)i, 0, 0);
        labels[i] = (uint8_t)(word.word[0] % CLASSES);
        for (int k = 0; k < PIXELS; k++) {
            dt_random4 noise =
                dt_random_draw(1, DT_PURPOSE_INIT, 2000 + number, (uint32_t)(i * PIXELS + k), 0, 0);
            bool bright = k / 28 / 3 == labels[i];
            x[i * PIXELS + k] = dt_random_unit(noise.word[0]) * (bright ? 1.0f : 0.4f);
        }
    }
}

static double train_step(int number, float *x, uint8_t *labels) {
    dt_totals totals;
    draw((uint32_t)number, BATCH, x, labels);
    dt_batch batch = {.share = dt_strategy_begin(strategy, BATCH), .x = x, .labels = labels};
    dt_model_train(model, &batch, dt_strategy_exchange(strategy), &totals);
    dt_strategy_finish(strategy);
    dt_strategy_update(strategy, number);
    return dt_totals_loss(totals);
}

static float *take(size_t floats) {
    float *slab = calloc(floats, sizeof(float));
    if (!slab)
        need(dt_fail(DT_MEMORY, "no memory"));
    return slab;
}

static void save(const char *folder) {
    const dt_parameters *parameters = dt_model_parameters(model);
    char path[1024];
    size_t floats = parameters->floats;
    dt_strategy_image image = {take(floats), take(floats), take(floats), take(parameters->state_floats)};
    dt_checkpoint checkpoint = {
        .position = {.step = WARM_UP, .epoch = 1, .best_loss = 1.5, .learning_rate = adam.lr, .ranks = 1},
        .weights = image.weights,
        .states = image.states,
        .m = image.m,
        .v = image.v,
        .options = strdup("{\"lr\":0.0005,\"beta1\":0.9,\"beta2\":0.999,\"eps\":1e-8}"),
        .history = strdup("[{\"epoch\":1,\"loss\":2.25,\"accuracy\":0.125}]")};
    dt_strategy_collect(strategy, image);
    snprintf(path, sizeof path, "%s/checkpoint.weights.h5", folder);
    need(dt_checkpoint_save(path, &network, parameters, &checkpoint, NULL));
    snprintf(path, sizeof path, "%s/weights.weights.h5", folder);
    need(dt_weights_save(path, &network, parameters, checkpoint.weights, checkpoint.states));
    free(image.weights);
    free(image.states);
    free(image.m);
    free(image.v);
    free(checkpoint.options);
    free(checkpoint.history);
}

static void predict(const char *folder, const char *name) {
    static uint8_t labels[IMAGES];
    draw(500, IMAGES, images, labels);
    dt_model_predict(model, IMAGES, images, probabilities);
    leave(folder, name, probabilities, sizeof probabilities);
}

static void make(const char *folder) {
    static float x[FURTHER * BATCH * PIXELS];
    static uint8_t labels[FURTHER * BATCH];
    double losses[FURTHER];
    for (int step = 1; step <= WARM_UP; step++)
        printf("step %d: loss %.6f\n", step, train_step(step, x, labels));
    save(folder);
    predict(folder, "predictions.f32");
    leave(folder, "images.f32", images, sizeof images);
    for (int i = 0; i < FURTHER; i++)
        losses[i] = train_step(WARM_UP + 1 + i, x + i * BATCH * PIXELS, labels + i * BATCH);
    leave(folder, "batches.f32", x, sizeof x);
    leave(folder, "labels.u8", labels, sizeof labels);
    leave(folder, "losses.f64", losses, sizeof losses);
}

int main(int argument_count, char **arguments) {
    need(dt_locale_use_c());
    set_up();
    if (argument_count == 3 && strcmp(arguments[1], "make") == 0) {
        make(arguments[2]);
    } else if (argument_count == 4 && strcmp(arguments[1], "load") == 0) {
        need(dt_weights_load(arguments[2], dt_model_parameters(model), dt_model_weights(model),
                             dt_model_states(model)));
        predict(arguments[3], "keras_predictions.f32");
    } else {
        fprintf(stderr, "usage: interop_case make FOLDER | load FILE FOLDER\n");
        return 2;
    }
    tear_down();
    return 0;
}
