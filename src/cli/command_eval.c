/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain eval: the images that the run of a checkpoint was validated and tested on, unless the command line
 * names others. */
#include "cli/commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option_values.h"
#include "dtrain/checkpoint.h"
#include "dtrain/log.h"
#include "dtrain/weights.h"

/* The options that say which images those are. */
static const char *const adopted[] = {"data", "seed", "validation", "test-limit"};

enum { ADOPTED = sizeof adopted / sizeof adopted[0], VALUE = 1024 };

/* What a file tells, of a size that one broadcast carries. */
typedef struct facts {
    dt_weights_kind kind;
    char values[ADOPTED][VALUE]; /* as one would type them; empty: not told */
} facts;

static void take_value(const json_t *value, char text[VALUE]) {
    if (json_is_string(value))
        snprintf(text, VALUE, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, VALUE, "%" PRId64, (int64_t)json_integer_value(value));
}

static dt_status take_options(const char *path, const char *stored, facts *found) {
    json_t *options = json_loads(stored, 0, NULL);
    if (!json_is_object(options)) {
        json_decref(options);
        return dt_fail(DT_FILE, "%s: the options in it are not JSON", path);
    }
    for (int i = 0; i < ADOPTED; i++)
        take_value(json_object_get(options, adopted[i]), found->values[i]);
    json_decref(options);
    return dt_ok();
}

static dt_status read_facts(const char *path, facts *found) {
    dt_checkpoint checkpoint = {0};
    DT_TRY(dt_weights_find_kind(path, &found->kind));
    if (found->kind != DT_WEIGHTS_CHECKPOINT)
        return dt_ok();
    DT_TRY(dt_checkpoint_peek(path, &checkpoint));
    dt_status status = take_options(path, checkpoint.options, found);
    free(checkpoint.options);
    free(checkpoint.history);
    return status;
}

static const dt_option *find_row(const char *name, int *row) {
    for (*row = 0; *row < dt_option_table_count(); ++*row)
        if (strcmp(dt_option_table_row(*row)->name, name) == 0)
            return dt_option_table_row(*row);
    return NULL;
}

static bool is_given(const dt_options *options, const char *name) {
    int row;
    return find_row(name, &row) && options->given[row];
}

/* An option of the network that the file contradicts would be ignored. */
static dt_status check_network(const dt_options *options, const char *path) {
    dt_network_config stored, wanted;
    char difference[DT_SHAPE_DIFFERENCE];
    DT_TRY(dt_weights_network(path, &stored));
    wanted = stored;
    if (is_given(options, "width"))
        wanted.width = options->network.width;
    if (is_given(options, "bn-axis"))
        wanted.bn_axis = options->network.bn_axis;
    if (is_given(options, "bn-layers"))
        wanted.bn_layers = options->network.bn_layers;
    dt_network networks[] = {dt_network_build(stored), dt_network_build(wanted)};
    dt_parameters then = dt_parameters_layout(&networks[0]), now = dt_parameters_layout(&networks[1]);
    if (dt_parameters_differ(&then, &now, difference))
        return dt_fail(DT_USAGE,
                       "%s: is whole, but of another shape: %s. Leave the options of the network out: "
                       "the file tells them",
                       path, difference);
    return dt_ok();
}

/* Rank 0. */
static dt_status look_into(const dt_options *options, const char *path, facts *found) {
    DT_TRY(read_facts(path, found));
    return found->kind == DT_WEIGHTS_FOREIGN ? dt_ok() : check_network(options, path);
}

/* The file's values, checked like those of a command line, which go before them. `said` receives them. */
static dt_status adopt(const char *path, const facts *found, dt_options *options, char *said, size_t room) {
    char allowed[640];
    said[0] = '\0';
    for (int i = 0, row; i < ADOPTED; i++) {
        const dt_option *option = find_row(adopted[i], &row);
        size_t used = strlen(said);
        if (options->given[row] || !found->values[i][0])
            continue;
        if (!dt_option_values_read(option, found->values[i], options))
            return dt_fail(DT_FILE, "%s: its --%s is '%.200s': it must be %s", path, adopted[i],
                           found->values[i], dt_option_values_allowed(option, allowed, sizeof allowed));
        snprintf(said + used, room - used, "%s--%s %s", used ? " " : "", adopted[i], found->values[i]);
    }
    return dt_ok();
}

dt_status dt_command_eval(const dt_options *options, dt_comm *comm) {
    static facts found; /* texts in it outlive the evaluation */
    char path[DT_WEIGHTS_PATH], said[ADOPTED * (VALUE + 16)];
    dt_options all = *options;
    memset(&found, 0, sizeof found);
    dt_weights_resolve(options->weights, path);
    DT_TRY(dt_comm_agree(comm, dt_comm_rank(comm) == 0 ? look_into(options, path, &found) : dt_ok()));
    dt_comm_broadcast(comm, &found, sizeof found, 0);
    DT_TRY(dt_comm_agree(comm, adopt(path, &found, &all, said, sizeof said)));
    if (said[0])
        dt_log_note("options of the run: %s", said);
    dt_status status = dt_evaluate_run(&all, comm);
    if (status.code == DT_DATA && all.data != options->data)
        return dt_fail(DT_DATA, "%s. %s names these data: --data gives others", status.text, path);
    return status;
}
