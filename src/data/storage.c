/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of a data set: one slab, dealt out to both halves. */
#include "data/storage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtrain/text.h"

static void deal(dt_arena *arena, dt_pixel_kind kind, const int counts[DT_HALVES],
                 dt_half halves[DT_HALVES]) {
    for (int half = 0; half < DT_HALVES; half++) {
        dt_images shape = {.count = counts[half], .kind = kind};
        halves[half].pixels = dt_arena_take(arena, dt_images_pixel_bytes(shape));
        halves[half].labels = dt_arena_take(arena, (size_t)counts[half]);
    }
}

dt_status dt_storage_reserve(dt_dataset *dataset, dt_pixel_kind kind, const int counts[DT_HALVES],
                             dt_half halves[DT_HALVES]) {
    dt_arena arena = {0};
    deal(&arena, kind, counts, halves);
    DT_TRY(dt_slab_reserve(arena.used, "the data set", &dataset->memory));
    arena = (dt_arena){.base = dataset->memory.base};
    deal(&arena, kind, counts, halves);
    dt_images *views[DT_HALVES] = {&dataset->train, &dataset->test};
    for (int half = 0; half < DT_HALVES; half++)
        *views[half] = (dt_images){counts[half], kind, halves[half].pixels, halves[half].labels};
    return dt_ok();
}

/* A line that would not say anything any more is left out. */
enum { SHORTEST_WARNING = 128 };

void dt_storage_warn(dt_dataset *dataset, const char *format, ...) {
    size_t used = strlen(dataset->warnings), room = sizeof dataset->warnings;
    if (used > 0 && used + 2 < room) {
        dataset->warnings[used++] = '\n';
        dataset->warnings[used] = '\0';
    }
    va_list arguments;
    va_start(arguments, format);
    char *whole;
    if (room - used >= SHORTEST_WARNING && vasprintf(&whole, format, arguments) >= 0) {
        dt_text_fit(dataset->warnings + used, room - used, whole);
        free(whole);
    }
    va_end(arguments);
}

dt_status dt_storage_check_labels(const char *subject, const uint8_t *labels, int count) {
    for (int i = 0; i < count; i++)
        if (labels[i] >= DT_CLASSES)
            return dt_fail(DT_DATA, "%s: label number %d (counted from 0) is %d; labels are 0..%d", subject,
                           i, labels[i], DT_CLASSES - 1);
    return dt_ok();
}
