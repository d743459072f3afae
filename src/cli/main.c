/* SPDX-License-Identifier: BSD-3-Clause */
/* dtrain: reads the command line, starts MPI, runs one command and says on rank 0 what went wrong. */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/libraries.h"
#include "cli/options.h"
#include "dtrain/comm.h"
#include "dtrain/locale.h"
#include "dtrain/log.h"
#include "dtrain/report.h"
#include "dtrain/train.h"
#include "dtrain/version.h"

/* Nobody who stops reading our output ends a run, and no file that the run opens takes the place of a
 * standard stream that was closed before the start. */
static void guard_standard_streams(void) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file above the limit of its size: an error like a full disk */
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return;
}

/* An empty text: another process has the words. */
static void say(const dt_status *status) {
    if (!*status->text)
        return;
    if (status->code == DT_STOPPED)
        dt_log_note("%s", status->text);
    else if (dt_failed(status))
        dt_log_error("%s", status->text);
}

/* The last words, and the exit code. Lost output is an error where there is no other. */
static int report(dt_status status) {
    say(&status);
    dt_status output = dt_log_finish();
    if (!dt_failed(&output))
        return (int)status.code;
    if (dt_failed(&status)) {
        dt_log_warning("%s", output.text);
        return (int)status.code;
    }
    say(&output);
    return (int)output.code;
}

/* Commands without MPI: once, also where a launcher started several processes. */
static dt_status run_alone(const dt_command_line *line) {
    if (dt_comm_launcher_rank() != 0)
        return dt_ok();
    if (line->command == DT_COMMAND_REPORT)
        return dt_report_run(line->paths, line->path_count, stdout);
    if (line->command == DT_COMMAND_INSPECT)
        return dt_command_inspect(&line->options);
    if (line->command == DT_COMMAND_EXPORT)
        return dt_command_export(&line->options);
    if (line->command == DT_COMMAND_HELP)
        dt_options_print_help(stdout);
    else
        printf("%s\n", dt_version_text());
    return dt_ok();
}

static dt_status run_command(const dt_command_line *line, dt_comm *comm, dt_watchdog *watchdog) {
    switch (line->command) {
    case DT_COMMAND_TRAIN:
        return dt_command_train(&line->options, comm, watchdog);
    case DT_COMMAND_EVAL:
        return dt_command_eval(&line->options, comm);
    case DT_COMMAND_INFO:
        return dt_command_info(&line->options, comm);
    case DT_COMMAND_PLAN:
        return dt_command_plan(&line->options, comm);
    case DT_COMMAND_REPORT:
    case DT_COMMAND_INSPECT:
    case DT_COMMAND_EXPORT:
    case DT_COMMAND_VERSION:
    case DT_COMMAND_HELP:
    case DT_COMMANDS:
        break;
    }
    assert(false);
    return dt_ok();
}

/* Ranks that get nowhere are watched from MPI's start to its end. */
static dt_status run_watched(const dt_command_line *line, dt_status parsed, dt_comm *comm,
                             dt_watchdog **watchdog) {
    DT_TRY(dt_comm_agree(comm, parsed));
    DT_TRY(dt_train_watch(comm, line->options.stall_timeout, watchdog));
    return run_command(line, comm, *watchdog);
}

int main(int argc, char **argv) {
    guard_standard_streams();
    dt_command_line line;
    dt_status status = dt_locale_use_c();
    if (dt_failed(&status))
        return report(status);
    status = dt_options_parse(argc, argv, &line);
    if (!dt_failed(&status) && line.command != DT_COMMAND_INFO && line.command < DT_COMMAND_VERSION)
        status = dt_libraries_check();
    if (!dt_failed(&status) && line.command >= DT_COMMAND_REPORT)
        return report(run_alone(&line));
    if (!dt_failed(&status) && line.command == DT_COMMAND_TRAIN)
        dt_train_heed_signals();

    dt_comm *comm;
    dt_watchdog *watchdog = NULL;
    dt_status started = dt_comm_create_guarded(line.options.stall_timeout, &comm);
    if (dt_failed(&started))
        return report(dt_failed(&status) ? status : started);
    dt_log_configure(dt_comm_rank(comm) == 0, line.options.quiet);
    status = run_watched(&line, status, comm, &watchdog);
    int code = report(status);
    dt_comm_barrier(comm);
    dt_train_end_watch(watchdog);
    dt_comm_destroy(comm);
    return code;
}
