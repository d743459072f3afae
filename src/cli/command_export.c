/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain export. */
#include "cli/commands.h"

#include "dtrain/export.h"
#include "dtrain/log.h"
#include "dtrain/weights.h"

dt_status dt_command_export(const dt_options *options) {
    char path[DT_WEIGHTS_PATH];
    const char *what;
    DT_TRY(dt_weights_resolve(options->weights, path));
    dt_log_configure(true, options->quiet);
    DT_TRY(dt_export_model(path, options->target, options->force, &what));
    dt_log_note("%s: %s, from %s", options->target, what, path);
    return dt_ok();
}
