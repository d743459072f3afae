/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain train. */
#include "cli/commands.h"

#include "dtrain/log.h"
#include "dtrain/version.h"

dt_status dt_command_train(const dt_options *options, dt_comm *comm, dt_watchdog *watchdog) {
    dt_log_note("%s", dt_version_text());
    return dt_train_run(options, comm, watchdog);
}
