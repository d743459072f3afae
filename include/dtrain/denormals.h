/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers below the smallest normal float (1.18e-38; doubles below 2.2e-308) are taken as 0 and become 0: an
 * operation on one costs x86 CPUs a hundred cycles and more, and Adam's moments of a gradient that has
 * vanished pass through them. The setting belongs to a thread; teams (team.h) make it in all of theirs. */
#ifndef DTRAIN_DENORMALS_H
#define DTRAIN_DENORMALS_H

#include <stdbool.h>

/* Flushes denormal operands and results to 0 from here on in the calling thread, and in threads that it
 * starts. Does nothing on a CPU that is neither x86-64 nor AArch64. */
void dt_denormals_flush(void);

/* Whether the calling thread flushes them, found by calculating with some. */
bool dt_denormals_flushed(void);

#endif
