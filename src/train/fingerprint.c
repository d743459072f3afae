/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranks compared with rank 0. */
#include "train/fingerprint.h"

#include <stdio.h>
#include <string.h>

#include "dtrain/hash.h"

enum { NAME = 64, VALUE = 448, VERSION = 256 };

/* Options as text. */
typedef struct setting {
    char name[NAME], value[VALUE];
} setting;

typedef struct settings {
    int count;
    setting rows[DT_SETTINGS_MOST];
} settings;

static void add_setting(void *context, const dt_setting *one) {
    settings *all = context;
    if (one->own || all->count == DT_SETTINGS_MOST)
        return;
    setting *row = &all->rows[all->count++];
    snprintf(row->name, sizeof row->name, "%s", one->name);
    snprintf(row->value, sizeof row->value, "%s", one->value ? one->value : "not given");
}

static dt_status compare_settings(const settings *mine, const settings *first) {
    for (int i = 0; i < mine->count && i < first->count; i++)
        if (strcmp(mine->rows[i].value, first->rows[i].value) != 0)
            return dt_fail(DT_USAGE,
                           "--%s is %.200s here, but %.200s on rank 0: all ranks need the same options",
                           mine->rows[i].name, mine->rows[i].value, first->rows[i].value);
    return dt_ok();
}

dt_status dt_fingerprint_check_program(dt_comm *comm, const char *version, const dt_options *options) {
    /* Zeroed, so that nothing unset travels; static, since steps and setup share a small stack. */
    static settings mine, first;
    char text[VERSION] = "";
    memset(&mine, 0, sizeof mine);
    if (options->walk)
        options->walk(options, add_setting, &mine);
    first = mine;
    snprintf(text, sizeof text, "%s", version);
    dt_comm_broadcast(comm, text, sizeof text, 0);
    dt_status status = dt_ok();
    if (strcmp(text, version) != 0)
        status = dt_fail(DT_MACHINE, "this is %s, but %s on rank 0: start the same program everywhere",
                         version, text);
    DT_TRY(dt_comm_agree(comm, status));
    dt_comm_broadcast(comm, &first, sizeof first, 0);
    return dt_comm_agree(comm, compare_settings(&mine, &first));
}

dt_status dt_fingerprint_check_isa(dt_comm *comm, dt_isa isa) {
    int first = (int)isa;
    dt_comm_broadcast(comm, &first, sizeof first, 0);
    dt_status status = dt_ok();
    if (first != (int)isa)
        status =
            dt_fail(DT_MACHINE,
                    "its instruction set is %s, but %s on rank 0: the same bits come from one instruction "
                    "set alone; use --isa %s",
                    dt_isa_name(isa), dt_isa_name((dt_isa)first),
                    dt_isa_name(first < (int)isa ? (dt_isa)first : isa));
    return dt_comm_agree(comm, status);
}

static uint64_t hash_images(uint64_t hash, dt_images images) {
    hash = dt_hash(hash, images.pixels, dt_images_pixel_bytes(images));
    return dt_hash(hash, images.labels, (size_t)images.count);
}

uint64_t dt_fingerprint_of_data(const dt_corpus *corpus) {
    return hash_images(hash_images(hash_images(0, corpus->train), corpus->validation), corpus->test);
}

dt_status dt_fingerprint_check_data(dt_comm *comm, uint64_t hash) {
    uint64_t first = hash;
    dt_comm_broadcast(comm, &first, sizeof first, 0);
    dt_status status = dt_ok();
    if (first != hash)
        status = dt_fail(
            DT_DATA, "its images have the hash %016llx, but %016llx on rank 0: data was damaged on the way",
            (unsigned long long)hash, (unsigned long long)first);
    return dt_comm_agree(comm, status);
}
