/* SPDX-License-Identifier: BSD-3-Clause */
/* Which program this is, and how it was built. Static strings. Local, thread safe. */
#ifndef DTRAIN_VERSION_H
#define DTRAIN_VERSION_H

const char *dt_version_number(void);   /* "0.1.0" */
const char *dt_version_commit(void);   /* as git describes it, "-dirty" for a changed tree; "unknown" */
const char *dt_version_text(void);     /* "dtrain 0.1.0 (COMMIT)" */
const char *dt_version_compiler(void); /* "gcc 12.2.0" */
const char *dt_version_build(void);    /* build type and what differs from a plain build: "Release" */

#endif
