/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes the first inputs of every fuzz target below a folder, one folder for each target: sound content, and
 * what once was a finding. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hdf5_seeds.h"
#include "unit/samples.h"

static const char *top;

/* Writes an input of a target, and takes it. */
static void add(const char *target, const char *name, buffer content) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/%s", top, target);
    (void)mkdir(folder, 0777);
    write_file(folder, name, content);
}

static void add_text(const char *target, const char *name, const char *text) {
    buffer content = {0};
    buffer_add(&content, text, strlen(text));
    add(target, name, content);
}

static buffer byte_in_front(int byte, buffer content) {
    buffer whole = {0};
    buffer_add_little(&whole, (uint64_t)byte, 1);
    buffer_add(&whole, content.bytes, content.count);
    buffer_release(&content);
    return whole;
}

/* Lengths in front of all but the last, as split_input reads them. */
static buffer joined(buffer *contents, int count) {
    buffer whole = {0};
    for (int i = 0; i < count - 1; i++)
        buffer_add_little(&whole, contents[i].count, 2);
    for (int i = 0; i < count; i++) {
        buffer_add(&whole, contents[i].bytes, contents[i].count);
        buffer_release(&contents[i]);
    }
    return whole;
}

static buffer joined_texts(const char *const *texts, int count) {
    buffer contents[8] = {0};
    for (int i = 0; i < count; i++)
        buffer_add(&contents[i], texts[i], strlen(texts[i]));
    return joined(contents, count);
}

/* One image, or one label. */
static buffer shortest(buffer content, size_t bytes) {
    content.bytes[7] = 1;
    content.count = bytes;
    return content;
}

static void add_idx(void) {
    for (int packed = 0; packed < 2; packed++) {
        buffer files[4];
        for (int half = 0; half < 2; half++) {
            files[2 * half] = shortest(idx_images(half, 0x803, 1, 28, 28), 16 + 784);
            files[2 * half + 1] = shortest(idx_labels(half, 0x801, 1), 8 + 1);
        }
        for (int i = 0; packed && i < 4; i++)
            files[i] = gzip(files[i]);
        add("idx", packed ? "packed" : "plain", joined(files, 4));
    }
}

static buffer floats_npz(void) {
    zip_maker zip = {0};
    static const char *const shapes[] = {"(5, 28, 28, 1)", "(3, 784)"}, *const labels[] = {"(5, 10)",
                                                                                           "(3, 10)"};
    static const char *const names[] = {"x_train.npy", "x_test.npy", "y_train.npy", "y_test.npy"};
    for (int half = 0; half < 2; half++) {
        zip_add(&zip, names[half],
                npy(1, half ? "'<f8'" : "'<f4'", "False", shapes[half], pixel_data(half, half ? 'd' : 'f')),
                true);
        zip_add(&zip, names[2 + half], npy(2, "'<f8'", "False", labels[half], one_hot_data(half)), true);
    }
    return zip_finish(&zip);
}

static void add_npz(void) {
    add("npz", "stored", sample_npz(false));
    add("npz", "deflated", sample_npz(true));
    add("npz", "floats", floats_npz());
}

static void add_stream(void) {
    buffer twice = gzip(label_data(0, 8)), again = gzip(label_data(1, 4));
    buffer_add(&twice, again.bytes, again.count);
    buffer_release(&again);
    add("stream", "plain", byte_in_front(0, byte_in_front(7, label_data(0, 8))));
    add("stream", "gzip", byte_in_front(1, byte_in_front(255, gzip(pixel_data(0, 'u')))));
    add("stream", "members", byte_in_front(1, byte_in_front(1, twice)));
    add("stream", "stored", byte_in_front(2, byte_in_front(16, label_data(1, 8))));
    buffer packed = gzip(pixel_data(1, 'u')), raw = {0};
    buffer_add(&raw, packed.bytes + 10, packed.count - 18);
    buffer_release(&packed);
    add("stream", "deflated", byte_in_front(3, byte_in_front(64, raw)));
}

