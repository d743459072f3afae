/* SPDX-License-Identifier: BSD-3-Clause */
/* A window that moves along. */
#include "train/speed.h"

#include <string.h>

static const double spacing = 1.0;

void dt_speed_begin(dt_speed *speed, double moment, int64_t samples, int64_t steps) {
    speed->now = speed->marks[0] = (dt_speed_mark){moment, samples, steps};
    speed->count = 1;
}

void dt_speed_note(dt_speed *speed, double moment, int64_t samples, int64_t steps) {
    speed->now = (dt_speed_mark){moment, samples, steps};
    if (moment - speed->marks[speed->count - 1].moment < spacing)
        return;
    if (speed->count == DT_SPEED_MARKS) {
        memmove(speed->marks, speed->marks + 1, (DT_SPEED_MARKS - 1) * sizeof *speed->marks);
        speed->count--;
    }
    speed->marks[speed->count++] = speed->now;
}

double dt_speed_samples(const dt_speed *speed) {
    double seconds = speed->now.moment - speed->marks[0].moment;
    return seconds > 0.0 ? (double)(speed->now.samples - speed->marks[0].samples) / seconds : 0.0;
}

double dt_speed_step(const dt_speed *speed) {
    int64_t steps = speed->now.steps - speed->marks[0].steps;
    return steps > 0 ? (speed->now.moment - speed->marks[0].moment) / (double)steps : 0.0;
}
