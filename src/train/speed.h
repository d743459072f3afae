/* SPDX-License-Identifier: BSD-3-Clause */
/* The present speed of a run: over the last seconds, and not since its start. A value. Local. */
#ifndef DTRAIN_TRAIN_SPEED_H
#define DTRAIN_TRAIN_SPEED_H

#include <stdint.h>

enum { DT_SPEED_MARKS = 10 };

typedef struct dt_speed_mark {
    double moment;
    int64_t samples, steps; /* done by then */
} dt_speed_mark;

typedef struct dt_speed {
    dt_speed_mark marks[DT_SPEED_MARKS]; /* a second or a step apart, the oldest first */
    int count;
    dt_speed_mark now;
} dt_speed;

/* Forgets all before `moment`, when so much was done. */
void dt_speed_begin(dt_speed *speed, double moment, int64_t samples, int64_t steps);

/* So much is done at `moment`, which is not before the last one. */
void dt_speed_note(dt_speed *speed, double moment, int64_t samples, int64_t steps);

/* Samples a second, and seconds a step; 0 before anything is done. */
double dt_speed_samples(const dt_speed *speed);
double dt_speed_step(const dt_speed *speed);

#endif
