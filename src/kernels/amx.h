/* SPDX-License-Identifier: BSD-3-Clause */
/* Private to this folder: Advanced Matrix Extensions with bfloat16. Compiled where DT_HAVE_AMX is defined,
 * which is where the compiler can. */
#ifndef DTRAIN_KERNELS_AMX_H
#define DTRAIN_KERNELS_AMX_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this process may use AMX_TILE and AMX_BF16: the CPU has them, the system saves their state, and it
 * has been asked for permission, which then holds for all threads. May be called again. */
bool dt_amx_allowed(void);

/* `rounds` products of tiles on independent chains, of DT_AMX_ROUND_FLOP operations each; returns a value
 * that depends on them. */
float dt_amx_chains(size_t rounds);

enum { DT_AMX_ROUND_FLOP = 2 * 16 * 16 * 32 };

#endif
