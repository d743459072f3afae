/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings as JSON. */
#include "train/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kernels_key = "kernels";

/* How long a run goes, on what machine, and what it writes. All other options are part of the mathematics.
 * The data are known by their fingerprint, whatever they are called. */
static const char *const free_options[] = {"data",
                                           "test-limit",
                                           "epochs",
                                           "max-steps",
                                           "threads",
                                           "strategy",
                                           "grid",
                                           "engine",
                                           "isa",
                                           "out",
                                           "quiet",
                                           "force",
                                           "checkpoint-every",
                                           "keep",
                                           "resume",
                                           "override",
                                           "init",
                                           "max-time",
                                           "on-nan",
                                           "checkpoint-required",
                                           "stall-timeout",
                                           "methods",
                                           "tune",
                                           "check-replicas",
                                           "ranks",
                                           "node-ranks",
                                           "link-gbits",
                                           "link-us"};

/* Those of them that change the last bits, and so the claim that nothing shows that a run was resumed. */
static const char *const bit_options[] = {"engine", "kernels", "methods"};

static bool is_listed(const char *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

#define LISTED(list, name) is_listed(list, sizeof(list) / sizeof *(list), name)

static void add_setting(void *context, const char *name, const char *value, bool quoted) {
    json_t *settings = context;
    if (!value)
        json_object_set_new(settings, name, json_null());
    else if (quoted)
        json_object_set_new(settings, name, json_string(value));
    else
        json_object_set_new(settings, name, json_loads(value, JSON_DECODE_ANY, NULL));
}

json_t *dt_settings_object(const dt_options *options) {
    json_t *settings = json_object();
    if (options->walk)
        options->walk(options, add_setting, settings);
    return settings;
}

/* With what was chosen in the place of the wish. */
static json_t *session_settings(const dt_session *session) {
    char methods[DT_METHODS_TEXT];
    json_t *settings = dt_settings_object(session->options);
    json_object_set_new(settings, "methods", json_string(dt_methods_write(session->methods, methods)));
    json_object_set_new(settings, kernels_key, json_string(dt_isa_name(dt_kernels_isa(session->kernels))));
    return settings;
}

char *dt_settings_text(const dt_session *session) {
    json_t *settings = session_settings(session);
    char *text = json_dumps(settings, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(settings);
    return text;
}

static json_t *parse(const char *stored) {
    json_t *settings = stored ? json_loads(stored, 0, NULL) : NULL;
    if (json_is_object(settings))
        return settings;
    json_decref(settings);
    return NULL;
}

/* Options come as 0.001, "rows" or null; a checkpoint that has not heard of an option has its default. */
static bool is_same(const json_t *then, const json_t *now) {
    return !then || json_equal(then, now) ||
           (json_is_number(then) && json_is_number(now) && json_number_value(then) == json_number_value(now));
}

static void append(char *differences, const char *name, const char *then, const char *now) {
    size_t used = strlen(differences);
    snprintf(differences + used, DT_DIFFERENCES - used, "%s%s %s then, %s now", used ? "; " : "", name, then,
             now);
}

/* The value as one would type it; the caller frees it. */
static char *value_text(const json_t *value) {
    if (json_is_string(value))
        return strdup(json_string_value(value));
    return json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
}

static void append_values(char *differences, const char *name, const json_t *then, const json_t *now) {
    char *then_text = value_text(then), *now_text = value_text(now), title[64];
    bool is_option = strcmp(name, kernels_key) != 0;
    snprintf(title, sizeof title, "%s%s", is_option ? "--" : "", name);
    append(differences, title, then_text ? then_text : "?", now_text ? now_text : "?");
    free(then_text);
    free(now_text);
}

dt_status dt_settings_compare(const char *stored, uint64_t fingerprint, const dt_session *session,
                              char mathematics[DT_DIFFERENCES], char bits[DT_DIFFERENCES]) {
    mathematics[0] = bits[0] = '\0';
    json_t *then = parse(stored), *now = session_settings(session);
    const char *name;
    json_t *value;
    if (fingerprint != session->corpus.fingerprint) {
        char texts[2][20];
        snprintf(texts[0], sizeof texts[0], "%016llx", (unsigned long long)fingerprint);
        snprintf(texts[1], sizeof texts[1], "%016llx", (unsigned long long)session->corpus.fingerprint);
        append(mathematics, "fingerprint of the data", texts[0], texts[1]);
    }
    json_object_foreach(now, name, value) {
        const json_t *old = json_object_get(then, name);
        if (is_same(old, value))
            continue;
        if (LISTED(bit_options, name))
            append_values(bits, name, old, value);
        else if (!LISTED(free_options, name))
            append_values(mathematics, name, old, value);
    }
    json_decref(now);
    json_decref(then);
    return then ? dt_ok() : dt_fail(DT_FILE, "the options in the checkpoint are not JSON");
}

bool dt_settings_differ(const char *stored, const dt_options *options, const char *name) {
    json_t *then = parse(stored), *now = dt_settings_object(options);
    bool same = is_same(json_object_get(then, name), json_object_get(now, name));
    json_decref(then);
    json_decref(now);
    return !same;
}

int dt_settings_number(const char *stored, const char *name, int otherwise) {
    json_t *then = parse(stored), *value = json_object_get(then, name);
    int number = json_is_integer(value) ? (int)json_integer_value(value) : otherwise;
    json_decref(then);
    return number;
}
