/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of dtrain. Collective: all ranks call with the same options; what they print is said by rank
 * 0. Errors: any code of status.h, agreed on by all ranks. */
#ifndef DTRAIN_CLI_COMMANDS_H
#define DTRAIN_CLI_COMMANDS_H

#include "dtrain/train.h"

dt_status dt_command_train(const dt_options *options, dt_comm *comm, dt_watchdog *watchdog);

/* Options that say which images a checkpoint's run was validated and tested on are taken from the file, where
 * the command line does not name them, and said. */
dt_status dt_command_eval(const dt_options *options, dt_comm *comm);
dt_status dt_command_plan(const dt_options *options, dt_comm *comm);
dt_status dt_command_info(const dt_options *options, dt_comm *comm);

/* Of one process, local. */
dt_status dt_command_inspect(const dt_options *options);
dt_status dt_command_export(const dt_options *options);

#endif