static const char run[] = "{\"event\":\"start\",\"ranks\":2,\"train_flop\":1e9,\"options\":{\"batch\":64,"
                          "\"strategy\":\"hybrid\",\"lr\":0.001,"
                          "\"seed\":1},\"hosts\":[{\"rank\":0,\"host\":\"h\",\"cpu\":\"c\",\"threads\":1}]}\n"
                          "{\"event\":\"epoch\",\"epoch\":1,\"step\":4,\"loss\":0.5,\"test_accuracy\":0.9,"
                          "\"test_loss\":2.5,\"val_loss\":null,"
                          "\"images_per_s\":100.5,\"phases\":{\"statistics\":0.03,\"gradients\":0.01}}\n"
                          "{\"event\":\"end\",\"weights_hash\":\"0123456789abcdef\",\"step\":4}\n";
static const char other_run[] =
    "{\"event\":\"start\",\"ranks\":1,\"options\":{\"batch\":64,\"strategy\":\"auto\",\"seed\":2}}\n"
    "{\"event\":\"epoch\",\"step\":4,\"test_accuracy\":1e200,\"test_loss\":-1e200,\"images_per_s\":1}\n"
    "{\"event\":\"end\",\"reason\":\"done\"}\n";
static const char setup[] = "{\"warmup\":0,\"train_flop\":1e9,\"repeats\":2,\"cores\":2}";
static const char asked[] = "{\"ranks\":2,\"threads\":1,\"batch\":64,\"strategy\":\"hybrid\",\"repeat\":1,"
                            "\"order\":2,\"exit_code\":0,"
                            "\"experiments\":[\"strong\",\"weak\"],\"peak_gflops\":100.0,\"said\":\"\"}";
static const char reference[] =
    "{\"ranks\":1,\"threads\":1,\"batch\":64,\"reference\":true,\"exit_code\":0,\"order\":1}";
static const char trials[] =
    "{\"event\":\"setup\",\"warmup\":0}\n"
    "{\"event\":\"trial\",\"experiments\":[\"strong\"],\"strategy\":\"hybrid\",\"ranks\":2,\"threads\":1,"
    "\"batch\":64,"
    "\"repeat\":1,\"state\":\"VALID\",\"images_per_s\":100.0,\"phases_ms\":{\"statistics\":1.0}}\n";

static void add_report(void) {
    const char *const pair[] = {run, other_run}, *const bench[] = {setup, reference, other_run, asked, run};
    add("report", "run", byte_in_front(0, joined_texts(pair, 1)));
    add("report", "trials", byte_in_front(0, joined_texts((const char *const[]){trials}, 1)));
    add("report", "pair", byte_in_front(1, joined_texts(pair, 2)));
    add("report", "trials_pair", byte_in_front(1, joined_texts((const char *const[]){trials, trials}, 2)));
    add("report", "bench", byte_in_front(2, joined_texts(bench, 5)));
}

static void add_options(void) {
    add_text("options", "train",
             "--epochs\n3\n--batch=128\n--lr\n1e-3\n--seed\n18446744073709551615\n--quiet");
    add_text("options", "saving",
             "--checkpoint-every\n10min\n--max-time\n3h50m\n--resume\n--keep\n2\n--on-nan\nrewind");
    add_text("options", "plan", "plan\n-N\n2\n4,8\n--link-gbits\n1.5\n--strategy\nauto");
    add_text("options", "report", "report\nrun\n--\n--other");
    add_text("options", "export", "export\nrun\nmodel.h5\n--dropuot\n0.5");
    add_text("methods", "list", "direct,fourier,winograd,passes,tiles");
    add_text("methods", "large", "direct,winograd-large,winograd,passes,fourier");
    add_text("methods", "auto", "auto");
}

static void add_hdf5(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/making.h5", top);
    static const char *const names[SEED_FORMS] = {"sealed", "open", "repacked"};
    for (seed_form form = SEED_SEALED; form < SEED_FORMS; form++) {
        add("weights", names[form], seed_weights(path, form));
        add("checkpoint", names[form], seed_checkpoint(path, form));
    }
    add("weights", "oldest", seed_foreign(path, false));
    add("weights", "newest", seed_foreign(path, true));
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    top = argv[1];
    (void)mkdir(top, 0777);
    add_idx();
    add_npz();
    add_stream();
    add_report();
    add_options();
    add_hdf5();
    return 0;
}
