/* SPDX-License-Identifier: BSD-3-Clause */
/* All libraries that dtrain stands on and that tell their version. Local. */
#ifndef DTRAIN_CLI_LIBRARIES_H
#define DTRAIN_CLI_LIBRARIES_H

#include "dtrain/linked.h"

int dt_libraries_count(void);
dt_linked dt_libraries_row(int index);

/* Errors: DT_MACHINE, for the first whose headers and whose loaded code do not fit. */
dt_status dt_libraries_check(void);

#endif
