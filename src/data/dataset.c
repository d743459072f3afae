/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding a data set, naming it, and handing out its images. */
#include "dtrain/dataset.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file.h"
#include "data/idx.h"
#include "data/nearby.h"
#include "data/npz.h"
#include "data/storage.h"
#include "data/synthetic.h"
#include "dtrain/hash.h"

enum { DEFAULT_DIGITS = 12000, MOST_DIGITS = 10000000, IDX_FILES = 4 };

/* Fingerprints of data sets as published. */
static const struct {
    uint64_t fingerprint;
    const char *name;
} published[] = {
    {UINT64_C(0xdad39feb4e932a23), "MNIST (standard)"},
    {UINT64_C(0x40f3572fe42a96ea), "Fashion-MNIST (standard)"},
};

#define WAYS                                                                                                 \
    "Three ways to get data: tools/get-mnist downloads MNIST to data/mnist; --data synthetic needs no file " \
    "(digits drawn by the program); --data PATH or DTRAIN_DATA=PATH names a folder with the four IDX "       \
    "files, "                                                                                                \
    "or an mnist.npz"

#define IDX_NAMES                                                                   \
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and " \
    "t10k-labels-idx1-ubyte (each also with .idx instead of -idx, and with .gz), or mnist.npz"

static uint64_t hash_half(uint64_t hash, dt_images images) {
    hash = dt_hash(hash, images.pixels, dt_images_pixel_bytes(images));
    return dt_hash(hash, images.labels, (size_t)images.count);
}

/* Counts and kind come first, as little-endian 32-bit numbers, so that no two layouts give the same bytes. */
static uint64_t fingerprint(const dt_dataset *dataset) {
    const uint32_t numbers[3] = {(uint32_t)dataset->train.count, (uint32_t)dataset->test.count,
                                 (uint32_t)dataset->train.kind};
    unsigned char header[sizeof numbers];
    for (size_t i = 0; i < sizeof header; i++)
        header[i] = (unsigned char)(numbers[i / 4] >> (8 * (i % 4)));
    uint64_t hash = dt_hash(0, header, sizeof header);
    return hash_half(hash_half(hash, dataset->train), dataset->test);
}

/* A set with the counts of MNIST is taken for MNIST unless its name says otherwise. */
static void name_dataset(dt_dataset *dataset, const char *kind, const char *source) {
    bool counts = dataset->train.count == 60000 && dataset->test.count == 10000;
    snprintf(dataset->name, sizeof dataset->name, "%s%s", kind, counts ? ", not the standard MNIST" : "");
    snprintf(dataset->source, sizeof dataset->source, "%s", source);
    dataset->fingerprint = fingerprint(dataset);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        if (published[i].fingerprint == dataset->fingerprint) {
            snprintf(dataset->name, sizeof dataset->name, "%s", published[i].name);
            dataset->standard = true;
        }
}

static dt_status read_npz(const char *path, dt_dataset *dataset) {
    DT_TRY(dt_npz_read(path, dataset));
    name_dataset(dataset, "npz file", path);
    return dt_ok();
}

static dt_status join(const char *folder, const char *name, char *path) {
    return dt_path_write(DT_DATA, path, "%s/%s", folder, name);
}

/* Whether there is something to read at a place: a file, or a folder with at least one file of a data set. */
static bool holds_data(const char *place) {
    char npz[DT_PATH_ROOM];
    dt_path_kind kind = dt_file_kind(place);
    if (kind != DT_PATH_FOLDER)
        return kind == DT_PATH_FILE;
    dt_status joined = join(place, "mnist.npz", npz);
    return dt_idx_count(place) > 0 || (!dt_failed(&joined) && dt_file_kind(npz) == DT_PATH_FILE);
}

static dt_status add_hints(dt_status status, const char *folder) {
    size_t used = strlen(status.text);
    dt_nearby_describe(folder, status.text + used, sizeof status.text - used);
    return status;
}

static dt_status read_folder(const char *folder, dt_dataset *dataset) {
    char npz[DT_PATH_ROOM];
    /* With the longest of the names: one that does not fit would be taken for missing. */
    DT_TRY(join(folder, "train-images.idx3-ubyte.gz", npz));
    DT_TRY(join(folder, "mnist.npz", npz));
    int found = dt_idx_count(folder);
    bool has_npz = dt_file_kind(npz) == DT_PATH_FILE;
    if (found > 0) {
        dt_status status = dt_idx_read(folder, dataset);
        if (dt_failed(&status))
            return found < IDX_FILES ? add_hints(status, folder) : status;
        if (has_npz)
            dt_storage_warn(dataset, "the IDX files of %s are read, and not mnist.npz, which is there too",
                            folder);
        name_dataset(dataset, "IDX files", folder);
        return dt_ok();
    }
    if (has_npz)
        return read_npz(npz, dataset);
    dt_status none =
        dt_fail(DT_DATA, "%s: this folder has no data set; names tried: " IDX_NAMES ". " WAYS ".", folder);
    return add_hints(none, folder);
}

/* What to do with a file that is no data set by itself. */
static const char *remedy_of(dt_file_form form) {
    switch (form) {
    case DT_FORM_GZIP:
    case DT_FORM_IDX_IMAGES:
    case DT_FORM_IDX_LABELS:
        return "of IDX files, name the folder that holds all four";
    case DT_FORM_MARKUP:
        return "download it again (MNIST: tools/get-mnist)";
    case DT_FORM_NPY:
        return "save all four arrays in one file with numpy.savez";
    default:
        return "write it as one of these, with numpy.savez for instance";
    }
}

