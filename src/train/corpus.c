/* SPDX-License-Identifier: BSD-3-Clause */
/* One reader, one copy a node. */
#include "train/corpus.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* What every rank must know to lay its views over the shared block: fixed size, so that one broadcast carries
 * it. */
typedef struct dt_corpus_header {
    int train_count, test_count;
    dt_pixel_kind train_kind, test_kind;
    char name[64];
    char source[DT_PATH_ROOM];
    char warnings[1024];
    uint64_t fingerprint;
    bool standard;
} dt_corpus_header;

static dt_corpus_header describe(const dt_dataset *dataset) {
    dt_corpus_header header = {.train_count = dataset->train.count,
                               .test_count = dataset->test.count,
                               .train_kind = dataset->train.kind,
                               .test_kind = dataset->test.kind,
                               .fingerprint = dataset->fingerprint,
                               .standard = dataset->standard};
    memcpy(header.name, dataset->name, sizeof header.name);
    memcpy(header.source, dataset->source, sizeof header.source);
    memcpy(header.warnings, dataset->warnings, sizeof header.warnings);
    return header;
}

/* Where the four arrays lie in the block; with base NULL, how large it is. */
static size_t lay_out(const dt_corpus_header *header, void *base, dt_images *train, dt_images *test) {
    dt_arena arena = {.base = base};
    *train = (dt_images){.count = header->train_count, .kind = header->train_kind};
    *test = (dt_images){.count = header->test_count, .kind = header->test_kind};
    train->pixels = dt_arena_take(&arena, dt_images_pixel_bytes(*train));
    train->labels = dt_arena_take(&arena, (size_t)train->count);
    test->pixels = dt_arena_take(&arena, dt_images_pixel_bytes(*test));
    test->labels = dt_arena_take(&arena, (size_t)test->count);
    return arena.used;
}

static void copy_images(dt_images from, dt_images to, char *base) {
    if (from.count == 0)
        return;
    assert(from.pixels && from.labels);
    memcpy(base + ((const char *)to.pixels - base), from.pixels, dt_images_pixel_bytes(from));
    memcpy(base + ((const char *)to.labels - base), from.labels, (size_t)from.count);
}

static dt_status check_counts(const dt_options *options, const dt_corpus_header *header) {
    int left = header->train_count - options->validation;
    if (left < 1)
        return dt_fail(DT_USAGE,
                       "--validation: %d leaves no training image: %s has %d (take fewer than that)",
                       options->validation, header->name, header->train_count);
    if (options->train_limit > left)
        return dt_fail(DT_USAGE, "--train-limit: %d is more than the %d training images that are left of %s",
                       options->train_limit, left, header->name);
    if (options->test_limit > header->test_count)
        return dt_fail(DT_USAGE, "--test-limit: %d is more than the %d test images of %s",
                       options->test_limit, header->test_count, header->name);
    int train_count = options->train_limit ? options->train_limit : left;
    if (options->batch > train_count)
        return dt_fail(DT_USAGE, "--batch: %d is more than the %d training images of %s", options->batch,
                       train_count, header->name);
    return dt_ok();
}

static void cut(dt_corpus *corpus, const dt_options *options, dt_images train, dt_images test) {
    corpus->validation = dt_images_slice(train, 0, options->validation);
    int left = train.count - options->validation;
    corpus->train =
        dt_images_slice(train, options->validation, options->train_limit ? options->train_limit : left);
    corpus->test = dt_images_slice(test, 0, options->test_limit ? options->test_limit : test.count);
}

/* Puts the header's facts and the views into the corpus, reading from `dataset` on rank 0. */
static dt_status share(dt_comm *comm, const dt_options *options, const dt_dataset *dataset,
                       dt_corpus *corpus) {
    dt_corpus_header header = {0};
    if (dt_comm_rank(comm) == 0)
        header = describe(dataset);
    dt_comm_broadcast(comm, &header, sizeof header, 0);
    DT_TRY(check_counts(options, &header));
    dt_images train, test;
    size_t bytes = lay_out(&header, NULL, &train, &test);
    DT_TRY(dt_comm_window_create(comm, bytes, &corpus->window));
    char *base = dt_comm_window_data(corpus->window);
    lay_out(&header, base, &train, &test);
    if (dt_comm_rank(comm) == 0) {
        copy_images(dataset->train, train, base);
        copy_images(dataset->test, test, base);
    }
    dt_comm_window_publish(comm, corpus->window);
    cut(corpus, options, train, test);
    memcpy(corpus->name, header.name, sizeof corpus->name);
    memcpy(corpus->source, header.source, sizeof corpus->source);
    memcpy(corpus->warnings, header.warnings, sizeof corpus->warnings);
    corpus->fingerprint = header.fingerprint;
    corpus->standard = header.standard;
    return dt_ok();
}

dt_status dt_corpus_create(dt_comm *comm, const dt_options *options, dt_corpus *corpus) {
    *corpus = (dt_corpus){0};
    dt_dataset dataset = {0};
    dt_status status = dt_ok();
    if (dt_comm_rank(comm) == 0)
        status = dt_dataset_read(options->data, options->seed, &dataset);
    status = dt_comm_agree(comm, status);
    if (!dt_failed(&status))
        status = share(comm, options, &dataset, corpus);
    if (dt_comm_rank(comm) == 0)
        dt_dataset_release(&dataset);
    if (dt_failed(&status))
        dt_corpus_release(corpus);
    return status;
}

void dt_corpus_release(dt_corpus *corpus) {
    dt_comm_window_release(corpus->window);
    *corpus = (dt_corpus){0};
}
