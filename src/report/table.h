/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of text: columns as wide as what stands in them, words to the left, numbers to the right. Local. */
#ifndef DTRAIN_REPORT_TABLE_H
#define DTRAIN_REPORT_TABLE_H

#include <stdio.h>

#include "dtrain/status.h"

typedef struct dt_table dt_table;

/* heads: one title a column; a title that begins with '<' (not printed) stands over words, the others over
 * numbers. Errors: DT_MEMORY. */
dt_status dt_table_create(const char *const *heads, int columns, dt_table **table);
void dt_table_destroy(dt_table *table);

/* Adds a cell, printf-style, from left to right and row by row, as long as it is; what a terminal would obey
 * is shown (text.h). A failure of memory is kept for dt_table_print. */
void dt_table_add(dt_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a number with `digits` digits behind the point; "-" for what is not finite; with an
 * exponent from 1e15 on. */
void dt_table_add_number(dt_table *table, double value, int digits);

/* Prints the table. The last row must be complete. Errors: DT_MEMORY of earlier calls. */
dt_status dt_table_print(const dt_table *table, FILE *stream);

#endif
