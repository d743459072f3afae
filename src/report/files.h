/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that a report reads and writes. Anything may lie under a name that it is given: pipes, devices,
 * links, other people's files. Local. */
#ifndef DTRAIN_REPORT_FILES_H
#define DTRAIN_REPORT_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "dtrain/path.h"
#include "dtrain/status.h"

enum { DT_FILES_PATH = DT_PATH_ROOM };

/* FOLDER/NAME, or FOLDER/NAME/LAST where `last` is not NULL. Errors, DT_FILE: longer than DT_FILES_PATH. */
dt_status dt_files_join(char path[DT_FILES_PATH], const char *folder, const char *name, const char *last);

/* Opens a regular file of at most 16 GB for reading, through links too; of anything else nothing is read, and
 * nothing is waited for. Errors: DT_FILE. */
dt_status dt_files_open(const char *path, FILE **file);

/* Hands each line of a file of JSON lines to `take`. A damaged line is passed over at the end of the file and
 * in front of an event `start`: its writer was stopped in the middle. Errors: DT_FILE for what cannot be
 * read, is no JSON object, holds a name twice or a number that no double holds, and for lines above 16 MB,
 * with file and line; those of `take`, with the same in front; DT_MEMORY. */
dt_status dt_files_read_lines(const char *path, dt_status (*take)(void *context, json_t *line),
                              void *context);

/* A file that is one JSON object of at most 16 MB. Errors: DT_FILE, DT_MEMORY. */
dt_status dt_files_read_object(const char *path, json_t **object);

/* Which files were met: one file may have several names. */
typedef struct dt_file_set {
    struct dt_file_identity *places;
    size_t count, room;
} dt_file_set;

/* Adds what `path` leads to; *known tells whether it was there already. A path that leads nowhere is never
 * known. Errors: DT_MEMORY. */
dt_status dt_file_set_add(dt_file_set *set, const char *path, bool *known);
void dt_file_set_release(dt_file_set *set);

/* A file that takes its name when it is complete. */
typedef struct dt_output {
    FILE *stream;
    char path[DT_FILES_PATH], temporary[DT_FILES_PATH + 32];
} dt_output;

/* Begins a file. Refused, DT_FILE: a name that a link or anything but a regular file has. */
dt_status dt_output_open(dt_output *output, const char *folder, const char *name);

/* Ends it: it replaces the file of its name, unless `failure` or the writing says that it is not whole; then
 * it is removed, and what was there stays. Returns the first failure. */
dt_status dt_output_close(dt_output *output, dt_status failure);

/* A field of CSV after RFC 4180, made printable first (text.h), so that a record is a line. Spreadsheets take
 * a text that begins with = + - @ for a formula: unless it is a number or a single -, an apostrophe stands in
 * front. */
void dt_output_field(FILE *stream, const char *text);

#endif
