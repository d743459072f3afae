/* SPDX-License-Identifier: BSD-3-Clause */
/* A walk by links, which H5Ovisit would hide. */
#include "io/screening.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/values.h"

/* Groups of a cycle of hard links have no end. Files of Keras have some hundreds of objects. */
enum { MOST_LEVELS = 24, MOST_OBJECTS = 100000, PLACE_ROOM = 1024 };

/* A longer text is none of a run. */
enum { MOST_TEXT_BYTES = 1 << 20 };

/* Deflate's densest code: a match of 258 bytes from two bits. */
enum { DEFLATE_MOST_RATIO = 258 * 8 / 2 };

#define HSIZE_MOST ((hsize_t)-1)

/* A walk under way. */
typedef struct walk {
    const dt_library_file *file;
    bool values;
    hsize_t file_bytes;
    int objects, level;
    char place[PLACE_ROOM]; /* of the object at hand, from the root */
    size_t place_bytes;
    dt_status status;
} walk;

#define REMEDY "a file of weights must hold its values itself: save it again with Keras' save_weights"

static dt_status refuse(const walk *held, const char *what) {
    return dt_fail(DT_FILE, "%s: %s %s, which is not read: " REMEDY, held->file->path, held->place, what);
}

static dt_status failure(const walk *held) {
    return dt_library_failure(held->file->path, held->place_bytes > 0 ? held->place : "its first group");
}

static dt_status check_filters(const walk *held, hid_t creation, bool *packed) {
    int count = H5Pget_nfilters(creation);
    if (count < 0)
        return failure(held);
    for (unsigned i = 0; i < (unsigned)count; i++) {
        unsigned flags, settings;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(creation, i, &flags, &values, NULL, 0, NULL, &settings);
        *packed = *packed || filter == H5Z_FILTER_DEFLATE;
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
            return dt_fail(DT_FILE,
                           "%s: %s is packed by HDF5's filter %d; deflate, shuffle and fletcher32 are read: "
                           "save it without compression or with gzip",
                           held->file->path, held->place, (int)filter);
    }
    return dt_ok();
}

/* Bytes of a chunk in memory; 0 when they cannot be told or are too many for a number. */
static hsize_t chunk_bytes(hid_t creation, size_t size) {
    hsize_t dims[H5S_MAX_RANK], bytes = size;
    int rank = H5Pget_chunk(creation, H5S_MAX_RANK, dims);
    for (int i = 0; i < rank && bytes > 0; i++)
        bytes = dims[i] > 0 && bytes <= HSIZE_MOST / dims[i] ? bytes * dims[i] : 0;
    return rank < 0 ? 0 : bytes;
}

static dt_status refuse_claim(const walk *held, hsize_t claimed, hsize_t stored) {
    return dt_fail(
        DT_FILE,
        "%s: %s claims %llu bytes of values, and the file, %llu bytes long, holds %llu of it: it is "
        "damaged or was never filled",
        held->file->path, held->place, (unsigned long long)claimed, (unsigned long long)held->file_bytes,
        (unsigned long long)stored);
}

/* Whether the file can hold what a dataset promises. */
static dt_status check_claim(const walk *held, hid_t dataset, hid_t creation, hsize_t claimed, size_t size) {
    H5D_layout_t layout = H5Pget_layout(creation);
    hsize_t stored = H5Dget_storage_size(dataset), most = stored;
    bool packed = false;
    if (stored > held->file_bytes)
        return refuse_claim(held, claimed, stored);
    if (layout == H5D_CHUNKED) {
        DT_TRY(check_filters(held, creation, &packed));
        hsize_t ratio = packed ? DEFLATE_MOST_RATIO : 1, chunk = chunk_bytes(creation, size);
        most = stored * ratio;
        if (claimed > 0 && (chunk == 0 || chunk > held->file_bytes * ratio))
            return refuse(held, "has chunks larger than the file can hold");
    } else if (layout == H5D_CONTIGUOUS && claimed > 0) {
        haddr_t first = H5Dget_offset(dataset);
        if (first == HADDR_UNDEF || first > held->file_bytes || stored > held->file_bytes - first)
            most = 0;
    }
    return claimed > most ? refuse_claim(held, claimed, most) : dt_ok();
}

static dt_status check_storage(const walk *held, hid_t dataset, hid_t type, hid_t space) {
    hssize_t count = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    hid_t creation = H5Dget_create_plist(dataset);
    dt_status status = dt_ok();
    if (count < 0 || size == 0 || creation < 0)
        status = failure(held);
    else if (H5Pget_external_count(creation) != 0)
        status = refuse(held, "has its values in another file (external storage)");
    else if (H5Pget_layout(creation) == H5D_VIRTUAL)
        status = refuse(held, "is a virtual dataset");
    else if ((hsize_t)count > HSIZE_MOST / size)
        status = refuse_claim(held, HSIZE_MOST, held->file_bytes);
    else
        status = check_claim(held, dataset, creation, (hsize_t)count * size, size);
    dt_library_close(creation, H5Pclose, held->file->path, &status);
    return status;
}

static dt_status check_type(const walk *held, hid_t type) {
    if (H5Tcommitted(type) > 0)
        return refuse(held, "has a committed datatype");
    if (H5Tdetect_class(type, H5T_REFERENCE) > 0)
        return refuse(held, "holds references");
    return dt_ok();
}

