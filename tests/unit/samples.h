/* SPDX-License-Identifier: BSD-3-Clause */
/* Small data sets for the tests of src/data: a folder of one's own, and files made byte by byte, so that any
 * byte of them can be wrong. */
#ifndef DTRAIN_TESTS_UNIT_SAMPLES_H
#define DTRAIN_TESTS_UNIT_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SAMPLE_TRAIN = 5, SAMPLE_TEST = 3 };

/* Bytes that grow. Owner: release with buffer_release, or hand over to a function that says it takes them. */
typedef struct buffer {
    unsigned char *bytes;
    size_t count;
    size_t room; /* bytes that were allocated */
} buffer;

void buffer_add(buffer *to, const void *bytes, size_t count);
void buffer_add_little(buffer *to, uint64_t value, int bytes);
void buffer_add_big32(buffer *to, uint32_t value);
void buffer_release(buffer *of);

/* cmocka fixtures: *state becomes the path of a new empty folder, which is removed with all that is in it. */
int folder_create(void **state);
int folder_remove(void **state);

/* FOLDER/NAME in static memory, overwritten by the eighth call after it. */
const char *path_in(const char *folder, const char *name);

/* Writes FOLDER/NAME and takes the content. */
void write_file(const char *folder, const char *name, buffer content);
void write_text(const char *folder, const char *name, const char *text);

/* gzip's form of the content, which it takes. */
buffer gzip(buffer content);

/* What the sample set holds: half 0 is train, 1 is test. */
uint8_t sample_pixel(int half, int image, int pixel);
uint8_t sample_label(int half, int image);
int sample_count(int half);

/* IDX content with any header; images and labels of the sample set follow it. */
buffer idx_images(int half, uint32_t magic, uint32_t count, uint32_t rows, uint32_t columns);
buffer idx_labels(int half, uint32_t magic, uint32_t count);

/* The four files, sound. separator: '-' or '.'. */
void write_idx_folder(const char *folder, char separator, bool packed);

/* npy content: version 1, 2 or 3, any header, data (taken). */
buffer npy(int version, const char *descr, const char *fortran_order, const char *shape, buffer data);

/* Sample pixels as 'u' (bytes), 'f' (float32, byte / 255) or 'd' (float64). */
buffer pixel_data(int half, char type);

/* Sample labels: `bytes` wide little-endian integers. */
buffer label_data(int half, int bytes);

/* Sample labels, one-hot, in float64. */
buffer one_hot_data(int half);

/* A zip that is being made: members with numpy's zip64 extra field in front of them. */
typedef struct zip_maker {
    buffer members, directory;
    int count;
} zip_maker;

/* Adds a member and takes its content. */
void zip_add(zip_maker *zip, const char *name, buffer content, bool deflated);

/* The whole file; the maker is empty again. */
buffer zip_finish(zip_maker *zip);

/* A sound npz of uint8 pixels and labels 0..9. */
buffer sample_npz(bool deflated);

/* One of a few ways of damaging content: bits flipped, bytes overwritten, cut short, or a stretch removed. A
 * function of `number` and the size alone. */
buffer damaged(const buffer *content, uint32_t number);

#endif
