/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables by the library, values from where they lie. */
#include "io/image.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/seal.h"

/* The library keeps the file in memory that these functions give it, and hands it back when the file is
 * closed.
 */
static void *give_memory(size_t bytes, H5FD_file_image_op_t operation, void *context) {
    (void)operation, (void)context;
    return malloc(bytes);
}

static void *copy_memory(void *to, const void *from, size_t bytes, H5FD_file_image_op_t operation,
                         void *context) {
    (void)operation, (void)context;
    return memcpy(to, from, bytes);
}

static void *resize_memory(void *memory, size_t bytes, H5FD_file_image_op_t operation, void *context) {
    (void)operation;
    dt_image *image = context;
    image->table_bytes = bytes;
    return realloc(memory, bytes);
}

static herr_t take_memory(void *memory, H5FD_file_image_op_t operation, void *context) {
    dt_image *image = context;
    if (operation == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        image->tables = memory;
    else
        free(memory);
    return 0;
}

static void *share_context(void *context) {
    return context;
}

static herr_t forget_context(void *context) {
    (void)context;
    return 0;
}

/* The tables of a file are about a kilobyte a layer and 400 bytes a tensor: room for them in one block keeps
 * the payload in one run behind them. A file with more gets another block. */
enum { TABLE_BLOCK = 96 << 10, GROWTH = 64 << 10 };

/* The oldest format of tables: HDF5 2 would choose another by itself, in which groups bear the time. */
static herr_t in_memory(hid_t access, dt_image *image) {
    H5FD_file_image_callbacks_t callbacks = {give_memory,   copy_memory,    resize_memory, take_memory,
                                             share_context, forget_context, image};
    if (H5Pset_fapl_core(access, GROWTH, false) < 0 || H5Pset_meta_block_size(access, TABLE_BLOCK) < 0 ||
        H5Pset_small_data_block_size(access, 0) < 0 ||
        H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST) < 0)
        return -1;
    return H5Pset_file_image_callbacks(access, &callbacks);
}

static herr_t set_creation(const dt_image *image) {
    if (H5Pset_create_intermediate_group(image->links, 1) < 0 ||
        H5Pset_obj_track_times(image->datasets, false) < 0 ||
        H5Pset_alloc_time(image->datasets, H5D_ALLOC_TIME_EARLY) < 0)
        return -1;
    return H5Pset_fill_time(image->datasets, H5D_FILL_TIME_NEVER);
}

/* The library asks whether there is a file of this name; below a device there is none. */
static const char no_file[] = "/dev/null/image";

static dt_status open_image(dt_image *image) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    image->links = H5Pcreate(H5P_LINK_CREATE);
    image->datasets = H5Pcreate(H5P_DATASET_CREATE);
    if (access >= 0 && image->links >= 0 && image->datasets >= 0 && in_memory(access, image) >= 0 &&
        set_creation(image) >= 0)
        image->file.handle = H5Fcreate(no_file, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    dt_status status = dt_ok();
    if (image->file.handle < 0)
        status = dt_library_failure(image->file.path, "cannot be made");
    dt_library_close(access, H5Pclose, image->file.path, &status);
    return status;
}

dt_status dt_image_begin(const char *path, dt_image *image) {
    image->file = (dt_library_file){.path = path, .handle = H5I_INVALID_HID};
    image->voice = dt_library_silence();
    image->links = image->datasets = H5I_INVALID_HID;
    image->count = 0;
    image->tables = NULL;
    image->table_bytes = 0;
    dt_status status = open_image(image);
    if (dt_failed(&status))
        dt_image_discard(image);
    return status;
}

static dt_status failure(const dt_image *image, const char *place) {
    char what[160];
    snprintf(what, sizeof what, "%s cannot be made", place);
    return dt_library_failure(image->file.path, what);
}

