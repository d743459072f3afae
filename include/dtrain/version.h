/* SPDX-License-Identifier: BSD-3-Clause */
/* Which program this is, and how it was built. Static strings. Local, thread safe. */
#ifndef DTRAIN_VERSION_H
#define DTRAIN_VERSION_H

/* "dtrain 0.1.0 (COMMIT)": as git describes it, "-dirty" for a changed tree; no commit where none is known.
 */
const char *dt_version_text(void);
const char *dt_version_compiler(void); /* "gcc 12.2.0" */

/* What another build may have otherwise, and then has other last bits: compiler, processor, flags that
 * concern arithmetic: "gcc 12.2.0 x86_64 -O3". */
const char *dt_version_arithmetic(void);
const char *dt_version_build(void); /* build type and what differs from a plain build: "Release" */

#endif
