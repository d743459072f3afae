/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of text: columns as wide as what stands in them, words to the left, numbers to the right. Local. */
#ifndef DTRAIN_REPORT_TABLE_H
#define DTRAIN_REPORT_TABLE_H

#include <stdio.h>

#include "dtrain/status.h"

enum { DT_TABLE_COLUMNS = 24, DT_TABLE_CELL = 96 };

typedef struct dt_table dt_table;

/* heads: one title a column; a title that begins with '<' (not printed) stands over words, the others over
 * numbers. At most DT_TABLE_COLUMNS. Errors: DT_MEMORY. */
dt_status dt_table_create(const char *const *heads, int columns, dt_table **table);
void dt_table_destroy(dt_table *table);

/* Adds a cell, printf-style, from left to right and row by row; cut at DT_TABLE_CELL - 1 bytes. A failure of
 * memory is kept for dt_table_print. */
void dt_table_add(dt_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a number with `digits` digits behind the point; "-" for NaN. */
void dt_table_add_number(dt_table *table, double value, int digits);

/* Prints the table. The last row must be complete. Errors: DT_MEMORY of earlier calls. */
dt_status dt_table_print(const dt_table *table, FILE *stream);

#endif
