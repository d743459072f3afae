/* SPDX-License-Identifier: BSD-3-Clause */
/* How long each way to compute a convolution takes on this machine. The measurement decides nothing by
 * itself: methods differ in their last bits, so a choice by the clock would give other bits from run to run.
 * Local. */
#ifndef DTRAIN_TUNING_H
#define DTRAIN_TUNING_H

#include "dtrain/conv.h"

/* Seconds of a call, the median of several. */
typedef struct dt_conv_times {
    bool possible;   /* the method can do the shape; else the rest is 0 */
    double forward;  /* dt_conv_forward with keep */
    double weights;  /* dt_conv_backward without dx */
    double backward; /* dt_conv_backward with dx */
} dt_conv_times;

/* Measures config->method (not DT_CONV_AUTO) with config->samples samples of random data, `repeats` calls
 * each after one that does not count. A convolution without leaves is measured forward alone. Errors:
 * DT_MEMORY. */
dt_status dt_tuning_measure(const dt_conv_config *config, int repeats, dt_conv_times *times);

#endif
