/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain eval. */
#include "cli/commands.h"

dt_status dt_command_eval(const dt_options *options, dt_comm *comm) {
    return dt_evaluate_run(options, comm);
}
