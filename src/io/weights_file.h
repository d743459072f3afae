/* SPDX-License-Identifier: BSD-3-Clause */
/* What reading of weights and of checkpoints have in common. Local. */
#ifndef DTRAIN_IO_WEIGHTS_FILE_H
#define DTRAIN_IO_WEIGHTS_FILE_H

#include "io/layout.h"
#include "io/library.h"

/* Reads the catalogue's tensors from a file that has no more layers than the network. The file may be ours,
 * of a known format, or Keras'. Errors: DT_FILE, as dt_tensors_read_all; DT_USAGE for a file of ours that
 * tells a network of another shape, with the options that differ. */
dt_status dt_weights_read(const dt_library_file *file, const dt_parameters *parameters,
                          const dt_catalogue *catalogue);

#endif