dt_status dt_image_add_group(dt_image *image, const char *place) {
    hid_t group = H5Gcreate2(image->file.handle, place, image->links, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return failure(image, place);
    dt_status status = dt_ok();
    dt_library_close(group, H5Gclose, image->file.path, &status);
    return status;
}

static dt_status note_payload(dt_image *image, const char *place, hid_t dataset, size_t bytes,
                              const void *values) {
    haddr_t first = H5Dget_offset(dataset);
    if (first == HADDR_UNDEF)
        return failure(image, place);
    assert(image->count < DT_IMAGE_DATASETS);
    image->payload[image->count++] = (dt_image_dataset){first, {values, bytes}};
    return dt_ok();
}

dt_status dt_image_add(dt_image *image, const char *place, hid_t type, int rank, const hsize_t *dims,
                       const void *values) {
    size_t bytes = H5Tget_size(type);
    for (int i = 0; i < rank; i++)
        bytes *= (size_t)dims[i];
    hid_t dataset = H5I_INVALID_HID,
          space = rank > 0 ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    if (space >= 0)
        dataset =
            H5Dcreate2(image->file.handle, place, type, space, image->links, image->datasets, H5P_DEFAULT);
    dt_status status =
        dataset < 0 ? failure(image, place) : note_payload(image, place, dataset, bytes, values);
    dt_library_close(dataset, H5Dclose, image->file.path, &status);
    dt_library_close(space, H5Sclose, image->file.path, &status);
    return status;
}

static int by_place(const void *a, const void *b) {
    const dt_image_dataset *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

/* Bytes that the library did not write are zero. */
static bool read_tables(void *context, uint64_t first, size_t bytes, void *buffer) {
    const dt_image *image = context;
    size_t known = first >= image->table_bytes ? 0 : image->table_bytes - (size_t)first;
    if (known > bytes)
        known = bytes;
    if (known > 0)
        memcpy(buffer, image->tables + first, known);
    memset((char *)buffer + known, 0, bytes - known);
    return true;
}

/* The payload in rising order, neighbours joined. */
static void list_extents(dt_image *image, dt_seal *seal) {
    qsort(image->payload, (size_t)image->count, sizeof image->payload[0], by_place);
    for (int i = 0; i < image->count; i++) {
        dt_extent next = {image->payload[i].first, image->payload[i].values.bytes};
        dt_extent *last = seal->count > 0 ? &seal->extents[seal->count - 1] : NULL;
        if (last && last->first + last->bytes == next.first)
            last->bytes += next.bytes;
        else
            seal->extents[seal->count++] = next;
    }
}

/* The whole file as pieces: the tables up to the next payload, the payload, .. the last tables, the seal. */
typedef struct plan {
    dt_piece pieces[2 * DT_IMAGE_DATASETS + 2];
    int count;
    unsigned char *memory; /* of the tables' pieces and the seal; an owner */
} plan;

static size_t bytes_of_tables(const dt_image *image, const dt_seal *seal) {
    size_t bytes = (size_t)seal->length;
    for (int i = 0; i < image->count; i++)
        bytes -= image->payload[i].values.bytes;
    return bytes;
}

static void plan_tables(dt_image *image, plan *made, unsigned char **memory, uint64_t first, uint64_t end) {
    if (first == end)
        return;
    size_t bytes = (size_t)(end - first);
    read_tables(image, first, bytes, *memory);
    made->pieces[made->count++] = (dt_piece){*memory, bytes};
    *memory += bytes;
}

/* The memory of the plan is the caller's to free, after a failure too. */
static dt_status plan_file(dt_image *image, const dt_seal *seal, plan *made) {
    unsigned char *memory = malloc(bytes_of_tables(image, seal) + dt_seal_bytes(seal));
    if (!memory)
        return dt_fail(DT_MEMORY, "no memory to write %s", image->file.path);
    made->memory = memory;
    uint64_t place = 0;
    for (int i = 0; i < image->count; i++) {
        plan_tables(image, made, &memory, place, image->payload[i].first);
        made->pieces[made->count++] = image->payload[i].values;
        place = image->payload[i].first + image->payload[i].values.bytes;
    }
    plan_tables(image, made, &memory, place, seal->length);
    if (!dt_seal_write(seal, read_tables, image, memory))
        return dt_fail(DT_MEMORY, "no memory to write %s", image->file.path);
    made->pieces[made->count++] = (dt_piece){memory, dt_seal_bytes(seal)};
    return dt_ok();
}

/* Closes what is open; the library then has written its tables to memory. */
static void close_image(dt_image *image, dt_status *status) {
    dt_library_close(image->links, H5Pclose, image->file.path, status);
    dt_library_close(image->datasets, H5Pclose, image->file.path, status);
    dt_library_close(image->file.handle, H5Fclose, image->file.path, status);
    image->links = image->datasets = image->file.handle = H5I_INVALID_HID;
}

static dt_status write_file(dt_image *image, dt_seal *seal, uint64_t *bytes) {
    plan made = {.count = 0};
    list_extents(image, seal);
    dt_status status = plan_file(image, seal, &made);
    if (!dt_failed(&status))
        status = dt_replacement_write(image->file.path, made.pieces, made.count);
    free(made.memory);
    if (bytes)
        *bytes = seal->length + dt_seal_bytes(seal);
    return status;
}

dt_status dt_image_write(dt_image *image, uint64_t *bytes) {
    dt_seal seal = {.count = 0};
    hsize_t length;
    dt_status status = dt_ok();
    if (H5Fget_filesize(image->file.handle, &length) < 0)
        status = dt_library_failure(image->file.path, "cannot be made");
    seal.length = length;
    close_image(image, &status);
    if (!dt_failed(&status))
        status = write_file(image, &seal, bytes);
    dt_image_discard(image);
    return status;
}

void dt_image_discard(dt_image *image) {
    dt_status unused = dt_ok();
    close_image(image, &unused);
    free(image->tables);
    image->tables = NULL;
    dt_library_restore(image->voice);
}
