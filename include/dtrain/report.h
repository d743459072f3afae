/* SPDX-License-Identifier: BSD-3-Clause */
/* What the results of runs say. Local; needs no MPI. */
#ifndef DTRAIN_REPORT_H
#define DTRAIN_REPORT_H

#include <stdio.h>

#include "dtrain/status.h"

/* Prints to `stream` what the results in `paths` say; a path is a metrics.jsonl, a scaling.jsonl, or a
 * folder.
 *
 * One path:
 * - a folder of bench/scaling (it has setup.json), or its scaling.jsonl: each trial judged against the
 * reference on one rank, and the tables of speed-up. For the folder scaling.jsonl and scaling.csv are written
 * into it.
 * - a metrics.jsonl, or a folder with any number of them up to four levels down (a sweep): runs that differ
 * in their seed alone are one row, with mean and standard deviation. For a folder sweep.csv is written into
 * it. Two paths and more, all of one kind: each is compared with the first, row by row or as a whole, by
 * Welch's t-test with Holm's correction (report/estimate.h has the sources), significant below 5 %.
 *
 * Regular files alone are read, each once however many names it has. A file or folder of several that cannot
 * be read is left out with a warning: the rest is printed, and DT_FILE is returned behind it. Names are
 * printed so that no terminal obeys them (text.h). Files are written beside their names and take them when
 * they are whole, never through a link.
 *
 * Errors: DT_FILE for what cannot be read, is damaged or holds no run; DT_USAGE for paths of different kinds;
 * DT_MEMORY. A folder that cannot be written to is a warning: the table is printed all the same. */
dt_status dt_report_run(const char *const *paths, int count, FILE *stream);

#endif