/* The bytes decide, whatever the name is. */
static dt_status read_file(const char *path, dt_dataset *dataset) {
    dt_file file;
    char what[128];
    DT_TRY(dt_file_open(path, &file));
    dt_file_form form = dt_file_form_of(&file);
    dt_file_describe(&file, what, sizeof what);
    dt_file_close(&file);
    if (form == DT_FORM_ZIP)
        return read_npz(path, dataset);
    return dt_fail(DT_DATA,
                   "%s: not an .npz (zip) file: %s; --data takes a folder with the four IDX files, an .npz "
                   "file with the arrays x_train, y_train, x_test and y_test, or synthetic[:N]: %s",
                   path, what, remedy_of(form));
}

/* Parses what follows "synthetic"; 0 if it is no number of digits. */
static int digits_wanted(const char *rest) {
    if (*rest == '\0')
        return DEFAULT_DIGITS;
    char *end;
    errno = 0;
    long count = strtol(rest + 1, &end, 10);
    bool number = rest[1] >= '0' && rest[1] <= '9' && *end == '\0' && errno == 0;
    return number && count >= 1 && count <= MOST_DIGITS ? (int)count : 0;
}

static bool is_synthetic(const char *where) {
    return strncmp(where, "synthetic", 9) == 0 && (where[9] == '\0' || where[9] == ':');
}

static dt_status read_synthetic(const char *where, uint64_t seed, dt_dataset *dataset) {
    char source[32];
    int count = digits_wanted(where + 9);
    if (count == 0)
        return dt_fail(DT_DATA, "%s: synthetic:N wants a whole number N of training images, 1 to %d", where,
                       MOST_DIGITS);
    DT_TRY(dt_synthetic_read(seed, count, dataset));
    snprintf(source, sizeof source, "synthetic:%d", count);
    name_dataset(dataset, "synthetic digits", source);
    return dt_ok();
}

static dt_status read_place(const char *where, uint64_t seed, dt_dataset *dataset) {
    if (is_synthetic(where))
        return read_synthetic(where, seed, dataset);
    switch (dt_file_kind(where)) {
    case DT_PATH_FOLDER:
        return read_folder(where, dataset);
    case DT_PATH_FILE:
        return read_file(where, dataset);
    default:
        return dt_fail(DT_DATA, "%s: no such file or folder. " WAYS, where);
    }
}

static dt_status search(uint64_t seed, dt_dataset *dataset) {
    char keras[DT_PATH_ROOM] = "";
    const char *named = getenv("DTRAIN_DATA"), *home = getenv("HOME");
    if (named && *named == '\0')
        named = NULL;
    if (named && (is_synthetic(named) || dt_file_kind(named) != DT_PATH_NONE))
        return read_place(named, seed, dataset);
    if (home)
        DT_TRY(join(home, ".keras/datasets/mnist.npz", keras));
    /* Each place of the checkout as seen from its top and from a build folder in it. */
    const char *const places[] = {"data/mnist", "../data/mnist", "../shared/data/mnist",
                                  "../../shared/data/mnist", keras};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (holds_data(places[i])) {
            DT_TRY(read_place(places[i], seed, dataset));
            if (named)
                dt_storage_warn(dataset, "$DTRAIN_DATA is %s, but there is no such file or folder", named);
            return dt_ok();
        }
    return dt_fail(DT_DATA,
                   "no data set found; tried: $DTRAIN_DATA (%s), %s, %s, %s, %s, %s; files: " IDX_NAMES
                   ". " WAYS,
                   named ? named : "not set", places[0], places[1], places[2], places[3],
                   home ? keras : "~/.keras (HOME is not set)");
}

dt_status dt_dataset_read(const char *where, uint64_t seed, dt_dataset *dataset) {
    *dataset = (dt_dataset){0};
    dt_status status = where ? read_place(where, seed, dataset) : search(seed, dataset);
    if (dt_failed(&status))
        dt_dataset_release(dataset);
    return status;
}

void dt_dataset_release(dt_dataset *dataset) {
    dt_slab_release(&dataset->memory);
    *dataset = (dt_dataset){0};
}

dt_images dt_images_slice(dt_images images, int first, int count) {
    assert(first >= 0 && count >= 0 && count <= images.count - first);
    dt_images before = {.count = first, .kind = images.kind};
    images.pixels = (const char *)images.pixels + dt_images_pixel_bytes(before);
    images.labels += first;
    images.count = count;
    return images;
}

size_t dt_images_pixel_bytes(dt_images images) {
    return (size_t)images.count * DT_IMAGE_PIXELS * (images.kind == DT_PIXEL_FLOAT ? sizeof(float) : 1);
}

void dt_images_fetch(dt_images images, const int *index, int count, float *x, uint8_t *labels) {
    for (int i = 0; i < count; i++, x += DT_IMAGE_PIXELS) {
        assert(index[i] >= 0 && index[i] < images.count);
        size_t offset = (size_t)index[i] * DT_IMAGE_PIXELS;
        labels[i] = images.labels[index[i]];
        if (images.kind == DT_PIXEL_FLOAT) {
            memcpy(x, (const float *)images.pixels + offset, DT_IMAGE_PIXELS * sizeof *x);
            continue;
        }
        const uint8_t *bytes = (const uint8_t *)images.pixels + offset;
        for (int pixel = 0; pixel < DT_IMAGE_PIXELS; pixel++)
            x[pixel] = (float)bytes[pixel] / 255.0f;
    }
}