/* As the readers convert: what they want is float or double. */
static dt_status convert(void *context, void *values, size_t count) {
    const hid_t *types = context;
    dt_status status = dt_ok();
    if (H5Tconvert(types[0], H5T_NATIVE_DOUBLE, count, values, NULL, H5P_DEFAULT) < 0)
        status = dt_library_failure("values", "cannot be converted");
    return status;
}

static dt_status forget(void *context, void *values, size_t count) {
    (void)context, (void)values, (void)count;
    return dt_ok();
}

/* Numbers, as those who inspect and those who load read them; texts of a fixed length. */
static dt_status read_values(const walk *held, hid_t dataset, hid_t stored) {
    H5T_class_t class = H5Tget_class(stored);
    bool number = class == H5T_FLOAT || class == H5T_INTEGER;
    if (!number &&
        (class != H5T_STRING || H5Tis_variable_str(stored) != 0 || H5Tget_size(stored) > MOST_TEXT_BYTES))
        return dt_ok();
    hid_t type = H5Tget_native_type(stored, H5T_DIR_ASCEND);
    if (type < 0)
        return failure(held);
    dt_status status =
        dt_values_read(held->file, held->place, dataset, type, number ? convert : forget, &type);
    if (!dt_failed(&status) && number)
        status = dt_values_read(held->file, held->place, dataset, H5T_NATIVE_FLOAT, forget, NULL);
    dt_library_close(type, H5Tclose, held->file->path, &status);
    return status;
}

static dt_status screen_dataset(const walk *held, hid_t dataset) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    dt_status status = type < 0 || space < 0 ? failure(held) : check_type(held, type);
    if (!dt_failed(&status))
        status = check_storage(held, dataset, type, space);
    if (!dt_failed(&status) && held->values)
        status = read_values(held, dataset, type);
    dt_library_close(space, H5Sclose, held->file->path, &status);
    dt_library_close(type, H5Tclose, held->file->path, &status);
    return status;
}

/* HDF5 1.12 gave visitors of links another type. */
#if H5_VERSION_GE(1, 12, 0)
typedef H5L_info2_t link_info;
#define VISIT_LINKS H5Literate2
#else
typedef H5L_info_t link_info;
#define VISIT_LINKS H5Literate
#endif

static herr_t visit_link(hid_t group, const char *name, const link_info *info, void *context);

static dt_status screen_group(walk *held, hid_t group) {
    if (held->level == MOST_LEVELS)
        return dt_fail(DT_FILE, "%s: %s is nested in more than %d groups: it is no file of weights",
                       held->file->path, held->place, MOST_LEVELS);
    held->level++;
    hsize_t next = 0;
    herr_t ended = VISIT_LINKS(group, H5_INDEX_NAME, H5_ITER_NATIVE, &next, visit_link, held);
    held->level--;
    DT_TRY(held->status);
    return ended < 0 ? failure(held) : dt_ok();
}

static dt_status screen_object(walk *held, hid_t object) {
    if (++held->objects > MOST_OBJECTS)
        return dt_fail(DT_FILE, "%s: has more than %d objects: it is no file of weights", held->file->path,
                       MOST_OBJECTS);
    switch (H5Iget_type(object)) {
    case H5I_GROUP:
        return screen_group(held, object);
    case H5I_DATASET:
        return screen_dataset(held, object);
    default:
        return refuse(held, "is a committed datatype");
    }
}

static dt_status screen_link(walk *held, hid_t group, const char *name, H5L_type_t type) {
    if (type != H5L_TYPE_HARD)
        return refuse(held, type == H5L_TYPE_SOFT       ? "is a soft link"
                            : type == H5L_TYPE_EXTERNAL ? "is an external link"
                                                        : "is a user-defined link");
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    dt_status status = object < 0 ? failure(held) : screen_object(held, object);
    dt_library_close(object, H5Oclose, held->file->path, &status);
    return status;
}

/* Positive ends the visit. The place grows by the name while what it names is looked at. */
static herr_t visit_link(hid_t group, const char *name, const link_info *info, void *context) {
    walk *held = context;
    size_t before = held->place_bytes, room = sizeof held->place - before;
    int length = snprintf(held->place + before, room, "%s%s", before ? "/" : "", name);
    if (length < 0 || (size_t)length >= room) {
        held->status = dt_fail(DT_FILE, "%s: names in it are longer than %d bytes: it is no file of weights",
                               held->file->path, PLACE_ROOM - 1);
        return 1;
    }
    held->place_bytes += (size_t)length;
    held->status = screen_link(held, group, name, info->type);
    held->place[before] = '\0';
    held->place_bytes = before;
    return dt_failed(&held->status) ? 1 : 0;
}

dt_status dt_screening_check(const dt_library_file *file, bool values) {
    walk held = {.file = file, .values = values};
    if (H5Fget_filesize(file->handle, &held.file_bytes) < 0)
        return dt_library_failure(file->path, "its length cannot be found");
    hid_t root = H5Gopen2(file->handle, "/", H5P_DEFAULT);
    if (root < 0)
        return dt_library_failure(file->path, "its groups cannot be read");
    dt_status status = screen_object(&held, root);
    dt_library_close(root, H5Gclose, file->path, &status);
    return status;
}
