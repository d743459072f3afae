/* SPDX-License-Identifier: BSD-3-Clause */
/* The group "dtrain" of a file: what Keras does not know. Local. Errors: DT_FILE, naming the path and what is
 * missing or not allowed. */
#ifndef DTRAIN_IO_HEADER_H
#define DTRAIN_IO_HEADER_H

#include "dtrain/checkpoint.h"
#include "io/attributes.h"
#include "io/image.h"

/* Format version, program and the options of the network; and where a run stands, unless position is NULL. */
dt_status dt_header_write(const dt_image *image, const dt_network_config *config,
                          const dt_checkpoint_position *position);

/* Opens the group for reading; fails in a file without it, or of a format that this program does not know.
 * Close with dt_library_close(.., H5Gclose, ..). */
dt_status dt_header_open(const dt_library_file *file, dt_group *group);

/* Whether the file has the group at all. */
bool dt_header_exists(const dt_library_file *file);

dt_status dt_header_read_network(const dt_group *group, dt_network_config *config);

/* Whether the group tells where a run stands. */
bool dt_header_has_position(const dt_group *group);
dt_status dt_header_read_position(const dt_group *group, dt_checkpoint_position *position);

/* The network of a file that dtrain wrote, and whether the file has the state of a run. */
dt_status dt_header_peek(const char *path, dt_network_config *config, bool *has_position);

extern const char dt_header_options[], dt_header_history[]; /* places of the texts */

#endif
