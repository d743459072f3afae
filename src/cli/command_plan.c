/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain plan. */
#include "cli/commands.h"

dt_status dt_command_plan(const dt_options *options, dt_comm *comm) {
    return dt_plan_run(options, comm);
}
