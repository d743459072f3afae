/* SPDX-License-Identifier: BSD-3-Clause */
/* Cells are kept until all widths are known. */
#include "report/table.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct dt_table {
    int columns, cells, room;
    bool words[DT_TABLE_COLUMNS];
    bool out_of_memory;
    char (*cell)[DT_TABLE_CELL]; /* the titles are the first row */
};

dt_status dt_table_create(const char *const *heads, int columns, dt_table **out) {
    assert(columns > 0 && columns <= DT_TABLE_COLUMNS);
    dt_table *table = calloc(1, sizeof *table);
    *out = table;
    if (!table)
        return dt_fail(DT_MEMORY, "no memory for a table");
    table->columns = columns;
    for (int column = 0; column < columns; column++) {
        table->words[column] = heads[column][0] == '<';
        dt_table_add(table, "%s", heads[column] + table->words[column]);
    }
    return dt_ok();
}

void dt_table_destroy(dt_table *table) {
    if (!table)
        return;
    free(table->cell);
    free(table);
}

static bool make_room(dt_table *table) {
    if (table->cells < table->room)
        return true;
    int room = 2 * table->room + 64;
    void *cell = realloc(table->cell, (size_t)room * sizeof *table->cell);
    if (!cell) {
        table->out_of_memory = true;
        return false;
    }
    table->cell = cell;
    table->room = room;
    return true;
}

void dt_table_add(dt_table *table, const char *format, ...) {
    if (table->out_of_memory || !make_room(table))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(table->cell[table->cells++], DT_TABLE_CELL, format, arguments);
    va_end(arguments);
}

void dt_table_add_number(dt_table *table, double value, int digits) {
    if (isfinite(value))
        dt_table_add(table, "%.*f", digits, value);
    else
        dt_table_add(table, "-");
}

static int width_of(const dt_table *table, int column) {
    int width = 0;
    for (int i = column; i < table->cells; i += table->columns) {
        int length = (int)strlen(table->cell[i]);
        width = length > width ? length : width;
    }
    return width;
}

dt_status dt_table_print(const dt_table *table, FILE *stream) {
    if (table->out_of_memory)
        return dt_fail(DT_MEMORY, "no memory for a table of %d cells", table->cells);
    assert(table->cells % table->columns == 0);
    int widths[DT_TABLE_COLUMNS];
    for (int column = 0; column < table->columns; column++)
        widths[column] = width_of(table, column);
    for (int i = 0; i < table->cells; i++) {
        int column = i % table->columns;
        bool last = column == table->columns - 1;
        fprintf(stream, "%*s%s", (table->words[column] ? last ? 0 : -1 : 1) * widths[column], table->cell[i],
                last ? "\n" : "  ");
    }
    return dt_ok();
}
