/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings as JSON. */
#include "train/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/version.h"

static const char *const kernels_key = "kernels", *const build_key = "build";

static void add_setting(void *context, const dt_setting *setting) {
    json_t *settings = context;
    if (!setting->value)
        json_object_set_new(settings, setting->name, json_null());
    else if (setting->quoted)
        json_object_set_new(settings, setting->name, json_string(setting->value));
    else
        json_object_set_new(settings, setting->name, json_loads(setting->value, JSON_DECODE_ANY, NULL));
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
    json_object_set_new(settings, build_key, json_string(dt_version_arithmetic()));
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

static void append_values(char *differences, const char *title, const json_t *then, const json_t *now) {
    char *then_text = value_text(then), *now_text = value_text(now);
    append(differences, title, then_text ? then_text : "?", now_text ? now_text : "?");
    free(then_text);
    free(now_text);
}

/* A comparison under way. */
typedef struct comparison {
    const json_t *then, *now;
    char *mathematics, *bits;
} comparison;

static void compare_setting(void *context, const dt_setting *setting) {
    const comparison *c = context;
    /* Not the instruction set that was asked for counts, but the one in use. */
    bool is_isa = strcmp(setting->name, "isa") == 0;
    const char *key = is_isa ? kernels_key : setting->name;
    const json_t *then = json_object_get(c->then, key), *now = json_object_get(c->now, key);
    char title[64];
    if (is_same(then, now))
        return;
    snprintf(title, sizeof title, "%s%s", is_isa ? "" : "--", key);
    if (setting->effect == DT_EFFECT_BITS)
        append_values(c->bits, title, then, now);
    if (setting->effect == DT_EFFECT_MATHEMATICS)
        append_values(c->mathematics, title, then, now);
}

dt_status dt_settings_compare(const char *stored, uint64_t fingerprint, const dt_session *session,
                              char mathematics[DT_DIFFERENCES], char bits[DT_DIFFERENCES]) {
    mathematics[0] = bits[0] = '\0';
    json_t *then = parse(stored), *now = session_settings(session);
    comparison context = {then, now, mathematics, bits};
    if (fingerprint != session->corpus.fingerprint) {
        char texts[2][20];
        snprintf(texts[0], sizeof texts[0], "%016llx", (unsigned long long)fingerprint);
        snprintf(texts[1], sizeof texts[1], "%016llx", (unsigned long long)session->corpus.fingerprint);
        append(mathematics, "fingerprint of the data", texts[0], texts[1]);
    }
    if (session->options->walk)
        session->options->walk(session->options, compare_setting, &context);
    if (!is_same(json_object_get(then, build_key), json_object_get(now, build_key)))
        append_values(bits, build_key, json_object_get(then, build_key), json_object_get(now, build_key));
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

/* A search under way. */
typedef struct search {
    const char *name;
    bool given;
} search;

static void look_at(void *context, const dt_setting *setting) {
    search *wanted = context;
    if (strcmp(setting->name, wanted->name) == 0)
        wanted->given = setting->given;
}

bool dt_settings_given(const dt_options *options, const char *name) {
    search wanted = {.name = name};
    if (options->walk)
        options->walk(options, look_at, &wanted);
    return wanted.given;
}
