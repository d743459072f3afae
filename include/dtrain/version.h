/* SPDX-License-Identifier: BSD-3-Clause */
/* Which program this is, and how it was built. Static strings. Local, thread safe. */
#ifndef DTRAIN_VERSION_H
#define DTRAIN_VERSION_H

/* "dtrain 0.1.0 (COMMIT)": as git describes it, "-dirty" for a changed tree; no commit where none is known. */
const char *dt_version_text(void);
const char *dt_version_compiler(void); /* "gcc 12.2.0" */
const char *dt_version_build(void);    /* build type and what differs from a plain build: "Release" */

#endif
