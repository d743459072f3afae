/* SPDX-License-Identifier: BSD-3-Clause */
/* Methods of the network's convolutions: names, times, the fastest. */
#include "dtrain/methods.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static dt_conv_method find_method(const char *word, size_t length) {
    for (dt_conv_method method = DT_CONV_PASSES; method < DT_CONV_METHODS; method++) {
        const char *name = dt_conv_method_name(method);
        if (strlen(name) == length && strncmp(name, word, length) == 0)
            return method;
    }
    return DT_CONV_AUTO;
}

static dt_status refuse(const char *word, size_t length) {
    return dt_fail(DT_USAGE,
                   "methods: '%.*s' is not allowed: passes, direct, winograd, fourier, tiles or "
                   "winograd-large for each of "
                   "%d convolutions, "
                   "with commas between them",
                   (int)(length < 100 ? length : 100), word, DT_METHODS_CONVOLUTIONS);
}

dt_status dt_methods_read(const char *text, dt_methods *methods) {
    *methods = (dt_methods){{DT_CONV_AUTO}};
    if (strcmp(text, "auto") == 0)
        return dt_ok();
    const char *word = text;
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++) {
        size_t length = strcspn(word, ",");
        bool last = i + 1 == DT_METHODS_CONVOLUTIONS;
        methods->of[i] = find_method(word, length);
        if (methods->of[i] == DT_CONV_AUTO)
            return refuse(word, length);
        if ((word[length] == '\0') != last)
            return refuse(text, strlen(text));
        word += length + 1;
    }
    return dt_ok();
}

const char *dt_methods_write(dt_methods methods, char text[DT_METHODS_TEXT]) {
    int used = 0;
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        used += snprintf(text + used, (size_t)(DT_METHODS_TEXT - used), "%s%s", i ? "," : "",
                         dt_conv_method_name(methods.of[i]));
    return text;
}

const dt_layer_spec *dt_methods_layer(const dt_network *network, int index) {
    for (int i = 0; i < network->count; i++)
        if (network->layers[i].kind == DT_LAYER_CONV && index-- == 0)
            return &network->layers[i];
    return NULL;
}

dt_conv_shape dt_methods_shape(const dt_layer_spec *layer) {
    assert(layer);
    return (dt_conv_shape){.height = layer->in.height,
                           .width = layer->in.width,
                           .in_channels = layer->in.channels,
                           .out_channels = layer->out.channels,
                           .kernel = layer->kernel,
                           .pool = layer->pool};
}

dt_methods dt_methods_fixed(const dt_network *network, const dt_kernels *kernels) {
    dt_methods methods;
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        methods.of[i] = dt_conv_choice(kernels, dt_methods_shape(dt_methods_layer(network, i)));
    return methods;
}

dt_status dt_methods_measure(const dt_network *network, dt_kernels *kernels, int samples, int repeats,
                             dt_methods_times *times) {
    *times = (dt_methods_times){0};
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++)
        for (dt_conv_method method = DT_CONV_PASSES; method < DT_CONV_METHODS; method++) {
            dt_conv_config config = {.kernels = kernels,
                                     .shape = dt_methods_shape(dt_methods_layer(network, i)),
                                     .method = method,
                                     .samples = samples,
                                     .leaves = dt_leaves_count(samples)};
            DT_TRY(dt_tuning_measure(&config, repeats, &times->of[i][method]));
        }
    return dt_ok();
}

double dt_methods_step(const dt_methods_times *times, int index, dt_conv_method method) {
    const dt_conv_times *t = &times->of[index][method];
    return t->forward + (index == 0 ? t->weights : t->backward);
}

dt_methods dt_methods_fastest(const dt_methods_times *times) {
    dt_methods fastest;
    for (int i = 0; i < DT_METHODS_CONVOLUTIONS; i++) {
        fastest.of[i] = DT_CONV_PASSES;
        for (dt_conv_method method = DT_CONV_DIRECT; method <= DT_CONV_TILES; method++)
            if (times->of[i][method].possible &&
                dt_methods_step(times, i, method) < dt_methods_step(times, i, fastest.of[i]))
                fastest.of[i] = method;
    }
    return fastest;
}
