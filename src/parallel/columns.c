/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on columns: fused on their owner, or summed over groups. */
#include "parallel/columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/hash.h"
#include "dtrain/memory.h"
#include "parallel/shards.h"

/* Columns that have one holder in each group. */
typedef struct segment {
    int number;
    dt_comm *holders; /* one of each group, in their order */
    dt_shards *shards;
    dt_split_layout layout;
    dt_slab memory;             /* weights, then gradients, of a rank with several segments */
    float *weights, *gradients; /* the model's own if this is all that the rank has */
} segment;

struct dt_columns {
    dt_columns_config config;
    const dt_parameters *parameters;
    const dt_split_layout *layout;    /* of this rank's columns */
    dt_slab moments;                  /* one group: m, then v */
    dt_cut cut;                       /* of a batch over the groups */
    int ready;                        /* split tensors whose gradients are complete, from the front */
    bool stale[DT_MAX_SPLIT_TENSORS]; /* the segments have newer weights than the model */
    int count;                        /* of segments that this rank holds; 0 for one group */
    segment *segments;
};

static bool is_summed(const dt_columns *columns) {
    return columns->config.grid->groups > 1;
}

/* Whether the segments have memory of their own. */
static bool is_staged(const dt_columns *columns) {
    return columns->count > 1;
}

static dt_range range_in(const segment *part, int number) {
    const dt_split_tensor *tensor = &part->layout.tensors[number];
    return (dt_range){tensor->offset, (size_t)tensor->rows * (size_t)tensor->units.samples};
}

/* A segment's part of a tensor between the rank's columns and the segment's memory. */
static void copy_part(const dt_columns *columns, const segment *part, int number, float *own, float *staged,
                      bool stage) {
    const dt_split_tensor *from = &columns->layout->tensors[number], *to = &part->layout.tensors[number];
    size_t width = (size_t)to->units.samples, stride = (size_t)from->units.samples;
    float *mine = own + from->offset + (to->units.first_sample - from->units.first_sample);
    float *its = staged + to->offset;
    for (int row = 0; row < to->rows; row++, mine += stride, its += width)
        memcpy(stage ? its : mine, stage ? mine : its, width * sizeof(float));
}

/* Its communicators, with all ranks: each segment is one call. */
static dt_status find_holders(dt_columns *columns) {
    const dt_grid *grid = columns->config.grid;
    for (int number = 0; number < grid->segments; number++) {
        bool mine = number >= grid->first_segment && number < grid->end_segment;
        dt_comm *holders;
        DT_TRY(dt_comm_split(columns->config.all, mine ? 0 : -1, grid->position, &holders));
        if (mine)
            columns->segments[number - grid->first_segment] = (segment){.number = number, .holders = holders};
    }
    return dt_ok();
}

static dt_status open_segment(dt_columns *columns, segment *part) {
    const dt_columns_config *config = &columns->config;
    const dt_fraction *bounds = config->grid->bounds;
    part->layout = dt_split_layout_between(dt_model_network(config->model), columns->parameters,
                                           bounds[part->number], bounds[part->number + 1]);
    size_t floats = part->layout.floats;
    part->weights = dt_model_split_weights(config->model);
    part->gradients = dt_model_split_gradients(config->model);
    if (is_staged(columns)) {
        size_t roots = (size_t)columns->cut.bounds.roots;
        DT_TRY(dt_slab_reserve((1 + roots) * floats * sizeof(float), "columns of several segments",
                               &part->memory));
        part->weights = part->memory.base;
        part->gradients = part->weights + floats;
    }
    dt_shards_config shards = {.comm = part->holders,
                               .kernels = config->kernels,
                               .cut = &columns->cut,
                               .range = {0, floats},
                               .weights = part->weights,
                               .gradients = part->gradients,
                               .stride = floats,
                               .piece_floats = config->piece_floats};
    return dt_shards_create(&shards, &part->shards);
}

static dt_status open_all(dt_columns *columns) {
    const dt_columns_config *config = &columns->config;
    if (!is_summed(columns))
        return dt_slab_reserve(2 * columns->layout->floats * sizeof(float), "Adam's moments",
                               &columns->moments);
    DT_TRY(
        dt_cut_create_parts(config->batch, dt_grid_parts(config->grid), config->grid->group, &columns->cut));
    for (int i = 0; i < columns->count; i++)
        DT_TRY(open_segment(columns, &columns->segments[i]));
    return dt_ok();
}

dt_status dt_columns_create(const dt_columns_config *config, dt_columns **columns) {
    dt_columns *created = calloc(1, sizeof *created);
    int count = config->grid->groups > 1 ? config->grid->end_segment - config->grid->first_segment : 0;
    segment *segments = calloc((size_t)count + 1, sizeof *segments);
    *columns = NULL;
    dt_status status =
        created && segments ? dt_ok() : dt_fail(DT_MEMORY, "no memory for the step on shared columns");
    status = dt_comm_agree(config->all, status);
    if (!created || !segments || dt_failed(&status)) {
        free(created);
        free(segments);
        return status;
    }
    *created = (dt_columns){.config = *config,
                            .parameters = dt_model_parameters(config->model),
                            .layout = dt_model_split_layout(config->model),
                            .count = count,
                            .segments = segments};
    if (is_summed(created))
        status = find_holders(created);
    if (!dt_failed(&status))
        status = dt_comm_agree(config->all, open_all(created));
    if (dt_failed(&status))
        dt_columns_destroy(created);
    else
        *columns = created;
    return status;
}

