/* SPDX-License-Identifier: BSD-3-Clause */
/* The settings of a run as JSON, as records and checkpoints hold them, and what differs between two runs.
 * Local.
 */
#ifndef DTRAIN_TRAIN_SETTINGS_H
#define DTRAIN_TRAIN_SETTINGS_H

#include <jansson.h>

#include "train/session.h"

/* A new object with every option by its name. */
json_t *dt_settings_object(const dt_options *options);

/* The same as text, with the instruction set in use as "kernels". The caller frees it; NULL without memory.
 */
char *dt_settings_text(const dt_session *session);

enum { DT_DIFFERENCES = 1024 };

/* What has changed since a checkpoint with the settings `stored` and this fingerprint of the data, as
 * "--lr 0.001 then, 0.002 now; ...". `mathematics`: what makes it another run. `bits`: what changes the last
 * bits of the results alone. An option's effect decides (train.h). Empty texts: nothing. Errors: DT_FILE,
 * `stored` is not an object in JSON. */
dt_status dt_settings_compare(const char *stored, uint64_t fingerprint, const dt_session *session,
                              char mathematics[DT_DIFFERENCES], char bits[DT_DIFFERENCES]);

/* Whether the option with this name had another value then. */
bool dt_settings_differ(const char *stored, const dt_options *options, const char *name);

/* The whole number that an option had then; `otherwise` when it is not there. */
int dt_settings_number(const char *stored, const char *name, int otherwise);

/* Whether the command line names this option. */
bool dt_settings_given(const dt_options *options, const char *name);

#endif
