/* SPDX-License-Identifier: BSD-3-Clause */
/* How numbers look in text. A library that is loaded along may call setlocale, before main or at any time:
 * the C library then reads and writes a decimal comma, and takes "0.001" for 0. */
#ifndef DTRAIN_LOCALE_H
#define DTRAIN_LOCALE_H

#include "dtrain/status.h"

/* From here on the calling thread reads and writes text as the C language does, whatever the locale of the
 * process is or becomes. Each program calls it first of all. A new thread starts without:
 * dt_signals_start_thread makes the call in those of a run. Teams (team.h) neither read nor write text.
 * Local; again: nothing changes. DT_MEMORY. */
dt_status dt_locale_use_c(void);

#endif
