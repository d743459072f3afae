/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands in a folder in the place of a data set, and what to do with it. Local. */
#ifndef DTRAIN_DATA_NEARBY_H
#define DTRAIN_DATA_NEARBY_H

#include <stddef.h>

/* Sentences for the end of a message, each with a space in front: files whose names are nearly right, folders
 * below that hold a data set, archives to unpack, other .npz files. Empty where nothing helps. */
void dt_nearby_describe(const char *folder, char *text, size_t room);

#endif
