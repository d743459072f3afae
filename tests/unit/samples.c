/* SPDX-License-Identifier: BSD-3-Clause */
/* Sample data sets, written byte by byte. */
#include "samples.h"

#include "test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "dtrain/dataset.h"
#include "dtrain/random.h"

void buffer_add(buffer *to, const void *bytes, size_t count) {
    if (!to->bytes || to->count + count > to->room) {
        to->room = 2 * (to->count + count) + 64;
        to->bytes = realloc(to->bytes, to->room);
        assert_non_null(to->bytes);
    }
    if (count > 0)
        memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

void buffer_add_little(buffer *to, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        buffer_add(to, &(unsigned char){(unsigned char)(value >> (8 * i))}, 1);
}

void buffer_add_big32(buffer *to, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        buffer_add(to, &(unsigned char){(unsigned char)(value >> shift)}, 1);
}

void buffer_release(buffer *of) {
    free(of->bytes);
    *of = (buffer){0};
}

int folder_create(void **state) {
    const char *base = getenv("TMPDIR");
    char *folder = malloc(512);
    if (!folder)
        return -1;
    snprintf(folder, 512, "%s/dtrain-test-XXXXXX", base ? base : "/tmp");
    *state = mkdtemp(folder);
    /* Another user must be able to look into it: a test reads as nobody. */
    return *state ? chmod(folder, 0755) : -1;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk) {
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

int folder_remove(void **state) {
    int failed = nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return failed;
}

const char *path_in(const char *folder, const char *name) {
    static char paths[8][1024];
    static int turn;
    turn = (turn + 1) % 8;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

void write_file(const char *folder, const char *name, buffer content) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    /* A new file each time: some file systems flush one that is written over to disk. */
    (void)unlink(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    buffer_add(&content, "", 0);
    assert_int_equal(fwrite(content.bytes, 1, content.count, file), content.count);
    assert_int_equal(fclose(file), 0);
    buffer_release(&content);
}

void write_text(const char *folder, const char *name, const char *text) {
    buffer content = {0};
    buffer_add(&content, text, strlen(text));
    write_file(folder, name, content);
}

/* zlib's deflate in one go; window_bits chooses gzip's frame (31) or none (-15). */
static buffer deflate_all(buffer content, int window_bits) {
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t bound = deflateBound(&stream, content.count);
    buffer packed = {.bytes = malloc(bound + 1), .room = bound + 1};
    assert_non_null(packed.bytes);
    stream.next_in = content.bytes;
    stream.avail_in = (unsigned)content.count;
    stream.next_out = packed.bytes;
    stream.avail_out = (unsigned)bound;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.count = stream.total_out;
    assert_int_equal(deflateEnd(&stream), Z_OK);
    buffer_release(&content);
    return packed;
}

buffer gzip(buffer content) {
    return deflate_all(content, 31);
}

uint8_t sample_pixel(int half, int image, int pixel) {
    /* Runs of equal bytes, as in drawn images, and every byte value among them. */
    return (uint8_t)(pixel / 3 + 31 * image + 97 * half);
}

uint8_t sample_label(int half, int image) {
    return (uint8_t)((9 + 3 * image + half) % 10);
}

int sample_count(int half) {
    return half == 0 ? SAMPLE_TRAIN : SAMPLE_TEST;
}

buffer idx_images(int half, uint32_t magic, uint32_t count, uint32_t rows, uint32_t columns) {
    buffer content = {0}, pixels = pixel_data(half, 'u');
    buffer_add_big32(&content, magic);
    buffer_add_big32(&content, count);
    buffer_add_big32(&content, rows);
    buffer_add_big32(&content, columns);
    buffer_add(&content, pixels.bytes, pixels.count);
    buffer_release(&pixels);
    return content;
}

buffer idx_labels(int half, uint32_t magic, uint32_t count) {
    buffer content = {0};
    buffer_add_big32(&content, magic);
    buffer_add_big32(&content, count);
    for (int i = 0; i < sample_count(half); i++)
        buffer_add(&content, &(unsigned char){sample_label(half, i)}, 1);
    return content;
}

void write_idx_folder(const char *folder, char separator, bool packed) {
    static const char *const stems[2] = {"train", "t10k"};
    for (int half = 0; half < 2; half++) {
        char name[64];
        uint32_t count = (uint32_t)sample_count(half);
        buffer images = idx_images(half, 2051, count, 28, 28), labels = idx_labels(half, 2049, count);
        snprintf(name, sizeof name, "%s-images%cidx3-ubyte%s", stems[half], separator, packed ? ".gz" : "");
        write_file(folder, name, packed ? gzip(images) : images);
        snprintf(name, sizeof name, "%s-labels%cidx1-ubyte%s", stems[half], separator, packed ? ".gz" : "");
        write_file(folder, name, packed ? gzip(labels) : labels);
    }
}

buffer npy(int version, const char *descr, const char *fortran_order, const char *shape, buffer data) {
    char header[256];
    int prefix = version == 1 ? 10 : 12;
    int length = snprintf(header, sizeof header, "{'descr': %s, 'fortran_order': %s, 'shape': %s, }", descr,
                          fortran_order, shape);
    while ((prefix + length + 1) % 64 != 0)
        header[length++] = ' ';
    header[length++] = '\n';
    buffer content = {0};
    buffer_add(&content, "\x93NUMPY", 6);
    buffer_add_little(&content, (uint64_t)version, 2);
    buffer_add_little(&content, (uint64_t)length, version == 1 ? 2 : 4);
    buffer_add(&content, header, (size_t)length);
    buffer_add(&content, data.bytes, data.count);
    buffer_release(&data);
    return content;
}

buffer pixel_data(int half, char type) {
    buffer data = {0};
    for (int i = 0; i < sample_count(half) * DT_IMAGE_PIXELS; i++) {
        uint8_t byte = sample_pixel(half, i / DT_IMAGE_PIXELS, i % DT_IMAGE_PIXELS);
        if (type == 'u')
            buffer_add(&data, &byte, 1);
        else if (type == 'f')
            buffer_add(&data, &(float){(float)byte / 255.0f}, sizeof(float));
        else
            buffer_add(&data, &(double){byte / 255.0}, sizeof(double));
    }
    return data;
}

buffer label_data(int half, int bytes) {
    buffer data = {0};
    for (int i = 0; i < sample_count(half); i++)
        buffer_add_little(&data, sample_label(half, i), bytes);
    return data;
}

buffer one_hot_data(int half) {
    buffer data = {0};
    for (int i = 0; i < sample_count(half); i++)
        for (int class = 0; class < DT_CLASSES; class ++)
            buffer_add(&data, &(double){class == sample_label(half, i)}, sizeof(double));
    return data;
}

void zip_add(zip_maker *zip, const char *name, buffer content, bool deflated) {
    uint32_t crc = (uint32_t)crc32(0, content.bytes, (unsigned)content.count);
    size_t bytes = content.count, offset = zip->members.count, name_bytes = strlen(name);
    buffer packed = deflated ? deflate_all(content, -15) : content;
    buffer *to = &zip->members;
    buffer_add(to, "PK\3\4", 4);
    buffer_add_little(to, 45, 2);
    buffer_add_little(to, 0, 2);
    buffer_add_little(to, deflated ? 8 : 0, 2);
    buffer_add_little(to, 0, 4);
    buffer_add_little(to, crc, 4);
    buffer_add_little(to, 0xFFFFFFFF, 4);
    buffer_add_little(to, 0xFFFFFFFF, 4);
    buffer_add_little(to, name_bytes, 2);
    buffer_add_little(to, 20, 2);
    buffer_add(to, name, name_bytes);
    buffer_add_little(to, 1, 2);
    buffer_add_little(to, 16, 2);
    buffer_add_little(to, bytes, 8);
    buffer_add_little(to, packed.count, 8);
    buffer_add(to, packed.bytes, packed.count);
    to = &zip->directory;
    buffer_add(to, "PK\1\2", 4);
    buffer_add_little(to, 45, 2);
    buffer_add_little(to, 45, 2);
    buffer_add_little(to, 0, 2);
    buffer_add_little(to, deflated ? 8 : 0, 2);
    buffer_add_little(to, 0, 4);
    buffer_add_little(to, crc, 4);
    buffer_add_little(to, packed.count, 4);
    buffer_add_little(to, bytes, 4);
    buffer_add_little(to, name_bytes, 2);
    for (int field = 0; field < 3; field++) /* extra, comment, disk; attributes */
        buffer_add_little(to, 0, 4);
    buffer_add_little(to, offset, 4);
    buffer_add(to, name, name_bytes);
    zip->count++;
    buffer_release(&packed);
}

buffer zip_finish(zip_maker *zip) {
    buffer content = zip->members;
    size_t offset = content.count;
    buffer_add(&content, zip->directory.bytes, zip->directory.count);
    buffer_add(&content, "PK\5\6", 4);
    buffer_add_little(&content, 0, 4);
    buffer_add_little(&content, (uint64_t)zip->count, 2);
    buffer_add_little(&content, (uint64_t)zip->count, 2);
    buffer_add_little(&content, zip->directory.count, 4);
    buffer_add_little(&content, offset, 4);
    buffer_add_little(&content, 0, 2);
    buffer_release(&zip->directory);
    *zip = (zip_maker){0};
    return content;
}

buffer sample_npz(bool deflated) {
    zip_maker zip = {0};
    zip_add(&zip, "x_test.npy", npy(1, "'|u1'", "False", "(3, 28, 28)", pixel_data(1, 'u')), deflated);
    zip_add(&zip, "x_train.npy", npy(1, "'|u1'", "False", "(5, 28, 28)", pixel_data(0, 'u')), deflated);
    zip_add(&zip, "y_train.npy", npy(1, "'|u1'", "False", "(5,)", label_data(0, 1)), deflated);
    zip_add(&zip, "y_test.npy", npy(1, "'|u1'", "False", "(3,)", label_data(1, 1)), deflated);
    return zip_finish(&zip);
}

buffer damaged(const buffer *content, uint32_t number) {
    dt_random4 drawn = dt_random_draw(2024, DT_PURPOSE_INIT, number, 0, 0, 0);
    buffer copy = {0};
    size_t at = drawn.word[1] % content->count;
    switch (drawn.word[0] % 4) {
    case 0:
        buffer_add(&copy, content->bytes, at);
        break;
    case 1:
        buffer_add(&copy, content->bytes, at);
        at += 1 + drawn.word[2] % (content->count - at);
        buffer_add(&copy, content->bytes + at, content->count - at);
        break;
    case 2:
        buffer_add(&copy, content->bytes, content->count);
        copy.bytes[at] ^= (unsigned char)(1u << (drawn.word[2] % 8));
        break;
    default:
        buffer_add(&copy, content->bytes, content->count);
        for (size_t i = 0; i < 4 && at + i < copy.count; i++)
            copy.bytes[at + i] = (unsigned char)(drawn.word[2] >> (8 * i));
    }
    return copy;
}
