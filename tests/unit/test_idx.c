/* SPDX-License-Identifier: BSD-3-Clause */
/* IDX files: every form of name and packing, and everything that can be wrong with them. */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/idx.h"
#include "samples.h"

static const char images_name[] = "train-images-idx3-ubyte", labels_name[] = "train-labels-idx1-ubyte";
static const char packed_images_name[] = "train-images-idx3-ubyte.gz";

static buffer sound_images(void) {
    return idx_images(0, 2051, SAMPLE_TRAIN, 28, 28);
}

static void check_sample(const dt_dataset *dataset) {
    const dt_images halves[2] = {dataset->train, dataset->test};
    for (int half = 0; half < 2; half++) {
        assert_int_equal(halves[half].count, sample_count(half));
        assert_int_equal(halves[half].kind, DT_PIXEL_BYTE);
        const uint8_t *pixels = halves[half].pixels;
        for (int i = 0; i < halves[half].count; i++) {
            assert_int_equal(halves[half].labels[i], sample_label(half, i));
            for (int pixel = 0; pixel < DT_IMAGE_PIXELS; pixel++)
                assert_int_equal(pixels[i * DT_IMAGE_PIXELS + pixel], sample_pixel(half, i, pixel));
        }
    }
}

/* Reads the folder, which must hold the sample set; returns the warnings in static memory. */
static const char *read_sample(const char *folder) {
    static char warnings[1024];
    dt_dataset dataset = {0};
    assert_ok(dt_idx_read(folder, &dataset));
    check_sample(&dataset);
    memcpy(warnings, dataset.warnings, sizeof warnings);
    dt_dataset_release(&dataset);
    return warnings;
}

static dt_status try_read(const char *folder) {
    dt_dataset dataset = {0};
    dt_status status = dt_idx_read(folder, &dataset);
    dt_dataset_release(&dataset);
    return status;
}

/* The folder is sound except for `content` under `name`: reading fails, the message names the file and has
 * the cause. */
static void expect_failure(const char *folder, const char *name, buffer content, const char *cause) {
    write_file(folder, name, content);
    assert_fails(try_read(folder), DT_DATA, path_in(folder, name));
    assert_fails(try_read(folder), DT_DATA, cause);
}

