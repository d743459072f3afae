/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wrong with a word that getopt refused: unknown, ambiguous, without a value, with one too many.
 * Local. */
#ifndef DTRAIN_CLI_OPTION_NAMES_H
#define DTRAIN_CLI_OPTION_NAMES_H

#include "dtrain/status.h"

/* DT_USAGE with the reason; success if this is not the word that was refused. */
dt_status dt_option_names_explain(const char *word);

#endif
