/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to cli: the table of dtrain info --tune. */
#ifndef DTRAIN_CLI_TUNING_TABLE_H
#define DTRAIN_CLI_TUNING_TABLE_H

#include "dtrain/methods.h"

/* Prints on rank 0 what each method of each convolution takes, which one is used, and where it is not the
 * fastest. */
void dt_tuning_table_print(const dt_network *network, const dt_methods_times *times, dt_methods used);

#endif