static void test_reads_every_form(void **state) {
    const char *folder = *state;
    char sub[64];
    for (int form = 0; form < 4; form++) {
        snprintf(sub, sizeof sub, "form%d", form);
        const char *path = path_in(folder, sub);
        assert_int_equal(dt_idx_count(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        write_idx_folder(path, form & 1 ? '-' : '.', form & 2);
        assert_int_equal(dt_idx_count(path), 4);
        assert_string_equal(read_sample(path), "");
    }
}

static void test_first_name_wins(void **state) {
    write_idx_folder(*state, '-', false);
    write_text(*state, packed_images_name, "not looked at");
    write_text(*state, "train-images.idx3-ubyte", "not looked at either");
    const char *warning = read_sample(*state);
    assert_non_null(strstr(warning, "train-images-idx3-ubyte is read, and not train-images-idx3-ubyte.gz"));
    assert_null(strstr(warning, "others of the four"));
    write_idx_folder(*state, '-', true);
    assert_non_null(strstr(read_sample(*state), "so are others of the four files"));
    write_text(*state, packed_images_name, "not looked at");
    assert_int_equal(unlink(path_in(*state, images_name)), 0);
    assert_fails(try_read(*state), DT_DATA, "idx3-ubyte.gz: not a gzip file");
}

static void test_reads_gzip_under_plain_name(void **state) {
    write_idx_folder(*state, '-', false);
    write_file(*state, images_name, gzip(sound_images()));
    read_sample(*state);
}

/* The bytes decide, and not the name. */
static void test_reads_plain_under_gzip_name(void **state) {
    write_idx_folder(*state, '-', true);
    write_file(*state, packed_images_name, sound_images());
    assert_string_equal(read_sample(*state), "");
}

static void test_names_that_are_nearly_right(void **state) {
    (void)state;
    static const char *const near[][2] = {
        {"t10k-images -idx3-ubyte", "t10k-images-idx3-ubyte"},
        {"train-images.idx3-ubyte (1).gz", "train-images-idx3-ubyte.gz"},
        {"Train-Labels-idx1-ubyte", "train-labels-idx1-ubyte"},
        {"train_images_idx3_ubyte", "train-images-idx3-ubyte"},
        {"test-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"},
        {"t10k-labels-idx1-ubyte.txt", "t10k-labels-idx1-ubyte"},
    };
    char proper[64];
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        assert_true(dt_idx_resembles(near[i][0], proper, sizeof proper));
        assert_string_equal(proper, near[i][1]);
    }
    assert_false(dt_idx_resembles("images", proper, sizeof proper));
    assert_false(dt_idx_resembles("", proper, sizeof proper));
    assert_false(dt_idx_resembles("t10k-labels-idx1-ubyte", proper, sizeof proper));
}

static void test_reads_gzip_of_several_members(void **state) {
    write_idx_folder(*state, '-', true);
    buffer whole = sound_images(), front = {0}, back = {0};
    buffer_add(&front, whole.bytes, 100);
    buffer_add(&back, whole.bytes + 100, whole.count - 100);
    buffer_release(&whole);
    front = gzip(front);
    back = gzip(back);
    buffer_add(&front, back.bytes, back.count);
    buffer_release(&back);
    write_file(*state, packed_images_name, front);
    assert_string_equal(read_sample(*state), "");
}

/* RFC 1952, section 2.3: extra field, name, comment and header CRC in front of the data. */
static void test_reads_gzip_with_all_header_fields(void **state) {
    write_idx_folder(*state, '-', true);
    buffer plain = gzip(sound_images()), full = {0};
    buffer_add(&full, "\x1f\x8b\x08\x1e\0\0\0\0\0\3", 10);
    buffer_add(&full, "\3\0abc", 5);
    buffer_add(&full, "name\0a comment\0\x12\x34", 17);
    buffer_add(&full, plain.bytes + 10, plain.count - 10);
    buffer_release(&plain);
    write_file(*state, packed_images_name, full);
    read_sample(*state);
}

static void test_trailing_bytes_warn(void **state) {
    write_idx_folder(*state, '-', true);
    buffer longer = sound_images();
    buffer_add(&longer, "more", 4);
    write_file(*state, packed_images_name, gzip(longer));
    assert_non_null(strstr(read_sample(*state), "train-images-idx3-ubyte.gz: 4 bytes after the last item"));

    buffer packed = gzip(sound_images());
    buffer_add(&packed, "\0\0\0", 3);
    write_file(*state, packed_images_name, packed);
    assert_non_null(strstr(read_sample(*state), "3 bytes after the last item"));

    longer = sound_images();
    buffer_add(&longer, "x", 1);
    write_file(*state, images_name, longer);
    assert_non_null(strstr(read_sample(*state), "train-images-idx3-ubyte: 1 bytes after the last item"));
}

static void test_file_missing(void **state) {
    write_idx_folder(*state, '-', true);
    assert_int_equal(unlink(path_in(*state, "t10k-labels-idx1-ubyte.gz")), 0);
    assert_fails(try_read(*state), DT_DATA, (const char *)*state);
    assert_fails(try_read(*state), DT_DATA, "the t10k-labels file is missing");
}

static void test_folder_in_place_of_file(void **state) {
    write_idx_folder(*state, '.', false);
    assert_int_equal(mkdir(path_in(*state, labels_name), 0755), 0);
    read_sample(*state);
    assert_int_equal(unlink(path_in(*state, "train-labels.idx1-ubyte")), 0);
    assert_fails(try_read(*state), DT_DATA, "train-labels-idx1-ubyte: is a folder, not a file");
}

static void test_file_that_may_not_be_read(void **state) {
    write_idx_folder(*state, '-', false);
    assert_int_equal(chmod(path_in(*state, labels_name), 0), 0);
    /* root reads everything, so as root this is tried as nobody. */
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    dt_status status = try_read(*state);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_fails(status, DT_DATA, "train-labels-idx1-ubyte: cannot be read: Permission denied");
}

/* At every length, a packed file is cut short, or empty. */
static void test_gzip_cut_short(void **state) {
    write_idx_folder(*state, '-', true);
    buffer whole = gzip(sound_images());
    for (size_t length = 0; length < whole.count; length++) {
        buffer front = {0};
        buffer_add(&front, whole.bytes, length);
        const char *cause = length < 2 ? "not a gzip file" : "cut short";
        expect_failure(*state, packed_images_name, front, length == 0 ? "it is empty" : cause);
        assert_fails(try_read(*state), DT_DATA, "; download it again (MNIST: tools/get-mnist)");
    }
    buffer_release(&whole);
}

static void test_gzip_wrong_check_values(void **state) {
    write_idx_folder(*state, '-', true);
    buffer packed = gzip(sound_images());
    packed.bytes[packed.count - 8] ^= 1;
    expect_failure(*state, packed_images_name, packed, "wrong CRC");
    packed = gzip(sound_images());
    packed.bytes[packed.count - 4] ^= 1;
    expect_failure(*state, packed_images_name, packed, "wrong length");
    packed = gzip(sound_images());
    memset(packed.bytes + 12, 0xFF, 20);
    expect_failure(*state, packed_images_name, packed, "damaged");
}

static buffer text(const char *content) {
    buffer made = {0};
    buffer_add(&made, content, strlen(content));
    return made;
}

static void test_not_gzip(void **state) {
    static const char page[] = "\n<!DOCTYPE html><html><body>404 Not Found</body></html>";
    write_idx_folder(*state, '-', true);
    expect_failure(
        *state, packed_images_name, text(page),
        "not a gzip file: it looks like a web page, as a failed download leaves behind; download it again");
    expect_failure(*state, packed_images_name, text("<HTML>"), "it looks like a web page");
    expect_failure(*state, packed_images_name, text("<?xml version='1.0'?><Error/>"),
                   "it looks like a web page");
    expect_failure(*state, packed_images_name, text("rubbish"),
                   "not a gzip file: it begins with the bytes 72 75 62 62; download it again");
    expect_failure(*state, images_name, text(page),
                   "leaves behind; download it again (MNIST: tools/get-mnist)");
}

static void test_wrong_magic(void **state) {
    write_idx_folder(*state, '-', false);
    expect_failure(*state, images_name, idx_images(0, 2052, SAMPLE_TRAIN, 28, 28),
                   "wrong magic number 2052 (0x00000804); a file of images has 2051 (0x00000803)");
    expect_failure(*state, images_name, text("abc"), "too short for an IDX file");
    expect_failure(*state, images_name, text(""), "it is empty");
    write_file(*state, images_name, sound_images());
    expect_failure(*state, labels_name, idx_labels(0, 7, SAMPLE_TRAIN),
                   "wrong magic number 7 (0x00000007); a file of labels has 2049 (0x00000801)");
}

static void test_images_and_labels_swapped(void **state) {
    write_idx_folder(*state, '-', false);
    write_file(*state, labels_name, sound_images());
    expect_failure(
        *state, images_name, idx_labels(0, 2049, SAMPLE_TRAIN),
        "holds labels where images belong (magic number 2049, not 2051): images and labels are swapped");
    write_file(*state, images_name, sound_images());
    assert_fails(try_read(*state), DT_DATA, "holds images where labels belong");
}

static void test_counts(void **state) {
    write_idx_folder(*state, '-', false);
    expect_failure(*state, images_name, idx_images(0, 2051, 0, 28, 28), "holds 0 images");
    expect_failure(*state, images_name, idx_images(0, 2051, SAMPLE_TRAIN + 1, 28, 28),
                   "shorter than its header says: 6 images are 4720 bytes; the file has 3936");
    expect_failure(*state, images_name, idx_images(0, 2051, 0xFFFFFFFF, 28, 28),
                   "shorter than its header says");
    expect_failure(*state, images_name, idx_images(0, 2051, 2, 28, 28), "2 images, but");
    write_file(*state, images_name, sound_images());
    expect_failure(*state, labels_name, idx_labels(0, 2049, 4), "4 labels");
    expect_failure(*state, labels_name, idx_labels(0, 2049, 0), "holds 0 labels");
    expect_failure(*state, labels_name, idx_labels(0, 2049, 6), "shorter than its header says");
}

/* A gzip file could hold far more than its size, so here the end of its content tells. */
static void test_packed_file_shorter_than_header(void **state) {
    write_idx_folder(*state, '-', true);
    write_file(*state, "train-labels-idx1-ubyte.gz", gzip(idx_labels(0, 2049, 6)));
    expect_failure(*state, packed_images_name, gzip(idx_images(0, 2051, 6, 28, 28)),
                   "shorter than its header says: it ends 784 bytes early");
    expect_failure(*state, packed_images_name, gzip(idx_images(0, 2051, 100000000, 28, 28)),
                   "shorter than its header says: 100000000 images");
}

static void test_image_size(void **state) {
    write_idx_folder(*state, '-', false);
    expect_failure(*state, images_name, idx_images(0, 2051, SAMPLE_TRAIN, 32, 28),
                   "its images are 32 x 28 pixels; they must be 28 x 28");
    expect_failure(*state, images_name, idx_images(0, 2051, SAMPLE_TRAIN, 28, 0), "28 x 0 pixels");
}

static void test_label_above_nine(void **state) {
    write_idx_folder(*state, '-', true);
    buffer labels = idx_labels(0, 2049, SAMPLE_TRAIN);
    labels.bytes[8 + 3] = 10;
    expect_failure(*state, "train-labels-idx1-ubyte.gz", gzip(labels),
                   "label number 3 (counted from 0) is 10");
}

/* Whatever is done to the bytes of a file: it is read, or refused as data; never worse. */
static void test_survives_damage(void **state) {
    buffer contents[] = {gzip(sound_images()), gzip(idx_labels(0, 2049, SAMPLE_TRAIN)), sound_images(),
                         idx_labels(0, 2049, SAMPLE_TRAIN)};
    const char *const names[] = {packed_images_name, "train-labels-idx1-ubyte.gz", images_name, labels_name};
    for (int file = 0; file < 4; file++) {
        write_idx_folder(*state, '-', file < 2);
        int refused = 0;
        for (uint32_t number = 0; number < 1000; number++) {
            write_file(*state, names[file], damaged(&contents[file], 1000 * (uint32_t)file + number));
            dt_status status = try_read(*state);
            if (status.code != DT_OK && status.code != DT_DATA)
                fail_msg("%s, damage %u: code %d: %s", names[file], number, (int)status.code, status.text);
            refused += status.code == DT_DATA;
        }
        /* gzip's checks catch all but damage to its name or time fields; a plain file has only its header. */
        assert_true(refused > (file < 2 ? 850 : 400));
        buffer_release(&contents[file]);
    }
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_create, folder_remove)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_reads_every_form),
        IN_FOLDER(test_first_name_wins),
        IN_FOLDER(test_reads_gzip_under_plain_name),
        IN_FOLDER(test_reads_plain_under_gzip_name),
        cmocka_unit_test(test_names_that_are_nearly_right),
        IN_FOLDER(test_reads_gzip_of_several_members),
        IN_FOLDER(test_reads_gzip_with_all_header_fields),
        IN_FOLDER(test_trailing_bytes_warn),
        IN_FOLDER(test_file_missing),
        IN_FOLDER(test_folder_in_place_of_file),
        IN_FOLDER(test_file_that_may_not_be_read),
        IN_FOLDER(test_gzip_cut_short),
        IN_FOLDER(test_gzip_wrong_check_values),
        IN_FOLDER(test_not_gzip),
        IN_FOLDER(test_wrong_magic),
        IN_FOLDER(test_images_and_labels_swapped),
        IN_FOLDER(test_counts),
        IN_FOLDER(test_packed_file_shorter_than_header),
        IN_FOLDER(test_image_size),
        IN_FOLDER(test_label_above_nine),
        IN_FOLDER(test_survives_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