void dt_columns_destroy(dt_columns *columns) {
    if (!columns)
        return;
    for (int i = 0; i < columns->count; i++) {
        dt_shards_destroy(columns->segments[i].shards);
        dt_slab_release(&columns->segments[i].memory);
        dt_comm_destroy(columns->segments[i].holders);
    }
    free(columns->segments);
    dt_cut_release(&columns->cut);
    dt_slab_release(&columns->moments);
    free(columns);
}

void dt_columns_renew(dt_columns *columns) {
    float *own = dt_model_split_weights(columns->config.model);
    memset(columns->stale, 0, sizeof columns->stale);
    for (int i = 0; i < columns->count && is_staged(columns); i++)
        for (int number = 0; number < columns->layout->count; number++)
            copy_part(columns, &columns->segments[i], number, own, columns->segments[i].weights, true);
}

void dt_columns_begin(dt_columns *columns, int batch) {
    columns->ready = 0;
    if (!is_summed(columns))
        return;
    dt_cut_set(&columns->cut, batch);
    for (int i = 0; i < columns->count; i++)
        dt_shards_begin(columns->segments[i].shards);
}

/* A tensor's gradients into the segments' memory, root by root. */
static void stage_gradients(dt_columns *columns, int number) {
    dt_model *model = columns->config.model;
    int roots = dt_cut_roots_of(&columns->cut, columns->cut.rank);
    for (int i = 0; i < columns->count; i++) {
        segment *part = &columns->segments[i];
        for (int root = 0; root < roots; root++)
            copy_part(columns, part, number,
                      dt_model_split_gradients(model) + (size_t)root * dt_model_split_stride(model),
                      part->gradients + (size_t)root * part->layout.floats, true);
    }
}

void dt_columns_gradient_ready(dt_columns *columns, int number) {
    assert(number == columns->ready);
    columns->ready = number + 1;
    if (is_staged(columns))
        stage_gradients(columns, number);
    for (int i = 0; i < columns->count; i++) {
        const segment *part = &columns->segments[i];
        bool last = columns->ready == part->layout.count;
        dt_shards_extend(part->shards,
                         last ? part->layout.floats : part->layout.tensors[columns->ready].offset);
    }
}

void dt_columns_progress(dt_columns *columns) {
    for (int i = 0; i < columns->count; i++)
        dt_shards_progress(columns->segments[i].shards);
}

void dt_columns_finish(dt_columns *columns) {
    assert(columns->ready == columns->layout->count);
    for (int i = 0; i < columns->count; i++)
        dt_shards_finish(columns->segments[i].shards);
}

bool dt_columns_are_finite(dt_columns *columns, int number) {
    if (!is_summed(columns))
        return dt_model_split_is_finite(columns->config.model, columns->layout->tensors[number].tensor);
    for (int i = 0; i < columns->count; i++) {
        const segment *part = &columns->segments[i];
        if (!dt_shards_are_finite(part->shards, range_in(part, number)))
            return false;
    }
    return true;
}

float *dt_columns_moments(dt_columns *columns, bool second) {
    if (is_summed(columns))
        return dt_model_split_gradients(columns->config.model);
    return (float *)columns->moments.base + (second ? columns->layout->floats : 0);
}

void dt_columns_update(dt_columns *columns, dt_adam_step step) {
    if (!is_summed(columns))
        dt_model_update_split(columns->config.model, step, dt_columns_moments(columns, false),
                              dt_columns_moments(columns, true));
    for (int i = 0; i < columns->count; i++)
        dt_shards_update(columns->segments[i].shards, step);
    for (int number = 0; number < columns->layout->count; number++)
        columns->stale[number] = is_staged(columns);
}

void dt_columns_wait(dt_columns *columns, int number) {
    float *own = dt_model_split_weights(columns->config.model);
    for (int i = 0; i < columns->count; i++) {
        segment *part = &columns->segments[i];
        dt_shards_wait(part->shards, range_in(part, number));
        if (columns->stale[number])
            copy_part(columns, part, number, own, part->weights, false);
    }
    columns->stale[number] = false;
}

/* The slab of gradients lies idle between two steps: moments pass through its first roots. */
const float *dt_columns_collect(dt_columns *columns, bool second) {
    float *moments = dt_columns_moments(columns, second);
    for (int i = 0; i < columns->count; i++) {
        segment *part = &columns->segments[i];
        dt_shards_collect_moment(part->shards, second, part->gradients);
        if (is_staged(columns))
            for (int number = 0; number < part->layout.count; number++)
                copy_part(columns, part, number, moments, part->gradients, false);
    }
    return moments;
}

void dt_columns_restore(dt_columns *columns, bool second) {
    float *moments = dt_columns_moments(columns, second);
    for (int i = 0; i < columns->count; i++) {
        segment *part = &columns->segments[i];
        if (is_staged(columns))
            for (int number = 0; number < part->layout.count; number++)
                copy_part(columns, part, number, moments, part->gradients, true);
        dt_shards_restore_moment(part->shards, second, part->gradients);
    }
}

int dt_columns_shared(const dt_columns *columns) {
    return is_summed(columns) ? columns->config.grid->segments * columns->layout->count : 0;
}

uint64_t dt_columns_hash(dt_columns *columns, int number) {
    int held = number / columns->layout->count - columns->config.grid->first_segment;
    if (held < 0 || held >= columns->count)
        return 0;
    const segment *part = &columns->segments[held];
    dt_range range = range_in(part, number % columns->layout->count);
    float *own = dt_model_split_weights(columns->config.model);
    /* What training computes with: a copy of the segments on a rank with several. */
    if (is_staged(columns)) {
        copy_part(columns, part, number % columns->layout->count, own, part->gradients, true);
        return dt_hash(0, part->gradients + range.begin, range.count * sizeof(float));
    }
    return dt_hash(0, part->weights + range.begin, range.count * sizeof(float));
}
