/* SPDX-License-Identifier: BSD-3-Clause */
/* An open file handed from one process of a machine to others through a socket, where they cannot see one
 * another in /proc: in containers with user or process name spaces of their own. Local calls of both sides.
 * Private to comm. */
#ifndef DTRAIN_COMM_HANDOVER_H
#define DTRAIN_COMM_HANDOVER_H

#include <stdbool.h>

enum { DT_HANDOVER_TOKEN = 16 };

/* Bytes that no other process can guess; false with errno. */
bool dt_handover_draw(unsigned char token[DT_HANDOVER_TOKEN]);

/* A socket that the token names, -1 with errno. */
int dt_handover_listen(const unsigned char token[DT_HANDOVER_TOKEN]);

/* Gives the file to `takers` processes of this user; false with errno when one does not come within a few
 * seconds. */
bool dt_handover_give(int listener, int file, int takers);

/* The file from the process that listens, closed on exec; -1 with errno. */
int dt_handover_take(const unsigned char token[DT_HANDOVER_TOKEN]);

#endif
