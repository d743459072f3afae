/* SPDX-License-Identifier: BSD-3-Clause */
/* Labelled 28x28 images from local files or drawn by the program: IDX files (plain or gzip), Keras' mnist.npz
 * in both of its forms, synthetic digits. Never the network. Local: one rank reads, and hands on
 * (train/corpus.c). */
#ifndef DTRAIN_DATASET_H
#define DTRAIN_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "dtrain/linked.h"
#include "dtrain/memory.h"
#include "dtrain/path.h"
#include "dtrain/status.h"

enum { DT_IMAGE_SIDE = 28, DT_IMAGE_PIXELS = 784, DT_CLASSES = 10 };

/* How pixels are stored. Bytes are pixel values 0..255 that mean value/255. Float files whose every value is
 * k/255 for a whole k, to float rounding, are stored as bytes too (so the fingerprint does not depend on the
 * file format). */
typedef enum dt_pixel_kind { DT_PIXEL_BYTE, DT_PIXEL_FLOAT } dt_pixel_kind;

/* A view of `count` images and their labels 0..9. Points into memory of its owner. */
typedef struct dt_images {
    int count;
    dt_pixel_kind kind;
    const void *pixels; /* [count][784] uint8_t or float */
    const uint8_t *labels;
} dt_images;

/* Both halves of a data set, and where it came from. Owner of its memory: release with dt_dataset_release. */
typedef struct dt_dataset {
    dt_images train; /* as in the files: 60,000 for MNIST */
    dt_images test;
    char name[64]; /* "MNIST (standard)", "Fashion-MNIST (standard)", "IDX files", "npz file", "synthetic
                      digits"; with the counts of MNIST and other content ", not the standard MNIST" behind it
                    */
    char source[DT_PATH_ROOM]; /* folder or file, or "synthetic:N" */
    uint64_t fingerprint;      /* hash of counts, pixels and labels of both halves */
    bool standard;             /* the fingerprint is that of a published set: MNIST or Fashion-MNIST */
    char warnings[1024];       /* one a line, empty if none: trailing bytes and the like */
    dt_slab memory;
} dt_dataset;

/* Reads a data set.
 * where: what --data said, or NULL. A folder with the four IDX files (train-images, train-labels,
 * t10k-images, t10k-labels; "-idx3-ubyte"/"-idx1-ubyte" or ".idx3-ubyte"/".idx1-ubyte"; with or without
 * ".gz") or with mnist.npz; an .npz file; "synthetic" or "synthetic:N" for N training and N/6 (at least 1)
 * test images (default 12000); seed is used for these alone. NULL searches $DTRAIN_DATA (same forms),
 * data/mnist, ../shared/data/mnist (both also as seen from a build folder),
 * ~/.keras/datasets/mnist.npz; the first that exists is read, and if it is damaged that is an error.
 * Errors, all DT_DATA or DT_MEMORY, name the file and the cause: nothing found (lists the places tried and
 * the three ways to get data), unreadable, gzip cut short or with a wrong CRC, not gzip at all (says when it
 * looks like a web page), wrong magic number, images and labels swapped, counts that differ, 0 items, not
 * 28x28, a label above 9 (index and value), file shorter than its header says; npz: not a zip, an array
 * missing, dtype or Fortran order that is not supported, float pixels outside 0..1 or not finite, one-hot
 * rows that are none. Trailing bytes after the last item only warn. */
dt_status dt_dataset_read(const char *where, uint64_t seed, dt_dataset *dataset);

void dt_dataset_release(dt_dataset *dataset);

/* zlib. */
dt_linked dt_dataset_linked(void);

/* Images [first, first + count) of a view. */
dt_images dt_images_slice(dt_images images, int first, int count);

/* Bytes of a view's pixels. */
size_t dt_images_pixel_bytes(dt_images images);

/* Writes image number index[i] as 784 floats in [0, 1] to x + 784*i and its label to labels[i], i = 0 ..
 * count-1. Bytes become (float)byte / 255.0f, as numpy's float32 division. Thread safe. */
void dt_images_fetch(dt_images images, const int *index, int count, float *x, uint8_t *labels);

#endif
